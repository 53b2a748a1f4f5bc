"""Results in the very text that DVC prints, for the tools that read it: JSON of one line, plain and Markdown tables.

Source: dvc 3.67 (`ui/table.py`), tabulate 0.10 (formats `plain` and `github`, numbers not parsed).
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from typing import Any

import click

# What tabulate leaves beside the title of a column.
_ROOM = 2


def print_json(value: Any) -> None:
    """Print JSON on one line, on a terminal on several; NaN and infinities as Python writes them."""
    click.echo(json.dumps(value, default=_jsonable, indent=2 if sys.stdout.isatty() else None))


def print_table(head: Sequence[str], rows: Sequence[Sequence[str]], *, as_markdown: bool = False) -> None:
    """Print a table; without rows only a Markdown one, which is its head."""
    if as_markdown:
        click.echo("\n".join(_markdown(head, rows)) + "\n")
    elif rows:
        click.echo("\n".join(_plain(head, rows)))


def print_csv(head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print comma-separated values."""
    import csv
    import io

    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([head, *rows])
    click.echo(text.getvalue(), nl=False)


def _jsonable(value: Any) -> Any:
    # Here, as the others, because few results need it.
    import datetime

    if isinstance(value, set | frozenset):
        return sorted(value, key=str)
    if isinstance(value, datetime.date | datetime.time):
        return value.isoformat()
    raise TypeError(f"{type(value).__name__} is no value of JSON")


def _markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    # A bar or a line's end in a value would end its cell.
    cells = [[" ".join(cell.replace("|", "\\|").split("\n")).strip() for cell in row] for row in rows]
    widths = _widths(head, cells)
    yield f"| {' | '.join(_padded(head, widths))} |"
    yield f"|{'|'.join('-' * (width + 2) for width in widths)}|"
    yield from (f"| {' | '.join(_padded(row, widths))} |" for row in cells)


def _plain(head: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    lines = [[cell.strip().splitlines() or [""] for cell in row] for row in rows]
    widths = _widths(head, [[max(cell, key=_width) for cell in row] for row in lines])
    yield "  ".join(_padded(head, widths)).rstrip()
    for row in lines:
        for number in range(max(map(len, row))):
            line = [cell[number] if number < len(cell) else "" for cell in row]
            yield "  ".join(_padded(line, widths)).rstrip()


def _widths(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[int]:
    columns = zip(*rows, strict=True) if rows else [() for _ in head]
    return [max([_width(title) + _ROOM, *map(_width, cells)]) for title, cells in zip(head, columns, strict=True)]


def _padded(cells: Sequence[str], widths: Sequence[int]) -> list[str]:
    return [cell + " " * (width - _width(cell)) for cell, width in zip(cells, widths, strict=True)]


def _width(text: str) -> int:
    """How many columns of a terminal a text takes."""
    if text.isascii():
        return len(text)
    import unicodedata

    marks = sum(unicodedata.category(letter) in ("Mn", "Me", "Cf") for letter in text)
    return len(text) - marks + sum(unicodedata.east_asian_width(letter) in "WF" for letter in text)
