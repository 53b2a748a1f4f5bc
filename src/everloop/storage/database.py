"""The SQL engine: one language for SQLite (WAL) and PostgreSQL, and the column types that both read alike.

Owns connections, transactions and durability. Leaves tables to the rooms.
"""

from __future__ import annotations

import fcntl
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Connection, Dialect, Engine
from sqlalchemy.exc import DontWrapMixin

from everloop.errors import ConflictError, InvalidError

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

Identity = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
"""A row number that the database counts up: BIGINT on PostgreSQL, the rowid on SQLite."""


class NaiveTimeError(InvalidError, DontWrapMixin):
    """A time without a time zone was to be stored. The mixin keeps SQLAlchemy from wrapping it in its own error."""


class UtcDateTime(sa.types.TypeDecorator[datetime]):
    """An aware UTC time, kept as microseconds since 1970 in a BIGINT: equal, exact and sortable on every database."""

    impl = sa.BigInteger
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> int | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise NaiveTimeError(f"a time without a time zone cannot be stored: {value!r}", hint="Use UTC-aware times.")
        return microseconds(value)

    def process_result_value(self, value: int | None, dialect: Dialect) -> datetime | None:
        return None if value is None else EPOCH + timedelta(microseconds=value)


def microseconds(moment: datetime) -> int:
    """Return an aware time as microseconds since 1970."""
    return (moment - EPOCH) // timedelta(microseconds=1)


class Json(sa.types.TypeDecorator[Any]):
    """A value that msgspec can write, kept as JSON text and read back as `kind`."""

    impl = sa.Text
    cache_ok = True

    def __init__(self, kind: Any = Any) -> None:
        super().__init__()
        self.kind = kind

    def process_bind_param(self, value: Any, dialect: Dialect) -> str | None:
        return None if value is None else msgspec.json.encode(value).decode()

    def process_result_value(self, value: str | None, dialect: Dialect) -> Any:
        return None if value is None else msgspec.json.decode(value, type=self.kind)


class Database:
    """A database by URL. Thread-safe; a `write()` that returned is durable (fsync before the commit is acknowledged).

    Args:
        url: `sqlite:///path` or `postgresql+psycopg://…`.
    """

    def __init__(self, url: str, *, pool_size: int = 8) -> None:
        self.url = url
        self.is_sqlite = url.startswith("sqlite")
        if self.is_sqlite:
            self.path.parent.mkdir(parents=True, exist_ok=True)
        # Without preserve_rowcount an INSERT's `rowcount` is -1 on PostgreSQL, also when a conflict kept the row out.
        options: dict[str, Any] = {
            "pool_size": pool_size,
            "max_overflow": 32,
            "execution_options": {"preserve_rowcount": True},
        }
        if self.is_sqlite:
            options["connect_args"] = {"timeout": 60.0, "check_same_thread": False, "isolation_level": None}
        else:
            options["pool_pre_ping"] = True
        self.engine: Engine = sa.create_engine(url, **options)
        if self.is_sqlite:
            sa.event.listen(self.engine, "connect", lambda connection, _: _prepare_sqlite(connection, self.path))
            sa.event.listen(self.engine, "begin", _begin_sqlite)

    @property
    def path(self) -> Path:
        """The file of a SQLite database."""
        return Path(self.url.removeprefix("sqlite:///"))

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """One transaction that writes. On SQLite it takes the write lock at once, so that writers queue, not clash."""
        with self.engine.connect().execution_options(writes=True) as connection, connection.begin():
            yield connection

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """One transaction that sees a single snapshot and never waits for writers."""
        # PostgreSQL's default level takes a new snapshot for every statement; SQLite's transactions have one anyway.
        options: dict[str, Any] = {} if self.is_sqlite else {"isolation_level": "REPEATABLE READ"}
        with self.engine.connect().execution_options(**options) as connection, connection.begin():
            yield connection

    @contextmanager
    def claimed(self, name: str) -> Iterator[None]:
        """Hold a name against every other process that uses this database, until the block or this process ends.

        Args:
            name: letters, digits, dots, dashes and underscores.

        Raises:
            ConflictError: another process holds it.
        """
        taken = ConflictError(f"another process holds {name!r} on this database")
        if self.is_sqlite:
            with self.path.with_name(f"{self.path.name}.{name}.claim").open("w") as lock:
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError as error:
                    raise taken from error
                yield
            return
        # A session's advisory lock ends with its connection, so with the process, however that ends.
        with self.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            query = sa.text("SELECT pg_try_advisory_lock(hashtextextended(:name, 0))")
            if not connection.execute(query, {"name": name}).scalar_one():
                raise taken
            try:
                yield
            finally:
                connection.execute(sa.text("SELECT pg_advisory_unlock(hashtextextended(:name, 0))"), {"name": name})

    def insert(self, table: sa.Table) -> sqlite.Insert | postgresql.Insert:
        """Return an INSERT of this database's dialect, which knows `on_conflict_do_nothing` and `…_do_update`."""
        return sqlite.insert(table) if self.is_sqlite else postgresql.insert(table)

    def among(self, column: sa.ColumnElement[Any], values: Iterable[int | str]) -> sa.ColumnElement[bool]:
        """Return the condition that a column is one of some values, however many: they are one parameter."""
        given = list(values)
        if self.is_sqlite:
            listed = sa.func.json_each(msgspec.json.encode(given).decode()).table_valued("value")
            return column.in_(sa.select(listed.c.value))
        return column == sa.any_(sa.bindparam(None, given, type_=postgresql.ARRAY(column.type), expanding=False))

    def close(self) -> None:
        self.engine.dispose()


def check_text(text: str, what: str, key: str) -> str:
    """Return `text` when both databases can keep it.

    Raises:
        InvalidError: it holds a NUL, which PostgreSQL does not take.
    """
    if "\0" in text:
        raise InvalidError(f"{what} {key[:100]!r} holds a NUL character, which cannot be kept")
    return text


@contextmanager
def file_lock(path: Path) -> Iterator[None]:
    """Hold a file's lock against other processes and threads; the file is made and stays."""
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _prepare_sqlite(connection: Any, path: Path) -> None:
    cursor = connection.cursor()
    if cursor.execute("PRAGMA journal_mode").fetchone() != ("wal",):
        # Of two processes that turn a new file to WAL at once SQLite fails one, however long it is willing to wait.
        with file_lock(path.with_name(f"{path.name}.wal-lock")):
            cursor.execute("PRAGMA journal_mode=WAL")
    # FULL: an acknowledged commit is on the disk, also after a power cut (SQLite docs, "PRAGMA synchronous").
    for pragma in ("synchronous=FULL", "foreign_keys=ON", "cache_size=-65536"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    writes = connection.get_execution_options().get("writes", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
