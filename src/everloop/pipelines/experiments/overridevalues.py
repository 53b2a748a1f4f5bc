"""Read the value of an override: `0.1`, `[1,2]`, `{a:1}`, `'text'`, and what stands for several: `1,2`, `range(1,5)`.

Source: Hydra 1.3 (`grammar/OverrideLexer.g4`, `OverrideParser.g4`, `core/override_parser/types.py`). Of its functions
`choice`, `range` and `sort` are here.
"""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any

import msgspec

from everloop.errors import InvalidError
from everloop.latepattern import LatePattern

_INT = LatePattern(r"[+-]?(0|[1-9](_?\d)*)")
_FLOAT = LatePattern(
    r"[+-]?((((0|[1-9](_?\d)*)?\.\d(_?\d)*|(0|[1-9](_?\d)*)\.)|(0|[1-9](_?\d)*)(?=[eE]))([eE][+-]?\d(_?\d)*)?|inf|nan)",
    re.IGNORECASE,
)
_FUNCTION = re.compile(r"([A-Za-z_]\w*)\s*\(")
_NAMED = re.compile(r"\s*([A-Za-z_]\w*)\s*=")
_WORDS = {"true": True, "false": False, "null": None}
_ESCAPED = frozenset("\\()[]{}:=, \t")


class Sweep(msgspec.Struct, frozen=True):
    """Several values, one experiment for each."""

    values: tuple[Any, ...]


def parse(text: str, word: str) -> Any:
    """A value, or a `Sweep`.

    Args:
        text: What stands behind the `=`; nothing is an empty text.
        word: The whole override, for errors.

    Raises:
        InvalidError: It is malformed, or a function that is not known.
    """
    return _Reader(text, word).whole()


class _Reader:
    def __init__(self, text: str, word: str) -> None:
        self._text = text
        self._word = word
        self._at = 0

    def whole(self) -> Any:
        if not self._text.strip():
            return ""
        values = [self._element(",")]
        while self._peek() == ",":
            self._at += 1
            values.append(self._element(","))
        if self._at < len(self._text):
            raise self._wrong(f"unexpected {self._text[self._at :]!r}")
        if len(values) == 1:
            return values[0]
        if any(isinstance(value, Sweep) for value in values):
            raise self._wrong("a choice cannot be inside of another one")
        return Sweep(tuple(values))

    def _element(self, ends: str) -> Any:
        self._skip()
        function = _FUNCTION.match(self._text, self._at)
        if function:
            self._at = function.end()
            return self._call(function[1])
        opened = self._peek()
        if opened == "[":
            return self._list()
        if opened == "{":
            return self._mapping()
        if opened in ("'", '"'):
            return self._quoted(opened)
        return self._bare(ends)

    def _list(self) -> list[Any]:
        self._at += 1
        items: list[Any] = []
        while self._skip() != "]":
            items.append(self._element(",]"))
            self._separator("]")
        self._at += 1
        self._skip()
        return items

    def _mapping(self) -> dict[Any, Any]:
        self._at += 1
        items: dict[Any, Any] = {}
        while self._skip() != "}":
            key = self._quoted(self._peek()) if self._peek() in ("'", '"') else self._bare(":,}")
            if self._skip() != ":":
                raise self._wrong("a mapping is of the form {key: value}")
            self._at += 1
            items[key] = self._element(",}")
            self._separator("}")
        self._at += 1
        self._skip()
        return items

    def _separator(self, end: str) -> None:
        if self._skip() == ",":
            self._at += 1
        elif self._peek() != end:
            raise self._wrong(f"expected a comma or {end!r}")

    def _call(self, name: str) -> Any:
        places: list[Any] = []
        named: dict[str, Any] = {}
        while self._skip() != ")":
            match = _NAMED.match(self._text, self._at)
            if match:
                self._at = match.end()
                named[match[1]] = self._element(",)")
            else:
                places.append(self._element(",)"))
            self._separator(")")
        self._at += 1
        self._skip()
        made = _FUNCTIONS.get(name)
        if made is None:
            raise self._wrong(f"the function {name!r} is not supported; known are {', '.join(_FUNCTIONS)}")
        try:
            return made(*places, **named)
        except (TypeError, ArithmeticError) as error:
            raise self._wrong(f"{name}: {error}") from error

    def _quoted(self, mark: str) -> str:
        end = self._at + 1
        while end < len(self._text) and self._text[end] != mark:
            end += 2 if self._text[end] == "\\" else 1
        if end >= len(self._text):
            raise self._wrong(f"the {mark} is never closed")
        inner = self._text[self._at + 1 : end]
        self._at = end + 1
        self._skip()
        return inner.replace(f"\\{mark}", mark)

    def _bare(self, ends: str) -> Any:
        start, text, is_escaped = self._at, [], False
        while self._at < len(self._text) and self._text[self._at] not in ends:
            if self._text.startswith("${", self._at) and "}" in self._text[self._at :]:
                close = self._text.index("}", self._at)
                text.append(self._text[self._at : close + 1])
                self._at = close + 1
                continue
            if self._text[self._at] == "\\" and self._text[self._at + 1 : self._at + 2] in _ESCAPED:
                self._at, is_escaped = self._at + 1, True
            text.append(self._text[self._at : self._at + 1])
            self._at += 1
        bare = "".join(text)
        if not bare.strip():
            raise self._wrong(
                f"a value is missing at {self._text[start:]!r}" if self._text[start:] else "a value is missing"
            )
        return bare.strip() if is_escaped else _typed(bare.strip())

    def _peek(self) -> str:
        return self._text[self._at : self._at + 1]

    def _skip(self) -> str:
        while self._peek() in (" ", "\t"):
            self._at += 1
        return self._peek()

    def _wrong(self, what: str) -> InvalidError:
        return InvalidError(f"{self._word!r}: {what}", hint="quote what is text: -S \"name='a,b'\"")


def _typed(text: str) -> Any:
    if text.lower() in _WORDS:
        return _WORDS[text.lower()]
    if _INT.fullmatch(text):
        return int(text)
    return float(text) if _FLOAT.fullmatch(text) else text


def _choice(*values: Any) -> Sweep:
    if not values:
        raise TypeError("there is nothing to choose from")
    return Sweep(values)


def _range(*places: Any, **named: Any) -> Sweep:
    first = dict(zip(("start", "stop", "step") if len(places) > 1 else ("stop",), places, strict=False))
    given: dict[str, Any] = {"start": 0, "step": 1} | first | named
    if len(places) > 3 or set(given) != {"start", "stop", "step"} or not all(map(_is_number, given.values())):
        raise TypeError("expected the numbers start, stop and step")
    if not given["step"]:
        raise TypeError("the step may not be 0")
    start, stop, step = (Decimal(str(given[key])) for key in ("start", "stop", "step"))
    are_whole = all(isinstance(value, int) for value in given.values())
    values: list[Any] = []
    while (step > 0 and start < stop) or (step < 0 and start > stop):
        values.append(int(start) if are_whole else float(start))
        start += step
    if not values:
        raise TypeError("it has no values")
    return Sweep(tuple(values))


def _sort(*values: Any, reverse: bool = False) -> Any:
    inner = values[0].values if len(values) == 1 and isinstance(values[0], Sweep) else values
    if len(values) == 1 and isinstance(values[0], list):
        return sorted(values[0], reverse=reverse)
    return Sweep(tuple(sorted(inner, reverse=reverse)))


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


_FUNCTIONS = {"choice": _choice, "range": _range, "sort": _sort}
