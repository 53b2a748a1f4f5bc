"""Experiments in the database."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from everloop.errors import ConflictError, InvalidError, NotFoundError
from everloop.storage.database import Database, check_text
from everloop.tracking.run import Experiment
from everloop.tracking.tables import experiment_tags, experiments, runs
from everloop.tracking.texts import check_experiment_name, check_key


class SqlExperiments:
    """The part of `TrackingStore` that is about experiments. Thread-safe."""

    def __init__(self, database: Database) -> None:
        self.database = database

    def create_experiment(self, name: str, tags: dict[str, str] | None = None) -> Experiment:
        with self.database.write() as connection:
            self._make(connection, name, tags)
            return self._named(connection, name)

    def add_experiment(self, name: str, tags: dict[str, str] | None = None) -> Experiment:
        with self.database.write() as connection:
            if self._make(connection, name, tags):
                return self._named(connection, name)
            raise _taken(self._named(connection, name))

    def get_experiment(self, experiment_id: str) -> Experiment:
        with self.database.read() as connection:
            return self._numbered(connection, experiment_id)

    def find_experiment(self, name: str) -> Experiment:
        with self.database.read() as connection:
            return self._named(connection, name)

    def rename_experiment(self, experiment_id: str, name: str) -> Experiment:
        check_experiment_name(name)
        with self.database.write() as connection:
            found = self._numbered(connection, experiment_id, is_written=True)
            if found.name == name:
                return found
            holder = connection.execute(sa.select(experiments).where(experiments.c.name == name)).first()
            if holder is not None:
                raise _taken(self._assembled(connection, [holder])[0])
            try:
                self._change(connection, found, name=name)
            except sa.exc.IntegrityError as error:  # PostgreSQL, of two who take a name at once
                raise ConflictError(f"experiment {name!r} exists already") from error
            return self._numbered(connection, experiment_id)

    def delete_experiment(self, experiment_id: str) -> None:
        with self.database.write() as connection:
            found = self._numbered(connection, experiment_id)
            if found.is_deleted:
                return
            now = self._change(connection, found, deleted_at=datetime.now(UTC))
            alive = sa.and_(runs.c.experiment_id == int(found.experiment_id), runs.c.deleted_at.is_(None))
            connection.execute(sa.update(runs).where(alive).values(deleted_at=now))

    def restore_experiment(self, experiment_id: str) -> None:
        with self.database.write() as connection:
            found = self._numbered(connection, experiment_id)
            mine = experiments.c.experiment_id == int(found.experiment_id)
            deleted_at = connection.execute(sa.select(experiments.c.deleted_at).where(mine)).scalar_one()
            if deleted_at is None:
                return
            # The time tells those that were deleted with it from those that were deleted before.
            together = sa.and_(
                runs.c.experiment_id == int(found.experiment_id),
                runs.c.deleted_at == sa.literal(deleted_at, runs.c.deleted_at.type),
            )
            connection.execute(sa.update(runs).where(together).values(deleted_at=None))
            self._change(connection, found, deleted_at=None)

    def tag_experiment(self, experiment_id: str, tags: dict[str, str]) -> None:
        with self.database.write() as connection:
            found = self._numbered(connection, experiment_id, is_written=True)
            self._put_experiment_tags(connection, int(found.experiment_id), tags)
            self._change(connection, found)

    def untag_experiment(self, experiment_id: str, key: str) -> None:
        with self.database.write() as connection:
            found = self._numbered(connection, experiment_id, is_written=True)
            tag = sa.and_(experiment_tags.c.experiment_id == int(found.experiment_id), experiment_tags.c.key == key)
            if not connection.execute(sa.delete(experiment_tags).where(tag)).rowcount:
                raise NotFoundError(f"experiment {experiment_id} has no tag {key!r}")
            self._change(connection, found)

    # --- for those who add runs

    def _make(self, connection: Connection, name: str, tags: dict[str, str] | None = None) -> bool:
        """Make an experiment; False when the name is taken."""
        now = datetime.now(UTC)
        row = {"name": check_experiment_name(name), "created_at": now, "updated_at": now}
        made = connection.execute(self.database.insert(experiments).values(row).on_conflict_do_nothing())
        if made.rowcount and tags:
            number = sa.select(experiments.c.experiment_id).where(experiments.c.name == name)
            self._put_experiment_tags(connection, connection.execute(number).scalar_one(), tags)
        return bool(made.rowcount)

    def _named(self, connection: Connection, name: str) -> Experiment:
        row = connection.execute(sa.select(experiments).where(experiments.c.name == name)).first()
        if row is None:
            raise NotFoundError(f"no experiment of the name {name[:100]!r}")
        return self._assembled(connection, [row])[0]

    def _numbered(self, connection: Connection, experiment_id: str, *, is_written: bool = False) -> Experiment:
        number = number_of_experiment(experiment_id)
        query = sa.select(experiments).where(experiments.c.experiment_id == number)
        row = None if number is None else connection.execute(query).first()
        if row is None:
            raise NotFoundError(f"no experiment with the id {experiment_id[:40]!r}")
        if is_written and row.deleted_at is not None:
            raise InvalidError(f"experiment {experiment_id} ({row.name!r}) is deleted", hint="Restore it first.")
        return self._assembled(connection, [row])[0]

    def _assembled(self, connection: Connection, rows: Sequence[sa.Row[Any]]) -> list[Experiment]:
        tags: dict[int, dict[str, str]] = defaultdict(dict)
        chosen = self.database.among(experiment_tags.c.experiment_id, [row.experiment_id for row in rows])
        for tag in connection.execute(sa.select(experiment_tags).where(chosen).order_by(experiment_tags.c.key)):
            tags[tag.experiment_id][tag.key] = tag.value
        return [
            Experiment(
                experiment_id=str(row.experiment_id),
                name=row.name,
                created_at=row.created_at,
                updated_at=row.updated_at,
                is_deleted=row.deleted_at is not None,
                tags=tags[row.experiment_id],
            )
            for row in rows
        ]

    def _change(self, connection: Connection, found: Experiment, **values: Any) -> datetime:
        now: datetime = values.get("deleted_at") or datetime.now(UTC)
        mine = experiments.c.experiment_id == int(found.experiment_id)
        connection.execute(sa.update(experiments).where(mine).values(updated_at=now, **values))
        return now

    def _put_experiment_tags(self, connection: Connection, number: int, tags: dict[str, str]) -> None:
        if not tags:
            return
        statement = self.database.insert(experiment_tags)
        statement = statement.on_conflict_do_update(
            index_elements=["experiment_id", "key"], set_={"value": statement.excluded.value}
        )
        rows = [
            {"experiment_id": number, "key": check_key(key), "value": check_text(value, "the value of", key)}
            for key, value in sorted(tags.items())
        ]
        connection.execute(statement, rows)


def number_of_experiment(experiment_id: str) -> int | None:
    """Return an id as the number that it is; None when no experiment can have it."""
    is_number = experiment_id.isascii() and experiment_id.isdigit() and len(experiment_id) < 19
    return int(experiment_id) if is_number else None


def _taken(holder: Experiment) -> ConflictError:
    if not holder.is_deleted:
        return ConflictError(f"experiment {holder.name!r} exists already, with the id {holder.experiment_id}")
    return ConflictError(
        f"experiment {holder.name!r} exists already, and is deleted",
        hint=f"Restore the experiment with the id {holder.experiment_id}, or take another name.",
    )
