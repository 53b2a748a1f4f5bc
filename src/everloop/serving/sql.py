"""Serving's store on SQLite and PostgreSQL: deployments, labels and single predictions.

The captures, many at a time, are in `log.py`; the tables of both in `tables.py`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from everloop import refs
from everloop.access import Decision
from everloop.access.sql import SqlLedger
from everloop.errors import ConflictError, EverloopError, InvalidError, NotFoundError
from everloop.serving.deployment import Deployment
from everloop.serving.log import SqlPredictionLog
from everloop.serving.prediction import (
    Counts,
    Explanation,
    Feedback,
    Label,
    LabelFailure,
    split_prediction_id,
    unpack,
)
from everloop.serving.tables import captures, chunks, deployments, endpoints
from everloop.serving.tables import labels as labels_table
from everloop.storage.database import Database


class SqlServing(SqlPredictionLog):
    """`ServingStore` and `PredictionLog` on a database; each change of traffic is an entry of `ledger`. Thread-safe."""

    def __init__(self, database: Database, ledger: SqlLedger) -> None:
        super().__init__(database)
        self.ledger = ledger

    def deploy(
        self,
        endpoint: str,
        expected_revision: int,
        model: str,
        champion: int,
        shadows: tuple[int, ...] = (),
        reason: str = "",
        actor: str = "",
    ) -> Deployment:
        with self.database.write() as connection:
            return self.deploy_in(
                connection, endpoint, expected_revision, model, champion, shadows=shadows, reason=reason, actor=actor
            )

    def deploy_in(
        self,
        connection: Connection,
        endpoint: str,
        expected_revision: int,
        model: str,
        champion: int,
        *,
        shadows: tuple[int, ...] = (),
        reason: str = "",
        actor: str = "",
    ) -> Deployment:
        """Do what `deploy` does inside the caller's write transaction, as a promotion does together with its alias."""
        refs.check_name(endpoint, "endpoint")
        refs.check_name(model, "model")
        shadows = tuple(dict.fromkeys(shadows))
        if champion in shadows:
            raise InvalidError(f"version {champion} of {model!r} cannot be champion and shadow of {endpoint!r} at once")
        current = self.deployment_in(connection, endpoint)
        made = Deployment(
            endpoint=endpoint,
            model=model,
            champion=champion,
            revision=expected_revision + 1,
            changed_at=datetime.now(UTC),
            previous=_previous(current, model, champion),
            shadows=shadows,
            reason=reason,
            actor=actor,
        )
        found = 0 if current is None else current.revision
        if found == expected_revision + 1 and current is not None and _same(current, made):
            return current
        if found != expected_revision:
            raise ConflictError(
                f"endpoint {endpoint!r} is at revision {found}, not at {expected_revision} as expected",
                hint="Someone changed it meanwhile; look again and repeat.",
            )
        bump = sa.update(endpoints).where(endpoints.c.endpoint == endpoint).values(revision=made.revision)
        connection.execute(bump)
        connection.execute(sa.insert(deployments).values(msgspec.structs.asdict(made)))
        self.ledger.record_in(connection, _decision(made))
        return made

    def deployment_in(self, connection: Connection, endpoint: str) -> Deployment | None:
        """Return what an endpoint serves now, None when it does not exist, and hold it until the transaction ends.

        Captures and other deployments of the endpoint wait meanwhile.
        """
        start = {"endpoint": endpoint, "revision": 0}
        connection.execute(self.database.insert(endpoints).values(start).on_conflict_do_nothing())
        connection.execute(sa.select(endpoints).where(endpoints.c.endpoint == endpoint).with_for_update()).one()
        row = connection.execute(_CURRENT.where(deployments.c.endpoint == endpoint)).first()
        return None if row is None else _deployment(row)

    def uses_in(self, connection: Connection, model: str) -> dict[str, tuple[int, ...]]:
        """Return the endpoints that serve a model now, each with the versions that it runs."""
        rows = connection.execute(_CURRENT.where(deployments.c.model == model))
        return {row.endpoint: (row.champion, *row.shadows) for row in rows}

    def deployment(self, endpoint: str) -> Deployment:
        with self.database.read() as connection:
            return _newest(connection, endpoint)

    def list_deployments(self) -> list[Deployment]:
        with self.database.read() as connection:
            return [_deployment(row) for row in connection.execute(_CURRENT.order_by(deployments.c.endpoint))]

    def history(self, endpoint: str) -> list[Deployment]:
        query = sa.select(deployments).where(deployments.c.endpoint == endpoint).order_by(deployments.c.revision)
        with self.database.read() as connection:
            return [_deployment(row) for row in connection.execute(query)]

    def add_labels(self, endpoint: str, labels: list[Label], arrived_at: datetime | None = None) -> Feedback:
        arrived_at = arrived_at or datetime.now(UTC)
        with self.database.write() as connection:
            _newest(connection, endpoint)
            places, failed = _places(connection, endpoint, labels)
            known = _known_labels(connection, {capture for _, capture, _ in places})
            rows, repeated = [], 0
            for label, capture, row in places:
                value = known.get((capture, row))
                if value is None:
                    known[capture, row] = label.label
                    rows.append({"capture": capture, "row": row, "label": label.label, "arrived_at": arrived_at})
                elif value == label.label:
                    repeated += 1
                else:
                    taken = ConflictError(f"prediction {label.prediction_id!r} has the label {value:g} already")
                    failed.append(_failure(label, taken))
            if rows:
                connection.execute(sa.insert(labels_table), rows)
        return Feedback(done=len(rows), repeated=repeated, failed=failed)

    def counts(self, endpoint: str) -> Counts:
        of_endpoint = captures.c.endpoint == endpoint
        joined = labels_table.join(captures, captures.c.seq == labels_table.c.capture)
        with self.database.read() as connection:
            totals = sa.select(sa.func.count(), sa.func.coalesce(sa.func.sum(captures.c.n_rows), 0)).where(of_endpoint)
            requests, rows = connection.execute(totals).one()
            known = connection.execute(sa.select(sa.func.count()).select_from(joined).where(of_endpoint)).scalar_one()
        return Counts(endpoint=endpoint, requests=requests, rows=int(rows), labels=known)

    def explain(self, prediction_id: str, endpoint: str | None = None) -> Explanation:
        request_id, row = split_prediction_id(prediction_id)
        if endpoint is not None:
            refs.check_name(endpoint, "endpoint")
        query = sa.select(captures).where(captures.c.request_id == request_id, captures.c.n_rows > row)
        if endpoint is not None:
            query = query.where(captures.c.endpoint == endpoint)
        with self.database.read() as connection:
            found = connection.execute(query.order_by(captures.c.endpoint)).all()
            if not found:
                raise NotFoundError(
                    f"there is no prediction {prediction_id!r}{f' of {endpoint!r}' if endpoint else ''}"
                )
            if len(found) > 1:
                names = ", ".join(each.endpoint for each in found)
                raise ConflictError(
                    f"prediction {prediction_id!r} exists at several endpoints: {names}", hint="Name one."
                )
            return _explanation(connection, found[0], prediction_id, row)


