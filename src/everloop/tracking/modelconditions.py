"""The conditions of a search for logged models as SQL; what they mean is as in `conditions.py`."""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa

from everloop.errors import InvalidError
from everloop.storage.comparisons import compare_text, compare_time
from everloop.storage.database import Database, check_text
from everloop.tracking.conditions import is_ranged, kept_text, metric_value
from everloop.tracking.filters import Condition
from everloop.tracking.loggedmodel import MetricDataset
from everloop.tracking.tables import logged_model_metrics, logged_model_params, logged_model_tags, logged_models

MODEL_TEXTS: dict[str, sa.Column[str]] = {
    key: logged_models.c[key] for key in ("name", "model_id", "model_type", "status", "source_run_id")
}
MODEL_TIMES = {
    "creation_timestamp": logged_models.c.created_at,
    "last_updated_timestamp": logged_models.c.updated_at,
}
_INDEXED = frozenset(["name", "model_id", "source_run_id"])
_TABLES = {"metric": logged_model_metrics, "param": logged_model_params, "tag": logged_model_tags}


def model_condition(
    database: Database, asked: Condition, datasets: Sequence[MetricDataset] = ()
) -> sa.ColumnElement[bool]:
    """Return what a condition says of a row of `logged_models`; metrics count only on `datasets`, if there are any."""
    if asked.kind == "attribute":
        if asked.key in MODEL_TIMES:
            return compare_time(MODEL_TIMES[asked.key], asked)
        return compare_text(database, MODEL_TEXTS[asked.key], asked)
    mine = _TABLES[asked.kind].c.model == logged_models.c.number
    found = sa.exists(models_that(database, asked, datasets).where(mine).correlate(logged_models))
    return ~found if asked.comparator == "IS NULL" else found


def models_that(database: Database, asked: Condition, datasets: Sequence[MetricDataset] = ()) -> sa.Select[tuple[int]]:
    """Return the query for the numbers of the models that meet a condition, which is not on a time; some come more than
    once. For IS NULL it is those that do not.
    """
    if asked.kind == "attribute":
        return sa.select(logged_models.c.number).where(compare_text(database, MODEL_TEXTS[asked.key], asked))
    table = _TABLES[asked.kind]
    query = sa.select(table.c.model).where(table.c.key == asked.key)
    if asked.kind == "metric":
        return query.where(metric_value(table, asked), on_datasets(datasets))
    return query.where(*kept_text(database, table, asked))


def is_ranged_of_model(asked: Condition) -> bool:
    """Whether an index leads from a condition to the models that meet it, and to no others."""
    return is_ranged(asked) or (asked.key in _INDEXED and asked.kind == "attribute" and asked.comparator in ("=", "IN"))


def was_measured(datasets: Sequence[MetricDataset]) -> sa.ColumnElement[bool]:
    """Whether a model has a metric on one of some datasets."""
    mine = logged_model_metrics.c.model == logged_models.c.number
    return sa.exists(
        sa.select(logged_model_metrics.c.model).where(mine, on_datasets(datasets)).correlate(logged_models)
    )


def on_datasets(datasets: Sequence[MetricDataset]) -> sa.ColumnElement[bool]:
    """Whether a value was measured on one of some datasets; without any, it is always one that counts.

    Raises:
        InvalidError: A dataset has no name, or one that cannot be kept.
    """
    return sa.or_(*map(_on_dataset, datasets)) if datasets else sa.true()


def _on_dataset(dataset: MetricDataset) -> sa.ColumnElement[bool]:
    if not dataset.name:
        raise InvalidError("`dataset_name` in the `datasets` clause must be specified.")
    named = logged_model_metrics.c.dataset_name == check_text(dataset.name, "the dataset", dataset.name)
    digest = check_text(dataset.digest, "the digest of dataset", dataset.name)
    return sa.and_(named, logged_model_metrics.c.dataset_digest == digest) if digest else named
