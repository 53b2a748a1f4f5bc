"""A table of what differs between two states, file by file and key by key: for a terminal, or as Markdown."""

from __future__ import annotations

from typing import Any

from everloop.pipelines.experiments.tables import formatted
from everloop.plaintext import table


def diff_lines(
    files: dict[str, dict[str, dict[str, Any]]],
    title: str,
    heads: tuple[str, str],
    precision: int | None,
    *,
    has_path: bool,
    as_markdown: bool,
) -> list[str]:
    """The lines of the table; none when nothing differs.

    Args:
        files: `{file: {key: {"old": .., "new": .., "diff": ..}}}`.
        title: What the keys are.
        heads: What both states are called.
        precision: Significant digits of numbers; None leaves them as they are.
        has_path: Name the file in each row.
        as_markdown: As a table of GitHub's Markdown.
    """
    head = ["Path", title, *heads, "Change"]
    rows = [
        [file, key, *(formatted(change.get(side), precision) for side in ("old", "new", "diff"))]
        for file, changes in files.items()
        for key, change in sorted(changes.items())
    ]
    if not rows:
        return []
    lines = [head, *rows] if has_path else [line[1:] for line in (head, *rows)]
    if not as_markdown:
        return table(lines[0], lines[1:]).splitlines()
    cells = [[cell.replace("|", "\\|").replace("\n", " ") for cell in line] for line in lines]
    told = ["| " + " | ".join(line) + " |" for line in cells]
    return [told[0], "|" + "---|" * len(cells[0]), *told[1:]]
