"""Migrations: run once, beside others, and ending where the rooms' tables say."""

from __future__ import annotations

import importlib
import importlib.util
import subprocess
import sys

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from everloop.errors import InvalidError
from everloop.server.platform import ROOMS_WITH_TABLES
from everloop.storage.database import Database
from everloop.storage.migrations import heads, migrate


def revisions(database: Database) -> set[str]:
    with database.read() as connection:
        return set(connection.execute(sa.text("SELECT version_num FROM alembic_version")).scalars())


def test_migrating_twice_does_nothing_the_second_time(database: Database) -> None:
    assert migrate(database, ROOMS_WITH_TABLES)
    assert not migrate(database, ROOMS_WITH_TABLES)
    assert revisions(database) == heads(ROOMS_WITH_TABLES)


def test_rooms_are_migrated_one_after_the_other_in_any_order(database: Database) -> None:
    for room in reversed(ROOMS_WITH_TABLES):
        assert migrate(database, [room])
        assert not migrate(database, [room])
    assert not migrate(database, ROOMS_WITH_TABLES)


def test_every_head_is_the_last_file_of_its_room() -> None:
    assert {head.split("_")[0] for head in heads(ROOMS_WITH_TABLES)} == set(ROOMS_WITH_TABLES)


def metadata_of(room: str) -> sa.MetaData:
    """A room's tables are in its `sql.py`, or in a `tables.py` beside it where there are many."""
    apart = importlib.util.find_spec(f"everloop.{room}.tables") is not None
    metadata: sa.MetaData = importlib.import_module(f"everloop.{room}.{'tables' if apart else 'sql'}").metadata
    return metadata


@pytest.mark.parametrize("room", ROOMS_WITH_TABLES)
def test_the_migrated_schema_is_the_one_the_room_writes_to(database: Database, room: str) -> None:
    migrate(database, [room])
    metadata = metadata_of(room)
    with database.read() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        differences = compare_metadata(context, metadata)
    assert differences == []


MIGRATE = """
import sys
from everloop.storage.database import Database
from everloop.storage.migrations import migrate
database = Database(sys.argv[1])
print("ready", flush=True)
sys.stdin.readline()
print(migrate(database, sys.argv[2:]))
"""


def test_of_several_processes_that_migrate_at_once_one_works(database: Database) -> None:
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", MIGRATE, database.url, *ROOMS_WITH_TABLES],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(3)
    ]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:  # all at once, before any of them is waited for
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    answers = [process.communicate()[0].strip() for process in processes]
    assert [process.returncode for process in processes] == [0, 0, 0]
    assert sorted(answers) == ["False", "False", "True"]
    assert revisions(database) == heads(ROOMS_WITH_TABLES)


def test_a_database_of_a_newer_release_is_refused_with_a_sentence(database: Database) -> None:
    migrate(database, ["access"])
    with database.write() as connection:
        connection.execute(sa.text("UPDATE alembic_version SET version_num = 'access_9999'"))
    with pytest.raises(InvalidError, match=r"a newer release .* holds access_9999, which release") as caught:
        migrate(database, ROOMS_WITH_TABLES)
    assert "Install that release" in str(caught.value)
    assert revisions(database) == {"access_9999"}
