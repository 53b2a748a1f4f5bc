"""The datasets that runs read, each kept once per experiment, and the logged models that they read and made."""

from __future__ import annotations

from collections.abc import Iterable

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from everloop.refs import check_model_id
from everloop.storage.database import Database, check_text
from everloop.tracking.run import Input, check_step
from everloop.tracking.tables import input_datasets, inputs, run_models, runs
from everloop.tracking.texts import check_key

_CONTEXT = "mlflow.data.context"
_DIGEST_LENGTH = 128


def put_inputs(database: Database, connection: Connection, run: int, given: list[Input]) -> None:
    """Store what a run read; a dataset and its use that are stored already stay as they are."""
    named = {(each.name, each.digest): _checked(each) for each in sorted(given, key=lambda x: (x.name, x.digest))}
    mine = sa.select(runs.c.experiment_id).where(runs.c.number == run)
    experiment_id = connection.execute(mine).scalar_one()
    columns = ("name", "digest", "source_type", "source", "schema", "profile")
    rows = [{"experiment_id": experiment_id, **{c: getattr(each, c) for c in columns}} for each in named.values()]
    connection.execute(database.insert(input_datasets).on_conflict_do_nothing(), rows)
    query = sa.select(input_datasets.c.name, input_datasets.c.digest, input_datasets.c.dataset).where(
        input_datasets.c.experiment_id == experiment_id,
        database.among(input_datasets.c.name, sorted({each.name for each in given})),
    )
    numbers = {(row.name, row.digest): row.dataset for row in connection.execute(query)}
    uses = [
        {"run": run, "dataset": numbers[at], "context": each.tags.get(_CONTEXT), "tags": each.tags}
        for at, each in named.items()
    ]
    connection.execute(database.insert(inputs).on_conflict_do_nothing(), uses)


def put_models(database: Database, connection: Connection, run: int, given: Iterable[tuple[bool, str, int]]) -> None:
    """Store which logged models a run made (True) or read, and at which step."""
    rows = [
        {"run": run, "is_output": is_output, "model_id": check_model_id(model_id), "step": check_step(step, model_id)}
        for is_output, model_id, step in sorted(set(given))
    ]
    if rows:
        connection.execute(database.insert(run_models).on_conflict_do_nothing(), rows)


def _checked(each: Input) -> Input:
    check_key(each.name)
    check_key(each.digest, longest=_DIGEST_LENGTH)
    for text in (each.source_type, each.source, each.schema or "", each.profile or "", *each.tags, *each.tags.values()):
        check_text(text, "dataset", each.name)
    return each
