"""Open CSV and Parquet files as tables in bounded memory: the workspace's door to duckdb, which is an extra.

The files are strangers': duckdb sees these and no others, no network, no extensions. A CSV has no types, so its fields
are text as they are written: `007` is not `7`, and an empty field is the empty text. Leaves what is asked of the tables
to `tablediff.py`, and what a CSV looks like to `csvfile.py`.
"""

# Names of columns and files pass through quoted() and literal(), or are made here.
# ruff: noqa: S608

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import msgspec

from everloop.errors import FailedError, InvalidError, NotInstalledError
from everloop.workspace import csvfile

if TYPE_CHECKING:
    import duckdb

MEMORY = "512MB"
_CSV, _PARQUET = "csv", "parquet"
_KINDS = {".csv": _CSV, ".tsv": _CSV, ".parquet": _PARQUET, ".pq": _PARQUET}
_BUFFER_BYTES = 8 << 20
# No field is this text, so no field is taken for "nothing is there".
_NO_TEXT = "\x01\x02nothing\x03"
_LONGEST_REASON = 300
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
            f"{what}: the memory does not suffice: {_reason(error)}", hint="give it more: --memory 2GB"
        ) from error
    except duckdb.Error as error:
        raise InvalidError(f"{what}: {_reason(error)}") from error


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
    layout = csvfile.layout_of(link, path)
    types = ", ".join(f"'c{k}': 'VARCHAR'" for k in range(len(layout.columns)))
    if not layout.columns:
        connection.execute(f"CREATE TABLE {name} (c0 VARCHAR)")
        return Table(name=name, columns=(), types=())
    new_line = repr(layout.new_line).strip("'")
    connection.execute(
        f"CREATE TABLE {name} AS SELECT * FROM read_csv({literal(str(link))}, auto_detect = false, header = true, "
        f"delim = {literal(layout.delimiter)}, quote = '\"', escape = '\"', columns = {{{types}}}, "
        f"new_line = {literal(new_line)}, nullstr = [{literal(_NO_TEXT)}], "
        f"max_line_size = {csvfile.LONGEST_LINE_BYTES}, buffer_size = {_BUFFER_BYTES}, "
        f"compression = '{'gzip' if path.lower().endswith('.gz') else 'none'}')"
    )
    (n_rows,) = connection.execute(f"SELECT count(*) FROM {name}").fetchone() or (0,)
    csvfile.check_rows(link, path, layout, n_rows)
    return Table(name=name, columns=layout.columns, types=("VARCHAR",) * len(layout.columns))


def _reason(error: Exception) -> str:
    """What duckdb says, without its advice, which is about options that nobody has here."""
    said = str(error).strip().partition("\nPossible")[0]
    if "state machine" in said:
        return "it mixes kinds of line ends, or has quotes where none belong"
    return "; ".join(line.strip() for line in said.splitlines()[:3] if line.strip())[:_LONGEST_REASON]
