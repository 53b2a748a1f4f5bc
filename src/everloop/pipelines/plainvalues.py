"""Values of a file as a tree that can be printed: aliases that lead into themselves, or into too much, are refused.

A few lines of YAML may stand for any number of values, or for a list that contains itself.
"""

from __future__ import annotations

import math
from typing import Any

from everloop.errors import InvalidError

LIMIT_VALUES = 5_000_000
LIMIT_DEPTH = 100
_SCALARS = (str, int, float, bool, type(None))


def plain(value: Any, name: str) -> Any:
    """Copy values; a key that is neither text nor number, as a date, becomes text.

    Args:
        value: Of mappings, lists, tuples and scalars.
        name: Of the file, for errors.

    Raises:
        InvalidError: They are nested too deeply, or too many: an alias counts as often as it is used.
    """
    return value if type(value) in _SCALARS else _Copy(name).of(value, 1)


class _Copy:
    def __init__(self, name: str) -> None:
        self._name = name
        self._left = LIMIT_VALUES

    def of(self, value: Any, depth: int) -> Any:
        if isinstance(value, dict):
            self._spend(len(value), depth)
            return {_key(key): self._item(item, depth) for key, item in value.items()}
        if isinstance(value, list | tuple):
            self._spend(len(value), depth)
            items = [self._item(item, depth) for item in value]
            return items if isinstance(value, list) else tuple(items)
        return value

    def _item(self, item: Any, depth: int) -> Any:
        return item if type(item) in _SCALARS else self.of(item, depth + 1)

    def _spend(self, n_values: int, depth: int) -> None:
        self._left -= n_values
        if depth > LIMIT_DEPTH or self._left < 0:
            what = f"{LIMIT_DEPTH} levels" if depth > LIMIT_DEPTH else f"{LIMIT_VALUES:,} values"
            raise InvalidError(f"{self._name}: more than {what}", hint="an alias may not contain itself")


def _key(key: Any) -> Any:
    return key if type(key) in _SCALARS else str(key)


def is_same(one: Any, other: Any) -> bool:
    """Whether values are equal and of equal types all the way down: 1 is neither 1.0 nor true, and NaN is NaN."""
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(is_same(value, other[key]) for key, value in one.items())
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(is_same, one, other))
    return bool(one == other) or (isinstance(one, float) and math.isnan(one) and math.isnan(other))
