"""Read and write the part of YAML 1.2 that DVC writes, fast; say so when something is not of that part.

Blocks of mappings and lists, plain and simply quoted scalars, folded plain ones, comments on lines of their own or
after a value. Everything else (anchors, tags, flow mappings, block scalars, escapes, documents, dates, numbers with
signs or exponents, ...) is left to ruamel, which reads anything and takes a hundred times as long. The tests hold both
against each other: whatever is read here, ruamel reads the same, and whatever is written here, ruamel writes the same.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from everloop.latepattern import LatePattern

UNDECIDED = object()
"""The text has something that only a whole YAML reader can judge."""

_KEY = LatePattern(r"([A-Za-z_./][A-Za-z0-9_./@+-]{0,100}|[0-9a-f]{1,40}[A-Za-z0-9_./@+-]{0,60}):(?: +|$)")
_SINGLE = LatePattern(r"'((?:[^']|'')*)' *(?: #.*)?")
_DOUBLE = LatePattern(r'"([^"\\]*)" *(?: #.*)?')
_FLOW = LatePattern(r"\[ *((?:[A-Za-z0-9_./-]+(?: *, *[A-Za-z0-9_./-]+)*)?) *\] *(?: #.*)?")
_INT = LatePattern(r"0|-?[1-9][0-9]{0,17}")
_FLOAT = LatePattern(r"-?(?:0|[1-9][0-9]{0,15})\.[0-9]{1,17}")
# More than the numbers, dates and other values of YAML 1.2 that no rule below knows: none of these is decided here.
_PERHAPS_VALUE = LatePattern(
    r"[-+]?(?:[0-9_.]*[eE]?[-+0-9_.]*|0[xX][0-9a-fA-F_]*|0?[oO][0-9_]*|0[bB][0-9_]*|\.[iI][nN][fF]|\.[nN][aA][nN])"
    r"|[0-9]{4}-.*|[=~]|<<"
)
_CONSTANTS = {
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
    **dict.fromkeys(("null", "Null", "NULL"), None),
}
_INDICATORS = frozenset("-?:,[]{}#&*!|>'\"%@`")
# Written as they are, or in quotes; a longer text with spaces would be folded.
_BARE = LatePattern(r"[A-Za-z_/][A-Za-z0-9_./@-]*(?: [A-Za-z0-9_./-]+)*")
# Words of a shell: of what is at their end or after a space only `:` and `#` mean something, and with a space in it
# no text is a number or a constant.
_SENTENCE = LatePattern(r"[A-Za-z_/][!-~]*(?: [!-~]+)+")
_MD5 = LatePattern(r"[0-9a-f]{32}(?:\.dir)?")
_QUOTED = LatePattern(r"[0-9]{1,40}(?:\.[0-9]{1,40})?")
_WIDTH = 70


class _UndecidedError(Exception):
    """Only a whole reader can tell."""


def parse(text: str) -> Any:
    """Read a text into dicts, lists and scalars; `UNDECIDED` when it is not of the simple part."""
    # So that nothing but " " and "\n" counts as white space or as the end of a line anywhere.
    if not text.replace("\n", "").isprintable():
        return UNDECIDED
    lines = _Lines(text)
    if not lines.indents:
        return None
    try:
        value = lines.block(lines.indents[0])
    except (_UndecidedError, RecursionError):
        return UNDECIDED
    return value if lines.at == len(lines.indents) else UNDECIDED


def dump(value: Any) -> bytes | None:
    """Write a mapping as ruamel would in DVC's style; None when only ruamel can."""
    if type(value) is not dict or not value:
        return None
    lines: list[str] = []
    try:
        _write_mapping(value, "", "", lines)
    except _UndecidedError:
        return None
    return ("\n".join(lines) + "\n").encode()


def _write_mapping(mapping: dict[Any, Any], first: str, pad: str, lines: list[str]) -> None:
    """Each key on a line of its own after the pad, the first key after another one."""
    before = first
    for key, value in mapping.items():
        if type(key) is not str:
            raise _UndecidedError
        name = _written_key(key)
        if len(pad) + len(name) > _WIDTH:
            raise _UndecidedError
        if type(value) is dict and value:
            lines.append(f"{before}{name}:")
            _write_mapping(value, pad + "  ", pad + "  ", lines)
        elif type(value) is list and value:
            lines.append(f"{before}{name}:")
            for item in value:
                if type(item) is dict and item:
                    _write_mapping(item, pad + "- ", pad + "  ", lines)
                else:
                    lines.append(f"{pad}- {_written(item, pad)}")
        else:
            lines.append(f"{before}{name}: {_written(value, pad + name)}")
        before = pad


@lru_cache(maxsize=1024)
def _written_key(key: str) -> str:
    # Remembered, because all entries of a file have the same keys.
    name = _written_text(key, "")
    if name[0] == "'" or " " in name:
        raise _UndecidedError
    return name


def _written(value: Any, before: str) -> str:
    """A scalar as it is written after a text, or an empty list or mapping."""
    kind = type(value)
    if kind is str:
        return _written_text(value, before)
    if kind is bool:
        return "true" if value else "false"
    if kind is int:
        return str(value)
    if kind is float and _FLOAT.fullmatch(repr(value)):
        return repr(value)
    if kind in (dict, list) and not value:
        return "{}" if kind is dict else "[]"
    raise _UndecidedError


