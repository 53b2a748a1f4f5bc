"""What a comparison of rows comes to: values only, in the shape of `ever diff --rows --json`."""

from __future__ import annotations

from typing import Any

import msgspec

from everloop.workspace.compare import Kind

Row = dict[str, Any]


class Retyped(msgspec.Struct, frozen=True, kw_only=True):
    """A column's type before and after, by duckdb's names."""

    old: str
    new: str


class ChangedRow(msgspec.Struct, frozen=True, kw_only=True):
    """A row that is on both sides: its key, and `{column: [old value, new value]}` of what differs."""

    key: Row
    columns: dict[str, tuple[Any, Any]]


class RepeatedKey(msgspec.Struct, frozen=True, kw_only=True):
    """A key that stands for several rows on a side, and for how many on each."""

    key: Row
    n_old: int
    n_new: int


class Samples(msgspec.Struct, frozen=True, kw_only=True):
    """The first few of what was found, in the order of the key (of the row, where there is none).

    Values are JSON's; those without a form in JSON (dates, decimals, NaN, lists, ...) are text as duckdb writes them.
    """

    added: tuple[Row, ...] = ()
    removed: tuple[Row, ...] = ()
    changed: tuple[ChangedRow, ...] = ()
    repeated_keys: tuple[RepeatedKey, ...] = ()


class TableDiff(msgspec.Struct, frozen=True, kw_only=True):
    """How two tables differ.

    Attributes:
        n_old, n_new: Their rows.
        added, removed, changed: Rows; without a key a changed row is one removed and one added.
        columns_added, columns_removed: `{column: type}`.
        columns_retyped: Those that both have, with another type; their values are compared as numbers or as text.
        changed_columns: In how many changed rows each column differs; those that do.
        repeated_keys: How many keys stand for more than one row on either side.
    """

    n_old: int
    n_new: int
    added: int
    removed: int
    changed: int
    columns_added: dict[str, str] = {}
    columns_removed: dict[str, str] = {}
    columns_retyped: dict[str, Retyped] = {}
    changed_columns: dict[str, int] = {}
    repeated_keys: int = 0
    samples: Samples = Samples()

    @property
    def is_empty(self) -> bool:
        """Whether both are the same rows under the same columns."""
        return not (
            self.added
            or self.removed
            or self.changed
            or self.columns_added
            or self.columns_removed
            or self.columns_retyped
        )


class FileRows(msgspec.Struct, frozen=True, kw_only=True):
    """A table under version whose bytes differ.

    Attributes:
        path: Relative to the workspace.
        kind: `added`, `deleted` or `modified`.
        rows: How its rows differ; None when that could not be told.
        problem: Why not.
    """

    path: str
    kind: Kind
    rows: TableDiff | None = None
    problem: str | None = None
