"""Change values of a TOML file of parameters; comments, order and the writing of all other values stay.

The standard library reads TOML and writes none. So this finds where each value stands, replaces the text of the value
that differs, and lets the standard library read the result again: one difference after the other, until none is left.

Source: TOML 1.0.0. What is added is written in the section that it belongs to; new tables are inline ones.
"""

from __future__ import annotations

import datetime
import json
import re
import tomllib
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from everloop.errors import InvalidError
from everloop.pipelines.params import MISSING
from everloop.pipelines.plainvalues import is_same
from everloop.workspace import valuefiles

_Path = tuple[str | int, ...]
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
_BARE_VALUE = re.compile(r"[^,\]}#\r\n]*[^,\]}#\s]")
_STRING = re.compile(r'"""(?:\\.|[^\\])*?"{3,5}|\'\'\'[\s\S]*?\'{3,5}|"(?:\\.|[^"\\])*"|\'[^\']*\'', re.DOTALL)
_BETWEEN = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")


class _Statement(msgspec.Struct, frozen=True):
    """A line, or several of a long value, that sets a key or opens a section.

    Attributes:
        path: From the top; a number is a place in an array of tables.
        section: The path of the section that it is in; its own when it opens one.
        start: Of its first character.
        end: Behind its last character, a comment beside it not counted.
    """

    path: _Path
    section: _Path
    start: int
    end: int


def rewritten(text: str, wanted: Mapping[str, Any], name: str) -> str:
    """The text with other values.

    Args:
        text: Of the file.
        wanted: What the standard library shall read from the result.
        name: The file's path, for errors.

    Raises:
        InvalidError: The text is not TOML, or a value cannot be said in it; names file and key.
    """
    done: set[_Path] = set()
    while (path := _difference(valuefiles.parse(text, name), wanted)) is not None:
        try:
            if path in done:
                raise ValueError("it is written in a way that is not understood")
            text = _Document(text).changed(path, wanted)
            valuefiles.parse(text, name)
        except (ValueError, InvalidError) as error:
            key = ".".join(map(str, path))
            raise InvalidError(f"{name}: {key} cannot be changed: {error}", hint="edit the file by hand") from error
        done.add(path)
    return text


def _difference(old: Any, new: Any, path: _Path = ()) -> _Path | None:
    """Where the first value stands that differs; None when none does."""
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        pairs = [(key, old.get(key, MISSING), new.get(key, MISSING)) for key in {**old, **new}]
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        pairs = [*zip(range(len(old)), old, new, strict=True)]
    else:
        return None if is_same(old, new) else path
    return next((found for key, a, b in pairs if (found := _difference(a, b, (*path, key))) is not None), None)


