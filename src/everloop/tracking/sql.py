"""The tracking room's tables, and its store on SQLite and PostgreSQL."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from everloop.errors import ConflictError, InvalidError, NotFoundError
from everloop.refs import check_name, check_path, check_run_id
from everloop.storage.database import Database, UtcDateTime
from everloop.tracking.run import Artifact, Edge, Experiment, Metric, Number, Run, Status, as_number

metadata = sa.MetaData()

experiments = sa.Table(
    "experiments",
    metadata,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("created_at", UtcDateTime, nullable=False),
)
runs = sa.Table(
    "runs",
    metadata,
    sa.Column("run_id", sa.Text, primary_key=True),
    sa.Column("experiment", sa.Text, sa.ForeignKey("experiments.name"), nullable=False),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("status", sa.Text, nullable=False),
    sa.Column("started_at", UtcDateTime, nullable=False),
    sa.Column("ended_at", UtcDateTime),
    sa.Index("runs_by_experiment", "experiment", "started_at"),
)
params = sa.Table(
    "params",
    metadata,
    sa.Column("run_id", sa.Text, sa.ForeignKey("runs.run_id"), primary_key=True),
    sa.Column("key", sa.Text, primary_key=True),
    sa.Column("value", sa.Text, nullable=False),
)
tags = sa.Table(
    "tags",
    metadata,
    sa.Column("run_id", sa.Text, sa.ForeignKey("runs.run_id"), primary_key=True),
    sa.Column("key", sa.Text, primary_key=True),
    sa.Column("value", sa.Text, nullable=False),
)
_POINT = ("step", "logged_at", "is_nan", "value")  # the order of a metric's points
metrics = sa.Table(
    "metrics",
    metadata,
    sa.Column("run_id", sa.Text, sa.ForeignKey("runs.run_id"), primary_key=True),
    sa.Column("key", sa.Text, primary_key=True),
    sa.Column("step", sa.BigInteger, primary_key=True),
    sa.Column("logged_at", UtcDateTime, primary_key=True),
    sa.Column("value", sa.Double, primary_key=True),
    # Neither database orders NaN as IEEE 754 does, so it is kept beside the value, which is then 0.
    sa.Column("is_nan", sa.Boolean, primary_key=True),
)
latest_metrics = sa.Table(
    "latest_metrics",
    metadata,
    sa.Column("run_id", sa.Text, sa.ForeignKey("runs.run_id"), primary_key=True),
    sa.Column("key", sa.Text, primary_key=True),
    sa.Column("step", sa.BigInteger, nullable=False),
    sa.Column("logged_at", UtcDateTime, nullable=False),
    sa.Column("value", sa.Double, nullable=False),
    sa.Column("is_nan", sa.Boolean, nullable=False),
)
artifacts = sa.Table(
    "artifacts",
    metadata,
    sa.Column("run_id", sa.Text, sa.ForeignKey("runs.run_id"), primary_key=True),
    sa.Column("path", sa.Text, primary_key=True),
    sa.Column("digest", sa.Text, nullable=False),
    sa.Column("size_bytes", sa.BigInteger, nullable=False),
)
sources = sa.Table(
    "sources",
    metadata,
    sa.Column("run_id", sa.Text, sa.ForeignKey("runs.run_id"), primary_key=True),
    sa.Column("source", sa.Text, primary_key=True),
    sa.Column("stored", sa.BigInteger, nullable=False),
)
edges = sa.Table(
    "edges",
    metadata,
    sa.Column("source", sa.Text, primary_key=True),
    sa.Column("relation", sa.Text, primary_key=True),
    sa.Column("target", sa.Text, primary_key=True),
    sa.Index("edges_by_target", "target"),
)


class SqlTracking:
    """`TrackingStore` on a database. Thread-safe."""

    def __init__(self, database: Database) -> None:
        self.database = database

    def create_experiment(self, name: str) -> Experiment:
        check_name(name, "experiment")
        with self.database.write() as connection:
            self._ensure_experiment(connection, name)
            row = connection.execute(sa.select(experiments).where(experiments.c.name == name)).one()
        return Experiment(name=row.name, created_at=row.created_at)

    def list_experiments(self) -> list[Experiment]:
        with self.database.read() as connection:
            rows = connection.execute(sa.select(experiments).order_by(experiments.c.created_at, experiments.c.name))
            return [Experiment(name=row.name, created_at=row.created_at) for row in rows]

    def create_run(
        self,
        run_id: str,
        experiment: str,
        name: str = "",
        started_at: datetime | None = None,
        tags: dict[str, str] | None = None,
    ) -> Run:
        check_run_id(run_id)
        check_name(experiment, "experiment")
        row = {
            "run_id": run_id,
            "experiment": experiment,
            "name": name or run_id[:8],
            "status": "running",
            "started_at": started_at or datetime.now(UTC),
        }
        with self.database.write() as connection:
            self._ensure_experiment(connection, experiment)
            made = connection.execute(self.database.insert(runs).values(row).on_conflict_do_nothing())
            if made.rowcount and tags:
                self._put_tags(connection, run_id, tags)
            found = self._get(connection, run_id)
            if found.experiment != experiment:
                raise ConflictError(f"run {run_id} belongs to experiment {found.experiment!r}, not to {experiment!r}")
        return found

    def get_run(self, run_id: str) -> Run:
        with self.database.read() as connection:
            return self._get(connection, run_id)

    def search_runs(self, experiment: str | None = None, status: Status | None = None, limit: int = 100) -> list[Run]:
        query = sa.select(runs).order_by(runs.c.started_at.desc(), runs.c.run_id).limit(limit)
        if experiment is not None:
            query = query.where(runs.c.experiment == experiment)
        if status is not None:
            query = query.where(runs.c.status == status)
        with self.database.read() as connection:
            return self._assemble(connection, connection.execute(query).all())

    def log(
        self,
        run_id: str,
        metrics: list[Metric] | None = None,
        params: dict[str, str] | None = None,
        tags: dict[str, str] | None = None,
    ) -> None:
        with self.database.write() as connection:
            self._require(connection, run_id)
            self._put(connection, run_id, metrics, params, tags)

    def append(
        self,
        run_id: str,
        source: str,
        after: int,
        upto: int,
        metrics: list[Metric] | None = None,
        params: dict[str, str] | None = None,
        tags: dict[str, str] | None = None,
        artifacts: list[Artifact] | None = None,
        edges: list[Edge] | None = None,
    ) -> int:
        check_name(source, "source")
        if not 0 <= after <= upto < 1 << 63:
            raise InvalidError(f"asked to store the entries {after + 1} to {upto} of {source}")
        with self.database.write() as connection:
            self._require(connection, run_id)
            stored = self._advance(connection, run_id, source, after, upto)
            if stored is not None:
                return stored
            self._put(connection, run_id, metrics, params, tags)
            for artifact in sorted(artifacts or [], key=lambda each: each.path):
                self._put_artifact(connection, run_id, artifact)
            self._put_edges(connection, edges or [])
        return upto

    def metric_history(self, run_id: str, key: str) -> list[Metric]:
        query = (
            sa.select(metrics)
            .where(metrics.c.run_id == run_id, metrics.c.key == key)
            .order_by(*(metrics.c[name] for name in _POINT))
        )
        with self.database.read() as connection:
            self._require(connection, run_id)
            return [
                Metric(key=row.key, value=_from_column(row), step=row.step, logged_at=row.logged_at)
                for row in connection.execute(query)
            ]

    def finish_run(self, run_id: str, status: Status = "finished", ended_at: datetime | None = None) -> Run:
        if status == "running":
            raise InvalidError(f"asked to end run {run_id} as running", hint="End it as finished, failed or killed.")
        with self.database.write() as connection:
            # The condition is part of the change, so that of two who end a run at once the second sees the first.
            still_running = sa.and_(runs.c.run_id == run_id, runs.c.status == "running")
            change = {"status": status, "ended_at": ended_at or datetime.now(UTC)}
            connection.execute(sa.update(runs).where(still_running).values(change))
            found = self._get(connection, run_id)
        if found.status != status:
            raise ConflictError(f"asked to end run {run_id} as {status}, but it ended as {found.status}")
        return found

    def log_artifact(self, run_id: str, path: str, digest: str, size_bytes: int) -> Artifact:
        with self.database.write() as connection:
            self._require(connection, run_id)
            return self._put_artifact(connection, run_id, Artifact(path=path, digest=digest, size_bytes=size_bytes))

    def list_artifacts(self, run_id: str) -> list[Artifact]:
        query = sa.select(artifacts).where(artifacts.c.run_id == run_id).order_by(artifacts.c.path)
        with self.database.read() as connection:
            self._require(connection, run_id)
            rows = connection.execute(query)
            return [Artifact(path=row.path, digest=row.digest, size_bytes=row.size_bytes) for row in rows]

    def link(self, edges: list[Edge]) -> None:
        if not edges:
            return
        with self.database.write() as connection:
            self._put_edges(connection, edges)

    def edges_of(self, address: str) -> list[Edge]:
        query = sa.select(_edges).where(sa.or_(_edges.c.source == address, _edges.c.target == address))
        with self.database.read() as connection:
            rows = connection.execute(query.order_by(_edges.c.source, _edges.c.relation, _edges.c.target))
            return [Edge(source=row.source, relation=row.relation, target=row.target) for row in rows]

    def _ensure_experiment(self, connection: Connection, name: str) -> None:
        row = {"name": name, "created_at": datetime.now(UTC)}
        connection.execute(self.database.insert(experiments).values(row).on_conflict_do_nothing())

    def _require(self, connection: Connection, run_id: str) -> None:
        if connection.execute(sa.select(runs.c.run_id).where(runs.c.run_id == run_id)).first() is None:
            raise NotFoundError(f"no run {run_id!r}", hint="`ever run list` shows the runs.")

    def _get(self, connection: Connection, run_id: str) -> Run:
        row = connection.execute(sa.select(runs).where(runs.c.run_id == run_id)).first()
        if row is None:
            raise NotFoundError(f"no run {run_id!r}", hint="`ever run list` shows the runs.")
        return self._assemble(connection, [row])[0]

    def _assemble(self, connection: Connection, rows: Sequence[sa.Row[Any]]) -> list[Run]:
        ids = [row.run_id for row in rows]
        found_params = _by_run(connection, params, ids, lambda row: row.value)
        found_tags = _by_run(connection, tags, ids, lambda row: row.value)
        found_metrics = _by_run(connection, latest_metrics, ids, _from_column)
        return [
            Run(
                run_id=row.run_id,
                experiment=row.experiment,
                name=row.name,
                status=row.status,
                started_at=row.started_at,
                ended_at=row.ended_at,
                params=found_params[row.run_id],
                metrics=found_metrics[row.run_id],
                tags=found_tags[row.run_id],
            )
            for row in rows
        ]

    def _advance(self, connection: Connection, run_id: str, source: str, after: int, upto: int) -> int | None:
        """Move a source on; when it is elsewhere, or has nowhere to go, return where it is."""
        row = {"run_id": run_id, "source": source, "stored": 0}
        connection.execute(self.database.insert(sources).values(row).on_conflict_do_nothing())
        mine = sa.and_(sources.c.run_id == run_id, sources.c.source == source)
        # The condition is part of the change, so that of two who send the same the second finds it done.
        moved = connection.execute(sa.update(sources).where(mine, sources.c.stored == after).values(stored=upto))
        if moved.rowcount and after < upto:
            return None
        return int(connection.execute(sa.select(sources.c.stored).where(mine)).scalar_one())

    def _put(
        self,
        connection: Connection,
        run_id: str,
        metrics: list[Metric] | None,
        params: dict[str, str] | None,
        tags: dict[str, str] | None,
    ) -> None:
        if params:
            self._put_params(connection, run_id, params)
        if tags:
            self._put_tags(connection, run_id, tags)
        if metrics:
            self._put_metrics(connection, run_id, metrics)

    def _put_artifact(self, connection: Connection, run_id: str, artifact: Artifact) -> Artifact:
        artifact = msgspec.structs.replace(artifact, path=check_path(artifact.path, "artifact path"))
        content = {"digest": artifact.digest, "size_bytes": artifact.size_bytes}
        statement = self.database.insert(artifacts).values(run_id=run_id, path=artifact.path, **content)
        connection.execute(statement.on_conflict_do_update(index_elements=["run_id", "path"], set_=content))
        return artifact

    def _put_edges(self, connection: Connection, edges: list[Edge]) -> None:
        if edges:
            rows = sorted(map(msgspec.structs.asdict, edges), key=lambda row: list(row.values()))
            connection.execute(self.database.insert(_edges).on_conflict_do_nothing(), rows)

    def _put_params(self, connection: Connection, run_id: str, values: dict[str, str]) -> None:
        connection.execute(self.database.insert(params).on_conflict_do_nothing(), _to_rows(run_id, values))
        query = sa.select(params).where(params.c.run_id == run_id, params.c.key.in_(list(values)))
        for row in connection.execute(query):
            if row.value != values[row.key]:
                raise ConflictError(
                    f"param {row.key!r} of run {run_id} is {row.value!r} and cannot become {values[row.key]!r}",
                    hint="Params never change; start a new run, or log a tag.",
                )

    def _put_tags(self, connection: Connection, run_id: str, values: dict[str, str]) -> None:
        statement = self.database.insert(tags)
        statement = statement.on_conflict_do_update(
            index_elements=["run_id", "key"], set_={"value": statement.excluded.value}
        )
        connection.execute(statement, _to_rows(run_id, values))

    def _put_metrics(self, connection: Connection, run_id: str, points: Iterable[Metric]) -> None:
        rows = sorted((_to_row(run_id, point) for point in points), key=_place)
        connection.execute(self.database.insert(metrics).on_conflict_do_nothing(), rows)
        newest = {row["key"]: row for row in rows}
        statement = self.database.insert(latest_metrics)
        new, old = statement.excluded, latest_metrics.c
        statement = statement.on_conflict_do_update(
            index_elements=["run_id", "key"],
            set_={name: new[name] for name in _POINT},
            where=sa.tuple_(*(new[name] for name in _POINT)) > sa.tuple_(*(old[name] for name in _POINT)),
        )
        connection.execute(statement, list(newest.values()))


_edges = edges  # the methods have arguments of the same name


# Rows are written in one order everywhere: two writers that want the same rows then wait for each other in turn, where
# PostgreSQL would otherwise find them in a deadlock and end one.
def _to_rows(run_id: str, values: dict[str, str]) -> list[dict[str, str]]:
    return [{"run_id": run_id, "key": key, "value": value} for key, value in sorted(values.items())]


def _place(row: dict[str, Any]) -> list[Any]:
    return [row[name] for name in ("key", *_POINT)]


def _to_row(run_id: str, point: Metric) -> dict[str, Any]:
    value = float(point.value)
    is_nan = math.isnan(value)
    row = {"run_id": run_id, "key": point.key, "step": point.step, "logged_at": point.logged_at}
    return row | {"value": 0.0 if is_nan else value, "is_nan": is_nan}


def _from_column(row: Any) -> Number:
    return "NaN" if row.is_nan else as_number(float(row.value))


def _by_run(connection: Connection, table: sa.Table, ids: list[str], value: Any) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = defaultdict(dict)
    for row in connection.execute(sa.select(table).where(table.c.run_id.in_(ids)).order_by(table.c.key)):
        found[row.run_id][row.key] = value(row)
    return found
