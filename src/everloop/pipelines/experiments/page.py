"""A table of experiments as one page of HTML that needs nothing else; a click on a column sorts by it."""

from __future__ import annotations

import html
from typing import Any

from everloop.pipelines.experiments import tables
from everloop.pipelines.experiments.grid import Grid

_STYLE = """
body { font: 14px/1.4 system-ui, sans-serif; margin: 2rem; color: #1c2430; background: #fff }
table { border-collapse: collapse } th, td { padding: .3rem .7rem; white-space: nowrap; text-align: left }
th { position: sticky; top: 0; background: #f2f4f7; cursor: pointer; border-bottom: 2px solid #c8ced8 }
th.metric { background: #fdf3d8 } th.param { background: #e3f2f4 } th.dep { background: #efe6f5 }
td { border-bottom: 1px solid #e6e9ef } td.metric { text-align: right; font-variant-numeric: tabular-nums }
tr.baseline td { font-weight: 600 } td.dep { font-family: monospace; color: #667 }
th[aria-sort=ascending]::after { content: " ▲" } th[aria-sort=descending]::after { content: " ▼" }
"""
# Sorts the rows of a body by the cells' data-value: numbers as numbers, empty ones last.
_SCRIPT = """
document.querySelectorAll("th").forEach((head, at) => head.addEventListener("click", () => {
  const down = head.getAttribute("aria-sort") === "ascending";
  document.querySelectorAll("th").forEach(other => other.removeAttribute("aria-sort"));
  head.setAttribute("aria-sort", down ? "descending" : "ascending");
  const body = document.querySelector("tbody");
  const value = row => row.cells[at].dataset.value;
  const order = (a, b) => {
    const [x, y] = [value(a), value(b)];
    if (x === "" || y === "") return (x === "") - (y === "");
    const both = [Number(x), Number(y)];
    const found = both.some(Number.isNaN) ? x.localeCompare(y) : both[0] - both[1];
    return down ? -found : found;
  };
  [...body.rows].sort(order).forEach(row => body.append(row));
}));
"""


def page(grid: Grid, title: str, precision: int = tables.PRECISION) -> str:
    """The page. What comes from files is escaped.

    Args:
        grid: What to show.
        title: Of the page.
        precision: Significant digits of numbers; the whole number is shown when the pointer is on it.
    """
    told: dict[str, list[tuple[str, Any]]] = {
        "Experiment": [(tables.label(row), row.name or row.rev) for row in grid.rows],
        "Created": [(tables.created(row), row.created) for row in grid.rows],
        "State": [(row.state, row.state) for row in grid.rows],
    }
    fixed = {name: cells for name, cells in told.items() if grid.choice.takes(name, [shown for shown, _ in cells])}
    heads = [_head(name, "") for name in fixed] + [_head(column.header, column.kind) for column in grid.columns]
    lines = [
        _line(grid, number, [cells[number] for cells in fixed.values()], precision) for number in range(len(grid.rows))
    ]
    called = html.escape(title)
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{called}</title>'
        f"<style>{_STYLE}</style></head>\n<body><h1>{called}</h1>\n<table><thead><tr>{''.join(heads)}</tr></thead>\n"
        f"<tbody>\n{''.join(lines)}</tbody></table>\n<script>{_SCRIPT}</script></body></html>\n"
    )


def _line(grid: Grid, number: int, fixed: list[tuple[str, Any]], precision: int) -> str:
    cells = [_cell(shown, value, "") for shown, value in fixed]
    cells += [
        _cell(tables.formatted(column.values[number], precision), column.values[number], column.kind)
        for column in grid.columns
    ]
    return f'<tr class="{grid.rows[number].kind}">{"".join(cells)}</tr>\n'


def _head(name: str, kind: str) -> str:
    return f'<th class="{kind}">{html.escape(name)}</th>'


def _cell(shown: str, value: Any, kind: str) -> str:
    whole = html.escape("" if value is None else str(value))
    return f'<td class="{kind}" data-value="{whole}" title="{whole}">{html.escape(shown)}</td>'
