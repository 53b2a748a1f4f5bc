"""The conditions of a search as SQL. What a comparison says of a value that is not there: nothing, so it is not met.

NaN meets `!=` alone. LIKE tells capital letters from small ones and ILIKE takes ASCII letters for the same, `%` and `_`
are wild and no character escapes them, on both databases alike.
"""

from __future__ import annotations

import math
import re
from typing import Any

import sqlalchemy as sa

from everloop.errors import InvalidError
from everloop.storage.database import Database
from everloop.tracking.filters import Condition
from everloop.tracking.filtertext import Comparator
from everloop.tracking.tables import experiment_tags, experiments, input_datasets, inputs, params, runs, series, tags
from everloop.tracking.texts import check_text, head_of

PATTERN_LENGTH = 10_000
"""A pattern has at most so many characters; SQLite takes no more than 50,000 bytes."""

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
        return _time(_RUN_TIMES[asked.key], asked)
    if asked.kind == "attribute" and asked.key in _RUN_TEXTS:
        return _text(database, _RUN_TEXTS[asked.key], asked)
    if asked.kind == "dataset":
        read = sa.select(inputs.c.run).join(input_datasets, input_datasets.c.dataset == inputs.c.dataset)
        met = _text(database, _DATASET_TEXTS[asked.key], asked)
        return sa.exists(read.where(inputs.c.run == runs.c.number, met).correlate(runs))
    found = sa.exists(runs_that(database, asked).where(_run_of(asked) == runs.c.number).correlate(runs))
    return ~found if asked.comparator == "IS NULL" else found


def runs_that(database: Database, asked: Condition) -> sa.Select[tuple[int]]:
    """Return the query for the numbers of the runs that meet a condition on a metric, a param, a tag or the user.

    For IS NULL it is those that do not.
    """
    if asked.kind == "metric":
        return sa.select(series.c.run).where(series.c.key == asked.key, _metric(asked))
    table, key = (tags, USER_TAG) if asked.kind == "attribute" else (TEXTS[asked.kind], asked.key)
    return sa.select(table.c.run).where(table.c.key == key, *_kept_text(database, table, asked))


def is_ranged(asked: Condition) -> bool:
    """Whether an index leads from a condition to the runs that meet it, and to no others."""
    if asked.kind == "metric":
        return asked.comparator != "!="
    if asked.kind not in TEXTS:
        return False
    return asked.comparator == "=" or (asked.comparator == "LIKE" and _prefix(str(asked.value)) != "")


def experiment_condition(database: Database, asked: Condition) -> sa.ColumnElement[bool]:
    """Return what a condition says of a row of `experiments`."""
    if asked.kind == "attribute":
        if asked.key in _EXPERIMENT_TIMES:
            return _time(_EXPERIMENT_TIMES[asked.key], asked)
        return _text(database, _EXPERIMENT_TEXTS[asked.key], asked)
    tag = experiment_tags.c
    mine = sa.select(tag.key).where(tag.experiment_id == experiments.c.experiment_id, tag.key == asked.key)
    if asked.comparator not in ("IS NULL", "IS NOT NULL"):
        mine = mine.where(_text(database, tag.value, asked))
    found = sa.exists(mine.correlate(experiments))
    return ~found if asked.comparator == "IS NULL" else found


def _run_of(asked: Condition) -> sa.Column[int]:
    if asked.kind == "metric":
        return series.c.run
    return tags.c.run if asked.kind == "attribute" else TEXTS[asked.kind].c.run


def _metric(asked: Condition) -> sa.ColumnElement[bool]:
    value, is_nan = series.c.value, series.c.is_nan
    met = _compared(value, asked.comparator, asked.value)
    return sa.or_(is_nan.is_(True), met) if asked.comparator == "!=" else sa.and_(is_nan == sa.false(), met)


def _kept_text(database: Database, table: sa.Table, asked: Condition) -> list[sa.ColumnElement[bool]]:
    """What a condition says of a param or tag, put so that the index by value serves it."""
    if asked.comparator in ("IS NULL", "IS NOT NULL"):
        return []
    met = [_text(database, table.c.value, asked)]
    if asked.comparator == "=":
        met.append(table.c.head == head_of(str(asked.value)))
    if asked.comparator == "LIKE" and (prefix := head_of(_prefix(str(asked.value)))):
        met.append(table.c.head >= prefix)
        if (end := _successor(prefix)) is not None:
            met.append(table.c.head < end)
    return met


def _text(database: Database, column: sa.ColumnElement[str], asked: Condition) -> sa.ColumnElement[bool]:
    comparator, value = asked.comparator, asked.value
    if isinstance(value, tuple):
        for each in value:
            check_text(each, "what is compared with", asked.key)
        found = database.among(column, value)
        return ~found if comparator == "NOT IN" else found
    text = check_text(str(value), "what is compared with", asked.key)
    if comparator not in ("LIKE", "ILIKE"):
        return _compared(column, comparator, text)
    if len(text) > PATTERN_LENGTH:
        raise InvalidError(f"a pattern for {asked.key[:100]!r} has {len(text)} characters, more than {PATTERN_LENGTH}")
    if not database.is_sqlite:
        return column.like(text, escape="") if comparator == "LIKE" else column.ilike(text, escape="")
    # SQLite's LIKE is what others call ILIKE; its GLOB is the one that tells capitals from small letters.
    return column.op("GLOB", is_comparison=True)(_glob(text)) if comparator == "LIKE" else column.op("LIKE")(text)


def _compared(column: sa.ColumnElement[Any], comparator: Comparator, value: Any) -> sa.ColumnElement[bool]:
    return column.op(comparator, is_comparison=True)(value)


def _time(column: sa.Column[Any], asked: Condition) -> sa.ColumnElement[bool]:
    """Compare a time, kept in microseconds, as its whole milliseconds, in which it is asked for."""
    at = sa.type_coerce(column, sa.BigInteger)
    value = float(asked.value)  # type: ignore[arg-type]  # the parser gives a number for a time
    from_us, behind_us = _microseconds(math.ceil(value)), _microseconds(math.floor(value) + 1)
    match asked.comparator:
        case ">":
            return at >= behind_us
        case ">=":
            return at >= from_us
        case "<":
            return at < from_us
        case "<=":
            return at < behind_us
        case "=":
            return sa.and_(at >= from_us, at < behind_us)
        case _:
            return sa.or_(at < from_us, at >= behind_us)


def _microseconds(ms: int) -> int:
    return max(-(1 << 63), min(ms * 1000, (1 << 63) - 1))


def _prefix(pattern: str) -> str:
    return re.split("[%_]", pattern, maxsplit=1)[0]


def _successor(prefix: str) -> str | None:
    """The least text greater than every text that begins with `prefix`; None when there is none."""
    for place in range(len(prefix) - 1, -1, -1):
        following = ord(prefix[place]) + 1
        if following <= 0x10FFFF:
            return prefix[:place] + chr(0xE000 if 0xD800 <= following < 0xE000 else following)
    return None


def _glob(pattern: str) -> str:
    """A pattern of LIKE as GLOB writes it."""
    return re.sub(r"[*?\[]", r"[\g<0>]", pattern).replace("%", "*").replace("_", "?")
