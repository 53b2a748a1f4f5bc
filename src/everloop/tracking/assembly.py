"""Runs put together from their rows: a fixed number of queries, however many runs there are."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from everloop.storage.database import Database
from everloop.tracking.metrics import number_of
from everloop.tracking.run import Input, Run
from everloop.tracking.tables import experiments, input_datasets, inputs, params, runs, series, tags

RUN_COLUMNS = (*runs.c, experiments.c.name.label("experiment"))
"""What `assemble` wants of each run."""

JOINED = runs.join(experiments, experiments.c.experiment_id == runs.c.experiment_id)


def assemble(database: Database, connection: Connection, rows: Sequence[sa.Row[Any]]) -> list[Run]:
    """Return the runs of some rows of `RUN_COLUMNS`, in their order."""
    numbers = [row.number for row in rows]
    if not numbers:
        return []

    def by_run(table: sa.Table, *columns: str, read: Callable[..., Any]) -> dict[int, dict[str, Any]]:
        found: dict[int, dict[str, Any]] = defaultdict(dict)
        query = sa.select(table.c.run, table.c.key, *(table.c[name] for name in columns))
        query = query.where(_chosen(database, table, numbers)).order_by(table.c.run, table.c.key)
        for run, key, *given in connection.execute(query).all():
            found[run][key] = read(*given)
        return found

    found_params = by_run(params, "value", read=str)
    found_tags = by_run(tags, "value", read=str)
    found_metrics = by_run(series, "value", "is_nan", read=number_of)
    found_inputs = _inputs(database, connection, numbers)
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
        )
        for row in rows
    ]


def _inputs(database: Database, connection: Connection, numbers: list[int]) -> dict[int, list[Input]]:
    found: dict[int, list[Input]] = defaultdict(list)
    query = (
        sa.select(inputs.c.run, inputs.c.tags, input_datasets)
        .join(input_datasets, input_datasets.c.dataset == inputs.c.dataset)
        .where(_chosen(database, inputs, numbers))
        .order_by(inputs.c.run, input_datasets.c.name, input_datasets.c.digest)
    )
    for row in connection.execute(query):
        found[row.run].append(
            Input(
                name=row.name,
                digest=row.digest,
                source_type=row.source_type,
                source=row.source,
                schema=row.schema,
                profile=row.profile,
                tags=row.tags,
            )
        )
    return found


def _chosen(database: Database, table: sa.Table, numbers: list[int]) -> sa.ColumnElement[bool]:
    return table.c.run == numbers[0] if len(numbers) == 1 else database.among(table.c.run, numbers)
