"""Searches over runs and experiments: pages in an order, each found by the place at which the one before it ended."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from everloop.storage.database import Database, microseconds
from everloop.tracking.assembly import JOINED, RUN_COLUMNS, assemble
from everloop.tracking.experiments import number_of_experiment
from everloop.tracking.paging import check_limit, from_token, to_token
from everloop.tracking.run import RunPage, View
from everloop.tracking.tables import runs


def search_runs(
    database: Database, connection: Connection, experiment_ids: list[str] | None, view: View, limit: int, after: str
) -> RunPage:
    """Return a page of runs."""
    query = sa.select(*RUN_COLUMNS).select_from(JOINED)
    if experiment_ids is not None:
        numbers = [number for each in experiment_ids if (number := number_of_experiment(each)) is not None]
        query = query.where(database.among(runs.c.experiment_id, numbers))
    if view != "all":
        query = query.where(runs.c.deleted_at.is_(None) if view == "active" else runs.c.deleted_at.is_not(None))
    if after:
        started_us, run_id = from_token(after, tuple[int, str])
        started_at = sa.type_coerce(runs.c.started_at, sa.BigInteger)
        query = query.where(started_at <= started_us, sa.or_(started_at < started_us, runs.c.run_id > run_id))
    query = query.order_by(runs.c.started_at.desc(), runs.c.run_id).limit(check_limit(limit) + 1)
    rows = connection.execute(query).all()
    more = len(rows) > limit
    rows = rows[:limit]
    place = to_token([microseconds(rows[-1].started_at), rows[-1].run_id]) if more else ""
    return RunPage(runs=assemble(database, connection, rows), next=place)
