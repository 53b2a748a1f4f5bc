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
from everloop.pipelines.experiments.states import Data, Range, Shown, flat
from everloop.plaintext import nearest

METRIC, PARAM, DEP = "metric", "param", "dep"
# What stands where a value could not be read.
UNREADABLE = "!"


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One baseline or experiment.

    Attributes:
        name: Of the experiment; empty for a baseline.
        rev: What the baseline is called, or the first digits of the commit.
        kind: `baseline`, `branch_commit`, or `branch_base` for the last experiment of its baseline; as DVC says it.
        created: ISO time; None is not known.
        state: `Success`, `Queued`, `Running`, `Failed`; empty is none.
        executor: Who runs it; empty is nobody.
    """

    name: str
    rev: str
    kind: str
    created: str | None
    state: str
    executor: str
    data: Data | None


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
    """Which columns to have, and in which order the experiments of a baseline.

    The columns that tell what a row is, as `Created`, can be left out, too.

    Attributes:
        only_changed: Leave out columns whose value is the same in all rows.
        keep: Patterns of headers that stay whatever `only_changed` and `drop` say.
        drop: Patterns of headers to leave out.
        sort_by: A metric or parameter, as `auc` or `metrics.json:auc`; None is the order in which they come.
    """

    only_changed: bool = False
    keep: tuple[str, ...] = ()
    drop: tuple[str, ...] = ()
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
        InvalidError: A pattern is malformed, or `sort_by` names no column, or several.
    """
    keys = _keys(shown)
    counts = Counter(name for _, file, key in keys for name in (key, f"{file}:{key}"))
    sorting = _sorting(choice.sort_by, keys) if choice.sort_by else None
    rows = tuple(_rows(shown, sorting, is_descending=choice.is_descending))
    flat = [_flat(row.data) for row in rows]
    columns = [
        Column(
            header=_header(counts, kind, file, key),
            kind=kind,
            values=tuple(_value(values, kind, file, key) for values in flat),
        )
        for kind, file, key in keys
    ]
    taken = tuple(column for column in columns if choice.takes(column.header, column.values))
    return Grid(rows=rows, columns=taken, choice=choice)


_Key = tuple[str, str, str]


def _header(counts: Counter[str], kind: str, file: str, key: str) -> str:
    """As short as it can be: a name may be in several files, and a file be both metrics and parameters."""
    if counts[key] == 1 or not file:
        return key
    return f"{file}:{key}" if counts[f"{file}:{key}"] == 1 else f"{kind} {file}:{key}"


def _keys(shown: Iterable[Shown]) -> list[_Key]:
    """Kind, file and name of all columns: metrics, params, then dependencies by name."""
    found: dict[_Key, None] = {}
    deps: set[str] = set()
    for each in _all(shown):
        if each.data is not None:
            values, _ = _flat(each.data)
            found.update((key, None) for key in values if key[0] != DEP)
            deps.update(each.data.deps)
    files = {place: number for number, place in enumerate(dict.fromkeys((kind, file) for kind, file, _ in found))}
    ordered = sorted(found, key=lambda key: (key[0] != METRIC, files[key[0], key[1]]))
    return [*ordered, *((DEP, "", path) for path in sorted(deps))]


def _all(shown: Iterable[Shown]) -> Iterator[Shown]:
    for baseline in shown:
        yield baseline
        for experiment in baseline.experiments or ():
            yield experiment.tip


def _rows(shown: Iterable[Shown], sorting: _Key | None, *, is_descending: bool) -> Iterator[Row]:
    for baseline in shown:
        yield _row(baseline, "baseline", baseline.name or _short(baseline.rev), None)
        experiments = list(baseline.experiments or ())
        if sorting is not None:
            experiments = _sorted(experiments, sorting, is_descending=is_descending)
        for number, experiment in enumerate(experiments, 1):
            kind = "branch_base" if number == len(experiments) else "branch_commit"
            yield _row(experiment.tip, kind, _short(experiment.tip.rev), experiment)


def _row(shown: Shown, kind: str, rev: str, experiment: Range | None) -> Row:
    executor = experiment.executor if experiment is not None else None
    return Row(
        name=(shown.name or "") if experiment is not None else "",
        rev=rev,
        kind=kind,
        created=shown.data.timestamp if shown.data is not None else None,
        state=executor.state.capitalize() if executor is not None else "",
        executor=(executor.name or "").capitalize() if executor is not None else "",
        data=shown.data,
    )


def _short(rev: str) -> str:
    return rev[:7] if len(rev) == 40 else rev


def _sorted(experiments: list[Range], sorting: _Key, *, is_descending: bool) -> list[Range]:
    """By the value; those without it last, numbers before texts."""

    def value(experiment: Range) -> tuple[bool, Any]:
        found = _flat(experiment.tip.data)[0].get(sorting)
        return isinstance(found, str), found

    have = [each for each in experiments if _flat(each.tip.data)[0].get(sorting) is not None]
    others = [each for each in experiments if each not in have]
    try:
        return sorted(have, key=value, reverse=is_descending) + others
    except TypeError as error:
        raise InvalidError(f"{sorting[2]} has values that cannot be compared: {error}") from error


def _sorting(wanted: str, keys: list[_Key]) -> _Key:
    """The column that a word means: `auc`, or `metrics.json:auc`."""
    known = [key for key in keys if key[0] != DEP]
    matches = [key for key in known if wanted in (f"{key[1]}:{key[2]}", f":{key[2]}")]
    matches = matches or [key for key in known if key[2] == wanted]
    if len(matches) == 1:
        return matches[0]
    if matches:
        told = ", ".join(f"{file}:{key} ({kind})" for kind, file, key in matches)
        raise InvalidError(f"the column {wanted!r} to sort by can be {told}", hint="write the file before it")
    near = nearest(wanted, (key for _, _, key in known))
    raise InvalidError(f"there is no column {wanted!r} to sort by", hint=f"do you mean {near!r}?" if near else None)


def _flat(data: Data | None) -> tuple[dict[_Key, Any], set[tuple[str, str]]]:
    """The values by column, and the files that could not be read."""
    values: dict[_Key, Any] = {}
    broken: set[tuple[str, str]] = set()
    for kind, files in ((METRIC, data.metrics), (PARAM, data.params)) if data is not None else ():
        for file, result in files.items():
            # A bare value has no name to be a column's.
            values.update({(kind, file, key): value for key, value in flat(result).items() if key})
            if "error" in result:
                broken.add((kind, file))
    if data is not None:
        values.update({(DEP, "", path): dep.hash for path, dep in data.deps.items()})
    return values, broken


def _value(flat: tuple[dict[_Key, Any], set[tuple[str, str]]], kind: str, file: str, key: str) -> Any:
    values, broken = flat
    return UNREADABLE if (kind, file) in broken else values.get((kind, file, key))


def _pattern(words: tuple[str, ...]) -> re.Pattern[str] | None:
    try:
        return re.compile("|".join(words)) if words else None
    except re.error as error:
        raise InvalidError(f"{'|'.join(words)!r} is no pattern: {error}", hint="as in --drop 'train.*'") from error
