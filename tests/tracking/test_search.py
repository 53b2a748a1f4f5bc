"""What a search finds, and in which order, over each backend: as a plain reading of the rules says it should."""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import cmp_to_key
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from everloop.errors import InvalidError
from everloop.storage.database import microseconds
from everloop.tracking import Input, Metric, Run, Status, TrackingStore, View, selectivity
from everloop.tracking.filters import Condition, Order, parse_run_filter, parse_run_order
from tests.stores import Stores

NOON = datetime(2013, 3, 1, 12, tzinfo=UTC)
NOON_MS = microseconds(NOON) // 1000
LONG = "x" * 200

METRICS: list[dict[str, float]] = [
    {"loss": 0.5, "acc": 0.1},
    {"loss": math.nan, "acc": 0.9},
    {"loss": math.inf},
    {"acc": -math.inf},
    {"loss": 0.5},
    {"loss": -1.5, "acc": 0.1},
    {},
    {"loss": 0.5, "acc": 0.9},
]
PARAMS: list[dict[str, str]] = [
    {"model": "tree"},
    {"model": "Tree"},
    {"model": LONG + "a"},
    {"model": LONG + "b", "a.b/c d": "1"},
    {},
    {"model": "50%_[a]*?"},
    {"model": "tree"},
    {"model": "é☃𝄞"},
]
TAGS: list[dict[str, str]] = [
    {"mlflow.user": "ada"},
    {"mlflow.user": "bob", "empty": ""},
    {},
    {"note": "it's"},
    {"mlflow.user": "ada", "note": "a\\b"},
    {"note": "A\\B"},
    {"empty": "no"},
    {},
]
STATES: list[Status] = ["running", "finished", "failed", "killed", "finished", "scheduled", "running", "finished"]


@pytest.fixture
def store(platform: Stores) -> TrackingStore:
    return platform.tracking


