"""How many things meet a condition, so that a search may begin at the few instead of going along the order.

Going along an order costs what lies between those that are found; collecting those that meet a condition and
sorting them costs as much as they are. SQLite keeps no statistics, so the index is asked: it counts up to a bound in
about a millisecond.
"""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from everloop.tracking.filters import Condition

BOUND = 20_000
"""As many are counted; those of more are never collected."""


def fewest(
    connection: Connection,
    number: sa.Column[int],
    ranged: Sequence[tuple[Condition, sa.Select[tuple[int]]]],
    wanted: int,
) -> Condition | None:
    """Return the condition to begin with when a page of `wanted` rows is sought; None to go along the order.

    Args:
        number: The primary key of what is sought.
        ranged: Conditions that an index serves, each with the query for the numbers of those that meet it.
    """
    if not ranged:
        return None
    n_rows = max(connection.execute(sa.select(sa.func.max(number))).scalar() or 0, 1)
    best, n_best, share = None, BOUND, 1.0
    for each, met in ranged:
        counted = sa.select(sa.func.count()).select_from(met.limit(BOUND).subquery())
        n_met = connection.execute(counted).scalar_one()
        if n_met < n_best:
            best, n_best = each, n_met
        if n_met < BOUND:
            share *= n_met / n_rows
    # The walk has to pass so many runs to find the page, if the conditions know nothing of one another.
    n_walked = wanted / share if share > wanted / n_rows else n_rows
    return best if n_best < n_walked else None
