"""What a CSV file looks like: its columns, what parts its fields and lines, and how many rows it has.

Told apart from the engine that reads it, which is then held to it: a row that a reader loses in silence would be told
as deleted. Source: RFC 4180, and what Python's `csv` makes of files that do not keep to it.
"""

from __future__ import annotations

import csv
import gzip
import io
import re
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, cast

import msgspec

from everloop.errors import InvalidError

LONGEST_LINE_BYTES = 4 << 20
_DELIMITERS = ",;\t|"
_CHUNK_BYTES = 1 << 20
_LINE_ENDS = re.compile(rb"\r\n|\n|\r")


class CsvLayout(msgspec.Struct, frozen=True, kw_only=True):
    """Attributes:
    columns: By the header; none when the file is empty.
    delimiter: One character.
    new_line: How the header's line ends.
    """

    columns: tuple[str, ...]
    delimiter: str
    new_line: str


def layout_of(place: Path, path: str) -> CsvLayout:
    """Read the header.

    Args:
        place: Where the bytes are.
        path: The name that people know; `.gz` at its end says compressed, `.tsv` parted by tabs.

    Raises:
        InvalidError: It is no CSV with a header, or its header names a column twice.
    """
    lines: list[str] = []
    try:
        with _opened(place, path) as raw, io.TextIOWrapper(raw, encoding="utf-8-sig", newline="") as text:
            first = text.readline(LONGEST_LINE_BYTES)
            delimiter = _delimiter_of(path, first)
            text.seek(0)
            columns = tuple(next(csv.reader(_kept(text, lines), delimiter=delimiter, strict=True), []))
    except (UnicodeDecodeError, csv.Error, OSError, EOFError) as error:
        raise InvalidError(f"{path} cannot be read as a table: its header: {error}") from error
    twice = sorted({column for column in columns if columns.count(column) > 1})
    if twice:
        raise InvalidError(f"{path} cannot be read as a table: its header names a column twice: {', '.join(twice)}")
    # A quoted name may hold ends of lines; that of the row comes last.
    last = lines[-1] if lines else ""
    return CsvLayout(columns=columns, delimiter=delimiter, new_line=last[len(last.rstrip("\r\n")) :] or "\n")


def check_rows(place: Path, path: str, layout: CsvLayout, n_rows: int) -> None:
    """Hold a reader to the number of rows that the file has.

    Raises:
        InvalidError: The file can be read in two ways.
    """
    if n_rows == _quick_count(place, path):
        return
    try:
        counted = _careful_count(place, path, layout)
    except (UnicodeDecodeError, csv.Error, OSError, EOFError) as error:
        raise InvalidError(f"{path} cannot be read as a table: {error}") from error
    if n_rows != counted:
        raise InvalidError(
            f"{path} cannot be read as a table: one reader finds {counted:,} rows in it and another {n_rows:,}",
            hint="check its quotes, and whether it mixes kinds of line ends",
        )


def _quick_count(place: Path, path: str) -> int:
    """Rows by the ends of lines outside of quotes; right for files without empty lines and stray quotes."""
    n_lines, is_quoted, last = 0, False, b""
    with _opened(place, path) as raw:
        while chunk := raw.read(_CHUNK_BYTES):
            if chunk.endswith(b"\r"):
                # The other half of its end may come next.
                chunk += raw.read(1)
            parts = chunk.split(b'"')
            outside = parts[1::2] if is_quoted else parts[::2]
            n_lines += sum(len(_LINE_ENDS.findall(part)) if b"\r" in part else part.count(b"\n") for part in outside)
            is_quoted ^= len(parts) % 2 == 0
            last = chunk[-1:]
    return n_lines - (1 if last in (b"\n", b"\r") else 0)


def _careful_count(place: Path, path: str, layout: CsvLayout) -> int:
    with _opened(place, path) as raw, io.TextIOWrapper(raw, encoding="utf-8-sig", newline="") as text:
        reader = csv.reader(text, delimiter=layout.delimiter, strict=True)
        next(reader, None)
        # An empty line is no row, but in a table of one column readers disagree about that.
        return sum(1 for row in reader if row)


def _opened(place: Path, path: str) -> BinaryIO:
    return cast("BinaryIO", gzip.open(place, "rb")) if path.lower().endswith(".gz") else place.open("rb")


def _kept(text: io.TextIOWrapper, lines: list[str]) -> Iterator[str]:
    for line in text:
        lines.append(line)
        yield line


def _delimiter_of(path: str, header: str) -> str:
    """A tab in a `.tsv`, else the candidate that the header has most of, outside of quotes."""
    if path.lower().removesuffix(".gz").endswith(".tsv"):
        return "\t"
    outside = "".join(header.split('"')[::2])
    return max(_DELIMITERS, key=outside.count)
