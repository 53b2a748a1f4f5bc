"""What every TrackingStore promises, over each backend."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from functools import partial

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from everloop import refs
from everloop.errors import ConflictError, EverloopError, InvalidError, NotFoundError
from everloop.tracking import Artifact, Edge, Experiment, Input, Metric, ModelOutput, Run, TrackingStore, View
from everloop.tracking.run import Number
from tests.stores import Stores

NOON = datetime(2013, 3, 1, 12, tzinfo=UTC)
DIGEST = "ab" * 32


@pytest.fixture
def store(platform: Stores) -> TrackingStore:
    return platform.tracking


@pytest.fixture
def run_id(store: TrackingStore) -> str:
    return store.create_run(refs.new_run_id(), "flights", started_at=NOON).run_id


def metric(value: float, *, key: str = "loss", step: int = 0, at: datetime = NOON) -> Metric:
    return Metric(key=key, value=value, step=step, logged_at=at)


def refusal(call: Callable[[], object]) -> type[EverloopError]:
    with pytest.raises(EverloopError) as caught:
        call()
    return type(caught.value)


def oldest_first(store: TrackingStore) -> list[Experiment]:
    return store.search_experiments(order_by=["creation_time ASC"]).experiments


# --- experiments and runs


def test_an_experiment_made_twice_is_the_first_one(store: TrackingStore) -> None:
    made = store.create_experiment("flights")
    assert store.create_experiment("flights") == made
    assert oldest_first(store) == [store.get_experiment("0"), made]


def test_experiments_are_listed_oldest_first(store: TrackingStore) -> None:
    names = ["b", "c", "a"]
    for name in names:
        store.create_experiment(name)
    assert [each.name for each in oldest_first(store)] == ["Default", *names]


def test_a_name_of_no_or_too_many_or_control_characters_is_refused(store: TrackingStore) -> None:
    for name in ("", "x" * 501, "a\nb", "a\0", "a\x85"):
        with pytest.raises(InvalidError):
            store.create_experiment(name)
        with pytest.raises(InvalidError):
            store.create_run(refs.new_run_id(), name)
    assert [each.name for each in oldest_first(store)] == ["Default"]


def test_a_run_id_that_is_not_32_hex_digits_is_refused(store: TrackingStore) -> None:
    for run_id in ("", "7f3a", "../" + "a" * 29, "A" * 32):
        with pytest.raises(InvalidError):
            store.create_run(run_id, "flights")
    assert store.search_runs().runs == []


def test_a_new_run_is_running_and_named_after_its_id(store: TrackingStore) -> None:
    run_id = refs.new_run_id()
    before = datetime.now(UTC)
    run = store.create_run(run_id, "flights", tags={"commit": "abc"})
    assert before <= run.started_at <= datetime.now(UTC)
    assert run == Run(
        run_id=run_id,
        experiment_id="1",
        experiment="flights",
        name=run_id[:8],
        status="running",
        started_at=run.started_at,
        ended_at=None,
        is_deleted=False,
        params={},
        metrics={},
        tags={"commit": "abc"},
        inputs=[],
        model_inputs=[],
        model_outputs=[],
    )
    assert store.get_run(run_id) == run


def test_a_run_made_twice_stays_as_it_is(store: TrackingStore) -> None:
    run_id = refs.new_run_id()
    made = store.create_run(run_id, "flights", "first", NOON, {"a": "1"})
    assert store.create_run(run_id, "flights", "second", NOON + timedelta(days=1), {"a": "2", "b": "3"}) == made
    assert store.get_run(run_id) == made


def test_a_run_id_of_another_experiment_is_a_conflict_and_makes_nothing(store: TrackingStore, run_id: str) -> None:
    with pytest.raises(ConflictError):
        store.create_run(run_id, "weather")
    assert [each.name for each in oldest_first(store)] == ["Default", "flights"]


def test_a_start_in_another_zone_comes_back_in_utc(store: TrackingStore) -> None:
    local = datetime.fromisoformat("2013-03-01T07:00:00.000001-05:00")
    started = store.create_run(refs.new_run_id(), "flights", started_at=local).started_at
    assert (started, started.tzinfo) == (local, UTC)


def test_a_start_without_a_zone_is_refused(store: TrackingStore) -> None:
    with pytest.raises(InvalidError, match="time zone"):
        store.create_run(refs.new_run_id(), "flights", started_at=datetime(2013, 3, 1))
    assert store.search_runs().runs == []


def test_an_unknown_run_is_not_found_by_any_operation(store: TrackingStore) -> None:
    nobody = refs.new_run_id()
    calls: list[Callable[[], object]] = [
        lambda: store.get_run(nobody),
        lambda: store.log(nobody, params={"a": "1"}),
        lambda: store.metric_history(nobody, "loss"),
        lambda: store.sample_metric(nobody, "loss", 2),
        lambda: store.finish_run(nobody),
        lambda: store.log_artifact(nobody, "a", DIGEST, 1),
        lambda: store.list_artifacts(nobody),
        lambda: store.remove_artifacts(nobody, "a"),
        lambda: store.update_run(nobody),
        lambda: store.delete_run(nobody),
        lambda: store.restore_run(nobody),
        lambda: store.untag_run(nobody, "a"),
        lambda: store.log_inputs(nobody, []),
        lambda: store.append(nobody, "s1", 0, 1),
    ]
    assert [refusal(call) for call in calls] == [NotFoundError] * len(calls)


def test_runs_are_found_by_experiment_newest_first(store: TrackingStore) -> None:
    ids = [refs.new_run_id() for _ in range(4)]
    for hours, (run_id, experiment) in enumerate(zip(ids, ["a", "b", "a", "a"], strict=True)):
        store.create_run(run_id, experiment, started_at=NOON + timedelta(hours=hours))
    store.log(ids[0], params={"x": "1"})
    a, b = (store.find_experiment(name).experiment_id for name in "ab")

    def found(experiment_ids: list[str] | None = None, limit: int = 1000) -> list[str]:
        return [run.run_id for run in store.search_runs(experiment_ids, limit=limit).runs]

    assert found() == ids[::-1]
    assert found([a]) == [ids[3], ids[2], ids[0]]
    assert found([a, b, "77", "nobody"]) == ids[::-1]
    assert found([]) == []
    assert found(limit=2) == [ids[3], ids[2]]
    assert [run.params for run in store.search_runs([a]).runs] == [{}, {}, {"x": "1"}]


def test_pages_of_runs_follow_one_another_and_what_is_added_meanwhile_shifts_nothing(store: TrackingStore) -> None:
    ids = sorted(refs.new_run_id() for _ in range(7))
    for run_id in ids:
        store.create_run(run_id, "flights", started_at=NOON)  # all at once, so that ids decide
    seen, after = [], ""
    while True:
        page = store.search_runs(limit=3, after=after)
        seen += [run.run_id for run in page.runs]
        store.create_run(refs.new_run_id(), "flights", started_at=NOON + timedelta(hours=1))
        if not page.next:
            break
        after = page.next
    assert seen == ids
    for token in ("nonsense", "e30", page.next + "x"):
        with pytest.raises(InvalidError, match="page token"):
            store.search_runs(after=token)
    for limit in (0, -1, 50_001):
        with pytest.raises(InvalidError, match="page"):
            store.search_runs(limit=limit)


# --- experiments by id, their tags and their deletion


def test_default_is_experiment_zero(store: TrackingStore) -> None:
    default = store.get_experiment("0")
    assert (default.name, default.is_deleted, default.tags) == ("Default", False, {})
    assert store.create_experiment("Default") == default


def test_an_experiment_s_name_may_have_slashes_and_spaces(store: TrackingStore) -> None:
    name = "/Users/ada@example.org/späte Flüge ☃"
    made = store.create_experiment(name, {"team": "ops"})
    assert made.tags == {"team": "ops"}
    assert store.find_experiment(name) == store.get_experiment(made.experiment_id) == made


def test_an_experiment_is_added_once(store: TrackingStore) -> None:
    made = store.add_experiment("flights", {"a": "1"})
    with pytest.raises(ConflictError, match="exists already"):
        store.add_experiment("flights", {"a": "2"})
    store.delete_experiment(made.experiment_id)
    with pytest.raises(ConflictError, match="is deleted") as caught:
        store.add_experiment("flights")
    assert made.experiment_id in str(caught.value.hint)
    assert store.get_experiment(made.experiment_id).tags == {"a": "1"}


@pytest.mark.parametrize("nobody", ["77", "9" * 30, "x", "", "-1", "²"])
def test_an_unknown_experiment_is_not_found_by_any_operation(store: TrackingStore, nobody: str) -> None:
    calls: list[Callable[[], object]] = [
        lambda: store.get_experiment(nobody),
        lambda: store.find_experiment("nobody"),
        lambda: store.rename_experiment(nobody, "new"),
        lambda: store.delete_experiment(nobody),
        lambda: store.restore_experiment(nobody),
        lambda: store.tag_experiment(nobody, {"a": "1"}),
        lambda: store.untag_experiment(nobody, "a"),
        lambda: store.start_run(refs.new_run_id(), nobody),
    ]
    assert [refusal(call) for call in calls] == [NotFoundError] * len(calls)


def test_an_experiment_is_renamed_unless_the_name_is_taken(store: TrackingStore, run_id: str) -> None:
    number = store.get_run(run_id).experiment_id
    store.create_experiment("weather")
    renamed = store.rename_experiment(number, "delays")
    assert renamed == store.find_experiment("delays") == store.rename_experiment(number, "delays")
    assert renamed.updated_at >= renamed.created_at
    assert store.get_run(run_id).experiment == "delays"
    with pytest.raises(ConflictError, match="weather"):
        store.rename_experiment(number, "weather")
    with pytest.raises(InvalidError):
        store.rename_experiment(number, "a\tb")


def test_an_experiment_s_tags_are_set_overwritten_and_taken_away(store: TrackingStore) -> None:
    number = store.create_experiment("flights").experiment_id
    store.tag_experiment(number, {"b": "1", "a": "1"})
    store.tag_experiment(number, {"a": "2", "empty": ""})
    store.untag_experiment(number, "b")
    assert store.get_experiment(number).tags == {"a": "2", "empty": ""}
    with pytest.raises(NotFoundError, match="no tag"):
        store.untag_experiment(number, "b")


def test_a_deleted_experiment_takes_its_runs_along_and_brings_those_back(store: TrackingStore) -> None:
    ids = [refs.new_run_id() for _ in range(3)]
    for run_id in ids:
        store.create_run(run_id, "flights", started_at=NOON)
    number = store.get_run(ids[0]).experiment_id
    store.delete_run(ids[1])
    for _ in range(2):
        store.delete_experiment(number)
    assert store.get_experiment(number).is_deleted
    assert [store.get_run(run_id).is_deleted for run_id in ids] == [True] * 3
    assert [each.name for each in oldest_first(store)] == ["Default"]
    assert refusal(lambda: store.create_run(refs.new_run_id(), "flights")) is ConflictError
    assert refusal(lambda: store.start_run(refs.new_run_id(), number)) is InvalidError
    assert refusal(lambda: store.rename_experiment(number, "new")) is InvalidError
    assert refusal(lambda: store.tag_experiment(number, {"a": "1"})) is InvalidError
    assert refusal(lambda: store.untag_experiment(number, "a")) is InvalidError
    for _ in range(2):
        store.restore_experiment(number)
    assert not store.get_experiment(number).is_deleted
    assert [store.get_run(run_id).is_deleted for run_id in ids] == [False, True, False]


def test_many_make_the_same_experiment_at_once(store: TrackingStore) -> None:
    with ThreadPoolExecutor(6) as pool:
        made = list(pool.map(lambda _: store.create_experiment("new", {"a": "1"}), range(6)))
    assert made == [store.find_experiment("new")] * 6


def test_of_several_who_take_a_name_at_once_one_gets_it(store: TrackingStore) -> None:
    numbers = [store.create_experiment(f"e{i}").experiment_id for i in range(6)]

    def take(number: str) -> str:
        try:
            return store.rename_experiment(number, "best").experiment_id
        except ConflictError:
            return "conflict"

    with ThreadPoolExecutor(6) as pool:
        outcomes = list(pool.map(take, numbers))
    assert sorted(outcomes) == sorted(["conflict"] * 5 + [store.find_experiment("best").experiment_id])


# --- the life of a run


def test_a_run_is_started_in_an_experiment_known_by_its_id(store: TrackingStore) -> None:
    run_id = refs.new_run_id()
    run = store.start_run(run_id, "0", "first", NOON, {"a": "1"})
    assert (run.experiment_id, run.experiment, run.name, run.tags) == ("0", "Default", "first", {"a": "1"})
    assert store.start_run(run_id, "0", "second") == run
    number = store.create_experiment("flights").experiment_id
    assert refusal(lambda: store.start_run(run_id, number)) is ConflictError


def test_a_run_s_state_moves_freely_by_an_update(store: TrackingStore, run_id: str) -> None:
    end = NOON + timedelta(hours=1)
    run = store.update_run(run_id, "finished", end)
    assert (run.status, run.ended_at) == ("finished", end)
    run = store.update_run(run_id, "running")  # resumed
    assert (run.status, run.ended_at) == ("running", None)
    run = store.update_run(run_id, name="better")
    assert (run.name, run.status) == ("better", "running")
    assert store.update_run(run_id) == store.get_run(run_id) == run
    store.update_run(run_id, "scheduled")
    assert store.finish_run(run_id, "killed", end).status == "killed"


def test_nothing_is_added_to_a_deleted_run_until_it_is_restored(store: TrackingStore, run_id: str) -> None:
    store.log(run_id, tags={"a": "1"})
    for _ in range(2):
        store.delete_run(run_id)
    before = store.get_run(run_id)
    assert before.is_deleted
    calls: list[Callable[[], object]] = [
        lambda: store.log(run_id, [metric(1.0)]),
        lambda: store.log_inputs(run_id, [dataset()]),
        lambda: store.untag_run(run_id, "a"),
        lambda: store.update_run(run_id, "failed"),
        lambda: store.log_artifact(run_id, "a", DIGEST, 1),
    ]
    assert [refusal(call) for call in calls] == [InvalidError] * len(calls)
    assert refusal(lambda: store.append(run_id, "s1", 0, 1, tags={"b": "1"})) is ConflictError  # kept by who tells it
    assert store.get_run(run_id) == before
    for _ in range(2):
        store.restore_run(run_id)
    assert store.append(run_id, "s1", 0, 1, tags={"b": "1"}) == 1
    assert store.get_run(run_id).tags == {"a": "1", "b": "1"}


def test_runs_are_sought_among_those_that_are_deleted_or_not(store: TrackingStore) -> None:
    ids = [refs.new_run_id() for _ in range(2)]
    for hours, run_id in enumerate(ids):
        store.create_run(run_id, "flights", started_at=NOON + timedelta(hours=hours))
    store.delete_run(ids[0])
    views: list[View] = ["active", "deleted", "all"]
    found = [[run.run_id for run in store.search_runs(view=view).runs] for view in views]
    assert found == [[ids[1]], [ids[0]], ids[::-1]]


def test_a_tag_is_taken_from_a_run(store: TrackingStore, run_id: str) -> None:
    store.log(run_id, tags={"a": "1", "b": "1"})
    store.untag_run(run_id, "a")
    assert store.get_run(run_id).tags == {"b": "1"}
    with pytest.raises(NotFoundError, match="no tag"):
        store.untag_run(run_id, "a")


# --- what a run read


def dataset(name: str = "flights", digest: str = "9c1e", **tags: str) -> Input:
    return Input(name=name, digest=digest, source_type="local", source="data.csv", tags=tags)


def test_what_a_run_read_is_kept_once(store: TrackingStore, run_id: str) -> None:
    full = Input(
        name="weather",
        digest="77",
        source_type="http",
        source='{"url": "https://example.org"}',
        schema='{"mlflow_colspec": []}',
        profile="x" * 100_000,
        tags={"mlflow.data.context": "training", "b": "2"},
    )
    for _ in range(2):
        store.log_inputs(run_id, [full, dataset()])
    store.log_inputs(run_id, [dataset(digest="other"), dataset("weather", "77")])
    store.log_inputs(run_id, [])
    assert store.get_run(run_id).inputs == [dataset(), dataset(digest="other"), full]
    other = store.create_run(refs.new_run_id(), "flights").run_id
    store.log_inputs(other, [dataset("weather", "77")])  # in this experiment it is the one that is known
    (found,) = store.get_run(other).inputs
    assert (found.source, found.tags) == (full.source, {})


def test_the_models_that_a_run_read_and_made_are_kept_once(store: TrackingStore, run_id: str) -> None:
    first, second = f"m-{1:032x}", f"m-{2:032x}"
    for _ in range(2):
        store.log_inputs(run_id, [dataset()], [second, first, second])
        store.log_outputs(run_id, [ModelOutput(model_id=first, step=7), ModelOutput(model_id=first)])
    run = store.get_run(run_id)
    assert (run.model_inputs, run.inputs) == ([first, second], [dataset()])
    assert run.model_outputs == [ModelOutput(model_id=first), ModelOutput(model_id=first, step=7)]
    assert store.search_runs().runs == [run]
    for wrong in (ModelOutput(model_id="tree"), ModelOutput(model_id=first, step=1 << 63)):
        assert refusal(partial(store.log_outputs, run_id, [wrong])) is InvalidError
    assert refusal(lambda: store.log_inputs(run_id, [], ["tree"])) is InvalidError
    store.delete_run(run_id)
    assert refusal(lambda: store.log_outputs(run_id, [])) is InvalidError
    assert store.get_run(run_id).model_outputs == run.model_outputs


# --- entries of a source, each once


def test_a_source_s_entries_are_stored_once_however_often_they_are_sent(store: TrackingStore, run_id: str) -> None:
    artifact, edge = Artifact(path="log", digest=DIGEST, size_bytes=1), Edge(source="a", relation="used", target="b")
    assert store.append(run_id, "s1", 0, 0) == 0
    for _ in range(2):
        assert store.append(run_id, "s1", 0, 3, [metric(0.5)], {"p": "1"}, {"t": "1"}, [artifact], [edge]) == 3
    store.log(run_id, tags={"t": "changed since"})
    assert store.append(run_id, "s1", 0, 3, tags={"t": "1"}) == 3  # sent again by one who had no answer
    found = store.get_run(run_id)
    assert (found.metrics, found.params, found.tags) == ({"loss": 0.5}, {"p": "1"}, {"t": "changed since"})
    assert store.list_artifacts(run_id) == [artifact]
    assert store.edges_of("a") == [edge]


def test_a_gap_and_an_overlap_are_answered_with_where_to_go_on(store: TrackingStore, run_id: str) -> None:
    assert store.append(run_id, "s1", 0, 2, tags={"t": "2"}) == 2
    assert store.append(run_id, "s1", 3, 4, tags={"t": "gap"}) == 2
    assert store.append(run_id, "s1", 1, 4, tags={"t": "overlap"}) == 2
    assert store.append(run_id, "s1", 2, 4, tags={"t": "4"}) == 4
    assert store.get_run(run_id).tags == {"t": "4"}


def test_sources_and_runs_are_counted_apart(store: TrackingStore, run_id: str) -> None:
    other = store.create_run(refs.new_run_id(), "flights").run_id
    assert store.append(run_id, "s1", 0, 5) == 5
    assert store.append(run_id, "s2", 0, 1) == 1
    assert store.append(other, "s1", 0, 2) == 2
    assert store.append(run_id, "s1", 0, 0) == 5


def test_entries_that_are_refused_are_not_counted(store: TrackingStore, run_id: str) -> None:
    store.append(run_id, "s1", 0, 1, params={"p": "1"})
    outside = Artifact(path="../up", digest=DIGEST, size_bytes=1)
    assert refusal(lambda: store.append(run_id, "s1", 1, 2, params={"p": "2"})) is ConflictError
    assert refusal(lambda: store.append(run_id, "s1", 1, 2, [metric(1.0)], artifacts=[outside])) is InvalidError
    assert refusal(lambda: store.append(run_id, "no name!", 0, 1)) is InvalidError
    assert refusal(lambda: store.append(run_id, "s1", 2, 1)) is InvalidError
    assert refusal(lambda: store.append(refs.new_run_id(), "s1", 0, 1)) is NotFoundError
    assert store.append(run_id, "s1", 1, 1) == 1
    assert store.get_run(run_id).metrics == {}


def test_of_many_who_send_the_same_entries_one_stores_them(store: TrackingStore, run_id: str) -> None:
    def send(number: int) -> int:
        return store.append(run_id, "s1", 0, 2, [metric(float(number), step=number)], tags={"by": str(number)})

    with ThreadPoolExecutor(6) as pool:
        assert list(pool.map(send, range(6))) == [2] * 6
    assert len(store.metric_history(run_id, "loss").points) == 1


# --- metrics, params and tags


def test_what_is_logged_is_read_back(store: TrackingStore, run_id: str) -> None:
    store.log(run_id, [metric(0.25)], {"depth": "3", "empty": ""}, {"mlflow.user": "ada", "ü": "☃"})
    run = store.get_run(run_id)
    assert run.metrics == {"loss": 0.25}
    assert run.params == {"depth": "3", "empty": ""}
    assert run.tags == {"mlflow.user": "ada", "ü": "☃"}


def test_logging_the_same_again_changes_nothing(store: TrackingStore, run_id: str) -> None:
    batch = ([metric(0.5), metric(0.25, step=1)], {"depth": "3"}, {"note": "x"})
    store.log(run_id, *batch)
    once = store.get_run(run_id), store.metric_history(run_id, "loss").points
    store.log(run_id, *batch)
    assert (store.get_run(run_id), store.metric_history(run_id, "loss").points) == once


def test_logging_nothing_is_allowed(store: TrackingStore, run_id: str) -> None:
    before = store.get_run(run_id)
    store.log(run_id)
    store.log(run_id, [], {}, {})
    assert store.get_run(run_id) == before


def test_a_tag_is_overwritten(store: TrackingStore, run_id: str) -> None:
    store.log(run_id, tags={"stage": "a", "kept": "1"})
    store.log(run_id, tags={"stage": "b"})
    assert store.get_run(run_id).tags == {"kept": "1", "stage": "b"}


def test_a_param_never_changes_and_its_batch_is_not_stored(store: TrackingStore, run_id: str) -> None:
    store.log(run_id, params={"depth": "3"})
    before = store.get_run(run_id)
    with pytest.raises(ConflictError, match="depth") as caught:
        store.log(run_id, [metric(1.0)], {"depth": "4", "rate": "0.1"}, {"note": "x"})
    assert caught.value.hint
    assert store.get_run(run_id) == before
    assert store.metric_history(run_id, "loss").points == []


def test_a_metric_without_a_time_zone_is_refused() -> None:
    with pytest.raises(InvalidError, match="time zone"):
        metric(1.0, at=datetime(2013, 3, 1))


def test_a_step_beyond_64_bits_is_refused() -> None:
    with pytest.raises(InvalidError, match="64 bits"):
        metric(1.0, step=1 << 63)


def test_the_largest_step_is_kept(store: TrackingStore, run_id: str) -> None:
    store.log(run_id, [metric(1.0, step=(1 << 63) - 1)])
    assert store.metric_history(run_id, "loss").points[0].step == (1 << 63) - 1


def test_nan_and_infinities_are_kept_as_text(store: TrackingStore, run_id: str) -> None:
    texts: list[Number] = ["NaN", "Infinity", "-Infinity"]
    store.log(run_id, [metric(float(text), key=str(text)) for text in texts])
    store.log(run_id, [Metric(key=str(text), value=text, logged_at=NOON) for text in texts])
    for text in texts:
        assert [point.value for point in store.metric_history(run_id, str(text)).points] == [text]
    assert store.get_run(run_id).metrics == {text: text for text in texts}


def test_a_double_is_kept_to_its_last_bit(store: TrackingStore, run_id: str) -> None:
    values = {repr(value): value for value in (5e-324, 1.7976931348623157e308, -0.1, 0.1 + 0.2, 1e22)}
    store.log(run_id, [metric(value, key=key) for key, value in values.items()])
    assert store.get_run(run_id).metrics == values


def test_a_history_keeps_every_distinct_point_in_order(store: TrackingStore, run_id: str) -> None:
    later = NOON + timedelta(microseconds=1)
    points = [metric(9.0), metric(math.nan), metric(3.0, at=later), metric(1.0, step=1), metric(2.0, step=1)]
    points[1], points[0] = points[0], points[1]
    ordered = [metric(9.0), metric(math.nan), *points[2:]]
    store.log(run_id, points[::-1])
    store.log(run_id, [*points, metric(5.0, key="other")])
    assert store.metric_history(run_id, "loss").points == ordered
    assert store.metric_history(run_id, "unknown").points == []


def test_pages_of_a_history_follow_one_another(store: TrackingStore, run_id: str) -> None:
    values = [math.nan, math.inf, -math.inf, 0.1 + 0.2, 5.0]
    store.log(run_id, [metric(value, step=step // 3, at=NOON) for step, value in enumerate(values * 2)])
    store.log(run_id, [metric(1.0, step=(1 << 63) - 1)])
    whole = store.metric_history(run_id, "loss")
    assert whole.next == ""
    seen, after = [], ""
    while True:
        page = store.metric_history(run_id, "loss", 3, after)
        seen += page.points
        if not page.next:
            break
        after = page.next
    assert seen == whole.points
    with pytest.raises(InvalidError, match="page token"):
        store.metric_history(run_id, "loss", 3, "nonsense")


@pytest.mark.parametrize("key", ["a\0", "k" * 501])
def test_text_that_a_database_cannot_keep_is_refused(store: TrackingStore, run_id: str, key: str) -> None:
    assert refusal(lambda: store.log(run_id, [metric(1.0, key=key)])) is InvalidError
    assert refusal(lambda: store.log(run_id, params={key: "1"})) is InvalidError
    assert refusal(lambda: store.log(run_id, tags={key: "1"})) is InvalidError
    assert refusal(lambda: store.log(run_id, tags={"a": "\0"})) is InvalidError
    assert refusal(lambda: store.update_run(run_id, name="\0")) is InvalidError


def test_long_keys_and_values_are_kept(store: TrackingStore, run_id: str) -> None:
    key, value = "☃" * 500, "ü" * 1_000_000
    store.log(run_id, [metric(1.0, key=key)], {key: value}, {key: value})
    run = store.get_run(run_id)
    assert (run.metrics, run.params, run.tags) == ({key: 1.0}, {key: value}, {key: value})


POINTS = st.lists(
    st.builds(
        metric,
        st.one_of(st.sampled_from([math.nan, math.inf, -math.inf, 0.0, -1.0]), st.floats(allow_subnormal=False)),
        key=st.sampled_from(["a", "b"]),
        step=st.integers(0, 2),
        at=st.integers(0, 2).map(lambda us: NOON + timedelta(microseconds=us)),
    ),
    min_size=1,
    max_size=12,
)


def place(point: Metric) -> tuple[int, datetime, bool, float]:
    is_nan = point.value == "NaN"
    return point.step, point.logged_at, is_nan, 0.0 if is_nan else float(point.value)


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(points=POINTS, cut=st.integers(0, 12))
def test_the_latest_metric_does_not_depend_on_the_order_of_arrival(
    store: TrackingStore, points: list[Metric], cut: int
) -> None:
    run_id = refs.new_run_id()
    store.create_run(run_id, "flights")
    for batch in (points[cut:], points[:cut]):
        store.log(run_id, batch)
    latest = {point.key: point.value for point in sorted(points, key=place)}
    assert store.get_run(run_id).metrics == latest


# --- the end of a run


def test_a_run_ends_once(store: TrackingStore, run_id: str) -> None:
    ended = store.finish_run(run_id, "finished", NOON + timedelta(hours=1))
    assert (ended.status, ended.ended_at) == ("finished", NOON + timedelta(hours=1))
    assert store.finish_run(run_id, "finished", NOON + timedelta(hours=2)) == ended
    with pytest.raises(ConflictError, match="finished"):
        store.finish_run(run_id, "failed")
    assert store.get_run(run_id) == ended


def test_running_is_no_end(store: TrackingStore, run_id: str) -> None:
    for status in ("running", "scheduled"):
        with pytest.raises(InvalidError):
            store.finish_run(run_id, status)
    assert store.get_run(run_id).ended_at is None


def test_of_several_who_end_a_run_at_once_one_wins(store: TrackingStore, run_id: str) -> None:
    def end(status: str) -> str:
        try:
            return store.finish_run(run_id, status).status  # type: ignore[arg-type]  # one of the three below
        except ConflictError:
            return "conflict"

    with ThreadPoolExecutor(6) as pool:
        outcomes = list(pool.map(end, ["finished", "failed", "killed"] * 2))
    final = store.get_run(run_id).status
    assert sorted(outcomes) == sorted(["conflict"] * 4 + [final] * 2)


@pytest.mark.parametrize("size", [0, 1, 2, 7, 10, 11, 99])
def test_a_sample_is_evenly_taken_and_keeps_the_ends(store: TrackingStore, run_id: str, size: int) -> None:
    # Several points a step, out of order, with a NaN: it is points that are counted, not steps.
    history = [metric(math.nan if number == 4 else -number, step=number // 3) for number in range(size)]
    store.log(run_id, metrics=[*reversed(history), metric(1.0, key="other")])
    history = store.metric_history(run_id, "loss").points
    for limit in (1, 2, 3, 10, 50, 200):
        parts = [history[part * size // limit] for part in range(limit - 1)] if size > limit else history[:-1]
        assert store.sample_metric(run_id, "loss", limit) == [*parts, *history[-1:]]
    between = [point for point in history if 1 <= point.step <= 2]
    assert store.sample_metric(run_id, "loss", 100, 1, 2) == between
    assert store.sample_metric(run_id, "unknown", 5) == []
    assert refusal(lambda: store.sample_metric(run_id, "loss", 0)) is InvalidError


# --- artifacts and lineage


def test_artifacts_are_listed_by_path_and_may_be_overwritten(store: TrackingStore, run_id: str) -> None:
    store.log_artifact(run_id, "plots/b.png", DIGEST, 2)
    store.log_artifact(run_id, "a.json", DIGEST, 1)
    assert store.log_artifact(run_id, "./plots//b.png", "cd" * 32, 5 << 32) == Artifact(
        path="plots/b.png", digest="cd" * 32, size_bytes=5 << 32
    )
    assert store.list_artifacts(run_id) == [
        Artifact(path="a.json", digest=DIGEST, size_bytes=1),
        Artifact(path="plots/b.png", digest="cd" * 32, size_bytes=5 << 32),
    ]


def test_artifacts_below_a_folder_are_listed_alone(store: TrackingStore, run_id: str) -> None:
    for path in ("a", "b/c", "b/d/e", "b-/x", "b.txt", "b0", "bü/x"):
        store.log_artifact(run_id, path, DIGEST, 1)

    def listed(path: str) -> list[str]:
        return [each.path for each in store.list_artifacts(run_id, path)]

    assert listed("b") == ["b/c", "b/d/e"]
    assert listed("./b/d") == ["b/d/e"]
    assert listed("a") == ["a"]
    assert listed("none") == []
    assert refusal(lambda: store.list_artifacts(run_id, "../x")) is InvalidError


def test_an_artifact_path_that_leaves_the_run_is_refused(store: TrackingStore, run_id: str) -> None:
    for path in ("", ".", "/etc/passwd", "a/../../b", "a\\b", "a\0b"):
        with pytest.raises(InvalidError, match="path"):
            store.log_artifact(run_id, path, DIGEST, 1)
    long = "a/" * 250 + "b"
    assert refusal(lambda: store.log_artifact(run_id, long, DIGEST, 1)) is InvalidError
    assert store.list_artifacts(run_id) == []


def test_an_artifact_or_a_folder_of_them_is_taken_away(store: TrackingStore, run_id: str) -> None:
    for path in ("model", "model.txt", "model/MLmodel", "model/data/x", "model-2/x", "Model/x"):
        store.log_artifact(run_id, path, DIGEST, 1)
    for _ in range(2):
        store.remove_artifacts(run_id, "model/data/x")
        store.remove_artifacts(run_id, "./model")
    assert [each.path for each in store.list_artifacts(run_id)] == ["Model/x", "model-2/x", "model.txt"]
    with pytest.raises(InvalidError, match="path"):
        store.remove_artifacts(run_id, "../x")


def test_an_edge_counts_once_and_is_found_from_both_ends(store: TrackingStore) -> None:
    used = Edge(source="runs/1", relation="used", target="datasets/flights@9c1e")
    made = Edge(source="runs/1", relation="made", target="models/delay@3")
    store.link([used, made, used])
    store.link([used])
    store.link([])
    assert store.edges_of("runs/1") == [made, used]
    assert store.edges_of("models/delay@3") == [made]
    assert store.edges_of("runs/2") == []


# --- several at once


def test_writers_in_any_order_of_keys_do_not_hurt_one_another(store: TrackingStore, run_id: str) -> None:
    keys = [f"k{i}" for i in range(5)]
    orders = list(itertools.islice(itertools.permutations(keys), 0, 120, 15))

    def write(order: tuple[str, ...]) -> None:
        store.log(
            run_id, [metric(1.0, key=key) for key in order], dict.fromkeys(order, "1"), dict.fromkeys(order, order[0])
        )
        store.link([Edge(source="runs/1", relation="used", target=key) for key in order])

    with ThreadPoolExecutor(len(orders)) as pool:
        list(pool.map(write, orders))
    run = store.get_run(run_id)
    assert (run.metrics, run.params) == (dict.fromkeys(keys, 1.0), dict.fromkeys(keys, "1"))
    assert len(set(run.tags.values())) == 1
    assert len(store.edges_of("runs/1")) == len(keys)


def test_many_make_the_same_run_at_once(store: TrackingStore) -> None:
    run_id = refs.new_run_id()
    with ThreadPoolExecutor(6) as pool:
        made = list(pool.map(lambda _: store.create_run(run_id, "new", started_at=NOON), range(6)))
    assert made == [store.get_run(run_id)] * 6
