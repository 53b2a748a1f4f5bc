"""How every TrackingStore finds logged models, over each backend."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from everloop import refs
from everloop.errors import InvalidError
from everloop.tracking import LoggedModel, MetricDataset, ModelMetric, ModelOrder, TrackingStore
from tests.stores import Stores

NOON = datetime(2013, 3, 1, 12, tzinfo=UTC)


@pytest.fixture
def store(platform: Stores) -> TrackingStore:
    return platform.tracking


@pytest.fixture
def run_id(store: TrackingStore) -> str:
    return store.create_run(refs.new_run_id(), "flights", started_at=NOON).run_id


def make(store: TrackingStore, name: str, experiment_id: str = "0", run_id: str | None = None, **texts: str) -> str:
    return store.create_logged_model(
        refs.new_model_id(), experiment_id, name, run_id, params=texts, tags=texts
    ).model_id


def measure(
    store: TrackingStore, run_id: str, model_id: str, value: float, *, on: str = "", digest: str = "", second: int = 0
) -> None:
    at = NOON + timedelta(seconds=second)
    point = ModelMetric(
        model_id=model_id, key="auc", value=value, step=0, logged_at=at, dataset_name=on, dataset_digest=digest
    )
    store.log(run_id, model_metrics=[point])


def names(models: list[LoggedModel]) -> list[str]:
    return [each.name for each in models]


def found(
    store: TrackingStore, filter_: str = "", datasets: list[MetricDataset] | None = None, *order: ModelOrder
) -> list[str]:
    """The names of the models that are found, by name when no order is asked for."""
    by_name = [ModelOrder(key="name")]
    return names(store.search_logged_models(None, filter_, datasets, list(order) or by_name).models)


def test_the_newest_come_first_of_the_experiments_asked_for_and_without_the_deleted(
    store: TrackingStore, run_id: str
) -> None:
    a, b, c = (make(store, name) for name in "abc")
    make(store, "d", "1")
    store.delete_logged_model(b)
    page = store.search_logged_models(["0"])
    assert (names(page.models), page.next) == (["c", "a"], "")
    assert page.models == [store.get_logged_model(c), store.get_logged_model(a)]
    assert names(store.search_logged_models().models) == ["d", "c", "a"]
    assert names(store.search_logged_models(["1", "4711", "none"]).models) == ["d"]
    assert store.search_logged_models([]).models == []


def test_models_are_found_by_their_attributes_params_and_tags(store: TrackingStore, run_id: str) -> None:
    a = make(store, "a", run_id=run_id, depth="3")
    make(store, "b", depth="4", team="air")
    store.finalize_logged_model(a, "ready")
    made = store.get_logged_model(a)
    ms = int(made.created_at.timestamp() * 1000)
    for text, expected in {
        "name = 'a'": ["a"],
        "name LIKE '%'": ["a", "b"],
        f"model_id = '{a}'": ["a"],
        f"model_id NOT IN ('{a}')": ["b"],
        f"source_run_id = '{run_id}'": ["a"],
        "source_run_id != 'x'": ["a"],
        "status = 'READY'": ["a"],
        "status != 'ready'": ["b"],
        f"creation_timestamp >= {ms}": ["a", "b"],
        f"creation_time < {ms}": [],
        f"last_updated_timestamp > {ms + 3_600_000}": [],
        "params.depth = '3'": ["a"],
        "params.depth IN ('3', '4')": ["a", "b"],
        "tags.depth NOT IN ('3')": ["b"],
        "tags.team IS NULL": ["a"],
        "tags.team ILIKE 'AI_' AND params.depth != '3'": ["b"],
        "name = 'a' AND name = 'b'": [],
    }.items():
        assert (text, found(store, text)) == (text, expected)


def test_a_metric_is_sought_among_its_values_on_the_datasets(store: TrackingStore, run_id: str) -> None:
    a, b, c = (make(store, name) for name in "abc")
    measure(store, run_id, a, 0.5, on="train", digest="1")
    measure(store, run_id, a, 0.9, on="test", digest="1")
    measure(store, run_id, b, 0.7, on="test", digest="2")
    measure(store, run_id, c, math.nan)
    train, test, second = (
        MetricDataset(name="train"),
        MetricDataset(name="test"),
        MetricDataset(name="test", digest="2"),
    )
    assert found(store, "metrics.auc > 0.6") == ["a", "b"]
    assert found(store, "metrics.auc < 0.6 AND metrics.auc > 0.8") == ["a"]
    assert found(store, "metrics.auc != 0.7") == ["a", "c"]
    assert found(store, "metrics.auc > 0.6", [train]) == []
    assert found(store, "metrics.auc > 0.6", [second]) == ["b"]
    assert found(store, "metrics.auc > 0.6", [train, test]) == ["a", "b"]
    assert found(store, "", [test]) == ["a", "b"]
    assert found(store, "name != 'b'", [test]) == ["a"]


def test_models_are_ordered_by_the_latest_value_of_a_metric(store: TrackingStore, run_id: str) -> None:
    other = store.create_run(refs.new_run_id(), "flights").run_id
    a, b, c, _ = (make(store, name) for name in "abcd")
    measure(store, run_id, a, 0.9, on="train", second=1)
    measure(store, other, a, 0.1, on="test", second=2)
    measure(store, run_id, b, 0.5, on="train")
    measure(store, run_id, c, math.nan)
    measure(store, run_id, c, math.inf, on="test")
    up, down = ModelOrder(key="metrics.auc"), ModelOrder(key="metrics.auc", is_descending=True)
    assert found(store, "", None, up) == ["a", "b", "c", "d"]
    assert found(store, "", None, down) == ["b", "a", "c", "d"]
    trained = ModelOrder(key="metrics.auc", is_descending=True, dataset=MetricDataset(name="train"))
    assert found(store, "", None, trained) == ["a", "b", "d", "c"]
    tested = ModelOrder(key="metrics.auc", is_descending=True, dataset=MetricDataset(name="test"))
    assert found(store, "", None, tested) == ["c", "a", "d", "b"]


def test_models_without_an_attribute_come_last_in_both_directions(store: TrackingStore) -> None:
    for name, kind in (("a", "x"), ("b", None), ("c", "y")):
        store.create_logged_model(refs.new_model_id(), "0", name, model_type=kind)
    assert found(store, "", None, ModelOrder(key="model_type")) == ["a", "c", "b"]
    assert found(store, "", None, ModelOrder(key="model_type", is_descending=True)) == ["c", "a", "b"]


def test_what_cannot_be_sought_is_refused(store: TrackingStore) -> None:
    metric, dataset = "metrics.auc", MetricDataset(name="d")
    for wrong in (
        {"filter": "nothing = 'a'"},
        {"filter": "name = 'a\0'"},
        {"order_by": [ModelOrder(key="params.a")]},
        {"order_by": [ModelOrder(key="name", dataset=dataset)]},
        {"order_by": [ModelOrder(key=metric, dataset=MetricDataset(name=""))]},
        {"order_by": [ModelOrder(key="metrics.a\0")]},
        {"datasets": [MetricDataset(name="", digest="1")]},
        {"datasets": [MetricDataset(name="a", digest="\0")]},
        {"limit": 0},
        {"limit": 50_001},
        {"after": "nonsense"},
    ):
        with pytest.raises(InvalidError):
            store.search_logged_models(**wrong)


def test_the_token_of_another_order_is_refused(store: TrackingStore) -> None:
    for name in "abc":
        make(store, name)
    place = store.search_logged_models(limit=1).next
    with pytest.raises(InvalidError, match="token"):
        store.search_logged_models(order_by=[ModelOrder(key="metrics.auc")], after=place)


KEYS = st.sampled_from(["name", "model_type", "status", "creation_time", "metrics.auc", "metrics.none"])
ORDERS = st.builds(ModelOrder, key=KEYS, is_descending=st.booleans())
FILTERS = st.sampled_from(["", "tags.even = '1'", "metrics.auc > 0", "metrics.auc != 1", "tags.even IS NULL"])


@pytest.fixture
def many(store: TrackingStore, run_id: str) -> TrackingStore:
    for i in range(12):
        kind = None if i % 3 else "forest"
        tags = {"even": "1"} if i % 2 == 0 else {}
        made = store.create_logged_model(refs.new_model_id(), "0", f"m{i % 4}", model_type=kind, tags=tags)
        if i % 5:
            measure(store, run_id, made.model_id, [math.nan, 1.0, -math.inf, 2.5][i % 4])
            measure(store, run_id, made.model_id, float(i), on="test", second=i % 2)
    return store


def ordered(models: list[LoggedModel], order: list[ModelOrder]) -> list[LoggedModel]:
    """Models in an order, by a plain reading of the rules."""
    models = sorted(models, key=lambda each: each.model_id)
    models = sorted(models, key=lambda each: each.created_at, reverse=True)
    for by in reversed(order):
        values = {each.model_id: value_of(each, by.key) for each in models}
        missing = [each for each in models if values[each.model_id] is None]
        nan = [each for each in models if values[each.model_id] != values[each.model_id]]
        present = [each for each in models if each not in missing and each not in nan]
        present.sort(key=lambda each: values[each.model_id], reverse=by.is_descending)
        models = present + nan + missing
    return models


def value_of(model: LoggedModel, key: str) -> Any:
    if not key.startswith("metrics."):
        return getattr(model, {"creation_time": "created_at"}.get(key, key))
    points = [
        (each.logged_at, each.step, math.isnan(float(each.value)), float(each.value))
        for each in model.metrics
        if f"metrics.{each.key}" == key
    ]
    return max(points)[-1] if points else None


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(order=st.lists(ORDERS, max_size=3), filter_=FILTERS, limit=st.integers(1, 5))
def test_pages_give_each_model_once_in_the_order_of_the_whole(
    many: TrackingStore, order: list[ModelOrder], filter_: str, limit: int
) -> None:
    whole = many.search_logged_models(["0"], filter_, None, order)
    assert whole.next == ""
    assert whole.models == ordered(whole.models, order)
    paged: list[LoggedModel] = []
    place = ""
    while place or not paged:
        page = many.search_logged_models(["0"], filter_, None, order, limit, place)
        paged += page.models
        place = page.next
    assert paged == whole.models


def test_a_model_that_is_added_between_pages_shifts_nothing(store: TrackingStore) -> None:
    for name in "abcd":
        make(store, name)
    first = store.search_logged_models(limit=2)
    make(store, "e")
    second = store.search_logged_models(limit=2, after=first.next)
    assert names(first.models + second.models) == ["d", "c", "b", "a"]
