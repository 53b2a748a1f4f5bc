"""The points of metrics in the database: written with the latest of each series, and read in order."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from everloop.storage.database import Database, microseconds
from everloop.storage.paging import check_limit, from_token, to_token
from everloop.tracking.run import History, Metric, Number, as_number
from everloop.tracking.tables import POINT, points, series
from everloop.tracking.texts import check_key


class Points:
    """Writes points of metrics. Thread-safe.

    The statements are made once, because making one takes longer than running it.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        latest = database.insert(series)
        new, old = latest.excluded, series.c
        self._to_series = latest.on_conflict_do_update(
            index_elements=["run", "key"],
            set_={name: new[name] for name in POINT},
            where=sa.tuple_(*(new[name] for name in POINT)) > sa.tuple_(*(old[name] for name in POINT)),
        )
        self._to_points = database.insert(points).on_conflict_do_nothing()

    def put(self, connection: Connection, run: int, given: Iterable[Metric]) -> None:
        """Store points of a run; those that are stored already count once."""
        rows = sorted((_to_row(point) for point in given), key=_place)
        newest = {row["key"]: row for row in rows}
        connection.execute(self._to_series, [row | {"run": run} for row in newest.values()])
        numbers = self._numbers(connection, run, list(newest))
        connection.execute(
            self._to_points,
            [{"series": numbers[row["key"]], **{name: row[name] for name in POINT}} for row in rows],
        )

    def _numbers(self, connection: Connection, run: int, keys: list[str]) -> dict[str, int]:
        if len(keys) == 1:
            return {keys[0]: connection.execute(_NUMBER, {"in_run": run, "of_key": keys[0]}).scalar_one()}
        query = sa.select(series.c.key, series.c.series)
        query = query.where(series.c.run == run, self._database.among(series.c.key, keys))
        return {row.key: row.series for row in connection.execute(query)}


_NUMBER = sa.select(series.c.series).where(
    series.c.run == sa.bindparam("in_run"), series.c.key == sa.bindparam("of_key")
)


def read_history(connection: Connection, run: int, key: str, limit: int | None, after: str) -> History:
    """Return the points of one metric behind a place, in order."""
    query = _of_metric(run, key).order_by(*_PLACE)
    if after:
        step, logged_us, is_nan, value = from_token(after, tuple[int, int, bool, float | str])
        last = [
            sa.literal(step, sa.BigInteger),
            sa.literal(logged_us, sa.BigInteger),
            sa.literal(is_nan, sa.Boolean),
            sa.literal(float(value), sa.Double),
        ]
        query = query.where(sa.tuple_(*_PLACE) > sa.tuple_(*last))
    if limit is not None:
        query = query.limit(check_limit(limit) + 1)
    rows = connection.execute(query).all()
    found = [_to_point(key, row) for row in rows[: limit or None]]
    if limit is None or len(rows) <= limit:
        return History(points=found, next="")
    return History(points=found, next=to_token(_place_of(rows[limit - 1])))


def read_sample(
    connection: Connection, run: int, key: str, limit: int, first_step: int | None, last_step: int | None
) -> list[Metric]:
    """Return the first point of each of `limit` equal parts of a history, and the last one in the place of the last."""
    check_limit(limit)
    query = _of_metric(run, key)
    if first_step is not None:
        query = query.where(points.c.step >= first_step)
    if last_step is not None:
        query = query.where(points.c.step <= last_step)
    place = sa.func.row_number().over(order_by=_PLACE) - 1
    history = query.add_columns(place.label("place"), sa.func.count().over().label("size")).subquery()
    # The part that begins at this place or behind it: its number times the size of a part is the place, rounded down.
    part = (history.c.place * limit + history.c.size - 1) // history.c.size
    begins = sa.and_(part * history.c.size < (history.c.place + 1) * limit, part < limit - 1)
    chosen = sa.select(history).where(sa.or_(begins, history.c.place == history.c.size - 1)).order_by(history.c.place)
    return [_to_point(key, row) for row in connection.execute(chosen)]


def number_of(value: float, is_nan: bool) -> Number:
    """Return a value as it travels from its two columns."""
    return "NaN" if is_nan else as_number(value)


_PLACE = [points.c[name] for name in POINT]


def _of_metric(run: int, key: str) -> sa.Select[Any]:
    joined = sa.select(*_PLACE).join(series, series.c.series == points.c.series)
    return joined.where(series.c.run == run, series.c.key == key)


def _to_point(key: str, row: Any) -> Metric:
    return Metric(key=key, value=number_of(row.value, row.is_nan), step=row.step, logged_at=row.logged_at)


def _place(row: dict[str, Any]) -> list[Any]:
    return [row[name] for name in ("key", *POINT)]


def _place_of(row: Any) -> list[Any]:
    return [row.step, microseconds(row.logged_at), bool(row.is_nan), as_number(row.value)]


def _to_row(point: Metric) -> dict[str, Any]:
    value = float(point.value)
    is_nan = math.isnan(value)
    row = {"key": check_key(point.key), "step": point.step, "logged_at": point.logged_at}
    return row | {"value": 0.0 if is_nan else value, "is_nan": is_nan}
