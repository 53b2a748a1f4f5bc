"""Compare two tables row by row: exactly, in bounded memory, whatever their size.

With a key, a row is changed when a column differs that both tables have. A key that a table has more than once cannot
say which row became which: such rows, and all rows when there is no key, are compared as multisets, so nothing is
counted twice and always `n_new = n_old + added - removed`. NULL equals NULL, NaN equals NaN.
"""

# Columns are named c0, k0, o0, ... here; what people call them never gets into a statement.
# ruff: noqa: S608

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from everloop.errors import NotFoundError
from everloop.workspace.rowreport import ChangedRow, RepeatedKey, Retyped, Row, Samples, TableDiff
from everloop.workspace.tables import Table

if TYPE_CHECKING:
    import duckdb

_WHOLE = {
    "TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT", "UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT", "UHUGEINT",
}  # fmt: skip
_FRACTIONS = {"FLOAT", "DOUBLE"}
_DECIMAL = re.compile(r"DECIMAL\((\d+),(\d+)\)")
_PLAIN = {"BOOLEAN", "VARCHAR", *_WHOLE, *_FRACTIONS}
# Up to here a DOUBLE that has no fraction can be read as a whole number.
_LARGEST_WHOLE = 1e37


def compare_tables(
    connection: duckdb.DuckDBPyConnection, old: Table, new: Table, *, key: Sequence[str] = (), samples: int = 5
) -> TableDiff:
    """Compare two tables of a connection; leaves tables of its own there.

    Args:
        connection: Where they are.
        old: Before.
        new: After.
        key: The columns that tell one row from another; none compares whole rows.
        samples: How many to show of each kind.

    Raises:
        NotFoundError: A table lacks a column of the key.
    """
    comparison = _Comparison(connection, old, new, tuple(dict.fromkeys(key)))
    return comparison.run(samples)