_CURRENT = sa.select(deployments).join(
    endpoints,
    sa.and_(endpoints.c.endpoint == deployments.c.endpoint, endpoints.c.revision == deployments.c.revision),
)


def _newest(connection: Connection, endpoint: str) -> Deployment:
    refs.check_name(endpoint, "endpoint")
    row = connection.execute(_CURRENT.where(deployments.c.endpoint == endpoint)).first()
    if row is None:
        known = connection.execute(sa.select(deployments.c.endpoint).distinct().order_by(deployments.c.endpoint))
        names = ", ".join(known.scalars()) or "none yet"
        raise NotFoundError(f"there is no endpoint {endpoint!r}", hint=f"Endpoints: {names}.")
    return _deployment(row)


def _deployment(row: sa.Row[Any]) -> Deployment:
    return Deployment(**row._mapping)


def _previous(current: Deployment | None, model: str, champion: int) -> int | None:
    if current is None or current.model != model:
        return None
    return current.previous if current.champion == champion else current.champion


def _same(one: Deployment, other: Deployment) -> bool:
    asked = ("model", "champion", "shadows", "reason", "actor")
    return all(getattr(one, name) == getattr(other, name) for name in asked)


def _decision(made: Deployment) -> Decision:
    body = {
        "revision": made.revision,
        "champion": refs.model(made.model, made.champion),
        "previous": None if made.previous is None else refs.model(made.model, made.previous),
        "shadows": [refs.model(made.model, version) for version in made.shadows],
        "reason": made.reason,
    }
    return Decision(
        key=f"deploy/{made.endpoint}/{made.revision}",
        kind="traffic_changed",
        subject=refs.endpoint(made.endpoint),
        actor=made.actor,
        body=body,
    )


