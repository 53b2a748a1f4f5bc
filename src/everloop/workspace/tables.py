"""Open CSV and Parquet files as tables in bounded memory: the workspace's door to duckdb, which is an extra.

The files are strangers': duckdb sees these and no others, no network, no extensions. A CSV has no types, so its fields
are text as they are written: `007` is not `7`, and an empty field is the empty text. Leaves what is asked of the tables
to `tablediff.py`.
"""

# Names of columns and files pass through quoted() and literal(), or are made here.
# ruff: noqa: S608

from __future__ import annotations

import csv
import gzip
import io
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import msgspec

from everloop.errors import FailedError, InvalidError, NotInstalledError

if TYPE_CHECKING:
    import duckdb

MEMORY = "512MB"
_DELIMITERS = ",;\t|"
_CSV, _PARQUET = "csv", "parquet"
_KINDS = {".csv": _CSV, ".tsv": _CSV, ".parquet": _PARQUET, ".pq": _PARQUET}
_LONGEST_LINE_BYTES = 4 << 20
_BUFFER_BYTES = 8 << 20
# No field is this text, so no field is taken for "nothing is there".
_NO_TEXT = "\x01\x02nothing\x03"
# Below, a second thread's buffers would take what the first one needs.
_MEMORY_OF_THREADS = 256 << 20


class TableFile(msgspec.Struct, frozen=True, kw_only=True):
    """A file that is read as a table.

    Attributes:
        place: Where its bytes are, under whatever name.
        path: The name that people know, whose suffix says what it is.
    """

    place: Path
    path: str


class Table(msgspec.Struct, frozen=True, kw_only=True):
    """A table of the connection, named `name`, whose columns are `c0`, `c1`, ... there.

    Attributes:
        columns: What the file calls them.
        types: By duckdb's names; of a CSV all are VARCHAR.
    """

    name: str
    columns: tuple[str, ...]
    types: tuple[str, ...]


def is_table(path: str) -> bool:
    """Whether a file of that name is read as a table: `.csv` and `.tsv`, also with `.gz`, and `.parquet`, `.pq`."""
    return _kind(path) is not None


@contextmanager
def open_tables(
    files: Mapping[str, TableFile], *, memory: str = MEMORY
) -> Iterator[tuple[duckdb.DuckDBPyConnection, dict[str, Table]]]:
    """Open files, each as a table of the given name.

    Args:
        files: By the names that the tables get; plain SQL names.
        memory: How much of it duckdb may take, as `512MB`; what does not fit goes to the disk.

    Raises:
        NotInstalledError: duckdb is not installed.
        InvalidError: A file is no table, or `memory` is no amount.
    """
    duckdb = import_duckdb()
    with tempfile.TemporaryDirectory(prefix="everloop-rows-") as folder:
        links = {name: _linked(Path(folder), name, file) for name, file in files.items()}
        # Tables lie in a file and not in memory, so their size has no limit but the disk's.
        with duckdb.connect(f"{folder}/tables.db", config=_settings(folder)) as connection:
            _bound(connection, memory)
            connection.execute(f"SET allowed_paths = [{', '.join(literal(str(link)) for link in links.values())}]")
            connection.execute(f"SET allowed_directories = [{literal(f'{folder}/')}]")
            connection.execute("SET enable_external_access = false")
            connection.execute("SET TimeZone = 'UTC'")
            connection.execute("SET lock_configuration = true")
            yield connection, {name: _load(connection, name, links[name], file.path) for name, file in files.items()}


@contextmanager
def failures_named(what: str) -> Iterator[None]:
    """Say what was asked when duckdb cannot do it.

    Raises:
        InvalidError: The file is malformed.
        FailedError: The memory, or the disk, does not suffice.
    """
    duckdb = import_duckdb()
    try:
        yield
    except duckdb.OutOfMemoryException as error:
        raise FailedError(
            f"{what}: the memory does not suffice: {_first_line(error)}", hint="give it more: --memory 2GB"
        ) from error
    except duckdb.Error as error:
        raise InvalidError(f"{what}: {_first_line(error)}") from error


def import_duckdb() -> ModuleType:
    """The engine.

    Raises:
        NotInstalledError: It is not installed.
    """
    try:
        import duckdb
    except ImportError as error:
        raise NotInstalledError(
            "tables need duckdb, which is not installed", hint="pip install 'everloop[tables]'"
        ) from error
    return duckdb