@pytest.fixture
def runs(store: TrackingStore) -> list[Run]:
    """Eight runs of two experiments; several began at once, and few have an end."""
    other = store.create_experiment("flights").experiment_id
    made = []
    for i, state in enumerate(STATES):
        run_id = f"{(i * 7) % 8:032x}"
        at = NOON + timedelta(milliseconds=i // 3, microseconds=i)
        store.start_run(run_id, "0" if i % 2 else other, f"run {i}", at, TAGS[i])
        points = [Metric(key=key, value=value, logged_at=NOON) for key, value in METRICS[i].items()]
        store.log(run_id, points, PARAMS[i])
        ended_at = None if state in ("running", "scheduled") else NOON + timedelta(hours=8 - i)
        store.update_run(run_id, state, ended_at)
        if i % 3 == 0:
            tags = {"mlflow.data.context": "training"} if i else {}
            read = Input(name=f"data{i}", digest="9c1e", source_type="local", source="x", tags=tags)
            store.log_inputs(run_id, [read])
        made.append(store.get_run(run_id))
    return made


# --- the rules, read plainly


def values(run: Run, kind: str, key: str) -> list[Any]:
    """What a run has under a key: none, one, or for datasets several values."""
    if kind == "dataset":
        named = {"name": lambda x: x.name, "digest": lambda x: x.digest}
        context = lambda x: x.tags.get("mlflow.data.context")  # noqa: E731  one of three readings of an input
        found = [named.get(key, context)(each) for each in run.inputs]
    elif kind == "attribute":
        found = [
            {
                "run_id": run.run_id,
                "run_name": run.name,
                "status": run.status,
                "artifact_uri": f"mlflow-artifacts:/{run.experiment_id}/{run.run_id}/artifacts",
                "user_id": run.tags.get("mlflow.user"),
                "start_time": run.started_at,
                "end_time": run.ended_at,
            }[key]
        ]
    else:
        found = [{"metric": run.metrics, "param": run.params, "tag": run.tags}[kind].get(key)]  # type: ignore[attr-defined]
        if kind == "metric":
            found = [None if each is None else float(each) for each in found]
    return [each for each in found if each is not None]


COMPARED: dict[str, Callable[[Any, Any], bool]] = {
    "=": operator.eq,
    "!=": operator.ne,
    ">": operator.gt,
    ">=": operator.ge,
    "<": operator.lt,
    "<=": operator.le,
    "LIKE": lambda value, pattern: re.fullmatch(regex(pattern), value, re.DOTALL) is not None,
    "ILIKE": lambda value, pattern: re.fullmatch(regex(pattern), value, re.DOTALL | re.IGNORECASE) is not None,
    "IN": lambda value, chosen: value in chosen,
    "NOT IN": lambda value, chosen: value not in chosen,
}


def regex(pattern: str) -> str:
    return "".join({"%": ".*", "_": "."}.get(each, re.escape(each)) for each in pattern)


def meets(run: Run, asked: Condition) -> bool:
    found = values(run, asked.kind, asked.key)
    if asked.comparator in ("IS NULL", "IS NOT NULL"):
        return bool(found) == (asked.comparator == "IS NOT NULL")
    found = [microseconds(each) // 1000 if isinstance(each, datetime) else each for each in found]
    return any(COMPARED[asked.comparator](each, asked.value) for each in found)


def ordered(found: list[Run], orders: tuple[Order, ...]) -> list[str]:
    terms = [*orders, Order("attribute", "start_time", descending=True), Order("attribute", "run_id", descending=False)]

    def compare(a: Run, b: Run) -> int:
        for term in terms:
            places = []
            for run in (a, b):
                (value,) = values(run, term.kind, term.key) or [None]
                rank = 2 if value is None else 1 if isinstance(value, float) and math.isnan(value) else 0
                places.append((rank, value if rank == 0 else 0))
            if places[0] != places[1]:
                differ = places[0][0] - places[1][0]
                return differ or (1 if (places[0][1] > places[1][1]) != term.descending else -1)
        return 0

    return [run.run_id for run in sorted(found, key=cmp_to_key(compare))]


def sought(store: TrackingStore, filter_text: str, orders: list[str], limit: int) -> list[str]:
    """The ids that all pages of a search give."""
    found, after = [], ""
    while True:
        page = store.search_runs(None, filter_text, orders, limit=limit, after=after)
        found += [run.run_id for run in page.runs]
        assert len(page.runs) <= limit
        if not page.next:
            return found
        assert len(page.runs) == limit
        after = page.next


FILTERS = [
    "",
    "metrics.loss > 0.4",
    "metrics.loss >= 0.5",
    "metrics.loss < 0.5",
    "metrics.loss <= -1.5",
    "metrics.loss = 0.5",
    "metrics.loss != 0.5",
    "metrics.nothing != 0",
    "metrics.loss <= 0.5 AND metrics.acc > 0",
    "params.model = 'tree'",
    "params.model != 'tree'",
    f"params.model = '{LONG}b'",
    "params.model LIKE 'tree'",
    "params.model LIKE 'T%'",
    "params.model ILIKE 't%'",
    "params.model LIKE 'x%b'",
    f"params.model LIKE '{LONG}_'",
    "params.model LIKE '%r_e'",
    "params.model LIKE '50%'",
    "params.model LIKE '%[a]*?'",
    "params.model LIKE '☃%'",
    "params.model LIKE 'é☃_'",
    "params.model IS NULL",
    "params.model IS NOT NULL",
    "params.`a.b/c d` = '1'",
    "tags.note = 'it''s'",
    "tags.note LIKE 'a\\b'",
    "tags.note ILIKE 'a\\b'",
    "tags.empty = ''",
    "tags.empty LIKE '%'",
    "tags.note IS NULL AND tags.empty IS NULL",
    "attributes.status = 'FINISHED'",
    "status != 'finished'",
    "status IN ('FAILED', 'KILLED')",
    "run_name NOT IN ('run 1', 'run 2')",
    "run_name LIKE 'run%'",
    "run_id = '00000000000000000000000000000007'",
    "user_id = 'ada'",
    "user_id != 'ada'",
    "artifact_uri LIKE 'mlflow-artifacts:/0/%'",
    *(f"start_time {each} {NOON_MS + 1}" for each in ("=", "!=", ">", ">=", "<", "<=")),
    *(f"start_time {each} {NOON_MS}.5" for each in ("=", "!=", ">", ">=", "<", "<=")),
    f"end_time > {NOON_MS + 3_600_000 * 4}",
    "end_time != 0 AND start_time < 1e300",
    "dataset.name = 'data3'",
    "dataset.name != 'data3'",
    "dataset.context = 'training'",
    "datasets.digest LIKE '9_1%'",
    "dataset.name IN ('data0', 'data6') AND dataset.context != 'test'",
    "params.model = '''; DROP TABLE runs; --'",
]
ORDERS = [
    [],
    ["metrics.loss"],
    ["metrics.loss DESC"],
    ["metrics.acc DESC", "metrics.loss ASC"],
    ["params.model"],
    ["params.model DESC", "tags.note"],
    ["tags.empty", "metrics.acc"],
    ["start_time ASC"],
    ["end_time"],
    ["end_time DESC"],
    ["status", "run_id DESC"],
    ["status DESC", "end_time", "metrics.loss DESC"],
    ["run_name DESC"],
    ["user_id DESC", "artifact_uri"],
    ["metrics.nothing", "params.nothing DESC"],
]


def test_each_filter_finds_the_runs_that_meet_it(store: TrackingStore, runs: list[Run]) -> None:
    for text in FILTERS:
        conditions = parse_run_filter(text)
        expected = ordered([run for run in runs if all(meets(run, each) for each in conditions)], ())
        assert sought(store, text, [], 1000) == expected, text


def test_each_order_holds_over_pages_of_any_size(store: TrackingStore, runs: list[Run]) -> None:
    for orders in ORDERS:
        expected = ordered(runs, parse_run_order(orders))
        for limit in (1, 3):
            assert sought(store, "", orders, limit) == expected, (orders, limit)


@pytest.mark.parametrize("bound", [0, selectivity.BOUND])
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    filters=st.lists(st.sampled_from([each for each in FILTERS if each]), max_size=2),
    orders=st.sampled_from(ORDERS),
    limit=st.integers(1, 4),
)
def test_filters_orders_and_pages_go_together(
    store: TrackingStore, runs: list[Run], filters: list[str], orders: list[str], limit: int, bound: int
) -> None:
    """Whether a search begins at the few that meet a condition or goes along the order changes nothing."""
    text = " AND ".join(filters)
    conditions = parse_run_filter(text)
    expected = [run for run in runs if all(meets(run, each) for each in conditions)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(selectivity, "BOUND", bound)
        assert sought(store, text, orders, limit) == ordered(expected, parse_run_order(orders))


def test_a_token_belongs_to_its_order(store: TrackingStore, runs: list[Run]) -> None:
    token = store.search_runs(order_by=["metrics.loss"], limit=2).next
    assert store.search_runs(order_by=["metrics.loss DESC"], after=token).runs
    for orders in ([], ["params.model"], ["metrics.loss", "metrics.acc"], ["end_time"]):
        with pytest.raises(InvalidError, match="page token"):
            store.search_runs(order_by=orders, after=token)


def test_a_pattern_of_any_length_is_answered(store: TrackingStore, runs: list[Run]) -> None:
    assert store.search_runs(filter=f"tags.note LIKE '{'☃' * 9_000}%'").runs == []
    with pytest.raises(InvalidError, match="pattern"):
        store.search_runs(filter=f"tags.note LIKE '{'a' * 10_001}'")


def test_a_filter_that_cannot_be_read_is_refused(store: TrackingStore) -> None:
    for text in ("loss < 1", "metrics.loss = 'a'", "params.a = 1", "a OR b", "params.a = 'a\0'"):
        with pytest.raises(InvalidError):
            store.search_runs(filter=text)
    with pytest.raises(InvalidError):
        store.search_runs(order_by=["nothing"])


# --- experiments


def test_experiments_are_found_by_name_tags_and_times_the_newest_first(store: TrackingStore) -> None:
    numbers = [
        store.create_experiment(name, tags).experiment_id
        for name, tags in (("flights/a", {"team": "ops"}), ("Flights/b", {"team": "Ops"}), ("weather", None))
    ]
    store.delete_experiment(numbers[1])
    default = store.get_experiment("0")
    since = microseconds(store.get_experiment(numbers[0]).created_at) // 1000

    def names(text: str = "", orders: list[str] | None = None, view: View = "all") -> list[str]:
        found, after = [], ""
        while True:
            page = store.search_experiments(text, orders, view, 2, after)
            found += [each.name for each in page.experiments]
            if not page.next:
                return found
            after = page.next

    assert names() == ["weather", "Flights/b", "flights/a", "Default"]
    assert names(view="active") == ["weather", "flights/a", "Default"]
    assert names(view="deleted") == ["Flights/b"]
    assert names("name LIKE 'flights%'") == ["flights/a"]
    assert names("name ILIKE 'flights%'", ["name"]) == ["Flights/b", "flights/a"]
    assert names("tags.team = 'ops'") == ["flights/a"]
    assert names("tags.team != 'ops'") == ["Flights/b"]
    assert names("tags.team IS NULL") == ["weather", "Default"]
    assert names("tag.team ILIKE 'o%' AND attribute.name != 'flights/a'") == ["Flights/b"]
    assert names(f"creation_time >= {since}", ["creation_time"]) == ["flights/a", "Flights/b", "weather"]
    assert names(orders=["last_update_time DESC"])[0] == "Flights/b"
    assert names("experiment_id IN ('0', '1')", ["experiment_id DESC"]) == ["flights/a", default.name]
    with pytest.raises(InvalidError):
        names("metrics.loss > 1")
