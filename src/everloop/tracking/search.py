"""Searches over runs and experiments: a page at a time, each found by the place at which the one before it ended."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from everloop.storage.order import Term
from everloop.storage.pages import sorted_page, walked_page
from everloop.storage.paging import check_limit
from everloop.tracking.assembly import JOINED, RUN_COLUMNS, assemble
from everloop.tracking.conditions import (
    ARTIFACT_URI,
    TEXTS,
    USER_TAG,
    experiment_condition,
    is_ranged,
    run_condition,
    runs_that,
)
from everloop.tracking.experiments import SqlExperiments, number_of_experiment
from everloop.tracking.filters import (
    Order,
    parse_experiment_filter,
    parse_experiment_order,
    parse_run_filter,
    parse_run_order,
)
from everloop.tracking.run import ExperimentPage, RunPage, View
from everloop.tracking.selectivity import fewest
from everloop.tracking.tables import HEAD_LENGTH, experiment_tags, experiments, runs, series, tags


class SqlSearch(SqlExperiments):
    """The part of `TrackingStore` that searches. Thread-safe."""

    def search_runs(
        self,
        experiment_ids: list[str] | None = None,
        filter: str = "",  # noqa: A002  the word of MLflow and of everyone who searches
        order_by: list[str] | None = None,
        view: View = "active",
        limit: int = 1000,
        after: str = "",
    ) -> RunPage:
        asked = parse_run_filter(filter)
        terms = _run_terms(parse_run_order(order_by or []))
        query = sa.select(*RUN_COLUMNS).select_from(JOINED).where(_is_viewed(runs, view))
        with self.database.read() as connection:
            ranged = [(each, runs_that(self.database, each)) for each in asked if is_ranged(each)]
            first = fewest(connection, runs.c.number, ranged, check_limit(limit))
            query = query.where(*(run_condition(self.database, each) for each in asked if each is not first))
            if experiment_ids is not None:
                query = query.where(self._in_experiments(runs, experiment_ids, is_walked=first is None))
            if first is None:
                rows, place = walked_page(connection, query, terms, limit, after)
            else:
                query = query.where(runs.c.number.in_(runs_that(self.database, first)))
                rows, place = sorted_page(connection, query, terms, limit, after)
            return RunPage(runs=assemble(self.database, connection, rows), next=place)

    def _in_experiments(self, table: sa.Table, experiment_ids: list[str], *, is_walked: bool) -> sa.ColumnElement[bool]:
        numbers = [number for each in experiment_ids if (number := number_of_experiment(each)) is not None]
        # For an expression no index is sought: SQLite would take the one by experiment for the best.
        column = table.c.experiment_id if is_walked else table.c.experiment_id + 0
        return column == numbers[0] if len(numbers) == 1 else self.database.among(column, numbers)

    def search_experiments(
        self,
        filter: str = "",  # noqa: A002  the word of MLflow and of everyone who searches
        order_by: list[str] | None = None,
        view: View = "active",
        limit: int = 1000,
        after: str = "",
    ) -> ExperimentPage:
        wanted = [experiment_condition(self.database, asked) for asked in parse_experiment_filter(filter)]
        terms = _experiment_terms(parse_experiment_order(order_by or []))
        query = sa.select(experiments).where(_is_viewed(experiments, view), *wanted)
        with self.database.read() as connection:
            rows, place = walked_page(connection, query, terms, limit, after)
            return ExperimentPage(experiments=self._assembled(connection, rows), next=place)


def _run_terms(orders: Sequence[Order]) -> list[Term]:
    terms = [_run_term(each, i) for i, each in enumerate(orders)]
    given = {each.key for each in orders if each.kind == "attribute"}
    if "start_time" not in given:
        terms.append(time_term(runs.c.started_at, is_descending=True))
    if "run_id" not in given:
        terms.append(Term(value=runs.c.run_id, kind=str, is_descending=False))
    return terms


def _run_term(order: Order, number: int) -> Term:
    down = order.descending
    if order.kind == "metric":
        metric = series.alias(f"o{number}")
        return Term(
            value=metric.c.value,
            kind=float,
            is_descending=down,
            table=metric,
            on=sa.and_(metric.c.run == runs.c.number, metric.c.key == order.key),
            is_nan=metric.c.is_nan,
            is_optional=True,
        )
    if order.kind in TEXTS or order.key == "user_id":
        text = TEXTS.get(order.kind, tags).alias(f"o{number}")
        key = order.key if order.kind in TEXTS else USER_TAG
        return Term(
            value=text.c.value,
            kind=str,
            is_descending=down,
            table=text,
            on=sa.and_(text.c.run == runs.c.number, text.c.key == key),
            head=text.c.head,
            head_length=HEAD_LENGTH,
            is_optional=True,
        )
    if order.key in ("start_time", "end_time"):
        column = runs.c.started_at if order.key == "start_time" else runs.c.ended_at
        return time_term(column, is_descending=down)
    columns: dict[str, sa.ColumnElement[str]] = {
        "run_id": runs.c.run_id,
        "run_name": runs.c.name,
        "status": runs.c.status,
        "artifact_uri": ARTIFACT_URI,
    }
    return Term(value=columns[order.key], kind=str, is_descending=down)


def _experiment_terms(orders: Sequence[Order]) -> list[Term]:
    terms = [_experiment_term(each, i) for i, each in enumerate(orders)]
    if not orders:
        terms.append(time_term(experiments.c.created_at, is_descending=True))
    if "experiment_id" not in {each.key for each in orders if each.kind == "attribute"}:
        terms.append(Term(value=experiments.c.experiment_id, kind=int, is_descending=False))
    return terms


def _experiment_term(order: Order, number: int) -> Term:
    down = order.descending
    if order.kind == "tag":
        tag = experiment_tags.alias(f"o{number}")
        on = sa.and_(tag.c.experiment_id == experiments.c.experiment_id, tag.c.key == order.key)
        return Term(value=tag.c.value, kind=str, is_descending=down, table=tag, on=on, is_optional=True)
    if order.key in ("creation_time", "last_update_time"):
        column = experiments.c.created_at if order.key == "creation_time" else experiments.c.updated_at
        return time_term(column, is_descending=down)
    if order.key == "name":
        return Term(value=experiments.c.name, kind=str, is_descending=down)
    return Term(value=experiments.c.experiment_id, kind=int, is_descending=down)


def time_term(column: sa.Column[Any], *, is_descending: bool) -> Term:
    value = sa.type_coerce(column, sa.BigInteger)
    return Term(value=value, kind=int, is_descending=is_descending, is_optional=bool(column.nullable))


def _is_viewed(table: sa.Table, view: View) -> sa.ColumnElement[bool]:
    if view == "all":
        return sa.true()
    return table.c.deleted_at.is_(None) if view == "active" else table.c.deleted_at.is_not(None)
