"""Experiments as a table: a row for each baseline and experiment, a column for each metric, parameter and dependency.

Leaves how it is printed to `tables.py` and `page.py`.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import msgspec

from everloop.errors import InvalidError
from everloop.pipelines.experiments import columns
from everloop.pipelines.experiments.columns import Key, values_of
from everloop.pipelines.experiments.rows import Row, row_of, short
from everloop.pipelines.experiments.states import Range, Shown

# What stands where a value could not be read.
UNREADABLE = "!"


class Column(msgspec.Struct, frozen=True, kw_only=True):
    """One value of all rows.

    Attributes:
        header: What people call it; with the file before it where several have the name.
        kind: `metric`, `param` or `dep`.
        values: One for each row; None is not there.
    """

    header: str
    kind: str
    values: tuple[Any, ...]


class Choice(msgspec.Struct, frozen=True, kw_only=True):
    """Which columns and rows to have, and in which order the experiments of a baseline.

    The columns that tell what a row is, as `Created`, can be left out, too.

    Attributes:
        only_changed: Leave out columns whose value is the same in all rows.
        keep: Patterns of headers that stay whatever `only_changed` and `drop` say.
        drop: Patterns of headers to leave out.
        where: Which rows, as `rowfilter.filtered` takes it; empty is all.
        sort_by: A metric or parameter, as `auc` or `metrics.json:auc`; None is the order in which they come.
    """

    only_changed: bool = False
    keep: tuple[str, ...] = ()
    drop: tuple[str, ...] = ()
    where: str = ""
    sort_by: str | None = None
    is_descending: bool = False

    def takes(self, header: str, values: Sequence[Any]) -> bool:
        """Whether a column is wanted.

        Raises:
            InvalidError: A pattern is malformed.
        """
        keep, drop = (_pattern(words) for words in (self.keep, self.drop))
        is_same = self.only_changed and len(set(map(str, values))) == 1
        return bool(keep and keep.match(header)) or not (is_same or (drop and drop.match(header)))


class Grid(msgspec.Struct, frozen=True, kw_only=True):
    """The table.

    Attributes:
        rows: In their order.
        columns: Of values, those that are wanted.
        choice: What is wanted, also of the columns that tell what a row is.
    """

    rows: tuple[Row, ...]
    columns: tuple[Column, ...]
    choice: Choice = Choice()


def build(shown: Sequence[Shown], choice: Choice) -> Grid:
    """Make the table.

    Raises:
        InvalidError: A pattern or `where` is malformed, or a column that is named is none, or can be several.
    """
    # A column can be named also when only rows that are left out have it.
    sorting = columns.named(choice.sort_by, columns.keys(shown), "to sort by") if choice.sort_by else None
    if choice.where:
        from everloop.pipelines.experiments import rowfilter  # a table without a filter starts without its grammar

        shown = rowfilter.filtered(shown, choice.where)
    keys = columns.keys(shown)
    counts = Counter(name for _, file, key in keys for name in (key, f"{file}:{key}"))
    rows = tuple(_rows(shown, sorting, is_descending=choice.is_descending))
    flat = [values_of(row.data) for row in rows]
    every = [
        Column(
            header=_header(counts, kind, file, key),
            kind=kind,
            values=tuple(_value(values, kind, file, key) for values in flat),
        )
        for kind, file, key in keys
    ]
    taken = tuple(column for column in every if choice.takes(column.header, column.values))
    return Grid(rows=rows, columns=taken, choice=choice)


def _header(counts: Counter[str], kind: str, file: str, key: str) -> str:
    """As short as it can be: a name may be in several files, and a file be both metrics and parameters."""
    if counts[key] == 1 or not file:
        return key
    return f"{file}:{key}" if counts[f"{file}:{key}"] == 1 else f"{kind} {file}:{key}"


def _rows(shown: Iterable[Shown], sorting: Key | None, *, is_descending: bool) -> Iterator[Row]:
    for baseline in shown:
        yield row_of(baseline, "baseline", baseline.name or short(baseline.rev), None)
        experiments = list(baseline.experiments or ())
        if sorting is not None:
            experiments = _sorted(experiments, sorting, is_descending=is_descending)
        for number, experiment in enumerate(experiments, 1):
            kind = "branch_base" if number == len(experiments) else "branch_commit"
            yield row_of(experiment.tip, kind, short(experiment.tip.rev), experiment)


def _sorted(experiments: list[Range], sorting: Key, *, is_descending: bool) -> list[Range]:
    """By the value; those without it last, numbers before texts."""

    def value(experiment: Range) -> tuple[bool, Any]:
        found = values_of(experiment.tip.data)[0].get(sorting)
        return isinstance(found, str), found

    have = [each for each in experiments if values_of(each.tip.data)[0].get(sorting) is not None]
    others = [each for each in experiments if each not in have]
    try:
        return sorted(have, key=value, reverse=is_descending) + others
    except TypeError as error:
        raise InvalidError(f"{sorting[2]} has values that cannot be compared: {error}") from error


def _value(flat: tuple[dict[Key, Any], set[tuple[str, str]]], kind: str, file: str, key: str) -> Any:
    values, broken = flat
    return UNREADABLE if (kind, file) in broken else values.get((kind, file, key))


def _pattern(words: tuple[str, ...]) -> re.Pattern[str] | None:
    try:
        return re.compile("|".join(words)) if words else None
    except re.error as error:
        raise InvalidError(f"{'|'.join(words)!r} is no pattern: {error}", hint="as in --drop 'train.*'") from error
