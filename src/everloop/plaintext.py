"""Text for people: tables for terminals and logs, and the word that somebody may have meant."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return a plain table with its columns aligned; numbers to the right."""
    cells = [[str(cell) for cell in row] for row in rows]
    widths = [max(len(line[i]) for line in [list(head), *cells]) for i in range(len(head))]
    right = [all(_is_number(row[i]) for row in cells) and bool(cells) for i in range(len(head))]

    def line(row: Sequence[str]) -> str:
        fields = (c.rjust(w) if r else c.ljust(w) for c, w, r in zip(row, widths, right, strict=True))
        return "  ".join(fields).rstrip()

    return "\n".join([line(list(head)), *(line(row) for row in cells)])


def _is_number(text: str) -> bool:
    return text.replace(".", "", 1).replace("-", "", 1).replace("+", "", 1).replace(",", "").isdigit() or text == "-"


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The known word that is most like the one that was written; None when none is like it."""
    # Here, for the rare mistake only.
    import difflib

    close = difflib.get_close_matches(word, list(known), n=1)
    return close[0] if close else None
