"""The search for logged models: a page at a time, each found by the place at which the one before it ended."""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa

from everloop.errors import InvalidError
from everloop.storage.database import check_text
from everloop.storage.order import Term
from everloop.storage.pages import sorted_page, walked_page
from everloop.storage.paging import check_limit
from everloop.tracking.filters import parse_model_filter, parse_model_key
from everloop.tracking.loggedmodel import LoggedModelPage, MetricDataset, ModelOrder
from everloop.tracking.loggedmodels import SqlLoggedModels, assemble_models
from everloop.tracking.modelconditions import (
    MODEL_TEXTS,
    MODEL_TIMES,
    is_ranged_of_model,
    model_condition,
    models_that,
    on_datasets,
    was_measured,
)
from everloop.tracking.search import time_term
from everloop.tracking.selectivity import fewest
from everloop.tracking.tables import logged_model_metrics, logged_models


class SqlModelSearch(SqlLoggedModels):
    """The part of `TrackingStore` that searches for logged models. Thread-safe."""

    def search_logged_models(
        self,
        experiment_ids: list[str] | None = None,
        filter: str = "",  # noqa: A002  the word of MLflow and of everyone who searches
        datasets: list[MetricDataset] | None = None,
        order_by: list[ModelOrder] | None = None,
        limit: int = 100,
        after: str = "",
    ) -> LoggedModelPage:
        asked = parse_model_filter(filter)
        among = datasets or []
        terms = _terms(order_by or [])
        query = sa.select(logged_models).select_from(logged_models).where(logged_models.c.deleted_at.is_(None))
        if among and not any(each.kind == "metric" for each in asked):
            query = query.where(was_measured(among))
        ranged = [(each, models_that(self.database, each, among)) for each in asked if is_ranged_of_model(each)]
        with self.database.read() as connection:
            first = fewest(connection, logged_models.c.number, ranged, check_limit(limit))
            query = query.where(*(model_condition(self.database, each, among) for each in asked if each is not first))
            if experiment_ids is not None:
                query = query.where(self._in_experiments(logged_models, experiment_ids, is_walked=first is None))
            if first is None and terms[0].table is None:
                rows, place = walked_page(connection, query, terms, limit, after)
            else:
                if first is not None:
                    query = query.where(logged_models.c.number.in_(models_that(self.database, first, among)))
                rows, place = sorted_page(connection, query, terms, limit, after)
            return LoggedModelPage(models=assemble_models(self.database, connection, rows), next=place)


def _terms(orders: Sequence[ModelOrder]) -> list[Term]:
    keys = [parse_model_key(each.key) for each in orders]
    terms = [
        _latest(key, each, number) if kind == "metric" else _attribute(key, each)
        for number, ((kind, key), each) in enumerate(zip(keys, orders, strict=True))
    ]
    if ("attribute", "creation_timestamp") not in keys:
        terms.append(time_term(logged_models.c.created_at, is_descending=True))
    if ("attribute", "model_id") not in keys:
        terms.append(Term(value=logged_models.c.model_id, kind=str, is_descending=False))
    return terms


def _attribute(key: str, order: ModelOrder) -> Term:
    if order.dataset is not None:
        raise InvalidError(f"the order by {key} names a dataset, on which only metrics are measured")
    if key in MODEL_TIMES:
        return time_term(MODEL_TIMES[key], is_descending=order.is_descending)
    column = MODEL_TEXTS[key]
    return Term(value=column, kind=str, is_descending=order.is_descending, is_optional=bool(column.nullable))


def _latest(key: str, order: ModelOrder, number: int) -> Term:
    """The term of the latest value of a metric, of which a model has one for each run and dataset."""
    metric = logged_model_metrics.c
    latest = logged_model_metrics.alias(f"o{number}")
    newest = sa.select(metric.run, metric.dataset_name, metric.dataset_digest)
    newest = newest.where(metric.model == latest.c.model, metric.key == check_text(key, "the metric", key))
    if order.dataset is not None:
        newest = newest.where(on_datasets([order.dataset]))
    # Asked for each model by the primary key: SQLite would go through a table of them all for each.
    newest = newest.order_by(metric.logged_at.desc(), metric.step.desc(), metric.is_nan.desc(), metric.value.desc())
    identity = sa.tuple_(latest.c.run, latest.c.dataset_name, latest.c.dataset_digest)
    return Term(
        value=latest.c.value,
        kind=float,
        is_descending=order.is_descending,
        table=latest,
        on=sa.and_(
            latest.c.model == logged_models.c.number,
            latest.c.key == key,
            identity.in_(newest.limit(1).correlate(latest)),
        ),
        is_nan=latest.c.is_nan,
        is_optional=True,
    )
