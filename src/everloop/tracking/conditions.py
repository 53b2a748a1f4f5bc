"""The conditions of a search as SQL. What a comparison says of a value that is not there: nothing, so it is not met.

NaN meets `!=` alone. How texts and times are compared is `storage.comparisons`'.
"""

from __future__ import annotations

import sqlalchemy as sa

from everloop.storage.comparisons import compare, compare_text, compare_time, prefix_of, successor
from everloop.storage.database import Database
from everloop.tracking.filters import Condition
from everloop.tracking.tables import experiment_tags, experiments, input_datasets, inputs, params, runs, series, tags
from everloop.tracking.texts import head_of

TEXTS = {"param": params, "tag": tags}
USER_TAG = "mlflow.user"

ARTIFACT_URI: sa.ColumnElement[str] = (
    sa.literal("mlflow-artifacts:/")
    .concat(sa.cast(runs.c.experiment_id, sa.Text))
    .concat("/")
    .concat(runs.c.run_id)
    .concat("/artifacts")
)
"""Where MLflow clients find a run's artifacts: the address that they are told, over the hub's proxy."""

_RUN_TEXTS: dict[str, sa.ColumnElement[str]] = {
    "run_id": runs.c.run_id,
    "run_name": runs.c.name,
    "status": runs.c.status,
    "artifact_uri": ARTIFACT_URI,
}
_RUN_TIMES = {"start_time": runs.c.started_at, "end_time": runs.c.ended_at}
_EXPERIMENT_TEXTS: dict[str, sa.ColumnElement[str]] = {
    "name": experiments.c.name,
    "experiment_id": sa.cast(experiments.c.experiment_id, sa.Text),
}
_EXPERIMENT_TIMES = {"creation_time": experiments.c.created_at, "last_update_time": experiments.c.updated_at}
_DATASET_TEXTS = {
    "name": input_datasets.c.name,
    "digest": input_datasets.c.digest,
    "context": inputs.c.context,
}


def run_condition(database: Database, asked: Condition) -> sa.ColumnElement[bool]:
    """Return what a condition says of a row of `runs`."""
    if asked.kind == "attribute" and asked.key in _RUN_TIMES:
        return compare_time(_RUN_TIMES[asked.key], asked)
    if asked.kind == "attribute" and asked.key in _RUN_TEXTS:
        return compare_text(database, _RUN_TEXTS[asked.key], asked)
    if asked.kind == "dataset":
        read = sa.select(inputs.c.run).join(input_datasets, input_datasets.c.dataset == inputs.c.dataset)
        met = compare_text(database, _DATASET_TEXTS[asked.key], asked)
        return sa.exists(read.where(inputs.c.run == runs.c.number, met).correlate(runs))
    found = sa.exists(runs_that(database, asked).where(_run_of(asked) == runs.c.number).correlate(runs))
    return ~found if asked.comparator == "IS NULL" else found


def runs_that(database: Database, asked: Condition) -> sa.Select[tuple[int]]:
    """Return the query for the numbers of the runs that meet a condition on a metric, a param, a tag or the user.

    For IS NULL it is those that do not.
    """
    if asked.kind == "metric":
        return sa.select(series.c.run).where(series.c.key == asked.key, metric_value(series, asked))
    table, key = (tags, USER_TAG) if asked.kind == "attribute" else (TEXTS[asked.kind], asked.key)
    return sa.select(table.c.run).where(table.c.key == key, *kept_text(database, table, asked))


def is_ranged(asked: Condition) -> bool:
    """Whether an index leads from a condition to the runs that meet it, and to no others."""
    if asked.kind == "metric":
        return asked.comparator != "!="
    if asked.kind not in TEXTS:
        return False
    return asked.comparator == "=" or (asked.comparator == "LIKE" and prefix_of(str(asked.value)) != "")


def experiment_condition(database: Database, asked: Condition) -> sa.ColumnElement[bool]:
    """Return what a condition says of a row of `experiments`."""
    if asked.kind == "attribute":
        if asked.key in _EXPERIMENT_TIMES:
            return compare_time(_EXPERIMENT_TIMES[asked.key], asked)
        return compare_text(database, _EXPERIMENT_TEXTS[asked.key], asked)
    tag = experiment_tags.c
    mine = sa.select(tag.key).where(tag.experiment_id == experiments.c.experiment_id, tag.key == asked.key)
    if asked.comparator not in ("IS NULL", "IS NOT NULL"):
        mine = mine.where(compare_text(database, tag.value, asked))
    found = sa.exists(mine.correlate(experiments))
    return ~found if asked.comparator == "IS NULL" else found


def _run_of(asked: Condition) -> sa.Column[int]:
    if asked.kind == "metric":
        return series.c.run
    return tags.c.run if asked.kind == "attribute" else TEXTS[asked.kind].c.run


def metric_value(table: sa.Table, asked: Condition) -> sa.ColumnElement[bool]:
    """What a condition says of the value of a metric."""
    value, is_nan = table.c.value, table.c.is_nan
    met = compare(value, asked.comparator, asked.value)
    return sa.or_(is_nan.is_(True), met) if asked.comparator == "!=" else sa.and_(is_nan == sa.false(), met)


def kept_text(database: Database, table: sa.Table, asked: Condition) -> list[sa.ColumnElement[bool]]:
    """What a condition says of a param or tag, put so that the index by value serves it."""
    if asked.comparator in ("IS NULL", "IS NOT NULL"):
        return []
    met = [compare_text(database, table.c.value, asked)]
    if asked.comparator == "=":
        met.append(table.c.head == head_of(str(asked.value)))
    if asked.comparator == "LIKE" and (prefix := head_of(prefix_of(str(asked.value)))):
        met.append(table.c.head >= prefix)
        if (end := successor(prefix)) is not None:
            met.append(table.c.head < end)
    return met
