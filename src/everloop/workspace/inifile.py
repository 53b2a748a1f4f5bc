"""The text of one DVC configuration file: read its values, change some, keep everything else as a person wrote it.

Source: the grammar and the quoting of configobj 5.0.9, which dvc 3.67 reads and writes its files with. Section and
option names count in lower case; a section `['remote "name"']` is called `remote.name` here. A list (`a, b`) reads as
the text `a,b`. Leaves what the options mean to `config.py` and `options.py`.
"""

from __future__ import annotations

import re

from everloop.errors import InvalidError
from everloop.latepattern import LatePattern

_SECTION = LatePattern(
    r"""\s*\[\s*(?P<name>"\s*\S.*?\s*"|'\s*\S.*?\s*'|[^'"\s\[].*?)\s*\](?P<extra>\]*)\s*(?P<comment>\#.*)?"""
)
_NAMED = LatePattern(r"""\s*(remote|machine|db)\s*"(.*)"\s*""")
_OPTION = LatePattern(r"""(?P<lead>\s*(?P<key>".*?"|'.*?'|[^'"=].*?)\s*=[ \t]*)(?P<rest>.*)""", re.DOTALL)
_ITEM = r"""(?:"[^"]*"|'[^']*'|[^'",\#\s][^,\#]*?)"""
_VALUE = LatePattern(rf"(?P<items>(?:{_ITEM}\s*,\s*)*(?:{_ITEM})?|,)(?P<tail>\s*(?:\#.*)?)")
_TRIPLE = LatePattern(r"""(?P<quote>\"{3}|'{3})(?P<text>.*?)(?P=quote)(?P<tail>\s*(?:\#.*)?)""", re.DOTALL)
_INDENT = "    "


class _Line:
    """One entry of the file: an option with its value, a section's head, or text to keep."""

    def __init__(self, text: str, section: str, key: str = "", value: str = "", *, is_head: bool = False) -> None:
        self.text = text
        self.section = section
        self.key = key
        self.value = value
        self.is_head = is_head


