"""The SQL engine: exact times, JSON values, writers that queue, readers that see one snapshot."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import msgspec
import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from everloop.errors import ConflictError, InvalidError
from everloop.storage.database import Database, Identity, Json, UtcDateTime


class Point(msgspec.Struct):
    x: int
    tags: list[str] = []


metadata = sa.MetaData()
things = sa.Table(
    "things",
    metadata,
    sa.Column("number", Identity, primary_key=True),
    sa.Column("at", UtcDateTime),
    sa.Column("point", Json(Point)),
    sa.Column("anything", Json()),
    sa.Column("name", sa.Text, unique=True),
)


@pytest.fixture
def tables(database: Database) -> Database:
    metadata.create_all(database.engine)
    return database


def put(database: Database, **values: Any) -> None:
    with database.write() as connection:
        connection.execute(sa.insert(things).values(**values))


def get(database: Database, column: str) -> list[Any]:
    with database.read() as connection:
        return list(connection.execute(sa.select(things.c[column]).order_by(things.c.number)).scalars())


ZONES = st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))
TIMES = st.datetimes(datetime(2, 1, 1), datetime(9998, 12, 31), timezones=ZONES)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(time=TIMES)
def test_a_time_comes_back_exact_and_in_utc(tables: Database, time: datetime) -> None:
    with tables.engine.connect() as connection:  # never committed: each example sees its own row alone
        connection.execute(sa.insert(things).values(at=time))
        (found,) = connection.execute(sa.select(things.c.at)).scalars()
    assert (found, found.tzinfo) == (time, UTC)


def test_times_sort_and_compare_as_times(tables: Database) -> None:
    times = [datetime(1969, 12, 31, tzinfo=UTC), datetime(1970, 1, 1, tzinfo=UTC), datetime(2013, 3, 1, tzinfo=UTC)]
    for time in reversed(times):
        put(tables, at=time)
    with tables.read() as connection:
        assert list(connection.execute(sa.select(things.c.at).order_by(things.c.at)).scalars()) == times
        later = sa.select(things.c.at).where(things.c.at > times[1])
        assert list(connection.execute(later).scalars()) == times[2:]


def test_a_time_without_a_zone_is_refused(tables: Database) -> None:
    with pytest.raises(InvalidError, match="time zone"):
        put(tables, at=datetime(2013, 3, 1))
    with pytest.raises(InvalidError, match="time zone"), tables.read() as connection:
        connection.execute(sa.select(things).where(things.c.at == datetime(2013, 3, 1)))
    assert get(tables, "at") == []


def test_none_is_null_for_every_type(tables: Database) -> None:
    put(tables, at=None, point=None, anything=None)
    assert [get(tables, name) for name in ("at", "point", "anything")] == [[None]] * 3


def test_json_comes_back_as_its_kind(tables: Database) -> None:
    put(tables, point=Point(3, ["ü"]), anything={"a": [1, 2.5, None, "☃"]})
    assert get(tables, "point") == [Point(3, ["ü"])]
    assert get(tables, "anything") == [{"a": [1, 2.5, None, "☃"]}]


def test_rows_are_numbered_by_the_database(tables: Database) -> None:
    for name in "abc":
        put(tables, name=name)
    assert get(tables, "number") == [1, 2, 3]


def test_a_write_that_fails_leaves_nothing(tables: Database) -> None:
    def fail() -> None:
        with tables.write() as connection:
            connection.execute(sa.insert(things).values(name="a"))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert get(tables, "name") == []


def test_an_insert_that_a_conflict_kept_out_counts_no_row(tables: Database) -> None:
    statement = tables.insert(things).values(name="a").on_conflict_do_nothing()
    counts = []
    for _ in range(2):
        with tables.write() as connection:
            counts.append(connection.execute(statement).rowcount)
    assert counts == [1, 0]


def test_writers_queue_and_lose_nothing(tables: Database) -> None:
    put(tables, name="counter", anything=0)

    def count(_: int) -> None:
        with tables.write() as connection:
            # Read, then write: on SQLite this clashes unless the write lock is taken when the transaction begins.
            row = connection.execute(sa.select(things.c.anything).with_for_update()).scalar_one()
            connection.execute(sa.update(things).values(anything=row + 1))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(count, range(40)))
    assert get(tables, "anything") == [40]


def test_a_reader_sees_one_snapshot_while_others_write(tables: Database) -> None:
    put(tables, name="before")
    query = sa.select(sa.func.count()).select_from(things)
    with tables.read() as connection:
        first = connection.execute(query).scalar_one()
        put(tables, name="meanwhile")  # and the reader does not hold it up
        assert (first, connection.execute(query).scalar_one()) == (1, 1)
    assert get(tables, "name") == ["before", "meanwhile"]


def test_a_connection_writes_again_after_it_read(tables: Database) -> None:
    for name in ("a", "b"):
        put(tables, name=name)
        assert name in get(tables, "name")


def test_sqlite_commits_reach_the_disk_and_keys_are_enforced(tables: Database) -> None:
    if not tables.is_sqlite:
        return  # PostgreSQL does so by itself
    found = {}
    with tables.read() as connection:
        for name in ("journal_mode", "synchronous", "foreign_keys"):
            found[name] = connection.exec_driver_sql(f"PRAGMA {name}").scalar_one()
    assert found == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1}


def test_the_folder_of_a_new_sqlite_file_is_made(tmp_path: Any) -> None:
    database = Database(f"sqlite:///{tmp_path / 'a' / 'b' / 'c.db'}")
    with database.read() as connection:
        assert connection.execute(sa.text("SELECT 1")).scalar_one() == 1
    database.close()


def test_a_name_is_held_by_one_process_at_a_time(database: Database) -> None:
    other = Database(database.url)
    with database.claimed("worker-1"):
        with pytest.raises(ConflictError, match="worker-1"), other.claimed("worker-1"):
            pass
        with other.claimed("worker-2"):
            pass
    with other.claimed("worker-1"):
        pass
    other.close()
