"""Opening an untrusted CSV or Parquet file as a table, or saying in plain words why it is none.

The bytes are walked over before duckdb sees them (encoding, NUL, ragged rows, quotes), because its own reader skips
or accepts some of that silently. duckdb then works on this one file only: no other file, no network, no extension,
one thread, bounded memory, spilling to a folder that is gone afterwards. What the values must be is left to `check`.
"""

# Names of files and columns pass through quoted() and literal(), or are made here.
# ruff: noqa: S608

from __future__ import annotations

import codecs
import csv
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb
import msgspec

from everloop.datasets.contract import Contract

SAMPLES = 5
_CHUNK_BYTES = 1 << 20
_LINE_LIMIT_BYTES = 1 << 20
_COLUMN_LIMIT = 4096
_MEMORY = "512MB"
_COMPRESSED = {b"\x1f\x8b": "gzip", b"PK": "zip", b"BZ": "bzip2", b"\xfd7": "xz", b"\x28\xb5": "zstd"}


class Sample(msgspec.Struct, frozen=True, kw_only=True):
    """A row that broke a rule: its number among the rows of data, from 1 (a header is not counted), and its value."""

    row: int
    value: str | None


class Violation(msgspec.Struct, frozen=True, kw_only=True):
    """One rule that a file broke.

    Attributes:
        rule: `file`, `header`, `ragged`, `missing_column`, `extra_column`, `min_rows`, `type`, `nulls`, `min`, `max`,
            `one_of`, `unique`, `check`, `median` or `max_jump`.
        column: The column; None when the rule is about the table.
        message: What was asked and what was found, in one sentence.
        count: How many rows (or columns, for rules about the header) broke it.
        samples: The first few of them.
        suggestion: What is probably wrong and what to do; None when nothing is known.
    """

    rule: str
    message: str
    column: str | None = None
    count: int = 1
    samples: tuple[Sample, ...] = ()
    suggestion: str | None = None


class UnreadableError(Exception):
    """The file is not a table; carries the violations that say why. Never leaves this room."""

    def __init__(self, *violations: Violation) -> None:
        super().__init__(violations[0].message)
        self.violations = violations


class Table(msgspec.Struct, frozen=True, kw_only=True):
    """An open file: `raw` in the connection holds column k of the file as text in `c<k>`, rows in file order."""

    connection: duckdb.DuckDBPyConnection
    names: list[str]
    n_rows: int


@contextmanager
def open_table(path: Path, contract: Contract) -> Iterator[Table]:
    """Open a CSV (by its content) or Parquet file.

    Raises:
        UnreadableError: It is not a table.
    """
    kind = _kind_of_file(path)
    names, n_rows = _walk(path, contract.delimiter) if kind == "csv" else ([], -1)
    with tempfile.TemporaryDirectory(prefix="everloop-check-") as folder:
        # A link with a plain name keeps wildcards and schemes in the real name from meaning anything to duckdb.
        link = Path(folder, f"data.{kind}")
        link.symlink_to(path.absolute())
        with duckdb.connect(":memory:", config=_settings(folder)) as connection:
            connection.execute(f"SET allowed_paths = ['{link}']")
            connection.execute(f"SET allowed_directories = ['{folder}/spill']")
            connection.execute("SET enable_external_access = false")
            connection.execute("SET TimeZone = 'UTC'")
            connection.execute("SET lock_configuration = true")
            if kind == "csv":
                _load_csv(connection, link, names, n_rows, contract.delimiter)
            else:
                names, n_rows = _load_parquet(connection, link)
            yield Table(connection=connection, names=names, n_rows=n_rows)


