"""A page of a search, found by the place at which the one before it ended (`order.py`)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from everloop.storage.order import PRESENT, Term, behind, from_place, to_place
from everloop.storage.paging import check_limit


def walked_page(
    connection: Connection, query: sa.Select[Any], terms: Sequence[Term], limit: int, after: str
) -> tuple[list[sa.Row[Any]], str]:
    """Return the rows of a page found by going along the order, and the token of the next one.

    One query for each rank of the first term, so that it can go along the index of the values: those that have one,
    NaN, those that lack it. Most pages are full after the first.
    """
    check_limit(limit)
    place = from_place(terms, after) if after else None
    first, others = terms[0], terms[1:]
    rows: list[sa.Row[Any]] = []
    for rank in first.ranks:
        if place is not None and rank < place[0][0]:
            continue
        step = first.restrict(query, rank)
        for term in others:
            if term.table is not None:
                assert term.on is not None
                step = step.outerjoin(term.table, term.on)
        if place is not None and rank == place[0][0]:
            rest = behind(others, place[1:])
            step = step.where(first.from_value(place[0][1], rest) if rank == PRESENT else rest)
        value = first.value if rank == PRESENT else sa.null()
        step = step.add_columns(sa.literal(rank).label("r0"), value.label("v0"))
        for i, term in enumerate(others, 1):
            step = step.add_columns(term.rank.label(f"r{i}"), term.value.label(f"v{i}"))
        order = [*(first.sorted_by() if rank == PRESENT else [])]
        for term in others:
            order += [*([term.rank] if term.is_optional else []), *term.sorted_by()]
        rows += connection.execute(step.order_by(*order).limit(limit + 1 - len(rows))).all()
        if len(rows) > limit:
            return rows[:limit], to_place(terms, rows[limit - 1])
    return rows, ""


def sorted_page(
    connection: Connection, query: sa.Select[Any], terms: Sequence[Term], limit: int, after: str
) -> tuple[list[sa.Row[Any]], str]:
    """Return the rows of a page found by sorting all that are sought, and the token of the next one."""
    order: list[sa.ColumnElement[Any]] = []
    for i, term in enumerate(terms):
        if term.table is not None:
            assert term.on is not None
            query = query.outerjoin(term.table, term.on)
        query = query.add_columns(term.rank.label(f"r{i}"), term.value.label(f"v{i}"))
        order += [*([term.rank] if term.is_optional else []), *term.sorted_by()]
    if after:
        query = query.where(behind(terms, from_place(terms, after)))
    rows = connection.execute(query.order_by(*order).limit(limit + 1)).all()
    return list(rows[:limit]), to_place(terms, rows[limit - 1]) if len(rows) > limit else ""
