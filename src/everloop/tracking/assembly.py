"""Runs put together from their rows: a fixed number of queries, however many runs there are."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from everloop.storage.database import Database
from everloop.tracking.metrics import number_of
from everloop.tracking.run import Input, ModelOutput, Run
from everloop.tracking.tables import experiments, input_datasets, inputs, params, run_models, runs, series, tags

RUN_COLUMNS = (*runs.c, experiments.c.name.label("experiment"))
"""What `assemble` wants of each run."""

JOINED = runs.join(experiments, experiments.c.experiment_id == runs.c.experiment_id)


class _Values:
    """The query for what runs have in a table, the run first; made once, because that takes longer than running it."""

    def __init__(self, query: sa.Select[Any], run: sa.Column[int], *then_by: sa.Column[Any]) -> None:
        self.run = run
        self.of_all = query.order_by(run, *then_by)
        self.of_one = self.of_all.where(run == sa.bindparam("of_run"))


_PARAMS = _Values(sa.select(params.c.run, params.c.key, params.c.value), params.c.run, params.c.key)
_TAGS = _Values(sa.select(tags.c.run, tags.c.key, tags.c.value), tags.c.run, tags.c.key)
_METRICS = _Values(sa.select(series.c.run, series.c.key, series.c.value, series.c.is_nan), series.c.run, series.c.key)
_INPUT_FIELDS = ("name", "digest", "source_type", "source", "schema", "profile")
_INPUTS = _Values(
    sa.select(inputs.c.run, inputs.c.tags, *(input_datasets.c[field] for field in _INPUT_FIELDS)).join(
        input_datasets, input_datasets.c.dataset == inputs.c.dataset
    ),
    inputs.c.run,
    input_datasets.c.name,
    input_datasets.c.digest,
)
_MODELS = _Values(
    sa.select(run_models.c.run, run_models.c.is_output, run_models.c.model_id, run_models.c.step),
    run_models.c.run,
    run_models.c.model_id,
    run_models.c.step,
)


def assemble(database: Database, connection: Connection, rows: Sequence[sa.Row[Any]]) -> list[Run]:
    """Return the runs of some rows of `RUN_COLUMNS`, in their order."""
    numbers = [row.number for row in rows]
    if not numbers:
        return []

    def rows_of(values: _Values) -> Sequence[Any]:
        if len(numbers) == 1:
            return connection.execute(values.of_one, {"of_run": numbers[0]}).all()
        return connection.execute(values.of_all.where(database.among(values.run, numbers))).all()

    def by_run(values: _Values, read: Callable[..., Any]) -> dict[int, dict[str, Any]]:
        found: dict[int, dict[str, Any]] = defaultdict(dict)
        for run, key, *given in rows_of(values):
            found[run][key] = read(*given)
        return found

    found_inputs: dict[int, list[Input]] = defaultdict(list)
    for run, read_tags, *fields in rows_of(_INPUTS):
        found_inputs[run].append(Input(**dict(zip(_INPUT_FIELDS, fields, strict=True)), tags=read_tags))
    read: dict[int, list[str]] = defaultdict(list)
    made: dict[int, list[ModelOutput]] = defaultdict(list)
    for run, is_output, model_id, step in rows_of(_MODELS):
        if is_output:
            made[run].append(ModelOutput(model_id=model_id, step=step))
        else:
            read[run].append(model_id)
    found_params = by_run(_PARAMS, str)
    found_tags = by_run(_TAGS, str)
    found_metrics = by_run(_METRICS, number_of)
    return [
        Run(
            run_id=row.run_id,
            experiment_id=str(row.experiment_id),
            experiment=row.experiment,
            name=row.name,
            status=row.status,
            started_at=row.started_at,
            ended_at=row.ended_at,
            is_deleted=row.deleted_at is not None,
            params=found_params[row.number],
            metrics=found_metrics[row.number],
            tags=found_tags[row.number],
            inputs=found_inputs[row.number],
            model_inputs=read[row.number],
            model_outputs=made[row.number],
        )
        for row in rows
    ]
