"""The text of a filter, read from left to right: `KEY COMPARATOR VALUE AND …`, for whatever the keys mean.

A filter is a list of conditions joined by AND; there is no OR and, but for the lists of IN, no parenthesis. Which keys
there are and what may be asked of each is left to `filters.py` (things on a hub) and to whoever else filters rows.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Literal, TypeVar

from everloop.errors import InvalidError

Comparator = Literal["=", "!=", ">", ">=", "<", "<=", "LIKE", "ILIKE", "IN", "NOT IN", "IS NULL", "IS NOT NULL"]
Read = TypeVar("Read")

_SPACE = re.compile(r"\s*")
_WORD = r"""[^\s=<>!'"`(),;]+"""
_QUOTED = r'"[^"]*"|`[^`]*`'
_IDENTIFIER = re.compile(rf"(?:(?P<entity>\w+|`\w+`)\.)?(?P<key>{_QUOTED}|{_WORD})")
_COMPARATOR = re.compile(r"(?:IS\s+NOT\s+NULL|IS\s+NULL|NOT\s+IN|IN|I?LIKE)(?!\w)|[<>!]=|[=<>]", re.IGNORECASE)
NUMBER = re.compile(rf"-?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?(?!{_WORD})")
TEXT = re.compile(r"""'(?:[^']|'')*'|"(?:[^"]|"")*\"""")
_AND = re.compile(r"AND(?!\w)", re.IGNORECASE)
_OPEN, _COMMA, _CLOSE = re.compile(r"\("), re.compile(","), re.compile(r"\)")
DIRECTION = re.compile(r"(?:ASC|DESC)(?!\w)", re.IGNORECASE)


class Reader:
    """A text and the place in it that was reached. Its methods go past what they return and the space behind.

    Args:
        text: To read.
        what: What it should be, for errors: `filter string`.
    """

    def __init__(self, text: str, what: str) -> None:
        self.whole = text
        self.what = what
        self.place = 0
        self._skip()

    @property
    def at_end(self) -> bool:
        return self.place == len(self.whole)

    def take(self, pattern: re.Pattern[str]) -> re.Match[str] | None:
        """Return what matches here, or stay and return None."""
        found = pattern.match(self.whole, self.place)
        if found is not None:
            self.place = found.end()
            self._skip()
        return found

    def need(self, pattern: re.Pattern[str], wanted: str) -> re.Match[str]:
        """Return what matches here.

        Raises:
            InvalidError: nothing does; says where, and what was `wanted`. The methods below do the same.
        """
        found = self.take(pattern)
        if found is None:
            raise self.error(f"expected {wanted}")
        return found

    def identifier(self, wanted: str) -> tuple[str | None, str]:
        """Return the word before the first dot, None without one, and the rest of a key; quotes are taken off."""
        place = self.place
        found = self.need(_IDENTIFIER, wanted)
        entity, key = found["entity"], found["key"]
        if key[0] in '"`':
            key = key[1:-1]
        if not key:
            raise self.error("expected a key", place=place)
        return (entity.strip("`") if entity else None), key

    def comparator(self, allowed: tuple[Comparator, ...], of: str) -> Comparator:
        """Return one of the comparators that are allowed `of` a key, in whichever case it is written."""
        place = self.place
        written = " ".join(self.need(_COMPARATOR, "a comparator").group().upper().split())
        for known in allowed:
            if known == written:
                return known
        raise self.error(f"Invalid comparator {written!r} for {of}", f"Use one of {', '.join(allowed)}.", place=place)

    def number(self, wanted: str) -> float:
        return float(self.need(NUMBER, wanted).group())

    def text(self, wanted: str) -> str:
        """Return what stands between quotes; a quote inside is doubled as in SQL."""
        found = self.need(TEXT, wanted).group()
        return found[1:-1].replace(found[0] * 2, found[0])

    def each(self, wanted: str, read: Callable[[], Read]) -> list[Read]:
        """Return what `read` reads between the parentheses of a list, one at least."""
        self.need(_OPEN, f"a list of {wanted}s in parentheses")
        values = [read()]
        while self.take(_COMMA):
            if self.take(_CLOSE):
                return values
            values.append(read())
        self.need(_CLOSE, "',' or ')'")
        return values

    def error(self, problem: str, hint: str | None = None, *, place: int | None = None) -> InvalidError:
        """Return the error that names a problem at a place, by default the one that was reached."""
        place = self.place if place is None else place
        rest = repr(self.whole[place : place + 40]) if place < len(self.whole) else "the end"
        return InvalidError(
            f"Invalid {self.what} {self.whole!r}: {problem} at character {place + 1}, found {rest}", hint=hint
        )

    def _skip(self) -> None:
        found = _SPACE.match(self.whole, self.place)
        assert found is not None
        self.place = found.end()


def conditions(text: str, read: Callable[[Reader], Read]) -> tuple[Read, ...]:
    """Return what `read` reads between the ANDs of a filter. Empty text is no condition.

    Raises:
        InvalidError: It is no such filter; says where in the text, and what may stand there.
    """
    reader = Reader(text, "filter string")
    found: list[Read] = []
    while not reader.at_end:
        if found:
            reader.need(_AND, "AND (there is no OR)")
        found.append(read(reader))
    return tuple(found)