class IniFile:
    """A configuration file in memory.

    Args:
        text: Its content.
        where: What to call it in errors.

    Raises:
        InvalidError: It is not such a file; names the line.
    """

    def __init__(self, text: str, where: str) -> None:
        self._where = where
        self._lines: list[_Line] = []
        self._parse(text)

    @property
    def text(self) -> str:
        """The file as it is to be written."""
        return "".join(line.text for line in self._lines)

    def sections(self) -> dict[str, dict[str, str]]:
        """All values, by section and option, in the order of the file; a section may be empty."""
        found: dict[str, dict[str, str]] = {}
        for line in self._lines:
            if line.is_head:
                found.setdefault(line.section, {})
            elif line.key:
                found.setdefault(line.section, {})[line.key] = line.value
        return found

    def set(self, section: str, key: str, value: str) -> None:
        """Give an option a value; it and its section are made where they are missing."""
        written = quote(value)
        places = [line for line in self._lines if line.section == section and line.key == key]
        if places:
            line = places[-1]
            parts = _OPTION.fullmatch(line.text.rstrip("\n"))
            assert parts is not None
            _, tail = _read_value(parts["rest"])
            line.text = f"{parts['lead']}{written}{tail}\n"
            line.value = value
            return
        self._insert(section, _Line(f"{_INDENT}{key} = {written}\n", section, key, value))

    def unset(self, section: str, key: str) -> bool:
        """Remove an option, and its section when it was the last; False when it is not there."""
        kept = [line for line in self._lines if not (line.section == section and line.key == key)]
        was_there = len(kept) < len(self._lines)
        self._lines = kept
        # DVC takes a remote's section without options for a broken one.
        if not self.sections().get(section):
            self._lines = [line for line in kept if not (line.is_head and line.section == section)]
        return was_there

    def drop(self, section: str) -> bool:
        """Remove a whole section; False when it is not there."""
        kept = [line for line in self._lines if line.section != section]
        was_there = len(kept) < len(self._lines)
        self._lines = kept
        return was_there

    def rename(self, section: str, new: str) -> None:
        """Give a section another name."""
        for line in self._lines:
            if line.section == section:
                line.section = new
                if line.is_head:
                    line.text = f"[{_packed(new)}]\n"

    def _insert(self, section: str, line: _Line) -> None:
        last = max(
            (
                place
                for place, known in enumerate(self._lines)
                if known.section == section and (known.key or known.is_head)
            ),
            default=None,
        )
        if last is None:
            if self._lines and not self._lines[-1].text.endswith("\n"):
                self._lines[-1].text += "\n"
            self._lines += [_Line(f"[{_packed(section)}]\n", section, is_head=True), line]
            return
        if not self._lines[last].text.endswith("\n"):
            self._lines[last].text += "\n"
        self._lines.insert(last + 1, line)

    def _parse(self, text: str) -> None:
        section = ""
        waiting = text.removeprefix("\ufeff").splitlines(keepends=True)
        number = 0
        while number < len(waiting):
            start, line = number, waiting[number]
            number += 1
            if not line.strip() or line.lstrip().startswith("#"):
                self._lines.append(_Line(line, section))
                continue
            head = _SECTION.fullmatch(line.rstrip("\r\n"))
            if head is not None and not head["extra"]:
                section = _unpacked(head["name"])
                self._lines.append(_Line(line, section, is_head=True))
                continue
            option = _OPTION.fullmatch(line.rstrip("\r\n"))
            if option is None or head is not None:
                raise self._bad(start, "neither a section nor `option = value`")
            mark = option["rest"][:3]
            while mark in ('"""', "'''") and _TRIPLE.fullmatch(option["rest"]) is None:
                if number == len(waiting):
                    raise self._bad(start, f"the text that {mark} opens has no end")
                line += waiting[number]
                number += 1
                option = _OPTION.fullmatch(line.rstrip("\r\n"))
                assert option is not None
            try:
                value, _ = _read_value(option["rest"])
            except ValueError as error:
                raise self._bad(start, str(error)) from error
            self._lines.append(_Line(line, section, option["key"].strip("\"'").lower(), value))

    def _bad(self, index: int, what: str) -> InvalidError:
        return InvalidError(f"{self._where} is not a DVC configuration: line {index + 1}: {what}")


def quote(value: str) -> str:
    """A value as configobj writes it.

    Raises:
        InvalidError: It holds both kinds of quotes thrice, which the format cannot write.
    """
    if not value:
        return '""'
    if "\n" in value or ("'" in value and '"' in value):
        for mark in ('"""', "'''"):
            if mark not in value:
                return f"{mark}{value}{mark}"
        raise InvalidError(f"a configuration file cannot hold the value {value!r}: it has both kinds of triple quotes")
    is_bare = value == value.strip() and value[0] not in "\"'" and value[-1] not in "\"'"
    if is_bare and "," not in value and "#" not in value:
        return value
    return f"'{value}'" if '"' in value else f'"{value}"'


def _read_value(written: str) -> tuple[str, str]:
    """The value, and what follows it: blanks and a comment."""
    triple = _TRIPLE.fullmatch(written)
    if triple is not None:
        return triple["text"], triple["tail"]
    match = _VALUE.fullmatch(written)
    if match is None:
        raise ValueError(f"the value {written!r} has a quote without its pair")
    items = (item.strip() for item in re.findall(_ITEM + r"(?=\s*(?:,|$))", match["items"]))
    return ",".join(_bare(item) for item in items), match["tail"]


def _bare(item: str) -> str:
    return item[1:-1] if item[0] in "\"'" else item


def _unpacked(name: str) -> str:
    bare = (name[1:-1] if name[0] in "\"'" else name).lower()
    named = _NAMED.fullmatch(bare)
    return f"{named[1]}.{named[2]}" if named else bare


def _packed(section: str) -> str:
    kind, _, name = section.partition(".")
    return f"'{kind} \"{name}\"'" if kind in ("remote", "machine", "db") and name else section