def quoted(name: str) -> str:
    """Return `name` as an SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """Return `text` as an SQL string."""
    return "'" + text.replace("'", "''") + "'"


def _settings(folder: str) -> dict[str, str | bool | int | float | list[str]]:
    return {
        "threads": 1,
        "memory_limit": _MEMORY,
        "temp_directory": f"{folder}/spill",
        "autoinstall_known_extensions": False,
        "autoload_known_extensions": False,
    }


def _refuse(message: str, suggestion: str | None = None, rule: str = "file") -> UnreadableError:
    return UnreadableError(Violation(rule=rule, message=message, suggestion=suggestion))


def _kind_of_file(path: Path) -> str:
    if not path.is_file():
        raise _refuse(f"there is no file {path.name}")
    with path.open("rb") as file:
        head = file.read(4)
    if not head:
        raise _refuse("the file is empty", "Was the upload or the export cut off?")
    if head == b"PAR1":
        return "parquet"
    for magic, name in _COMPRESSED.items():
        if head.startswith(magic):
            raise _refuse(f"the file is compressed ({name})", "Decompress it first, or send Parquet.")
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise _refuse("the file is UTF-16, not UTF-8", "Export it as UTF-8.")
    return "csv"


def _walk(path: Path, delimiter: str) -> tuple[list[str], int]:
    """Read the whole CSV once with little memory; return the names of its columns and the number of its rows."""
    _walk_bytes(path)
    ragged: list[Sample] = []
    n_ragged = row = 0
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.reader(file, delimiter=delimiter, strict=True)
        try:
            names = _header(next(reader, []), delimiter)
            for values in reader:
                # duckdb passes over empty lines too, but in a table of one column they are rows without a value.
                if not values and len(names) > 1:
                    continue
                row += 1
                if len(values) != len(names) and not (len(names) == 1 and not values):
                    n_ragged += 1
                    if len(ragged) < SAMPLES:
                        text = f"line {reader.line_num}: {delimiter.join(values)[:200]}"
                        ragged.append(Sample(row=row, value=text))
        except csv.Error as error:
            raise _refuse(
                f"the file is not a CSV: line {reader.line_num}: {error}",
                "Is a quote not closed, or not doubled inside a quoted value?",
            ) from error
    if n_ragged:
        message = f"{n_ragged} rows do not have the {len(names)} values that the header names"
        raise UnreadableError(
            Violation(
                rule="ragged",
                message=message,
                count=n_ragged,
                samples=tuple(ragged),
                suggestion=f"Is there an unquoted {delimiter!r} in a value, or was the file cut off?",
            )
        )
    return names, row


def _walk_bytes(path: Path) -> None:
    decoder = codecs.getincrementaldecoder("utf-8")()
    line, length, at = 1, 0, 0
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            nul = chunk.find(b"\0")
            if nul >= 0:
                raise _refuse(
                    f"the file holds NUL bytes, the first in line {line + chunk[:nul].count(10)}",
                    "It is binary, UTF-16, or was damaged on the way.",
                )
            try:
                decoder.decode(chunk)
            except UnicodeDecodeError as error:
                near = line + chunk[: error.start].count(10)
                raise _refuse(
                    f"the file is not UTF-8: byte {at + error.start}, about line {near}",
                    "It may be Latin-1 or Windows-1252; export it as UTF-8.",
                ) from error
            pieces = chunk.replace(b"\r", b"\n").split(b"\n")
            longest = max(length + len(pieces[0]), *(len(piece) for piece in pieces))
            length = len(pieces[-1]) if len(pieces) > 1 else length + len(chunk)
            if longest > _LINE_LIMIT_BYTES:
                raise _refuse(f"the file has a line of more than {_LINE_LIMIT_BYTES:,} bytes, near line {line}")
            line += chunk.count(b"\n")
            at += len(chunk)
    try:
        decoder.decode(b"", final=True)
    except UnicodeDecodeError as error:
        raise _refuse("the file ends in the middle of a UTF-8 character", "Was it cut off?") from error


def _header(names: list[str], delimiter: str) -> list[str]:
    names = [name.strip() for name in names]
    if not any(names):
        raise _refuse("the first line names no columns", "A header with the columns' names is needed.", "header")
    if len(names) > _COLUMN_LIMIT:
        raise _refuse(f"the header names {len(names):,} columns, at most {_COLUMN_LIMIT:,} are read", rule="header")
    if len(names) == 1:
        other = next((d for d in ",;\t|" if d != delimiter and d in names[0]), None)
        if other is not None:
            raise _refuse(
                f"the header has one column, {names[0][:100]!r}, so its values are not separated by {delimiter!r}",
                f"They seem to be separated by {other!r}: set `delimiter` in the contract, or export it otherwise.",
                "header",
            )
    if "" in names:
        raise _refuse(f"column {names.index('') + 1} of the header has no name", rule="header")
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise _refuse(f"the header names columns twice: {', '.join(twice)}", rule="header")
    return names


def _load_csv(connection: duckdb.DuckDBPyConnection, link: Path, names: list[str], n_rows: int, delimiter: str) -> None:
    columns = ", ".join(f"'c{k}': 'VARCHAR'" for k in range(len(names)))
    header_lines = _header_lines(link, delimiter)
    source = (
        f"read_csv('{link}', auto_detect = false, header = false, skip = {header_lines}, delim = {literal(delimiter)}, "
        f"quote = '\"', escape = '\"', columns = {{{columns}}}, parallel = false, compression = 'none', "
        f"max_line_size = {2 * _LINE_LIMIT_BYTES})"
    )
    try:
        connection.execute(f"CREATE TABLE raw AS SELECT * FROM {source}")
        found = connection.execute("SELECT count(*) FROM raw").fetchone()
    except duckdb.Error as error:
        raise _refuse(
            f"the file could not be read as CSV: {_first_line(error)}", "Does it mix kinds of line ends?"
        ) from error
    if found is None or found[0] != n_rows:
        raise _refuse(
            f"the file reads as {n_rows} rows by one CSV reader and as {found[0] if found else 0} by another",
            "Check the quotes and line ends; nothing is loaded from a file that can be read in two ways.",
        )


def _header_lines(link: Path, delimiter: str) -> int:
    """Return how many lines the header takes: a quoted name may hold line ends."""
    with link.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.reader(file, delimiter=delimiter, strict=True)
        next(reader)
        return reader.line_num


def _load_parquet(connection: duckdb.DuckDBPyConnection, link: Path) -> tuple[list[str], int]:
    try:
        described = connection.execute(f"DESCRIBE SELECT * FROM read_parquet('{link}')").fetchall()
        names = [str(row[0]) for row in described]
        if len(names) > _COLUMN_LIMIT:
            raise _refuse(f"the file has {len(names):,} columns, at most {_COLUMN_LIMIT:,} are read", rule="header")
        columns = ", ".join(f"CAST({quoted(name)} AS VARCHAR) AS c{k}" for k, name in enumerate(names))
        connection.execute(f"CREATE TABLE raw AS SELECT {columns} FROM read_parquet('{link}')")
        found = connection.execute("SELECT count(*) FROM raw").fetchone()
    except duckdb.Error as error:
        raise _refuse(f"the file could not be read as Parquet: {_first_line(error)}", "Was it cut off?") from error
    return names, found[0] if found else 0


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]
