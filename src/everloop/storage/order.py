"""The order of a search: its terms, and what stands behind a place in it.

A term sorts a row by its rank (it has a value, its value is NaN, it has none: the last two come last in both
directions) and by the value. A place is each term's rank and value, as the last row of a page has them; so a page is
found by an index and costs what the first one costs, where counting off the rows before it would cost more each time.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import sqlalchemy as sa

from everloop.errors import InvalidError
from everloop.storage.paging import from_token, to_token

PRESENT, NAN, MISSING = 0, 1, 2

Place = list[tuple[int, Any]]


@dataclass(frozen=True, kw_only=True)
class Term:
    """One key of an order.

    Attributes:
        value: What is sorted by.
        kind: What it is in Python: int, float or str.
        table: Where the value is when it is not in the row itself; `on` says which of its rows.
        head: The beginning of the value, by which the index goes, when it is text of any length.
        head_length: How many characters that beginning has.
        is_nan: Whether the value, which is 0 then, stands for NaN.
        is_optional: Whether it may be missing.
    """

    value: sa.ColumnElement[Any]
    kind: type
    is_descending: bool
    table: sa.FromClause | None = None
    on: sa.ColumnElement[bool] | None = None
    head: sa.ColumnElement[str] | None = None
    head_length: int = 0
    is_nan: sa.ColumnElement[bool] | None = None
    is_optional: bool = False

    @property
    def ranks(self) -> list[int]:
        """The ranks that rows may have, in their order."""
        return [PRESENT, *([NAN] if self.is_nan is not None else []), *([MISSING] if self.is_optional else [])]

    @property
    def rank(self) -> sa.ColumnElement[int]:
        """The rank of a row, when the table is joined so that rows without a value stay."""
        if not self.is_optional:
            return sa.literal(PRESENT)
        cases: list[Any] = [(self.value.is_(None), MISSING)]
        if self.is_nan is not None:
            cases.append((self.is_nan.is_(True), NAN))
        return sa.case(*cases, else_=PRESENT)

    def restrict(self, query: sa.Select[Any], rank: int) -> sa.Select[Any]:
        """Leave the rows of one rank."""
        if self.table is None:
            if not self.is_optional:
                return query
            return query.where(self.value.is_(None) if rank == MISSING else self.value.is_not(None))
        assert self.on is not None
        if rank == MISSING:
            return query.where(~sa.exists(sa.select(sa.literal(1)).select_from(self.table).where(self.on)))
        on = self.on if self.is_nan is None else sa.and_(self.on, self.is_nan == (sa.true() if rank else sa.false()))
        return query.join(self.table, on)

    def sorted_by(self) -> list[sa.ColumnElement[Any]]:
        columns = [self.value] if self.head is None else [self.head, self.value]
        return [column.desc() if self.is_descending else column.asc() for column in columns]

    def behind(self, place: tuple[int, Any], rest: sa.ColumnElement[bool]) -> sa.ColumnElement[bool]:
        """Whether a row is behind a place; `rest` decides among those that are alike here."""
        rank, value = place
        if rank != PRESENT:
            return sa.or_(self.rank > rank, sa.and_(self.rank == rank, rest))
        here = self._behind_value(value, rest)
        return sa.or_(self.rank > rank, sa.and_(self.rank == rank, here)) if self.is_optional else here

    def from_value(self, value: Any, rest: sa.ColumnElement[bool]) -> sa.ColumnElement[bool]:
        """As `behind`, among rows that have a value, and so that an index leads to the first of them."""
        column, start = (self.value, value) if self.head is None else (self.head, value[: self.head_length])
        reached = column <= start if self.is_descending else column >= start
        return sa.and_(reached, self._behind_value(value, rest))

    def _behind_value(self, value: Any, rest: sa.ColumnElement[bool]) -> sa.ColumnElement[bool]:
        past = self.value < value if self.is_descending else self.value > value
        return sa.or_(past, sa.and_(self.value == value, rest))


def to_place(terms: Sequence[Term], row: Any) -> str:
    """Return the token of the place of a row, which has `r0`, `v0`, `r1`, … for the terms."""
    fields = row._mapping
    place = [
        (fields[f"r{i}"], None if fields[f"r{i}"] else _as_sent(fields[f"v{i}"], term.kind))
        for i, term in enumerate(terms)
    ]
    return to_token(place)


def from_place(terms: Sequence[Term], token: str) -> Place:
    """Return the place that a token of `to_place` names.

    Raises:
        InvalidError: The token belongs to another order, or is none.
    """
    found = from_token(token, list[tuple[int, int | float | str | None]])
    place = []
    try:
        for term, (rank, value) in zip(terms, found, strict=True):
            if rank not in term.ranks:
                raise ValueError(rank)
            place.append((rank, None if rank else _as_kept(value, term.kind)))
    except (ValueError, TypeError, msgspec.ValidationError) as error:
        raise InvalidError(
            f"the page token {token[:60]!r} belongs to a search of another order",
            hint="Give the token of the page before, with the same filter and order.",
        ) from error
    return place


def behind(terms: Sequence[Term], place: Place) -> sa.ColumnElement[bool]:
    """Whether a row is behind a place in the order of some terms."""
    condition: sa.ColumnElement[bool] = sa.false()
    for term, at in zip(reversed(terms), reversed(place), strict=True):
        condition = term.behind(at, condition)
    return condition


def _as_sent(value: Any, kind: type) -> Any:
    # JSON has no word for an infinity.
    return str(value) if kind is float and math.isinf(value) else value


def _as_kept(value: Any, kind: type) -> Any:
    if kind is float:
        return float(value)
    value = msgspec.convert(value, kind)
    if kind is int and not -(1 << 63) <= value < 1 << 63:
        raise ValueError(value)
    if kind is str and "\0" in value:
        raise ValueError(value)
    return value
