"""What `ever diff --rows` prints: how the rows of tables differ, for people, as Markdown, or as JSON."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from everloop.cli.output import emit, hint
from everloop.config import Settings
from everloop.workspace import Workspace

if TYPE_CHECKING:
    from everloop.workspace.rowreport import FileRows, TableDiff

_WIDEST = 40


def show_row_diff(
    before: str,
    after: str | None,
    targets: Sequence[str] | None,
    *,
    key: Sequence[str],
    samples: int,
    memory: str | None,
    as_markdown: bool,
    as_json: bool,
) -> None:
    """Compare and print. Exit code 1 when a table could not be compared."""
    found = Workspace.open().row_diff(
        before, after, targets, key=key, samples=samples, memory=memory or Settings.load().table_memory
    )
    lines = list(_markdown(found)) if as_markdown else [line for file in found for line in _lines(file)]
    emit(found, as_json=as_json, text=lines or "no rows of tables differ")
    if any(file.problem is not None for file in found):
        sys.exit(1)
    hint("ever diff --rows --key COLUMN (tell changed rows)" if found and not key else "ever add DATA")


def _lines(file: FileRows) -> Iterator[str]:
    if file.rows is None:
        yield f"{file.path}: {file.problem}"
        return
    yield f"{file.path} ({file.kind}): {_counts(file.rows)}"
    yield from (f"    {line}" for line in (*_columns(file.rows), *_samples(file.rows)))


def _counts(rows: TableDiff) -> str:
    said = [f"{count:,} {word}" for count, word in _words(rows) if count]
    changed = ", ".join(said) or "no rows differ"
    return f"{changed} ({rows.n_old:,} rows before, {rows.n_new:,} after)"


def _words(rows: TableDiff) -> list[tuple[int, str]]:
    return [(rows.added, "added"), (rows.removed, "removed"), (rows.changed, "changed")]


def _columns(rows: TableDiff) -> Iterator[str]:
    yield from (f"column {name} added ({kind})" for name, kind in rows.columns_added.items())
    yield from (f"column {name} removed ({kind})" for name, kind in rows.columns_removed.items())
    yield from (f"column {name}: {types.old} is now {types.new}" for name, types in rows.columns_retyped.items())
    yield from (f"{name} differs in {count:,} rows" for name, count in rows.changed_columns.items())
    if rows.repeated_keys:
        yield f"{rows.repeated_keys:,} keys stand for several rows, which are compared as a whole"


def _samples(rows: TableDiff) -> Iterator[str]:
    yield from (f"+ {_row(row)}" for row in rows.samples.added)
    yield from (f"- {_row(row)}" for row in rows.samples.removed)
    for changed in rows.samples.changed:
        values = (f"{name}: {_value(old)} -> {_value(new)}" for name, (old, new) in changed.columns.items())
        yield f"~ {_row(changed.key)}  {', '.join(values)}"
    for key in rows.samples.repeated_keys:
        yield f"! {_row(key.key)}  {key.n_old} rows before, {key.n_new} after"


def _markdown(found: Sequence[FileRows]) -> Iterator[str]:
    if not found:
        return
    yield "| Path | Added | Removed | Changed | Columns |"
    yield "|---|---:|---:|---:|---|"
    for file in found:
        if file.rows is None:
            yield f"| {_cell(file.path)} | | | | {_cell(file.problem or '')} |"
            continue
        counts = " | ".join(str(count) for count, _ in _words(file.rows))
        yield f"| {_cell(file.path)} | {counts} | {_cell('; '.join(_columns(file.rows)))} |"


def _cell(text: str) -> str:
    # A line's end or a bar would end the cell.
    return text.replace("|", "\\|").replace("\n", " ")


def _row(row: dict[str, Any]) -> str:
    return ", ".join(f"{name}={_value(value)}" for name, value in row.items())


def _value(value: Any) -> str:
    text = "NULL" if value is None else str(value).replace("\n", "\\n")
    return text if len(text) <= _WIDEST else f"{text[: _WIDEST - 1]}…"