def quoted(name: str) -> str:
    """A name as an SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """A text as an SQL string."""
    return "'" + text.replace("'", "''") + "'"


def delimiter_of(path: str, header: str) -> str:
    """What separates the fields of a CSV: a tab in a `.tsv`, else the candidate that the header has most of."""
    if path.removesuffix(".gz").endswith(".tsv"):
        return "\t"
    outside = "".join(header.split('"')[::2])
    return max(_DELIMITERS, key=outside.count)


def _kind(path: str) -> str | None:
    name = path.lower()
    kind = _KINDS.get(Path(name.removesuffix(".gz")).suffix)
    return None if kind == _PARQUET and name.endswith(".gz") else kind


def _settings(folder: str) -> dict[str, str | bool | int | float | list[str]]:
    return {
        "temp_directory": f"{folder}/spill",
        "autoinstall_known_extensions": False,
        "autoload_known_extensions": False,
        # The order of rows means nothing here, and keeping it takes memory.
        "preserve_insertion_order": False,
    }


def _bound(connection: duckdb.DuckDBPyConnection, memory: str) -> None:
    try:
        connection.execute(f"SET memory_limit = {literal(memory)}")
    except import_duckdb().Error as error:
        raise InvalidError(f"{memory!r} is no amount of memory", hint="write it as 512MB or 2GB") from error
    if _bytes_of(memory) < _MEMORY_OF_THREADS:
        connection.execute("SET threads = 1")


def _bytes_of(memory: str) -> float:
    """Roughly; duckdb has refused by now what is no amount."""
    number = memory.strip().lower().rstrip("bi").rstrip()
    units = {"k": 1e3, "m": 1e6, "g": 1e9, "t": 1e12}
    return float(number[:-1]) * units[number[-1]] if number[-1] in units else float("inf")


def _linked(folder: Path, name: str, file: TableFile) -> Path:
    # A link with a plain name keeps wildcards and schemes in the real one from meaning anything to duckdb.
    link = folder / f"{name}.{_kind(file.path) or _CSV}"
    link.symlink_to(file.place.absolute())
    return link


def _load(connection: duckdb.DuckDBPyConnection, name: str, link: Path, path: str) -> Table:
    with failures_named(f"{path} cannot be read as a table"):
        if _kind(path) == _PARQUET:
            return _load_parquet(connection, name, link)
        return _load_csv(connection, name, link, path)


def _load_parquet(connection: duckdb.DuckDBPyConnection, name: str, link: Path) -> Table:
    described = connection.execute(f"DESCRIBE SELECT * FROM read_parquet({literal(str(link))})").fetchall()
    listed = ", ".join(f"c{k}" for k in range(len(described)))
    # It is read where it lies: each question takes the columns that it needs.
    source = f"read_parquet({literal(str(link))}) AS t({listed})"
    connection.execute(f"CREATE TEMP VIEW {name} AS SELECT {listed} FROM {source}")
    return Table(
        name=name, columns=tuple(str(row[0]) for row in described), types=tuple(str(row[1]) for row in described)
    )


def _load_csv(connection: duckdb.DuckDBPyConnection, name: str, link: Path, path: str) -> Table:
    columns, lines, delimiter = _header(link, path)
    if not columns:
        connection.execute(f"CREATE TABLE {name} (c0 VARCHAR)")
        return Table(name=name, columns=(), types=())
    types = ", ".join(f"'c{k}': 'VARCHAR'" for k in range(len(columns)))
    connection.execute(
        f"CREATE TABLE {name} AS SELECT * FROM read_csv({literal(str(link))}, auto_detect = false, header = false, "
        f"skip = {lines}, delim = {literal(delimiter)}, quote = '\"', escape = '\"', columns = {{{types}}}, "
        f"nullstr = [{literal(_NO_TEXT)}], max_line_size = {_LONGEST_LINE_BYTES}, "
        f"buffer_size = {_BUFFER_BYTES}, "
        f"compression = '{'gzip' if path.lower().endswith('.gz') else 'none'}')"
    )
    return Table(name=name, columns=columns, types=("VARCHAR",) * len(columns))


def _header(link: Path, path: str) -> tuple[tuple[str, ...], int, str]:
    """The names of the columns, how many lines they take, and what separates them."""
    opened = gzip.open if path.lower().endswith(".gz") else Path.open
    try:
        with opened(link, "rb") as raw, io.TextIOWrapper(raw, encoding="utf-8-sig", newline="") as text:
            first = text.readline(_LONGEST_LINE_BYTES)
            delimiter = delimiter_of(path, first)
            text.seek(0)
            reader = csv.reader(text, delimiter=delimiter, strict=True)
            columns = tuple(next(reader, []))
            lines = reader.line_num
    except (UnicodeDecodeError, csv.Error, OSError, EOFError) as error:
        raise InvalidError(f"{path} cannot be read as a table: its header: {error}") from error
    twice = sorted({column for column in columns if columns.count(column) > 1})
    if twice:
        raise InvalidError(f"{path} cannot be read as a table: its header names a column twice: {', '.join(twice)}")
    return columns, lines, delimiter


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0]
