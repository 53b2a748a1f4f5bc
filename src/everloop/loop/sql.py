"""The loop room's tables, and the reading and writing of their rows."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from everloop.errors import ConflictError, NotFoundError
from everloop.loop.store import AppliedProject, Challenge, Retraining, TickOutcome
from everloop.storage.database import Database, Json, UtcDateTime

metadata = sa.MetaData()

projects = sa.Table(
    "projects",
    metadata,
    sa.Column("endpoint", sa.Text, primary_key=True),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("model", sa.Text, nullable=False),
    sa.Column("workspace", sa.Text, nullable=False),
    sa.Column("text", sa.Text, nullable=False),
    sa.Column("policy", sa.Text, nullable=False),
    sa.Column("applied_at", UtcDateTime, nullable=False),
)
ticks = sa.Table(
    "ticks",
    metadata,
    sa.Column("endpoint", sa.Text, primary_key=True),
    sa.Column("at", UtcDateTime, primary_key=True),
    sa.Column("outcome", Json(TickOutcome)),
)
retrainings = sa.Table(
    "retrainings",
    metadata,
    sa.Column("retraining_id", sa.Text, primary_key=True),
    sa.Column("endpoint", sa.Text, nullable=False),
    sa.Column("at", UtcDateTime, nullable=False),
    sa.Column("trigger", sa.Text, nullable=False),
    sa.Column("overrides", Json(dict[str, Any]), nullable=False),
    sa.Column("data_up_to", sa.BigInteger, nullable=False),
    sa.Column("actor", sa.Text, nullable=False),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("run_id", sa.Text, nullable=False),
    sa.Column("version", sa.Integer),
    sa.Column("gates", Json(dict[str, Any]), nullable=False),
    sa.Column("message", sa.Text, nullable=False),
    sa.Index("retrainings_by_endpoint", "endpoint", "at"),
)
challenges = sa.Table(
    "challenges",
    metadata,
    sa.Column("challenge_id", sa.Text, primary_key=True),
    sa.Column("endpoint", sa.Text, nullable=False),
    sa.Column("champion", sa.Integer, nullable=False),
    sa.Column("challenger", sa.Integer, nullable=False),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("started_at", UtcDateTime, nullable=False),
    sa.Column("decided_at", UtcDateTime),
    sa.Column("policy", sa.Text, nullable=False),
    sa.Column("paired", Json(dict[str, Any]), nullable=False),
    sa.Column("judged_until", UtcDateTime, nullable=False),
    sa.Column("verdict", Json(dict[str, Any]), nullable=False),
    sa.Index("challenges_by_endpoint", "endpoint", "started_at"),
    # One challenger at a time: the second would make the first one's test a different question.
    sa.Index(
        "challenges_one_open",
        "endpoint",
        unique=True,
        sqlite_where=sa.text("state = 'shadow'"),
        postgresql_where=sa.text("state = 'shadow'"),
    ),
)
watches = sa.Table(
    "watches",
    metadata,
    sa.Column("endpoint", sa.Text, primary_key=True),
    sa.Column("watermark", UtcDateTime, nullable=False),
    sa.Column("version", sa.Integer, nullable=False),
    sa.Column("state", Json(dict[str, Any]), nullable=False),
)


class LoopTables:
    """Rows of the loop's tables as values. Thread-safe; methods that end in `_in` join the caller's transaction."""

    def __init__(self, database: Database) -> None:
        self.database = database

    def put_project_in(self, connection: Connection, project: AppliedProject) -> None:
        row = msgspec.structs.asdict(project)
        statement = self.database.insert(projects).values(row)
        connection.execute(statement.on_conflict_do_update(index_elements=["endpoint"], set_=row))

    def project_of(self, endpoint: str) -> AppliedProject:
        with self.database.read() as connection:
            row = connection.execute(sa.select(projects).where(projects.c.endpoint == endpoint)).first()
        if row is None:
            raise NotFoundError(
                f"no applied project declares an endpoint {endpoint!r}",
                hint="Run `ever apply` in the project's folder.",
            )
        return AppliedProject(**row._mapping)

    def list_projects(self) -> list[AppliedProject]:
        with self.database.read() as connection:
            rows = connection.execute(sa.select(projects).order_by(projects.c.endpoint))
            return [AppliedProject(**row._mapping) for row in rows]

    def put_tick(self, endpoint: str, at: datetime) -> None:
        statement = self.database.insert(ticks).values(endpoint=endpoint, at=at).on_conflict_do_nothing()
        with self.database.write() as connection:
            connection.execute(statement)

    def finish_tick(self, outcome: TickOutcome) -> None:
        where = sa.and_(ticks.c.endpoint == outcome.endpoint, ticks.c.at == outcome.at)
        with self.database.write() as connection:
            connection.execute(sa.update(ticks).where(where).values(outcome=outcome))

    def tick_outcome(self, endpoint: str, at: datetime) -> TickOutcome | None:
        query = sa.select(ticks.c.outcome).where(ticks.c.endpoint == endpoint, ticks.c.at == at)
        with self.database.read() as connection:
            outcome: TickOutcome | None = connection.execute(query).scalar_one_or_none()
        return outcome

    def last_tick(self, endpoint: str) -> TickOutcome | None:
        query = sa.select(ticks.c.outcome).where(ticks.c.endpoint == endpoint, ticks.c.outcome.is_not(None))
        with self.database.read() as connection:
            outcome: TickOutcome | None = connection.execute(
                query.order_by(ticks.c.at.desc()).limit(1)
            ).scalar_one_or_none()
        return outcome

    def put_retraining(self, retraining: Retraining) -> Retraining:
        """Keep a retraining as it is asked for, or return the one of that id."""
        row = msgspec.structs.asdict(retraining)
        with self.database.write() as connection:
            connection.execute(self.database.insert(retrainings).values(row).on_conflict_do_nothing())
        kept = self.retraining(retraining.retraining_id)
        if (kept.endpoint, kept.overrides) != (retraining.endpoint, retraining.overrides):
            raise ConflictError(f"retraining {kept.retraining_id!r} was asked for before with other content")
        return kept

    def change_retraining_in(self, connection: Connection, retraining_id: str, **values: Any) -> None:
        where = retrainings.c.retraining_id == retraining_id
        connection.execute(sa.update(retrainings).where(where).values(values))

    def retraining(self, retraining_id: str) -> Retraining:
        with self.database.read() as connection:
            return self.retraining_in(connection, retraining_id)

    def retraining_in(self, connection: Connection, retraining_id: str) -> Retraining:
        query = sa.select(retrainings).where(retrainings.c.retraining_id == retraining_id)
        row = connection.execute(query).first()
        if row is None:
            raise NotFoundError(f"no retraining {retraining_id!r}")
        return Retraining(**row._mapping)

    def list_retrainings(self, endpoint: str) -> list[Retraining]:
        query = sa.select(retrainings).where(retrainings.c.endpoint == endpoint)
        with self.database.read() as connection:
            rows = connection.execute(query.order_by(retrainings.c.at, retrainings.c.retraining_id))
            return [Retraining(**row._mapping) for row in rows]

    def put_challenge_in(self, connection: Connection, challenge: Challenge) -> None:
        row = msgspec.structs.asdict(challenge)
        connection.execute(self.database.insert(challenges).values(row).on_conflict_do_nothing())

    def change_challenge_in(self, connection: Connection, challenge_id: str, **values: Any) -> None:
        where = sa.and_(challenges.c.challenge_id == challenge_id, challenges.c.state == "shadow")
        connection.execute(sa.update(challenges).where(where).values(values))

    def open_challenge(self, endpoint: str) -> Challenge | None:
        with self.database.read() as connection:
            return self.open_challenge_in(connection, endpoint)

    def open_challenge_in(self, connection: Connection, endpoint: str) -> Challenge | None:
        query = sa.select(challenges).where(challenges.c.endpoint == endpoint, challenges.c.state == "shadow")
        row = connection.execute(query).first()
        return Challenge(**row._mapping) if row is not None else None

    def list_challenges(self, endpoint: str) -> list[Challenge]:
        query = sa.select(challenges).where(challenges.c.endpoint == endpoint)
        with self.database.read() as connection:
            rows = connection.execute(query.order_by(challenges.c.started_at, challenges.c.challenge_id))
            return [Challenge(**row._mapping) for row in rows]

    def watch(self, endpoint: str) -> tuple[datetime, int, dict[str, Any]] | None:
        """Return (watermark, watched version, its state) of an endpoint; None before its first tick."""
        with self.database.read() as connection:
            row = connection.execute(sa.select(watches).where(watches.c.endpoint == endpoint)).first()
        return None if row is None else (row.watermark, row.version, row.state)

    def put_watch(self, endpoint: str, watermark: datetime, version: int, state: dict[str, Any]) -> None:
        row = {"endpoint": endpoint, "watermark": watermark, "version": version, "state": state}
        statement = self.database.insert(watches).values(row)
        with self.database.write() as connection:
            connection.execute(statement.on_conflict_do_update(index_elements=["endpoint"], set_=row))


def now() -> datetime:
    return datetime.now(UTC)
