"""What a key, a value or a name may be, and the rows of keys and values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa

from everloop.errors import InvalidError
from everloop.storage.database import check_text
from everloop.tracking.tables import HEAD_LENGTH

KEY_LENGTH = 500
"""At most so many characters: an index of PostgreSQL takes no more than 2,700 bytes."""


def check_experiment_name(name: str) -> str:
    """Return `name` when an experiment may have it.

    Raises:
        InvalidError: it is not 1 to 500 characters, or one of them is a control character.
    """
    if not 1 <= len(name) <= KEY_LENGTH or any(ord(each) < 32 or 127 <= ord(each) < 160 for each in name):
        raise InvalidError(
            f"experiment {name[:100]!r} is not a name",
            hint="Use 1 to 500 characters, none of them a control character.",
        )
    return name


def check_key(key: str, longest: int = KEY_LENGTH) -> str:
    """Return `key` when a metric, a param or a tag may have it.

    Raises:
        InvalidError: it is longer than 500 characters, or holds a NUL.
    """
    if len(key) > longest:
        raise InvalidError(f"the key {key[:40]!r}… has {len(key)} characters, more than {longest}")
    return check_text(key, "the key", key)


# Rows are written in one order everywhere: two writers that want the same rows then wait for each other in turn, where
# PostgreSQL would otherwise find them in a deadlock and end one.
def rows_of(number: int, values: Mapping[str, str], owner: str = "run") -> list[dict[str, Any]]:
    """Return the rows of a run's or a model's params or tags, in the order in which they are to be written."""
    return [
        {owner: number, "key": check_key(key), "value": check_text(value, "the value of", key), "head": head_of(value)}
        for key, value in sorted(values.items())
    ]


def at_or_below(column: sa.Column[str], path: str) -> sa.ColumnElement[bool]:
    """Whether an artifact's path is a path, or is in the folder of that path."""
    # Paths sort by code point, and "0" follows "/": a range, which the primary key finds.
    return sa.or_(column == path, sa.and_(column > f"{path}/", column < f"{path}0"))


def head_of(value: str) -> str:
    """Return the beginning of a value by which it is found."""
    return value[:HEAD_LENGTH]
