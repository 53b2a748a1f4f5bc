"""Print a table of experiments: for a terminal, as Markdown, as CSV."""

from __future__ import annotations

import csv
import datetime
import io
from typing import Any

from everloop.pipelines.experiments.columns import METRIC
from everloop.pipelines.experiments.grid import Grid
from everloop.pipelines.experiments.rows import Row

PRECISION = 5
_TREE = {"baseline": "", "branch_commit": "├── ", "branch_base": "└── "}
_FILL = "-"


def text(grid: Grid, precision: int = PRECISION) -> str:
    """Aligned columns; metrics to the right."""
    if not (lines := _cells(grid, precision)):
        return ""
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    n_fixed = len(lines[0]) - len(grid.columns)
    right = [False] * n_fixed + [column.kind == METRIC for column in grid.columns]

    def line(cells: list[str]) -> str:
        fields = (cell.rjust(w) if r else cell.ljust(w) for cell, w, r in zip(cells, widths, right, strict=True))
        return "   ".join(fields).rstrip()

    head, *rows = map(line, lines)
    return "\n".join([head, "─" * max(map(len, (head, *rows))), *rows])


def markdown(grid: Grid, precision: int = PRECISION) -> str:
    """A table of GitHub's Markdown."""
    if not (lines := [[_escaped(cell) for cell in line] for line in _cells(grid, precision)]):
        return ""
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    told = ["| " + " | ".join(c.ljust(w) for c, w in zip(line, widths, strict=True)) + " |" for line in lines]
    rule = "|" + "|".join("-" * (width + 2) for width in widths) + "|"
    return "\n".join([told[0], rule, *told[1:]])


def comma_separated(grid: Grid, precision: int | None = None) -> str:
    """CSV with DVC's columns; numbers as they are unless a precision is given."""
    fixed = {
        "Experiment": [row.name for row in grid.rows],
        "rev": [row.rev for row in grid.rows],
        "typ": [row.kind for row in grid.rows],
        "Created": [row.created or "" for row in grid.rows],
        "parent": [""] * len(grid.rows),
        **_outcomes(grid, ""),
    }
    columns = [[name, *cells] for name, cells in fixed.items() if grid.choice.takes(name, cells)]
    columns += [[column.header, *(formatted(v, precision, "") for v in column.values)] for column in grid.columns]
    written = io.StringIO()
    csv.writer(written).writerows(zip(*columns, strict=True))
    return written.getvalue()


def formatted(value: Any, precision: int | None, fill: str = _FILL) -> str:
    """A value as people read it: numbers with so many significant digits, also inside of lists and mappings."""
    return fill if value is None else str(_rounded(value, precision))


def label(row: Row) -> str:
    """How a row begins: `main`, `├── 09ca16d [two]`."""
    called = f"{row.rev} [{row.name}]" if row.kind != "baseline" and row.name else row.rev
    return _TREE[row.kind] + called


def created(row: Row) -> str:
    """The time of today, else the day."""
    if row.created is None:
        return _FILL
    made = datetime.datetime.fromisoformat(row.created)
    is_today = made.date() == datetime.datetime.now().astimezone().date()
    return made.strftime("%I:%M %p" if is_today else "%b %d, %Y")


def _cells(grid: Grid, precision: int) -> list[list[str]]:
    told = {"Experiment": [label(row) for row in grid.rows], "Created": [created(row) for row in grid.rows]}
    fixed = told | _outcomes(grid, _FILL)
    columns = [[name, *cells] for name, cells in fixed.items() if grid.choice.takes(name, cells)]
    columns += [[column.header, *(formatted(v, precision) for v in column.values)] for column in grid.columns]
    return [list(line) for line in zip(*columns, strict=True)]


def _escaped(cell: str) -> str:
    return cell.replace("|", "\\|").replace("\n", " ")


def _outcomes(grid: Grid, fill: str) -> dict[str, list[str]]:
    """State and executor of the rows, unless none has any."""
    found = {name: [getattr(row, name.lower()) for row in grid.rows] for name in ("State", "Executor")}
    return {name: [cell or fill for cell in cells] for name, cells in found.items() if any(cells)}


def _rounded(value: Any, precision: int | None) -> Any:
    if isinstance(value, float) and precision:
        return f"{value:.{precision}g}"
    if isinstance(value, dict):
        return {key: _rounded(item, precision) for key, item in value.items()}
    return [_rounded(item, precision) for item in value] if isinstance(value, list) else value