def _places(
    connection: Connection, endpoint: str, labels: Sequence[Label]
) -> tuple[list[tuple[Label, int, int]], list[LabelFailure]]:
    """Find the capture and the row of each label; the ones without are failures."""
    asked: list[tuple[Label, str, int]] = []
    failed: list[LabelFailure] = []
    for label in labels:
        try:
            request_id, row = split_prediction_id(label.prediction_id)
            if label.label not in (0, 1):
                raise InvalidError(f"the label of {label.prediction_id} should be 0 or 1, found {label.label!r}")
        except InvalidError as error:
            failed.append(_failure(label, error))
        else:
            asked.append((label, request_id, row))
    known = _captured(connection, endpoint, {request_id for _, request_id, _ in asked})
    places: list[tuple[Label, int, int]] = []
    for label, request_id, row in asked:
        capture, n_rows = known.get(request_id, (0, 0))
        if row < n_rows:
            places.append((label, capture, row))
        else:
            missing = NotFoundError(f"endpoint {endpoint!r} made no prediction {label.prediction_id!r}")
            failed.append(_failure(label, missing))
    return places, failed


def _captured(connection: Connection, endpoint: str, request_ids: Iterable[str]) -> dict[str, tuple[int, int]]:
    found: dict[str, tuple[int, int]] = {}
    for some in chunks(sorted(request_ids)):
        query = sa.select(captures.c.request_id, captures.c.seq, captures.c.n_rows)
        query = query.where(captures.c.endpoint == endpoint, captures.c.request_id.in_(some))
        # Locked (on PostgreSQL), so that two batches with a label for the same prediction queue.
        rows = connection.execute(query.order_by(captures.c.seq).with_for_update())
        found |= {row.request_id: (row.seq, row.n_rows) for row in rows}
    return found


def _known_labels(connection: Connection, seqs: Iterable[int]) -> dict[tuple[int, int], float]:
    found: dict[tuple[int, int], float] = {}
    for some in chunks(sorted(seqs)):
        query = sa.select(labels_table.c.capture, labels_table.c.row, labels_table.c.label)
        rows = connection.execute(query.where(labels_table.c.capture.in_(some)))
        found |= {(row.capture, row.row): row.label for row in rows}
    return found


def _failure(label: Label, error: EverloopError) -> LabelFailure:
    return LabelFailure(prediction_id=label.prediction_id, family=error.family, error=error.message)


def _explanation(connection: Connection, capture: sa.Row[Any], prediction_id: str, row: int) -> Explanation:
    of_row = sa.and_(labels_table.c.capture == capture.seq, labels_table.c.row == row)
    label = connection.execute(sa.select(labels_table).where(of_row)).first()
    of_revision = sa.and_(deployments.c.endpoint == capture.endpoint, deployments.c.revision == capture.revision)
    model = connection.execute(sa.select(deployments.c.model).where(of_revision)).scalar_one()
    scores: dict[int, list[float] | None] = msgspec.msgpack.decode(capture.scores, type=dict[int, list[float] | None])
    at_row = {version: None if values is None else values[row] for version, values in scores.items()}
    return Explanation(
        prediction_id=prediction_id,
        endpoint=capture.endpoint,
        model=model,
        version=capture.version,
        revision=capture.revision,
        score=float(at_row.pop(capture.version) or 0.0),
        shadows=at_row,
        shadow_errors=capture.shadow_errors or {},
        inputs={name: values[row] for name, values in unpack(capture.inputs).items()},
        occurred_at=capture.occurred_at,
        received_at=capture.received_at,
        label=None if label is None else label.label,
        labelled_at=None if label is None else label.arrived_at,
    )
