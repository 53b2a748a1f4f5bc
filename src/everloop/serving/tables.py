"""Serving's tables. `sql.py` writes deployments and labels, `log.py` the captures; both read all of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeVar

import sqlalchemy as sa

from everloop.storage.database import Identity, Json, UtcDateTime

metadata = sa.MetaData()

endpoints = sa.Table(
    "endpoints",
    metadata,
    sa.Column("endpoint", sa.Text, primary_key=True),
    sa.Column("revision", sa.Integer, nullable=False),
)
deployments = sa.Table(
    "deployments",
    metadata,
    sa.Column("endpoint", sa.Text, sa.ForeignKey("endpoints.endpoint"), primary_key=True),
    sa.Column("revision", sa.Integer, primary_key=True),
    sa.Column("model", sa.Text, nullable=False),
    sa.Column("champion", sa.Integer, nullable=False),
    sa.Column("previous", sa.Integer),
    sa.Column("shadows", Json(tuple[int, ...]), nullable=False),
    sa.Column("changed_at", UtcDateTime, nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("actor", sa.Text, nullable=False),
)
captures = sa.Table(
    "captures",
    metadata,
    sa.Column("seq", Identity, primary_key=True),
    sa.Column("request_id", sa.Text, nullable=False),
    sa.Column("endpoint", sa.Text, nullable=False),
    sa.Column("digest", sa.Text, nullable=False),
    sa.Column("occurred_at", UtcDateTime, nullable=False),
    sa.Column("received_at", UtcDateTime, nullable=False),
    sa.Column("n_rows", sa.Integer, nullable=False),
    sa.Column("revision", sa.Integer, nullable=False),
    sa.Column("version", sa.Integer, nullable=False),
    sa.Column("scores", sa.LargeBinary, nullable=False),
    sa.Column("shadow_errors", Json(dict[int, str])),
    sa.Column("inputs", sa.LargeBinary, nullable=False),
    # The request id comes first, so that one index also finds a prediction whose endpoint is not known.
    sa.Index("captures_once", "request_id", "endpoint", unique=True),
    sa.Index("captures_by_time", "endpoint", "occurred_at"),
)
labels = sa.Table(
    "labels",
    metadata,
    sa.Column("seq", Identity, primary_key=True),
    sa.Column("capture", Identity, sa.ForeignKey("captures.seq"), nullable=False),
    sa.Column("row", sa.Integer, nullable=False),
    sa.Column("label", sa.Double, nullable=False),
    sa.Column("arrived_at", UtcDateTime, nullable=False),
    sa.Index("labels_once", "capture", "row", unique=True),
)

_IDS_PER_QUERY = 500  # well below the 999 variables of an SQLite that was built with its old default
_Value = TypeVar("_Value")


def chunks(values: Sequence[_Value]) -> Iterator[Sequence[_Value]]:
    """Cut values into pieces that fit an IN list."""
    return (values[start : start + _IDS_PER_QUERY] for start in range(0, len(values), _IDS_PER_QUERY))