class _Document:
    """Where the values of a valid TOML text stand."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._values: dict[_Path, tuple[int, int]] = {}
        self._statements: list[_Statement] = []
        self._n_tables: dict[_Path, int] = {}
        self._scan()

    def changed(self, path: _Path, wanted: Any) -> str:
        """The text when the value at this place is as wanted, or gone.

        Raises:
            ValueError: The value cannot be said in TOML.
        """
        new = _at(wanted, path)
        while new is MISSING or path not in self._values:
            around = next((path[:n] for n in range(len(path) - 1, 0, -1) if path[:n] in self._values), None)
            if around is None:
                return self._written(path, new)
            path, new = around, _at(wanted, around)  # an inline table gets or loses a key: it is written anew
        start, end = self._values[path]
        return self._text[:start] + _said(new) + self._text[end:]

    def _written(self, path: _Path, new: Any) -> str:
        """With the lines of what stands there removed, and the new value in the section that it belongs to."""
        old = [each for each in self._statements if each.path[: len(path)] == path]
        text = self._text
        for each in reversed(old):
            start, end = self._line(each)
            text = text[:start] + text[end:]
        return text if new is MISSING else _Document(text)._added(path, _said(new))

    def _added(self, path: _Path, said: str) -> str:
        section = path[:-1]
        here = [each for each in self._statements if each.section == section]
        beside = here or [
            each
            for each in self._statements
            if len(each.section) < len(section) < len(each.path) and each.path[: len(section)] == section
        ]
        if beside:
            start, end = self._line(beside[-1])
            indent = self._text[start : beside[-1].start]
            before = self._text[:end] + "\n" * (self._text[end - 1] != "\n")
            return f"{before}{indent}{_key(path[len(beside[-1].section) :])} = {said}\n{self._text[end:]}"
        if not section:
            return f"{_key(path)} = {said}\n{self._text}"
        names = [part for part in section if isinstance(part, str)]
        return f"{self._text.rstrip()}\n\n[{_key(names)}]\n{_key(path[-1:])} = {said}\n"

    def _line(self, statement: _Statement) -> tuple[int, int]:
        """From the start of its line to the start of the one that follows."""
        end = self._text.find("\n", statement.end)
        return self._text.rfind("\n", 0, statement.start) + 1, len(self._text) if end < 0 else end + 1

    def _scan(self) -> None:
        section: _Path = ()
        at = self._skip(0)
        while at < len(self._text):
            start = at
            if self._text[at] == "[":
                is_array = self._text.startswith("[[", at)
                names, at = self._keys(at + 1 + is_array)
                section = self._section(names, is_array=is_array)
                path, at = section, at + 1 + is_array
            else:
                names, at = self._keys(at)
                path = (*section, *names)
                at = self._value(self._blank(at + 1), path)
            self._statements.append(_Statement(path=path, section=section, start=start, end=at))
            at = self._skip(at)

    def _section(self, names: list[str], *, is_array: bool) -> _Path:
        """The path of a header: an array of tables on the way means its last table."""
        path: _Path = ()
        for n, each in enumerate(names, start=1):
            path = (*path, each)
            if is_array and n == len(names):
                self._n_tables[path] = self._n_tables.get(path, 0) + 1
            if path in self._n_tables:
                path = (*path, self._n_tables[path] - 1)
        return path

    def _keys(self, at: int) -> tuple[list[str], int]:
        names = []
        while True:
            at = self._blank(at)
            quoted = _STRING.match(self._text, at)
            match = quoted or _BARE_KEY.match(self._text, at)
            if match is None:
                raise ValueError(f"no key at {self._text[at : at + 20]!r}")
            names.append(tomllib.loads(f"k = {match[0]}")["k"] if quoted else match[0])
            at = self._blank(match.end())
            if not self._text.startswith(".", at):
                return names, at
            at += 1

    def _value(self, at: int, path: _Path) -> int:
        """Note where a value and what is in it stand; gives its end."""
        start = at
        if self._text[at] == "[":
            at, n = self._skip(at + 1), 0
            while self._text[at] != "]":
                at, n = self._past(self._value(at, (*path, n))), n + 1
            at += 1
        elif self._text[at] == "{":
            at = self._skip(at + 1)
            while self._text[at] != "}":
                names, at = self._keys(at)
                at = self._past(self._value(self._blank(at + 1), (*path, *names)))
            at += 1
        else:
            match = _STRING.match(self._text, at) or _BARE_VALUE.match(self._text, at)
            if match is None:
                raise ValueError(f"no value at {self._text[at : at + 20]!r}")
            at = match.end()
        self._values[path] = (start, at)
        return at

    def _past(self, at: int) -> int:
        at = self._skip(at)
        return self._skip(at + 1) if self._text[at] == "," else at

    def _blank(self, at: int) -> int:
        while self._text[at : at + 1] in (" ", "\t"):
            at += 1
        return at

    def _skip(self, at: int) -> int:
        match = _BETWEEN.match(self._text, at)
        return match.end() if match else at


def _at(values: Any, path: _Path) -> Any:
    for part in path:
        if isinstance(values, Mapping):
            values = values.get(part, MISSING)
        else:
            values = values[part] if isinstance(values, list) and isinstance(part, int) else MISSING
    return values


def _said(value: Any) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case int() | float():
            return repr(value)
        case str():
            return _quoted(value)
        case datetime.date() | datetime.time():
            return value.isoformat()
        case list():
            return f"[{', '.join(map(_said, value))}]"
        case dict():
            inner = ", ".join(f"{_key([key])} = {_said(item)}" for key, item in value.items())
            return f"{{ {inner} }}" if inner else "{}"
    raise ValueError(f"TOML cannot hold {'null' if value is None else repr(value)}")


def _key(names: Sequence[Any]) -> str:
    for each in names:
        if not isinstance(each, str):
            raise ValueError(f"a key of TOML is text, not {each!r}")
    return ".".join(each if _BARE_KEY.fullmatch(each) else _quoted(each) for each in names)


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
