"""A database of an older release is brought to the newest schema, with all that it holds."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import sqlalchemy as sa

from everloop.storage.database import EPOCH, Database
from everloop.storage.migrations import migrate, upgrade
from everloop.tracking import Artifact, Metric
from everloop.tracking.sql import SqlTracking

RUN, SECOND = "7f" * 16, "ab" * 16
MARCH_US = int(datetime(2013, 3, 1, tzinfo=UTC).timestamp()) * 1_000_000
MARCH = EPOCH + timedelta(microseconds=MARCH_US)

# What a database of the first schema held: experiments out of order, runs of two of them, NaN and an infinity.
FIRST = (
    ("experiments (name, created_at)", [("weather", MARCH_US + 2), ("flights", MARCH_US + 1), ("late", MARCH_US + 3)]),
    (
        "runs (run_id, experiment, name, status, started_at, ended_at)",
        [(RUN, "flights", "try", "running", MARCH_US, None), (SECOND, "late", "two", "failed", MARCH_US, MARCH_US + 9)],
    ),
    ("params (run_id, key, value)", [(RUN, "depth", "3"), (SECOND, "text", "ü" * 1000)]),
    ("tags (run_id, key, value)", [(RUN, "note", "x"), (RUN, "empty", "")]),
    (
        "metrics (run_id, key, step, logged_at, value, is_nan)",
        [
            (RUN, "loss", 0, MARCH_US, 0.5, False),
            (RUN, "loss", 1, MARCH_US, 0.0, True),
            (RUN, "acc", 7, MARCH_US, float("inf"), False),
            (SECOND, "loss", 0, MARCH_US, -1.5, False),
        ],
    ),
    (
        "latest_metrics (run_id, key, step, logged_at, value, is_nan)",
        [
            (RUN, "loss", 1, MARCH_US, 0.0, True),
            (RUN, "acc", 7, MARCH_US, float("inf"), False),
            (SECOND, "loss", 0, MARCH_US, -1.5, False),
        ],
    ),
    ("artifacts (run_id, path, digest, size_bytes)", [(RUN, "plots/a.png", "cd" * 32, 5)]),
    ("edges (source, relation, target)", [(f"runs/{RUN}", "used", "datasets/flights@9c1e")]),
)


def fill(database: Database, *tables: tuple[str, list[tuple[object, ...]]]) -> None:
    with database.write() as connection:
        for table, rows in tables:
            names = table.partition("(")[2].rstrip(")").split(", ")
            statement = sa.text(f"INSERT INTO {table} VALUES ({', '.join(f':{name}' for name in names)})")
            connection.execute(statement, [dict(zip(names, row, strict=True)) for row in rows])


def old(database: Database, revision: str) -> None:
    upgrade(database, (revision,))
    fill(database, *FIRST)  # type: ignore[arg-type]  # the rows differ in length


def test_runs_of_before_sources_were_counted_can_be_added_to(database: Database) -> None:
    old(database, "tracking_0001")
    assert migrate(database, ["tracking"])
    store = SqlTracking(database)
    assert store.append(RUN, "s1", 0, 1, params={"new": "yes"}) == 1
    assert store.get_run(RUN).params == {"depth": "3", "new": "yes"}


def test_runs_of_before_experiments_had_ids_are_all_there(database: Database) -> None:
    old(database, "tracking_0002")
    fill(database, ("sources (run_id, source, stored)", [(RUN, "s1", 4)]))
    assert migrate(database, ["tracking"])
    store = SqlTracking(database)
    run, second = store.get_run(RUN), store.get_run(SECOND)
    assert (run.experiment, run.name, run.status, run.started_at, run.ended_at, run.is_deleted) == (
        ("flights", "try", "running", MARCH, None, False)
    )
    assert (run.params, run.tags) == ({"depth": "3"}, {"note": "x", "empty": ""})
    assert run.metrics == {"loss": "NaN", "acc": "Infinity"}
    assert (second.experiment, second.ended_at) == ("late", MARCH + timedelta(microseconds=9))
    assert (second.params, second.metrics) == ({"text": "ü" * 1000}, {"loss": -1.5})
    assert [(each.step, each.value) for each in store.metric_history(RUN, "loss").points] == [(0, 0.5), (1, "NaN")]
    assert store.list_artifacts(RUN) == [Artifact(path="plots/a.png", digest="cd" * 32, size_bytes=5)]
    assert len(store.edges_of(f"runs/{RUN}")) == 1
    assert store.append(RUN, "s1", 4, 5, [Metric(key="loss", value=0.25, step=2, logged_at=MARCH)]) == 5
    assert store.get_run(RUN).metrics["loss"] == 0.25


def test_experiments_of_before_they_had_ids_are_numbered_in_order_of_creation(database: Database) -> None:
    old(database, "tracking_0002")
    migrate(database, ["tracking"])
    store = SqlTracking(database)
    numbered = {each.experiment_id: each.name for each in store.search_experiments().experiments}
    assert numbered == {"0": "Default", "1": "flights", "2": "weather", "3": "late"}
    assert store.find_experiment("weather").created_at == MARCH + timedelta(microseconds=2)
    assert store.create_experiment("new").experiment_id == "4"


def test_an_experiment_that_was_named_default_becomes_number_zero(database: Database) -> None:
    old(database, "tracking_0002")
    fill(database, ("experiments (name, created_at)", [("Default", MARCH_US + 8)]))
    migrate(database, ["tracking"])
    default = SqlTracking(database).get_experiment("0")
    assert (default.name, default.created_at) == ("Default", MARCH + timedelta(microseconds=8))
