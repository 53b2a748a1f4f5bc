"""The tracking room's store on SQLite and PostgreSQL."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from everloop.errors import ConflictError, InvalidError, NotFoundError
from everloop.refs import check_name, check_path, check_run_id
from everloop.storage.database import Database, check_text
from everloop.tracking.assembly import JOINED, RUN_COLUMNS, assemble
from everloop.tracking.inputs import put_inputs, put_models
from everloop.tracking.loggedmodel import ModelMetric
from everloop.tracking.metrics import Points, read_history, read_sample
from everloop.tracking.modelsearch import SqlModelSearch
from everloop.tracking.run import Artifact, Edge, Experiment, History, Input, Metric, ModelOutput, Run, Status
from everloop.tracking.tables import artifacts, edges, params, runs, sources, tags
from everloop.tracking.texts import at_or_below, check_key, rows_of


class SqlTracking(SqlModelSearch):
    """`TrackingStore` on a database. Thread-safe."""

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        self._points = Points(database)
        to_tags = database.insert(tags)
        new = to_tags.excluded
        self._to_tags = to_tags.on_conflict_do_update(
            index_elements=["run", "key"], set_={"value": new.value, "head": new.head}
        )
        self._to_params = database.insert(params).on_conflict_do_nothing()

    def create_run(
        self,
        run_id: str,
        experiment: str,
        name: str = "",
        started_at: datetime | None = None,
        tags: dict[str, str] | None = None,
    ) -> Run:
        with self.database.write() as connection:
            self._make(connection, experiment)
            found = self._named(connection, experiment)
            if found.is_deleted:
                raise ConflictError(
                    f"experiment {experiment!r} is deleted",
                    hint=f"Restore the experiment with the id {found.experiment_id}, or take another name.",
                )
            return self._start(connection, run_id, found, name, started_at, tags)

    def start_run(
        self,
        run_id: str,
        experiment_id: str,
        name: str = "",
        started_at: datetime | None = None,
        tags: dict[str, str] | None = None,
    ) -> Run:
        with self.database.write() as connection:
            found = self._numbered(connection, experiment_id, is_written=True)
            return self._start(connection, run_id, found, name, started_at, tags)

    def get_run(self, run_id: str) -> Run:
        with self.database.read() as connection:
            return self._get(connection, run_id)

    def update_run(
        self, run_id: str, status: Status | None = None, ended_at: datetime | None = None, name: str | None = None
    ) -> Run:
        given = {"status": status, "ended_at": ended_at, "name": name and check_text(name, "the name of run", run_id)}
        changes: dict[str, Any] = {key: value for key, value in given.items() if value is not None}
        if status in _GOING_ON:
            changes["ended_at"] = None
        with self.database.write() as connection:
            number = self._open(connection, run_id)
            if changes:
                connection.execute(sa.update(runs).where(runs.c.number == number).values(changes))
            return self._get(connection, run_id)

    def delete_run(self, run_id: str) -> None:
        with self.database.write() as connection:
            alive = sa.and_(runs.c.number == self._number(connection, run_id), runs.c.deleted_at.is_(None))
            connection.execute(sa.update(runs).where(alive).values(deleted_at=datetime.now(UTC)))

    def restore_run(self, run_id: str) -> None:
        with self.database.write() as connection:
            mine = runs.c.number == self._number(connection, run_id)
            connection.execute(sa.update(runs).where(mine).values(deleted_at=None))

    def log(
        self,
        run_id: str,
        metrics: list[Metric] | None = None,
        params: dict[str, str] | None = None,
        tags: dict[str, str] | None = None,
        model_metrics: list[ModelMetric] | None = None,
    ) -> None:
        with self.database.write() as connection:
            run = self._open(connection, run_id)
            self._put(connection, run, run_id, metrics, params, tags)
            if model_metrics:
                self._put_model_metrics(connection, run, model_metrics)

    def untag_run(self, run_id: str, key: str) -> None:
        with self.database.write() as connection:
            tag = sa.and_(tags.c.run == self._open(connection, run_id), tags.c.key == key)
            if not connection.execute(sa.delete(tags).where(tag)).rowcount:
                raise NotFoundError(f"run {run_id} has no tag {key!r}")

    def log_inputs(self, run_id: str, inputs: list[Input], models: list[str] | None = None) -> None:
        with self.database.write() as connection:
            number = self._open(connection, run_id)
            if inputs:
                put_inputs(self.database, connection, number, inputs)
            put_models(self.database, connection, number, ((False, model, 0) for model in models or ()))

    def log_outputs(self, run_id: str, models: list[ModelOutput]) -> None:
        with self.database.write() as connection:
            made = ((True, each.model_id, each.step) for each in models)
            put_models(self.database, connection, self._open(connection, run_id), made)

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
            try:
                run = self._open(connection, run_id)
            except InvalidError as error:
                # Nothing is wrong with the entries: who tells them keeps them until the run is restored.
                raise ConflictError(error.message, hint=error.hint) from error
            stored = self._advance(connection, run, source, after, upto)
            if stored is not None:
                return stored
            self._put(connection, run, run_id, metrics, params, tags)
            for artifact in sorted(artifacts or [], key=lambda each: each.path):
                self._put_artifact(connection, run, artifact)
            self._put_edges(connection, edges or [])
        return upto

    def metric_history(self, run_id: str, key: str, limit: int | None = None, after: str = "") -> History:
        with self.database.read() as connection:
            return read_history(connection, self._number(connection, run_id), key, limit, after)

    def sample_metric(
        self, run_id: str, key: str, limit: int, first_step: int | None = None, last_step: int | None = None
    ) -> list[Metric]:
        with self.database.read() as connection:
            return read_sample(connection, self._number(connection, run_id), key, limit, first_step, last_step)

    def finish_run(self, run_id: str, status: Status = "finished", ended_at: datetime | None = None) -> Run:
        if status in _GOING_ON:
            raise InvalidError(f"asked to end run {run_id} as {status}", hint="End it as finished, failed or killed.")
        with self.database.write() as connection:
            # The condition is part of the change, so that of two who end a run at once the second sees the first.
            goes_on = sa.and_(runs.c.run_id == run_id, runs.c.status.in_(_GOING_ON))
            change = {"status": status, "ended_at": ended_at or datetime.now(UTC)}
            connection.execute(sa.update(runs).where(goes_on).values(change))
            found = self._get(connection, run_id)
        if found.status != status:
            raise ConflictError(f"asked to end run {run_id} as {status}, but it ended as {found.status}")
        return found

    def log_artifact(self, run_id: str, path: str, digest: str, size_bytes: int) -> Artifact:
        with self.database.write() as connection:
            run = self._open(connection, run_id)
            return self._put_artifact(connection, run, Artifact(path=path, digest=digest, size_bytes=size_bytes))

    def remove_artifacts(self, run_id: str, path: str) -> None:
        path = check_path(path, "artifact path")
        with self.database.write() as connection:
            mine = artifacts.c.run == self._number(connection, run_id)
            connection.execute(sa.delete(artifacts).where(mine, at_or_below(artifacts.c.path, path)))

    def list_artifacts(self, run_id: str, path: str = "") -> list[Artifact]:
        query = sa.select(artifacts).order_by(artifacts.c.path)
        if path:
            query = query.where(at_or_below(artifacts.c.path, check_path(path, "artifact path")))
        with self.database.read() as connection:
            rows = connection.execute(query.where(artifacts.c.run == self._number(connection, run_id)))
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

    def _start(
        self,
        connection: Connection,
        run_id: str,
        experiment: Experiment,
        name: str,
        started_at: datetime | None,
        tags: dict[str, str] | None,
    ) -> Run:
        row = {
            "run_id": check_run_id(run_id),
            "experiment_id": int(experiment.experiment_id),
            "name": check_text(name, "the name of run", run_id) or run_id[:8],
            "status": "running",
            "started_at": started_at or datetime.now(UTC),
        }
        made = connection.execute(self.database.insert(runs).values(row).on_conflict_do_nothing())
        if made.rowcount and tags:
            self._put_tags(connection, self._number(connection, run_id), tags)
        found = self._get(connection, run_id)
        if found.experiment_id != experiment.experiment_id:
            raise ConflictError(f"run {run_id} belongs to experiment {found.experiment!r}, not to {experiment.name!r}")
        return found

    def _number(self, connection: Connection, run_id: str) -> int:
        number: int | None = connection.execute(_STATE, {"of_id": run_id}).scalar()
        if number is None:
            raise _no_run(run_id)
        return number

    def _open(self, connection: Connection, run_id: str) -> int:
        """Return the number of a run that may be added to."""
        row = connection.execute(_STATE, {"of_id": run_id}).first()
        if row is None:
            raise _no_run(run_id)
        if row.deleted_at is not None:
            raise InvalidError(f"run {run_id} is deleted, and nothing can be added to it", hint="Restore it first.")
        return int(row.number)

    def _get(self, connection: Connection, run_id: str) -> Run:
        row = connection.execute(_WHOLE, {"of_id": run_id}).first()
        if row is None:
            raise _no_run(run_id)
        return assemble(self.database, connection, [row])[0]

    def _advance(self, connection: Connection, run: int, source: str, after: int, upto: int) -> int | None:
        """Move a source on; when it is elsewhere, or has nowhere to go, return where it is."""
        row = {"run": run, "source": source, "stored": 0}
        connection.execute(self.database.insert(sources).values(row).on_conflict_do_nothing())
        mine = sa.and_(sources.c.run == run, sources.c.source == source)
        # The condition is part of the change, so that of two who send the same the second finds it done.
        moved = connection.execute(sa.update(sources).where(mine, sources.c.stored == after).values(stored=upto))
        if moved.rowcount and after < upto:
            return None
        return int(connection.execute(sa.select(sources.c.stored).where(mine)).scalar_one())

    def _put(
        self,
        connection: Connection,
        run: int,
        run_id: str,
        metrics: list[Metric] | None,
        params: dict[str, str] | None,
        tags: dict[str, str] | None,
    ) -> None:
        if params:
            self._put_params(connection, run, run_id, params)
        if tags:
            self._put_tags(connection, run, tags)
        if metrics:
            self._points.put(connection, run, metrics)

    def _put_artifact(self, connection: Connection, run: int, artifact: Artifact) -> Artifact:
        artifact = msgspec.structs.replace(artifact, path=check_key(check_path(artifact.path, "artifact path")))
        content = {"digest": artifact.digest, "size_bytes": artifact.size_bytes}
        statement = self.database.insert(artifacts).values(run=run, path=artifact.path, **content)
        connection.execute(statement.on_conflict_do_update(index_elements=["run", "path"], set_=content))
        return artifact

    def _put_edges(self, connection: Connection, edges: list[Edge]) -> None:
        if edges:
            rows = sorted(map(msgspec.structs.asdict, edges), key=lambda row: list(row.values()))
            connection.execute(self.database.insert(_edges).on_conflict_do_nothing(), rows)

    def _put_params(self, connection: Connection, run: int, run_id: str, values: dict[str, str]) -> None:
        connection.execute(self._to_params, rows_of(run, values))
        query = sa.select(params).where(params.c.run == run, self.database.among(params.c.key, list(values)))
        for row in connection.execute(query):
            if row.value != values[row.key]:
                raise ConflictError(
                    f"param {row.key!r} of run {run_id} is {row.value!r} and cannot become {values[row.key]!r}",
                    hint="Params never change; start a new run, or log a tag.",
                )

    def _put_tags(self, connection: Connection, run: int, values: dict[str, str]) -> None:
        connection.execute(self._to_tags, rows_of(run, values))


def _no_run(run_id: str) -> NotFoundError:
    return NotFoundError(f"no run {run_id[:100]!r}", hint="`ever run list` shows the runs.")


_edges = edges  # the methods have arguments of the same name
_GOING_ON = ("running", "scheduled")
_STATE = sa.select(runs.c.number, runs.c.deleted_at).where(runs.c.run_id == sa.bindparam("of_id"))
_WHOLE = sa.select(*RUN_COLUMNS).select_from(JOINED).where(runs.c.run_id == sa.bindparam("of_id"))
