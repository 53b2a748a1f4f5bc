"""Bringing a database to the newest schema, one alembic branch per room.

A room keeps its revisions in `<room>/migrations/<room>_NNNN_<words>.py`; the revision id is `<room>_NNNN`. The first
revision of a room has no parent, so rooms stay independent; every process may call `migrate` at the same time.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from everloop.errors import InvalidError
from everloop.storage.database import Database, file_lock
from everloop.version import __version__

PACKAGE = Path(__file__).resolve().parent.parent
_POSTGRES_LOCK = 0x45564552  # any constant: it names our advisory lock


def heads(rooms: Sequence[str]) -> set[str]:
    """Return the newest revision id of each room, read from the file names alone."""
    newest = set()
    for room in rooms:
        newest.add(max(_revision_of(path) for path in (PACKAGE / room / "migrations").glob(f"{room}_*.py")))
    return newest


def _revision_of(path: Path) -> str:
    """Return the revision that a file of migrations makes: `tracking_0001` of `tracking_0001_initial.py`."""
    return "_".join(path.stem.split("_")[:2])


def migrate(database: Database, rooms: Sequence[str]) -> bool:
    """Bring the tables of `rooms` to their newest revision; True when anything was done.

    Idempotent, and safe beside other processes that do the same: one works, the others wait and find nothing to do.

    Raises:
        InvalidError: a newer release has opened the database; nothing is changed.
    """
    if _is_current(database, rooms):
        return False
    with _alone(database):
        if _is_current(database, rooms):
            return False
        upgrade(database, tuple(sorted(heads(rooms))))
    return True


def _is_current(database: Database, rooms: Sequence[str]) -> bool:
    with database.read() as connection:
        if not sa.inspect(connection).has_table("alembic_version"):
            return False
        found = set(connection.execute(sa.text("SELECT version_num FROM alembic_version")).scalars())
    if unknown := found - {_revision_of(path) for path in PACKAGE.glob("*/migrations/*_*.py")}:
        raise InvalidError(
            f"a newer release of Everloop has opened this database: it holds {', '.join(sorted(unknown))},"
            f" which release {__version__} does not know",
            hint="Install that release, or open a copy of the database from before.",
        )
    return heads(rooms) <= found


def upgrade(database: Database, targets: tuple[str, ...]) -> None:
    """Bring a database to some revisions, while nobody else migrates it. For tests of older schemas; else `migrate`."""
    # alembic takes half a second to import, so only when there is something to do.
    from alembic.config import Config
    from alembic.runtime.environment import EnvironmentContext
    from alembic.script import ScriptDirectory

    # Every room's folder, because the database may hold rooms that were not asked for, and alembic must know them.
    places = [str(path) for path in sorted(PACKAGE.glob("*/migrations"))]
    script = ScriptDirectory(str(PACKAGE / "storage"), version_locations=places)

    def steps(revision: Any, _context: Any) -> Any:
        return script._upgrade_revs(targets, revision)  # type: ignore[arg-type]  # it takes several, and says one

    with EnvironmentContext(Config(), script, fn=steps, destination_rev=targets) as environment, database.write() as c:
        environment.configure(connection=c)
        environment.run_migrations()


@contextmanager
def _alone(database: Database) -> Iterator[None]:
    if database.is_sqlite:
        with file_lock(database.path.with_name(f"{database.path.name}.migrate")):
            yield
        return
    with database.engine.connect() as connection:
        connection.execute(sa.text("SELECT pg_advisory_lock(:key)"), {"key": _POSTGRES_LOCK})
        try:
            yield
        finally:
            connection.execute(sa.text("SELECT pg_advisory_unlock(:key)"), {"key": _POSTGRES_LOCK})
