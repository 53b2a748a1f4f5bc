"""The log of predictions on SQLite and PostgreSQL: the gateway's group commit, and monitoring's columns.

Leaves single predictions and labels to `sql.py`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any, TypeAlias

import msgspec
import numpy as np
import sqlalchemy as sa
from numpy.typing import NDArray
from sqlalchemy.engine import Connection
from sqlalchemy.exc import IntegrityError

from everloop.serving.prediction import Capture, Outcome, Predictions, prediction_ids, unpack
from everloop.serving.tables import captures, chunks, endpoints
from everloop.serving.tables import labels as labels_table
from everloop.storage.database import EPOCH, Database

Floats: TypeAlias = NDArray[np.float64]
Scores: TypeAlias = dict[int, list[float] | None]

_SCORES = msgspec.msgpack.Decoder(dict[int, list[float] | None])
_COLUMNS = [column.name for column in captures.columns if column.name != "seq"]


class SqlPredictionLog:
    """`PredictionLog` on a database. Thread-safe."""

    def __init__(self, database: Database) -> None:
        self.database = database

    def capture(self, captures: Sequence[Capture]) -> list[Outcome]:
        while True:
            try:
                with self.database.write() as connection:
                    return _store(connection, captures)
            except IntegrityError:
                # Another gateway (on PostgreSQL) stored one of these requests between our look and our insert;
                # the next look sees it, so this ends.
                continue

    def captured(self, endpoint: str, start: datetime, end: datetime, *, with_inputs: bool = True) -> Predictions:
        return self._read(endpoint, start, end, with_inputs=with_inputs, only_labelled=False, arrived_before=None)

    def labelled(
        self,
        endpoint: str,
        start: datetime,
        end: datetime,
        *,
        arrived_before: datetime | None = None,
        with_inputs: bool = False,
    ) -> Predictions:
        return self._read(
            endpoint, start, end, with_inputs=with_inputs, only_labelled=True, arrived_before=arrived_before
        )

    def _read(
        self,
        endpoint: str,
        start: datetime,
        end: datetime,
        *,
        with_inputs: bool,
        only_labelled: bool,
        arrived_before: datetime | None,
    ) -> Predictions:
        within = sa.and_(captures.c.endpoint == endpoint, captures.c.occurred_at >= start, captures.c.occurred_at < end)
        wanted = [c for c in captures.columns if with_inputs or c.name != "inputs"]
        in_order = sa.select(*wanted).where(within).order_by(captures.c.occurred_at, captures.c.request_id)
        with self.database.read() as connection:
            rows = connection.execute(in_order).all()
            labels = _labels(connection, within, {row.seq: row.n_rows for row in rows}, arrived_before)
        return _assemble(rows, labels, with_inputs=with_inputs, only_labelled=only_labelled)


def _store(connection: Connection, batch: Sequence[Capture]) -> list[Outcome]:
    revisions = _revisions(connection, {each.endpoint for each in batch})
    known = _known(connection, batch)
    outcomes, rows = [], []
    for each in batch:
        key = (each.endpoint, each.request_id)
        if key in known:
            digest, version, scores = known[key]
            same = digest == each.digest
            outcomes.append(
                Outcome(kind="repeated", version=version, scores=scores) if same else Outcome(kind="conflict")
            )
        elif revisions.get(each.endpoint) != each.seen_revision:
            outcomes.append(Outcome(kind="moved"))
        else:
            known[key] = (each.digest, each.version, each.scores)
            rows.append(_row(each))
            outcomes.append(Outcome(kind="stored", version=each.version, scores=each.scores))
    if rows:
        connection.execute(sa.insert(captures), rows)
    return outcomes


def _row(each: Capture) -> dict[str, Any]:
    row = {name: getattr(each, name) for name in _COLUMNS}
    row["scores"] = msgspec.msgpack.encode(each.scores)
    row["shadow_errors"] = each.shadow_errors or None
    return row


def _revisions(connection: Connection, names: Iterable[str]) -> dict[str, int]:
    # FOR SHARE (on PostgreSQL; SQLite's write transaction is alone anyway): no deployment commits before our captures.
    query = sa.select(endpoints).where(endpoints.c.endpoint.in_(sorted(names))).with_for_update(read=True)
    return {row.endpoint: row.revision for row in connection.execute(query)}


def _known(connection: Connection, batch: Sequence[Capture]) -> dict[tuple[str, str], tuple[str, int, Scores]]:
    known: dict[tuple[str, str], tuple[str, int, Scores]] = {}
    wanted = (captures.c.endpoint, captures.c.request_id, captures.c.digest, captures.c.version, captures.c.scores)
    for some in chunks(sorted({each.request_id for each in batch})):
        for row in connection.execute(sa.select(*wanted).where(captures.c.request_id.in_(some))):
            known[row.endpoint, row.request_id] = (row.digest, row.version, _SCORES.decode(row.scores))
    return known


def _labels(
    connection: Connection, within: sa.ColumnElement[bool], n_rows: dict[int, int], arrived_before: datetime | None
) -> dict[int, Floats]:
    """Return capture → (its rows,) labels, NaN where there is none, for the captures that have any."""
    query = (
        sa.select(labels_table.c.capture, labels_table.c.row, labels_table.c.label)
        .join(captures, captures.c.seq == labels_table.c.capture)
        .where(within)
    )
    if arrived_before is not None:
        query = query.where(labels_table.c.arrived_at < arrived_before)
    found: dict[int, Floats] = {}
    for capture, row, label in connection.execute(query):
        if capture not in found:
            found[capture] = np.full(n_rows[capture], np.nan)
        found[capture][row] = label
    return found


def _assemble(
    rows: Sequence[sa.Row[Any]],
    labels: dict[int, Floats],
    *,
    with_inputs: bool,
    only_labelled: bool,
) -> Predictions:
    if only_labelled:
        rows = [row for row in rows if row.seq in labels]
    sizes = np.array([row.n_rows for row in rows], dtype=np.int64)
    scored = [_SCORES.decode(row.scores) for row in rows]
    found = Predictions(
        ids=[each for row in rows for each in prediction_ids(row.request_id, row.n_rows)],
        occurred_at=np.repeat(np.array([_micros(row.occurred_at) for row in rows], dtype="datetime64[us]"), sizes),
        version=np.repeat(np.array([row.version for row in rows], dtype=np.int64), sizes),
        score=_joined(scores[row.version] or [] for row, scores in zip(rows, scored, strict=True)),
        scores={version: _scores_of(version, scored, sizes) for version in sorted({v for s in scored for v in s})},
        labels=_joined(labels.get(row.seq, np.full(row.n_rows, np.nan)) for row in rows),
        inputs=_columns([unpack(row.inputs) for row in rows], sizes) if with_inputs else {},
    )
    return _take(found, ~np.isnan(found.labels)) if only_labelled else found


def _micros(moment: datetime) -> int:
    return (moment - EPOCH) // timedelta(microseconds=1)


def _joined(parts: Iterable[Any]) -> Floats:
    each = [np.asarray(part, dtype=np.float64) for part in parts]
    return np.concatenate(each) if each else np.empty(0)


def _scores_of(version: int, scored: Sequence[dict[int, list[float] | None]], sizes: NDArray[np.int64]) -> Floats:
    def parts() -> Iterator[Any]:
        for scores, size in zip(scored, sizes, strict=True):
            values = scores.get(version)
            yield np.full(size, np.nan) if values is None else values

    return _joined(parts())


def _columns(each: Sequence[dict[str, list[Any]]], sizes: NDArray[np.int64]) -> dict[str, list[Any]]:
    names = dict.fromkeys(name for columns in each for name in columns)
    return {
        name: [
            value
            for columns, size in zip(each, sizes, strict=True)
            for value in columns.get(name) or [None] * int(size)
        ]
        for name in names
    }


def _take(found: Predictions, keep: NDArray[np.bool_]) -> Predictions:
    places = np.flatnonzero(keep).tolist()
    return Predictions(
        ids=[found.ids[i] for i in places],
        occurred_at=found.occurred_at[keep],
        version=found.version[keep],
        score=found.score[keep],
        scores={version: scores[keep] for version, scores in found.scores.items()},
        labels=found.labels[keep],
        inputs={name: [values[i] for i in places] for name, values in found.inputs.items()},
    )