def _written_text(value: str, before: str) -> str:
    is_short = len(before) + len(value) < _WIDTH
    if (is_short or " " not in value) and len(value) < 10 * _WIDTH:
        if (_BARE.fullmatch(value) or _MD5.fullmatch(value)) and _is_text(value):
            return value
        if is_short and (_QUOTED.fullmatch(value) or value in _CONSTANTS):
            return f"'{value}'"
        if is_short and _SENTENCE.fullmatch(value) and not (": " in value or " #" in value or value[-1] == ":"):
            return value
    raise _UndecidedError


def _is_text(value: str) -> bool:
    try:
        return isinstance(_plain(value), str)
    except _UndecidedError:
        return False


class _Lines:
    """The lines with something on them, and which of them comes next."""

    def __init__(self, text: str) -> None:
        self.indents: list[int] = []
        self.texts: list[str] = []
        self.numbers: list[int] = []
        self.at = 0
        for number, line in enumerate(text.split("\n")):
            stripped = line.strip(" ")
            if stripped and stripped[0] != "#":
                self.indents.append(len(line) - len(line.lstrip(" ")))
                self.texts.append(stripped)
                self.numbers.append(number)

    def block(self, indent: int) -> Any:
        first = self.texts[self.at]
        if first.startswith("- "):
            return self.sequence(indent)
        if _KEY.match(first) is None or (indent == 0 and first.startswith(("...", "---"))):
            raise _UndecidedError
        return self.mapping(indent)

    def mapping(self, indent: int) -> dict[str, Any]:
        found: dict[str, Any] = {}
        while self._is_at(indent) and not self.texts[self.at].startswith("- "):
            text = self.texts[self.at]
            match = _KEY.match(text)
            if match is None or (indent == 0 and text.startswith(("...", "---"))):
                raise _UndecidedError
            key = _plain(match[1])
            if not isinstance(key, str) or key in found:
                raise _UndecidedError
            rest = text[match.end() :]
            if rest and rest[0] != "#":
                found[key] = self.scalar(rest, indent)
            else:
                found[key] = self._below(indent)
        self._require_end(indent)
        return found

    def sequence(self, indent: int) -> list[Any]:
        found: list[Any] = []
        while self._is_at(indent) and self.texts[self.at].startswith("- "):
            rest = self.texts[self.at][1:].lstrip(" ")
            if not rest or rest[0] == "#" or rest.startswith("- "):
                raise _UndecidedError
            if _KEY.match(rest):
                # The mapping of an item stands where its first key does.
                self.indents[self.at] += len(self.texts[self.at]) - len(rest)
                self.texts[self.at] = rest
                found.append(self.mapping(self.indents[self.at]))
            else:
                found.append(self.scalar(rest, indent))
        self._require_end(indent)
        return found

    def scalar(self, text: str, indent: int) -> Any:
        self.at += 1
        continued = self._continuation(indent)
        quote = {"'": _SINGLE, '"': _DOUBLE, "[": _FLOW}.get(text[0])
        if quote is not None:
            match = quote.fullmatch(text)
            if match is None or continued:
                raise _UndecidedError
            if text[0] == "[":
                return [_plain(item.strip(" ")) for item in match[1].split(",")] if match[1] else []
            return match[1].replace("''", "'") if text[0] == "'" else match[1]
        plain, comment, _ = text.partition(" #")
        if comment and continued:
            raise _UndecidedError
        return _plain(" ".join([plain.rstrip(" "), *continued]))

    def _below(self, indent: int) -> Any:
        """The value of a key with nothing after it: a block further in, a list as far in, or nothing."""
        self.at += 1
        if self.at == len(self.indents) or self.indents[self.at] < indent:
            return None
        if self.indents[self.at] > indent:
            return self.block(self.indents[self.at])
        return self.sequence(indent) if self.texts[self.at].startswith("- ") else None

    def _continuation(self, indent: int) -> list[str]:
        """The lines that a plain scalar goes on with: those further in than its mapping or list."""
        pieces = []
        while self.at < len(self.indents) and self.indents[self.at] > indent:
            piece = self.texts[self.at]
            # An empty line or a comment between would mean something else.
            if self.numbers[self.at] != self.numbers[self.at - 1] + 1 or " #" in piece:
                raise _UndecidedError
            pieces.append(piece)
            self.at += 1
        return pieces

    def _is_at(self, indent: int) -> bool:
        return self.at < len(self.indents) and self.indents[self.at] == indent

    def _require_end(self, indent: int) -> None:
        if self.at < len(self.indents) and self.indents[self.at] > indent:
            raise _UndecidedError


def _plain(text: str) -> Any:
    """The value of a plain scalar."""
    first = text[0]
    if text in _CONSTANTS:
        return _CONSTANTS[text]
    if first.isdecimal() or first in "+-.=~<":
        if _INT.fullmatch(text):
            return int(text)
        if _FLOAT.fullmatch(text):
            return float(text)
        if _PERHAPS_VALUE.fullmatch(text):
            raise _UndecidedError
    if first in _INDICATORS or ": " in text or text[-1] == ":" or " #" in text:
        raise _UndecidedError
    return text
