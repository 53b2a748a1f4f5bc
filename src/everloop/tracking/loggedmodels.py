"""Logged models in the database."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from everloop.errors import ConflictError, InvalidError, NotFoundError
from everloop.refs import check_model_id, check_path
from everloop.storage.database import Database, check_text
from everloop.tracking.loggedmodel import LoggedModel, ModelMetric, ModelStatus
from everloop.tracking.metrics import number_of
from everloop.tracking.run import Artifact
from everloop.tracking.search import SqlSearch
from everloop.tracking.tables import (
    logged_model_artifacts,
    logged_model_metrics,
    logged_model_params,
    logged_model_tags,
    logged_models,
    runs,
)
from everloop.tracking.texts import at_or_below, check_key, rows_of

_LATEST = ("logged_at", "step", "is_nan", "value")
_IDENTITY = ("model", "key", "run", "dataset_name", "dataset_digest")


class SqlLoggedModels(SqlSearch):
    """The part of `TrackingStore` that is about logged models. Thread-safe."""

    def create_logged_model(
        self,
        model_id: str,
        experiment_id: str,
        name: str,
        source_run_id: str | None = None,
        model_type: str | None = None,
        params: dict[str, str] | None = None,
        tags: dict[str, str] | None = None,
    ) -> LoggedModel:
        if not name:
            raise InvalidError("a logged model has a name of 1 to 500 characters, and this one is empty")
        now = datetime.now(UTC)
        row = {
            "model_id": check_model_id(model_id),
            "name": check_key(name),
            "source_run_id": source_run_id and check_key(source_run_id),
            "model_type": model_type and check_key(model_type),
            "status": "pending",
            "created_at": now,
            "updated_at": now,
        }
        with self.database.write() as connection:
            home = self._numbered(connection, experiment_id, is_written=True)
            statement = self.database.insert(logged_models).values(experiment_id=int(home.experiment_id), **row)
            if connection.execute(statement.on_conflict_do_nothing()).rowcount:
                number = self._open_model(connection, model_id)
                self._put_model_params(connection, number, model_id, params or {})
                self._put_model_tags(connection, number, tags or {})
            found = self._get_model(connection, model_id)
        if found.experiment_id != home.experiment_id:
            raise ConflictError(f"logged model {model_id} belongs to experiment {found.experiment_id}")
        return found

    def get_logged_model(self, model_id: str) -> LoggedModel:
        with self.database.read() as connection:
            return self._get_model(connection, model_id)

    def finalize_logged_model(
        self, model_id: str, status: ModelStatus, status_message: str | None = None
    ) -> LoggedModel:
        message = status_message and check_text(status_message, "the status message of", model_id)
        with self.database.write() as connection:
            self._change_model(connection, model_id, status=status, status_message=message)
            return self._get_model(connection, model_id)

    def delete_logged_model(self, model_id: str) -> None:
        with self.database.write() as connection:
            number = self._model_row(connection, model_id).number
            alive = sa.and_(logged_models.c.number == number, logged_models.c.deleted_at.is_(None))
            now = datetime.now(UTC)
            connection.execute(sa.update(logged_models).where(alive).values(deleted_at=now, updated_at=now))

    def log_logged_model_params(self, model_id: str, params: dict[str, str]) -> None:
        with self.database.write() as connection:
            number = self._change_model(connection, model_id)
            self._put_model_params(connection, number, model_id, params)

    def tag_logged_model(self, model_id: str, tags: dict[str, str]) -> None:
        with self.database.write() as connection:
            self._put_model_tags(connection, self._change_model(connection, model_id), tags)

    def untag_logged_model(self, model_id: str, key: str) -> None:
        with self.database.write() as connection:
            number = self._change_model(connection, model_id)
            tag = sa.and_(logged_model_tags.c.model == number, logged_model_tags.c.key == key)
            if not connection.execute(sa.delete(logged_model_tags).where(tag)).rowcount:
                raise NotFoundError(f"logged model {model_id} has no tag {key[:100]!r}")

    def log_model_artifact(self, model_id: str, path: str, digest: str, size_bytes: int) -> Artifact:
        path = check_key(check_path(path, "artifact path"))
        content = {"digest": digest, "size_bytes": size_bytes}
        with self.database.write() as connection:
            number = self._open_model(connection, model_id)
            statement = self.database.insert(logged_model_artifacts).values(model=number, path=path, **content)
            connection.execute(statement.on_conflict_do_update(index_elements=["model", "path"], set_=content))
        return Artifact(path=path, digest=digest, size_bytes=size_bytes)

    def remove_model_artifacts(self, model_id: str, path: str) -> None:
        path = check_path(path, "artifact path")
        with self.database.write() as connection:
            mine = logged_model_artifacts.c.model == self._model_row(connection, model_id).number
            connection.execute(
                sa.delete(logged_model_artifacts).where(mine, at_or_below(logged_model_artifacts.c.path, path))
            )

    def list_model_artifacts(self, model_id: str, path: str = "") -> list[Artifact]:
        query = sa.select(logged_model_artifacts).order_by(logged_model_artifacts.c.path)
        if path:
            query = query.where(at_or_below(logged_model_artifacts.c.path, check_path(path, "artifact path")))
        with self.database.read() as connection:
            number = self._model_row(connection, model_id).number
            rows = connection.execute(query.where(logged_model_artifacts.c.model == number))
            return [Artifact(path=row.path, digest=row.digest, size_bytes=row.size_bytes) for row in rows]

    # --- for those who log

    def _put_model_metrics(self, connection: Connection, run: int, given: Sequence[ModelMetric]) -> None:
        """Store what a run measured of models, where it is later than what is stored."""
        numbers = {each: self._model_row(connection, each).number for each in sorted({m.model_id for m in given})}
        rows = sorted(
            (_to_row(each, run, numbers[each.model_id]) for each in given),
            key=lambda row: [row[name] for name in (*_IDENTITY, *_LATEST)],
        )
        newest = {tuple(row[name] for name in _IDENTITY): row for row in rows}
        statement = self.database.insert(logged_model_metrics)
        new, old = statement.excluded, logged_model_metrics.c
        statement = statement.on_conflict_do_update(
            index_elements=list(_IDENTITY),
            set_={name: new[name] for name in _LATEST},
            where=sa.tuple_(*(new[name] for name in _LATEST)) > sa.tuple_(*(old[name] for name in _LATEST)),
        )
        connection.execute(statement, list(newest.values()))

    def _model_row(self, connection: Connection, model_id: str) -> Any:
        row = connection.execute(sa.select(logged_models).where(logged_models.c.model_id == model_id)).first()
        if row is None:
            raise NotFoundError(f"no logged model {model_id[:100]!r}")
        return row

    def _open_model(self, connection: Connection, model_id: str) -> int:
        """Return the number of a model that may be changed."""
        row = self._model_row(connection, model_id)
        if row.deleted_at is not None:
            raise InvalidError(f"logged model {model_id} is deleted, and nothing can be added to it")
        return int(row.number)

    def _change_model(self, connection: Connection, model_id: str, **values: Any) -> int:
        number = self._open_model(connection, model_id)
        change = sa.update(logged_models).where(logged_models.c.number == number)
        connection.execute(change.values(updated_at=datetime.now(UTC), **values))
        return number

    def _get_model(self, connection: Connection, model_id: str) -> LoggedModel:
        return assemble_models(self.database, connection, [self._model_row(connection, model_id)])[0]

    def _put_model_params(self, connection: Connection, number: int, model_id: str, values: Mapping[str, str]) -> None:
        if not values:
            return
        rows = rows_of(number, values, "model")
        connection.execute(self.database.insert(logged_model_params).on_conflict_do_nothing(), rows)
        mine = logged_model_params.c.model == number
        among = self.database.among(logged_model_params.c.key, list(values))
        for row in connection.execute(sa.select(logged_model_params).where(mine, among)):
            if row.value != values[row.key]:
                raise ConflictError(
                    f"param {row.key!r} of logged model {model_id} is {row.value!r}"
                    f" and cannot become {values[row.key]!r}",
                    hint="Params never change; log another model, or set a tag.",
                )

    def _put_model_tags(self, connection: Connection, number: int, values: Mapping[str, str]) -> None:
        if not values:
            return
        statement = self.database.insert(logged_model_tags)
        new = statement.excluded
        statement = statement.on_conflict_do_update(
            index_elements=["model", "key"], set_={"value": new.value, "head": new.head}
        )
        connection.execute(statement, rows_of(number, values, "model"))


def assemble_models(database: Database, connection: Connection, rows: Sequence[Any]) -> list[LoggedModel]:
    """Return the models of some rows of `logged_models`, in their order: three queries, however many they are."""
    numbers = [row.number for row in rows]
    texts: dict[str, dict[int, dict[str, str]]] = {}
    for table in (logged_model_params, logged_model_tags):
        found: dict[int, dict[str, str]] = {number: {} for number in numbers}
        query = sa.select(table.c.model, table.c.key, table.c.value).order_by(table.c.model, table.c.key)
        for model, key, value in connection.execute(query.where(database.among(table.c.model, numbers))):
            found[model][key] = value
        texts[table.name] = found
    ids = {row.number: row.model_id for row in rows}
    metrics: dict[int, list[ModelMetric]] = {number: [] for number in numbers}
    metric = logged_model_metrics.c
    joined = sa.select(logged_model_metrics, runs.c.run_id).join(runs, runs.c.number == metric.run)
    ordered = joined.order_by(metric.model, metric.key, runs.c.run_id, metric.dataset_name, metric.dataset_digest)
    for row in connection.execute(ordered.where(database.among(metric.model, numbers))):
        metrics[row.model].append(
            ModelMetric(
                model_id=ids[row.model],
                run_id=row.run_id,
                key=row.key,
                value=number_of(row.value, row.is_nan),
                step=row.step,
                logged_at=row.logged_at,
                dataset_name=row.dataset_name,
                dataset_digest=row.dataset_digest,
            )
        )
    return [
        LoggedModel(
            model_id=row.model_id,
            experiment_id=str(row.experiment_id),
            name=row.name,
            model_type=row.model_type,
            source_run_id=row.source_run_id,
            status=row.status,
            status_message=row.status_message,
            created_at=row.created_at,
            updated_at=row.updated_at,
            is_deleted=row.deleted_at is not None,
            params=texts["logged_model_params"][row.number],
            tags=texts["logged_model_tags"][row.number],
            metrics=metrics[row.number],
        )
        for row in rows
    ]


def _to_row(point: ModelMetric, run: int, model: int) -> dict[str, Any]:
    value = float(point.value)
    is_nan = math.isnan(value)
    return {
        "model": model,
        "key": check_key(point.key),
        "run": run,
        "dataset_name": check_key(point.dataset_name),
        "dataset_digest": check_key(point.dataset_digest),
        "step": point.step,
        "logged_at": point.logged_at,
        "value": 0.0 if is_nan else value,
        "is_nan": is_nan,
    }