class _Comparison:
    """The statements. `l` and `r` are the old and the new rows as far as their columns can be compared: the key as
    `k0`, `k1`, ..., all others as `v0`, `v1`, ...
    """

    def __init__(self, connection: duckdb.DuckDBPyConnection, old: Table, new: Table, key: tuple[str, ...]) -> None:
        self._connection = connection
        self._old, self._new = old, new
        for name in key:
            for table, when in ((old, "before"), (new, "after")):
                if name not in table.columns:
                    listed = ", ".join(table.columns) or "none"
                    raise NotFoundError(f"there is no column {name!r} {when}; there are: {listed}")
        self._key = key
        self._values = tuple(name for name in old.columns if name in new.columns and name not in key)
        self._k = [f"k{number}" for number in range(len(key))]
        self._v = [f"v{number}" for number in range(len(self._values))]
        self._shown: dict[str, str] = {}

    def run(self, samples: int) -> TableDiff:
        old, new = self._old, self._new
        (n_old,) = self._one(f"SELECT count(*) FROM {old.name}")
        (n_new,) = self._one(f"SELECT count(*) FROM {new.name}")
        facts = self._columns()
        if not self._k and not self._v:
            return TableDiff(n_old=n_old, n_new=n_new, added=n_new, removed=n_old, changed=0, **facts)
        self._make_sides()
        n_repeated = self._make_repeated() if self._k else 0
        self._make_pairs(has_repeated=n_repeated > 0)
        self._make_rest(has_repeated=n_repeated > 0)
        added, removed, changed = self._one(
            "SELECT count(*) FILTER (NOT in_l), count(*) FILTER (NOT in_r), count(*) FILTER (in_l AND in_r) FROM pairs"
        )
        more, less = self._one(
            "SELECT coalesce(sum(n) FILTER (n > 0), 0), coalesce(-sum(n) FILTER (n < 0), 0) FROM rest"
        )
        return TableDiff(
            n_old=n_old,
            n_new=n_new,
            added=added + int(more),
            removed=removed + int(less),
            changed=changed,
            changed_columns=self._changed_columns() if changed else {},
            repeated_keys=n_repeated,
            samples=self._samples(samples),
            **facts,
        )

    def _columns(self) -> dict[str, Any]:
        before = dict(zip(self._old.columns, self._old.types, strict=True))
        after = dict(zip(self._new.columns, self._new.types, strict=True))
        return {
            "columns_added": {name: after[name] for name in after if name not in before},
            "columns_removed": {name: before[name] for name in before if name not in after},
            "columns_retyped": {
                name: Retyped(old=before[name], new=after[name])
                for name in before
                if name in after and before[name] != after[name]
            },
        }

    def _make_sides(self) -> None:
        names = dict(zip((*self._k, *self._v), (*self._key, *self._values), strict=True))
        for side, table, other in (("l", self._old, self._new), ("r", self._new, self._old)):
            columns = []
            for alias, name in names.items():
                at = table.columns.index(name)
                there = other.types[other.columns.index(name)]
                columns.append(f"{_comparable(f'c{at}', table.types[at], there)} AS {alias}")
            self._do(f"CREATE OR REPLACE TEMP VIEW {side} AS SELECT {', '.join(columns)} FROM {table.name}")
        described = self._connection.execute("DESCRIBE l").fetchall()
        self._shown = {str(name): "" if kind in _PLAIN else "::VARCHAR" for name, kind, *_ in described}

    def _make_repeated(self) -> int:
        keys = ", ".join(self._k)
        self._do(
            f"CREATE OR REPLACE TABLE repeated AS "
            f"SELECT {keys}, count(*) FILTER (side = 0) AS n_old, count(*) FILTER (side = 1) AS n_new "
            f"FROM (SELECT {keys}, 0 AS side FROM l UNION ALL SELECT {keys}, 1 FROM r) GROUP BY {keys} "
            f"HAVING count(*) FILTER (side = 0) > 1 OR count(*) FILTER (side = 1) > 1"
        )
        (count,) = self._one("SELECT count(*) FROM repeated")
        return int(count)

    def _make_pairs(self, *, has_repeated: bool) -> None:
        """Rows with a key of their own that are on one side only, or differ."""
        keys = [f"coalesce(l.{k}, r.{k}) AS {k}" for k in self._k]
        values = [f"l.{v} AS l_{v}, r.{v} AS r_{v}" for v in self._v]
        listed = ", ".join([*keys, *values, "l.is_there IS NOT NULL AS in_l", "r.is_there IS NOT NULL AS in_r"])
        if not self._k:
            self._do("CREATE OR REPLACE TABLE pairs (in_l BOOLEAN, in_r BOOLEAN)")
            return
        without = f" ANTI JOIN repeated ON {_same('s', 'repeated', self._k)}" if has_repeated else ""
        differing = " OR ".join(f"l.{v} IS DISTINCT FROM r.{v}" for v in self._v) or "false"
        self._do(
            f"CREATE OR REPLACE TABLE pairs AS SELECT {listed} "
            f"FROM (SELECT s.*, true AS is_there FROM l AS s{without}) AS l "
            f"FULL JOIN (SELECT s.*, true AS is_there FROM r AS s{without}) AS r ON {_same('l', 'r', self._k)} "
            f"WHERE l.is_there IS NULL OR r.is_there IS NULL OR {differing}"
        )

    def _make_rest(self, *, has_repeated: bool) -> None:
        """Rows that only their whole content tells apart: by how many the new side has more (or, below 0, less)."""
        listed = ", ".join((*self._k, *self._v))
        if self._k and not has_repeated:
            self._do(f"CREATE OR REPLACE TABLE rest AS SELECT {listed}, 0 AS n FROM l LIMIT 0")
            return
        only = f" SEMI JOIN repeated ON {_same('s', 'repeated', self._k)}" if self._k else ""
        self._do(
            f"CREATE OR REPLACE TABLE rest AS SELECT {listed}, sum(n) AS n FROM "
            f"(SELECT s.*, -1 AS n FROM l AS s{only} UNION ALL SELECT s.*, 1 FROM r AS s{only}) "
            f"GROUP BY {listed} HAVING sum(n) <> 0"
        )

    def _changed_columns(self) -> dict[str, int]:
        if not self._v:
            return {}
        counts = ", ".join(f"count(*) FILTER (l_{v} IS DISTINCT FROM r_{v})" for v in self._v)
        found = self._one(f"SELECT {counts} FROM pairs WHERE in_l AND in_r")
        return {name: count for name, count in zip(self._values, found, strict=True) if count}

    def _samples(self, limit: int) -> Samples:
        keys = [f"{k}{self._shown[k]}" for k in self._k]
        both = [f"{side}_{v}{self._shown[v]}" for v in self._v for side in ("l", "r")]
        changed = self._first(
            f"SELECT {', '.join([*keys, *both])} FROM pairs WHERE in_l AND in_r",
            self._k,
            limit,
            is_wanted=bool(self._k),
        )
        repeated = self._first(
            f"SELECT {', '.join([*keys, 'n_old', 'n_new'])} FROM repeated", self._k, limit, is_wanted=bool(self._k)
        )
        return Samples(
            added=self._one_sided("r", "NOT in_l", "n > 0", limit),
            removed=self._one_sided("l", "NOT in_r", "n < 0", limit),
            changed=tuple(self._changed_row(row) for row in changed),
            repeated_keys=tuple(
                RepeatedKey(key=self._key_of(row), n_old=int(row[-2]), n_new=int(row[-1])) for row in repeated
            ),
        )

    def _one_sided(self, side: str, of_pairs: str, of_rest: str, limit: int) -> tuple[Row, ...]:
        names = (*self._key, *self._values)
        aliases = [*self._k, *self._v]
        rest = [f"{alias}{self._shown[alias]}" for alias in aliases]
        found = self._first(f"SELECT {', '.join(rest)}, abs(n) FROM rest WHERE {of_rest}", aliases, limit)
        # A row that is there so often more is shown so often.
        rows = [row[:-1] for row in found for _ in range(min(int(row[-1]), limit))]
        if self._k:
            pairs = [f"{k}{self._shown[k]}" for k in self._k] + [f"{side}_{v}{self._shown[v]}" for v in self._v]
            rows = self._first(f"SELECT {', '.join(pairs)} FROM pairs WHERE {of_pairs}", self._k, limit) + rows
        return tuple(dict(zip(names, map(_plain, row), strict=True)) for row in rows[:limit])

    def _changed_row(self, row: tuple[Any, ...]) -> ChangedRow:
        values = list(map(_plain, row[len(self._k) :]))
        pairs = zip(self._values, values[::2], values[1::2], strict=True)
        return ChangedRow(
            key=self._key_of(row), columns={name: (before, after) for name, before, after in pairs if before != after}
        )

    def _key_of(self, row: tuple[Any, ...]) -> Row:
        return dict(zip(self._key, map(_plain, row), strict=False))

    def _first(self, query: str, order: Sequence[str], limit: int, *, is_wanted: bool = True) -> list[tuple[Any, ...]]:
        if not is_wanted or limit < 1:
            return []
        return self._connection.execute(f"{query} ORDER BY {', '.join(order)} LIMIT {limit}").fetchall()

    def _one(self, query: str) -> tuple[Any, ...]:
        found = self._connection.execute(query).fetchone()
        assert found is not None
        return found

    def _do(self, statement: str) -> None:
        self._connection.execute(statement)


def _same(left: str, right: str, keys: Sequence[str]) -> str:
    return " AND ".join(f"{left}.{k} IS NOT DISTINCT FROM {right}.{k}" for k in keys)


def _comparable(column: str, own: str, other: str) -> str:
    """An expression for a column whose values mean the same on both sides, also when the types differ."""
    if own == other:
        return column
    if {own, other} <= _FRACTIONS:
        return f"{column}::DOUBLE"
    if own in _FRACTIONS and (other in _WHOLE or _DECIMAL.fullmatch(other)):
        # As a whole number is written, so that 1.0 is 1; not through DOUBLE, which has no 2^53 + 1.
        is_whole = f"isfinite({column}) AND {column} = trunc({column}) AND abs({column}) < {_LARGEST_WHOLE}"
        return f"CASE WHEN {is_whole} THEN {column}::HUGEINT::VARCHAR ELSE {column}::VARCHAR END"
    if _DECIMAL.fullmatch(own):
        # Without the zeros that only its scale writes.
        return rf"regexp_replace({column}::VARCHAR, '(\.\d*?)0+$', '\1').rtrim('.')"
    return f"{column}::VARCHAR"


def _plain(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else str(value)
    return value
