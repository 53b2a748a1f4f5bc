"""How many runs meet a condition, so that a search may begin at the few instead of going along the order.

Going along an order costs what lies between the runs that are found; collecting those that meet a condition and
sorting them costs as much as they are. SQLite keeps no statistics, so the index is asked: it counts up to a bound in
about a millisecond.
"""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from everloop.storage.database import Database
from everloop.tracking.conditions import is_ranged, runs_that
from everloop.tracking.filters import Condition
from everloop.tracking.tables import runs

BOUND = 20_000
"""As many are counted; those of more are never collected."""


def fewest(database: Database, connection: Connection, asked: Sequence[Condition], wanted: int) -> Condition | None:
    """Return the condition to begin with when a page of `wanted` runs is sought; None to go along the order."""
    ranged = [each for each in asked if is_ranged(each)]
    if not ranged:
        return None
    n_runs = max(connection.execute(sa.select(sa.func.max(runs.c.number))).scalar() or 0, 1)
    best, n_best, share = None, BOUND, 1.0
    for each in ranged:
        counted = sa.select(sa.func.count()).select_from(runs_that(database, each).limit(BOUND).subquery())
        n_met = connection.execute(counted).scalar_one()
        if n_met < n_best:
            best, n_best = each, n_met
        if n_met < BOUND:
            share *= n_met / n_runs
    # The walk has to pass so many runs to find the page, if the conditions know nothing of one another.
    n_walked = wanted / share if share > wanted / n_runs else n_runs
    return best if n_best < n_walked else None
