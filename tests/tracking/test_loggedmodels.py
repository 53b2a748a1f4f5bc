"""What every TrackingStore promises of logged models, over each backend."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from everloop import refs
from everloop.errors import ConflictError, EverloopError, InvalidError, NotFoundError
from everloop.tracking import Artifact, ModelMetric, TrackingStore
from tests.stores import Stores

NOON = datetime(2013, 3, 1, 12, tzinfo=UTC)
MODEL = "m-" + "7f" * 16
DIGEST = "ab" * 32


@pytest.fixture
def store(platform: Stores) -> TrackingStore:
    return platform.tracking


@pytest.fixture
def run_id(store: TrackingStore) -> str:
    return store.create_run(refs.new_run_id(), "flights", started_at=NOON).run_id


@pytest.fixture
def model_id(store: TrackingStore, run_id: str) -> str:
    made = store.create_logged_model(MODEL, "1", "tree", run_id, "classifier", {"depth": "3"}, {"team": "air"})
    return made.model_id


def measured(value: float, *, step: int = 0, at: datetime = NOON, dataset: str = "") -> ModelMetric:
    return ModelMetric(model_id=MODEL, key="auc", value=value, step=step, logged_at=at, dataset_name=dataset)


def refusal(call: Callable[[], object]) -> type[EverloopError]:
    with pytest.raises(EverloopError) as caught:
        call()
    return type(caught.value)


def test_a_new_model_is_pending_and_holds_what_it_was_made_with(store: TrackingStore, model_id: str) -> None:
    found = store.get_logged_model(model_id)
    assert (found.experiment_id, found.name, found.model_type, found.status) == ("1", "tree", "classifier", "pending")
    assert (found.params, found.tags, found.metrics) == ({"depth": "3"}, {"team": "air"}, [])
    assert found.created_at == found.updated_at
    assert not found.is_deleted


def test_a_model_made_twice_stays_as_it_is(store: TrackingStore, model_id: str) -> None:
    found = store.get_logged_model(model_id)
    assert store.create_logged_model(model_id, "1", "other", params={"depth": "4"}) == found
    assert refusal(lambda: store.create_logged_model(model_id, "0", "tree")) is ConflictError


def test_what_is_no_model_is_refused(store: TrackingStore, run_id: str) -> None:
    for wrong in ("", "m-1", "7f" * 16, "M-" + "7f" * 16):
        assert refusal(lambda wrong=wrong: store.create_logged_model(wrong, "0", "a")) is InvalidError  # type: ignore[misc]
    for name in ("", "x" * 501, "a\0"):
        assert refusal(lambda name=name: store.create_logged_model(MODEL, "0", name)) is InvalidError  # type: ignore[misc]
    assert refusal(lambda: store.create_logged_model(MODEL, "4711", "a")) is NotFoundError
    store.delete_experiment("1")
    assert refusal(lambda: store.create_logged_model(MODEL, "1", "a")) is InvalidError


def test_an_unknown_model_is_not_found_by_any_operation(store: TrackingStore, run_id: str) -> None:
    calls: list[Callable[[], object]] = [
        lambda: store.get_logged_model(MODEL),
        lambda: store.finalize_logged_model(MODEL, "ready"),
        lambda: store.delete_logged_model(MODEL),
        lambda: store.log_logged_model_params(MODEL, {}),
        lambda: store.tag_logged_model(MODEL, {}),
        lambda: store.untag_logged_model(MODEL, "a"),
        lambda: store.log_model_artifact(MODEL, "a", DIGEST, 1),
        lambda: store.remove_model_artifacts(MODEL, "a"),
        lambda: store.list_model_artifacts(MODEL),
        lambda: store.log(run_id, tags={"a": "1"}, model_metrics=[measured(1.0)]),
    ]
    assert [refusal(call) for call in calls] == [NotFoundError] * len(calls)
    assert store.get_run(run_id).tags == {}


def test_a_model_is_finalized(store: TrackingStore, model_id: str) -> None:
    failed = store.finalize_logged_model(model_id, "failed", "disk full")
    assert (failed.status, failed.status_message) == ("failed", "disk full")
    ready = store.finalize_logged_model(model_id, "ready")
    assert (ready.status, ready.status_message) == ("ready", None)
    assert ready.updated_at > ready.created_at


def test_a_param_never_changes_and_a_tag_does(store: TrackingStore, model_id: str) -> None:
    store.log_logged_model_params(model_id, {"depth": "3", "rate": "0.1"})
    assert refusal(lambda: store.log_logged_model_params(model_id, {"new": "1", "rate": "0.2"})) is ConflictError
    store.tag_logged_model(model_id, {"team": "rail", "b": ""})
    store.untag_logged_model(model_id, "b")
    assert refusal(lambda: store.untag_logged_model(model_id, "b")) is NotFoundError
    found = store.get_logged_model(model_id)
    assert (found.params, found.tags) == ({"depth": "3", "rate": "0.1"}, {"team": "rail"})


def test_a_deleted_model_is_found_by_its_id_and_takes_nothing_but_metrics(
    store: TrackingStore, model_id: str, run_id: str
) -> None:
    store.log_model_artifact(model_id, "MLmodel", DIGEST, 1)
    store.delete_logged_model(model_id)
    deleted = store.get_logged_model(model_id)
    store.delete_logged_model(model_id)
    assert store.get_logged_model(model_id) == deleted
    assert deleted.is_deleted
    for call in (
        lambda: store.finalize_logged_model(model_id, "ready"),
        lambda: store.tag_logged_model(model_id, {"a": "1"}),
        lambda: store.log_model_artifact(model_id, "b", DIGEST, 1),
    ):
        assert refusal(call) is InvalidError
    store.log(run_id, model_metrics=[measured(1.0)])
    assert [each.path for each in store.list_model_artifacts(model_id)] == ["MLmodel"]


def test_the_latest_value_of_each_run_and_dataset_is_kept(store: TrackingStore, model_id: str, run_id: str) -> None:
    later = NOON + timedelta(seconds=1)
    store.log(run_id, model_metrics=[measured(0.5, at=later), measured(0.9, step=7), measured(0.1, dataset="test")])
    store.log(run_id, model_metrics=[measured(0.4, at=later), measured(float("nan"), dataset="test")])
    other = store.create_run(refs.new_run_id(), "flights").run_id
    store.log(other, model_metrics=[measured(float("inf"))])
    found = {(each.run_id, each.dataset_name): each.value for each in store.get_logged_model(model_id).metrics}
    assert found == {(run_id, ""): 0.5, (run_id, "test"): "NaN", (other, ""): "Infinity"}


def test_files_are_listed_overwritten_and_removed_with_their_folder(store: TrackingStore, model_id: str) -> None:
    for path in ("MLmodel", "data/a", "data/b/c", "data0"):
        store.log_model_artifact(model_id, path, DIGEST, 5)
    store.log_model_artifact(model_id, "data/a", "cd" * 32, 6)
    assert store.list_model_artifacts(model_id, "data") == [
        Artifact(path="data/a", digest="cd" * 32, size_bytes=6),
        Artifact(path="data/b/c", digest=DIGEST, size_bytes=5),
    ]
    store.remove_model_artifacts(model_id, "data")
    assert [each.path for each in store.list_model_artifacts(model_id)] == ["MLmodel", "data0"]
    for wrong in ("../a", "/a", ""):
        assert refusal(lambda wrong=wrong: store.log_model_artifact(MODEL, wrong, DIGEST, 1)) is InvalidError  # type: ignore[misc]
