"""The comparisons of the search language (`filters.py`) as SQL, alike on both databases.

LIKE tells capital letters from small ones and ILIKE takes ASCII letters for the same, `%` and `_` are wild and no
character escapes them.
"""

from __future__ import annotations

import math
import re
from typing import Any

import sqlalchemy as sa

from everloop.errors import InvalidError
from everloop.storage.database import Database, check_text
from everloop.storage.filters import Condition
from everloop.storage.filtertext import Comparator

PATTERN_LENGTH = 10_000
"""A pattern has at most so many characters; SQLite takes no more than 50,000 bytes."""


def compare_text(database: Database, column: sa.ColumnElement[str], asked: Condition) -> sa.ColumnElement[bool]:
    """Compare a text.

    Raises:
        InvalidError: what it is compared with cannot be kept, or is too long for a pattern.
    """
    comparator, value = asked.comparator, asked.value
    if isinstance(value, tuple):
        for each in value:
            check_text(each, "what is compared with", asked.key)
        found = database.among(column, value)
        return ~found if comparator == "NOT IN" else found
    text = check_text(str(value), "what is compared with", asked.key)
    if comparator not in ("LIKE", "ILIKE"):
        return compare(column, comparator, text)
    if len(text) > PATTERN_LENGTH:
        raise InvalidError(f"a pattern for {asked.key[:100]!r} has {len(text)} characters, more than {PATTERN_LENGTH}")
    if not database.is_sqlite:
        return column.like(text, escape="") if comparator == "LIKE" else column.ilike(text, escape="")
    # SQLite's LIKE is what others call ILIKE; its GLOB is the one that tells capitals from small letters.
    return column.op("GLOB", is_comparison=True)(_glob(text)) if comparator == "LIKE" else column.op("LIKE")(text)


def compare(column: sa.ColumnElement[Any], comparator: Comparator, value: Any) -> sa.ColumnElement[bool]:
    """Compare with =, !=, >, >=, < or <=."""
    return column.op(comparator, is_comparison=True)(value)


def compare_time(column: sa.Column[Any], asked: Condition) -> sa.ColumnElement[bool]:
    """Compare a time, kept in microseconds, as its whole milliseconds, in which it is asked for."""
    at = sa.type_coerce(column, sa.BigInteger)
    value = float(asked.value)  # type: ignore[arg-type]  # the parser gives a number for a time
    from_us, behind_us = _microseconds(math.ceil(value)), _microseconds(math.floor(value) + 1)
    match asked.comparator:
        case ">":
            return at >= behind_us
        case ">=":
            return at >= from_us
        case "<":
            return at < from_us
        case "<=":
            return at < behind_us
        case "=":
            return sa.and_(at >= from_us, at < behind_us)
        case _:
            return sa.or_(at < from_us, at >= behind_us)


def _microseconds(ms: int) -> int:
    return max(-(1 << 63), min(ms * 1000, (1 << 63) - 1))


def prefix_of(pattern: str) -> str:
    """Return what every text that a pattern matches begins with."""
    return re.split("[%_]", pattern, maxsplit=1)[0]


def successor(prefix: str) -> str | None:
    """The least text greater than every text that begins with `prefix`; None when there is none."""
    for place in range(len(prefix) - 1, -1, -1):
        following = ord(prefix[place]) + 1
        if following <= 0x10FFFF:
            return prefix[:place] + chr(0xE000 if 0xD800 <= following < 0xE000 else following)
    return None


def _glob(pattern: str) -> str:
    """A pattern of LIKE as GLOB writes it."""
    return re.sub(r"[*?\[]", r"[\g<0>]", pattern).replace("%", "*").replace("_", "?")
