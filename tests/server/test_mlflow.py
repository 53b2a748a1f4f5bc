"""The unmodified MLflow client against the hub: experiments, runs, what they log, searches and histories."""

from __future__ import annotations

import re
from typing import Any

import pytest

from tests.server.mlflowpeer import MlflowPeer, refused
from tests.stores import Stores
from tests.test_docs import ROOT, blocks

pytestmark = pytest.mark.peer


# --- experiments


def test_an_experiment_lives_dies_and_comes_back(peer: MlflowPeer) -> None:
    def work(mlflow, client):
        made = client.create_experiment("delays / 2026", tags={"team": "air"})
        client.set_experiment_tag(made, "owner", "ana")
        client.rename_experiment(made, "delays")
        found = client.get_experiment_by_name("delays")
        told = [found.experiment_id == made, found.name, found.tags, found.lifecycle_stage, found.artifact_location]
        client.delete_experiment_tag(made, "team")
        client.delete_experiment(made)
        deleted = client.get_experiment_by_name("delays")
        client.restore_experiment(made)
        back = client.get_experiment(made)
        return [made, told, deleted.lifecycle_stage, back.lifecycle_stage, back.tags, back.creation_time > 1.7e12]

    made, told, *rest = peer(work)
    assert told == [True, "delays", {"team": "air", "owner": "ana"}, "active", f"mlflow-artifacts:/{made}"]
    assert rest == ["deleted", "active", {"owner": "ana"}, True]


def test_the_default_experiment_is_always_there(peer: MlflowPeer) -> None:
    def work(mlflow, client):
        found = client.get_experiment("0")
        return [found.name, client.get_experiment_by_name("Default").experiment_id]

    assert peer(work) == ["Default", "0"]


def test_a_name_is_taken_also_by_a_deleted_experiment(peer: MlflowPeer) -> None:
    def work(mlflow, client):
        client.create_experiment("a")
        taken = refused(client.create_experiment, "a")
        client.delete_experiment(client.get_experiment_by_name("a").experiment_id)
        return [taken, refused(client.create_experiment, "a"), refused(mlflow.set_experiment, "a")]

    taken, also, deleted = peer(work)
    assert taken[0] == also[0] == "RESOURCE_ALREADY_EXISTS"
    assert "'a'" in taken[1]
    assert "deleted" in deleted[1]


def test_set_experiment_makes_what_is_not_there_once(peer: MlflowPeer) -> None:
    def work(mlflow, client):
        return [mlflow.set_experiment("new").experiment_id == mlflow.set_experiment("new").experiment_id]

    assert peer(work) == [True]


def test_what_is_not_there_is_said_so(peer: MlflowPeer) -> None:
    def work(mlflow, client):
        return [
            client.get_experiment_by_name("none"),
            refused(client.get_experiment, "4711"),
            refused(client.get_run, "0" * 32),
            refused(client.log_metric, "0" * 32, "a", 1.0),
            refused(client.create_run, "4711"),
        ]

    none, *rest = peer(work)
    assert none is None
    assert [code for code, _ in rest] == ["RESOURCE_DOES_NOT_EXIST"] * 4


def test_experiments_are_searched_by_name_tag_and_stage(peer: MlflowPeer) -> None:
    def work(mlflow, client):
        made = [
            client.create_experiment(name, tags={"team": team}) for name, team in [("a1", "x"), ("a2", "y"), ("b", "x")]
        ]
        client.delete_experiment(made[0])

        def names(**asked: Any) -> list[str]:
            return [each.name for each in client.search_experiments(**asked)]

        first = client.search_experiments(view_type=3, max_results=2, order_by=["name ASC"])
        return [
            names(),
            names(view_type=2),
            names(view_type=3, filter_string="name LIKE 'a%'", order_by=["name DESC"]),
            names(filter_string="tags.team = 'x' AND creation_time > 0"),
            [each.name for each in first],
            names(view_type=3, max_results=2, order_by=["name ASC"], page_token=first.token),
        ]

    newest, deleted, like, tagged, page, after = peer(work)
    assert newest == ["b", "a2", "Default"]
    assert deleted == ["a1"]
    assert like == ["a2", "a1"]
    assert tagged == ["b"]
    assert page + after == ["Default", "a1", "a2", "b"]


# --- runs


def test_a_run_holds_all_that_was_logged(peer: MlflowPeer) -> None:
    def work(mlflow, client):
        mlflow.set_experiment("fluent")
        with mlflow.start_run(run_name="first", tags={"a": "1"}, description="what it is") as run:
            mlflow.log_param("depth", 3)
            mlflow.log_params({"rate": 0.1, "kind": "tree"})
            for step in range(3):
                mlflow.log_metric("loss", 1.0 / (step + 1), step=step)
            mlflow.log_metrics({"acc": 0.5, "val/acc": 0.25})
            mlflow.set_tags({"b": "2", "c": "ü"})
            mlflow.delete_tag("a")
        found = client.get_run(run.info.run_id)
        info = found.info
        return [
            [info.run_name, info.status, info.lifecycle_stage, info.user_id != "", info.end_time >= info.start_time],
            info.artifact_uri == f"mlflow-artifacts:/{info.experiment_id}/{info.run_id}/artifacts",
            found.data.params,
            found.data.metrics,
            {key: value for key, value in found.data.tags.items() if len(key) == 1 or key == "mlflow.runName"},
            found.data.tags["mlflow.note.content"],
        ]

    info, is_ours, params, metrics, tags, note = peer(work)
    assert info == ["first", "FINISHED", "active", True, True]
    assert is_ours
    assert params == {"depth": "3", "rate": "0.1", "kind": "tree"}
    assert metrics == {"loss": 1.0 / 3, "acc": 0.5, "val/acc": 0.25}
    assert tags == {"b": "2", "c": "ü", "mlflow.runName": "first"}
    assert note == "what it is"


def test_a_failed_run_is_resumed_and_finished(peer: MlflowPeer) -> None:
    def work(mlflow, client):
        states = []
        try:
            with mlflow.start_run() as run:
                raise ValueError("x")
        except ValueError:
            states.append(client.get_run(run.info.run_id).info.status)
        with mlflow.start_run(run_id=run.info.run_id):
            states.append(client.get_run(run.info.run_id).info.status)
        states.append(client.get_run(run.info.run_id).info.status)
        client.set_terminated(run.info.run_id, "KILLED", end_time=1700000000123)
        info = client.get_run(run.info.run_id).info
        return [states, info.status, info.end_time, info.run_name]

    states, status, ended, name = peer(work)
    assert states == ["FAILED", "RUNNING", "FINISHED"]
    assert (status, ended) == ("KILLED", 1700000000123)
    assert re.fullmatch(r"[a-z]+-[a-z]+-\d+", name)


def test_children_know_their_parent(peer: MlflowPeer) -> None:
    def work(mlflow, client):
        with mlflow.start_run() as parent, mlflow.start_run(nested=True) as child:
            pass
        found = client.search_runs(["0"], f"tags.mlflow.parentRunId = '{parent.info.run_id}'")
        return [[run.info.run_id for run in found] == [child.info.run_id]]

    assert peer(work) == [True]


def test_a_name_is_also_a_tag(peer: MlflowPeer) -> None:
    def work(mlflow, client):
        made = client.create_run("0", run_name="one", start_time=1700000000000)
        run_id = made.info.run_id
        names = []
        client.update_run(run_id, name="two")
        names.append(client.get_run(run_id).data.tags["mlflow.runName"])
        client.set_tag(run_id, "mlflow.runName", "three")
        names.append(client.get_run(run_id).info.run_name)
        found = client.search_runs(["0"], "attributes.run_name = 'three' AND tags.mlflow.runName LIKE 'thr%'")
        return [names, len(found), made.info.start_time, refused(client.delete_tag, run_id, "mlflow.runName")[0]]

    assert peer(work) == [["two", "three"], 1, 1700000000000, "INVALID_PARAMETER_VALUE"]


def test_a_deleted_run_takes_nothing_until_it_is_restored(peer: MlflowPeer) -> None:
    def work(mlflow, client):
        run_id = client.create_run("0").info.run_id
        client.delete_run(run_id)
        answers = [
            refused(client.log_metric, run_id, "a", 1.0)[0],
            refused(client.log_param, run_id, "a", 1)[0],
            refused(client.set_tag, run_id, "a", 1)[0],
            refused(client.delete_tag, run_id, "a")[0],
            refused(client.set_terminated, run_id)[0],
        ]
        stage = client.get_run(run_id).info.lifecycle_stage
        found = [len(client.search_runs(["0"], run_view_type=view)) for view in (1, 2, 3)]
        client.restore_run(run_id)
        client.log_metric(run_id, "a", 1.0)
        return [answers, stage, found, client.get_run(run_id).info.lifecycle_stage]

    assert peer(work) == [["INVALID_PARAMETER_VALUE"] * 5, "deleted", [0, 1, 1], "active"]


def test_runs_are_deleted_and_restored_with_their_experiment(peer: MlflowPeer) -> None:
    def work(mlflow, client):
        home = client.create_experiment("home")
        run_id = client.create_run(home).info.run_id
        client.delete_experiment(home)
        stage = client.get_run(run_id).info.lifecycle_stage
        answer = refused(client.create_run, home)[0]
        client.restore_experiment(home)
        return [stage, answer, client.get_run(run_id).info.lifecycle_stage]

    assert peer(work) == ["deleted", "INVALID_PARAMETER_VALUE", "active"]


# --- what runs log


def test_a_param_never_changes(peer: MlflowPeer) -> None:
    def work(mlflow, client):
        run_id = client.create_run("0").info.run_id
        client.log_param(run_id, "depth", 3)
        client.log_param(run_id, "depth", 3)
        return [*refused(client.log_param, run_id, "depth", 5), client.get_run(run_id).data.params]

    code, message, params = peer(work)
    assert code == "INVALID_PARAMETER_VALUE"
    assert "'depth'" in message
    assert "'3'" in message
    assert "'5'" in message
    assert params == {"depth": "3"}


def test_a_batch_is_stored_whole_or_not_at_all(peer: MlflowPeer) -> None:
    def work(mlflow, client):
        from mlflow.entities import Metric, Param, RunTag

        run_id = client.create_run("0").info.run_id
        client.log_batch(
            run_id,
            [Metric("m", float(step), 1700000000000 + step, step) for step in range(1000)],
        )
        client.log_batch(
            run_id, [], [Param(f"p{i}", str(i)) for i in range(100)], [RunTag(f"t{i}", "x") for i in range(100)]
        )
        answers = [refused(client.log_batch, run_id, [Metric("n", 1.0, 1, 0)], [Param("p1", "other")])]
        found = client.get_run(run_id).data
        return [answers, len(client.get_metric_history(run_id, "m")), found.metrics, len(found.params), len(found.tags)]

    answers, points, metrics, params, tags = peer(work)
    assert answers[0][0] == "INVALID_PARAMETER_VALUE"
    assert points == 1000
    assert metrics == {"m": 999.0}
    assert params == 100
    assert tags == 101  # with the name


def test_every_number_is_kept(peer: MlflowPeer) -> None:
    def work(mlflow, client):
        run_id = client.create_run("0").info.run_id
        values = [float("nan"), float("inf"), float("-inf"), 1e308, 5e-324, 0.0, 0.1]
        for step, value in enumerate(values):
            client.log_metric(run_id, "m", value, step=step, timestamp=1700000000000)
        client.log_metric(run_id, "last", float("nan"))
        client.log_metric(run_id, "far", 1.0, step=2**62)
        found = [repr(point.value) for point in client.get_metric_history(run_id, "m")]
        return [
            found,
            [repr(value) for value in values],
            repr(client.get_run(run_id).data.metrics["last"]),
            client.get_metric_history(run_id, "far")[0].step,
        ]

    found, values, last, far = peer(work)
    assert found == values
    assert last == "nan"
    assert far == 2**62


def test_the_latest_value_is_that_of_the_largest_step(peer: MlflowPeer) -> None:
    def work(mlflow, client):
        run_id = client.create_run("0").info.run_id
        for value, step, timestamp in [(1.0, 5, 10), (2.0, 4, 99), (3.0, 5, 9), (3.0, 5, 9)]:
            client.log_metric(run_id, "m", value, step=step, timestamp=timestamp)
        history = [[point.value, point.step, point.timestamp] for point in client.get_metric_history(run_id, "m")]
        return [client.get_run(run_id).data.metrics, history]

    latest, history = peer(work)
    assert latest == {"m": 1.0}
    assert sorted(history) == [[1.0, 5, 10], [2.0, 4, 99], [3.0, 5, 9]]


def test_a_history_has_none_of_what_was_never_logged(peer: MlflowPeer) -> None:
    def work(mlflow, client):
        return client.get_metric_history(client.create_run("0").info.run_id, "none")

    assert peer(work) == []


def test_keys_and_values_have_mlflows_limits(peer: MlflowPeer) -> None:
    def work(mlflow, client):
        run_id = client.create_run("0").info.run_id
        client.log_param(run_id, "p", "x" * 7000)
        client.set_tag(run_id, "t", "x" * 9000)
        client.log_metric(run_id, "a/b c.d-e:f", 1.0)
        found = client.get_run(run_id).data
        return [
            [len(found.params["p"]), len(found.tags["t"])],
            [refused(client.log_metric, run_id, key, 1.0)[0] for key in ("../a", "/a", "a//b", "a?", "k" * 251)],
            [refused(client.log_param, run_id, key, 1)[0] for key in (".", "a/../b", "ü\n")],
            refused(client.set_experiment_tag, "0", "t", "x" * 20001)[0],
            refused(client.create_experiment, "x" * 501)[0],
        ]

    lengths, metrics, params, *rest = peer(work)
    assert lengths == [6000, 8000]
    assert {*metrics, *params, *rest} == {"INVALID_PARAMETER_VALUE"}


def test_inputs_are_kept_with_their_tags(peer: MlflowPeer) -> None:
    def work(mlflow, client):
        from mlflow.entities import Dataset, DatasetInput, InputTag

        run_id = client.create_run("0").info.run_id
        dataset = Dataset("flights", "d1", "local", "flights.csv", schema="{}", profile='{"rows": 3}')
        for _ in range(2):
            client.log_inputs(run_id, [DatasetInput(dataset, [InputTag("mlflow.data.context", "train")])])
        found = [each.to_dictionary() for each in client.get_run(run_id).inputs.dataset_inputs]
        queries = ["dataset.name = 'flights'", "dataset.context IN ('train')", "dataset.digest = 'other'"]
        return [found, [len(client.search_runs(["0"], query)) for query in queries]]

    (found,), counts = peer(work)
    assert found["tags"] == {"mlflow.data.context": "train"} or found["tags"] == [
        {"key": "mlflow.data.context", "value": "train"}
    ]
    assert found["dataset"] == {
        "name": "flights",
        "digest": "d1",
        "source_type": "local",
        "source": "flights.csv",
        "schema": "{}",
        "profile": '{"rows": 3}',
    }
    assert counts == [1, 1, 0]


# --- searches


def test_runs_are_searched_by_every_kind_of_condition(peer: MlflowPeer) -> None:
    def work(mlflow, client):
        for number in range(6):
            run_id = client.create_run("0", start_time=1700000000000 + number, run_name=f"run-{number}").info.run_id
            client.log_metric(run_id, "m", float(number))
            client.log_param(run_id, "p", "Even" if number % 2 == 0 else "odd")
            if number:
                client.set_tag(run_id, "my tag", f"v_{number}")
            client.set_terminated(run_id, "FINISHED" if number < 4 else "FAILED")

        def names(query: str) -> list[str]:
            return [run.info.run_name[4:] for run in client.search_runs(["0"], query, order_by=["start_time ASC"])]

        queries = [
            "",
            "metrics.m > 3",
            "metrics.m >= 1 and metrics.m < 3",
            "params.p = 'Even'",
            "params.p LIKE 'e%'",
            "params.p ILIKE 'e%'",
            "tags.`my tag` IS NULL",
            "tags.\"my tag\" IS NOT NULL AND params.p != 'odd'",
            "status = 'FAILED'",
            "attributes.status != 'FAILED' AND metrics.m != 0",
            "attributes.start_time > 1700000000003",
            "run_name IN ('run-1', 'run-5', 'none')",
            "params.none = 'x'",
            "tags.`my tag` != 'v_1' AND metrics.m < 3",
        ]
        return {query: "".join(names(query)) for query in queries}

    assert peer(work) == {
        "": "012345",
        "metrics.m > 3": "45",
        "metrics.m >= 1 and metrics.m < 3": "12",
        "params.p = 'Even'": "024",
        "params.p LIKE 'e%'": "",
        "params.p ILIKE 'e%'": "024",
        "tags.`my tag` IS NULL": "0",
        "tags.\"my tag\" IS NOT NULL AND params.p != 'odd'": "24",
        "status = 'FAILED'": "45",
        "attributes.status != 'FAILED' AND metrics.m != 0": "123",
        "attributes.start_time > 1700000000003": "45",
        "run_name IN ('run-1', 'run-5', 'none')": "15",
        "params.none = 'x'": "",
        "tags.`my tag` != 'v_1' AND metrics.m < 3": "2",
    }


def test_what_is_no_filter_is_refused_with_its_place(peer: MlflowPeer) -> None:
    def work(mlflow, client):
        queries = ["metrics.m > '3'", "params.p = 3", "a = 1 OR b = 2", "what.x = 'y'", "status > 'x'"]
        return [
            [refused(client.search_runs, ["0"], query) for query in queries],
            refused(client.search_runs, ["0"], order_by=["start_time", "attributes.start_time DESC"]),
            refused(client.search_experiments, filter_string="metrics.m > 3"),
        ]

    filters, order, experiments = peer(work)
    assert {code for code, _ in [*filters, order, experiments]} == {"INVALID_PARAMETER_VALUE"}
    assert "numeric value" in filters[0][1]
    assert "quoted string value" in filters[1][1]
    assert "duplicate" in order[1]


def test_pages_hold_every_run_once_in_order(peer: MlflowPeer) -> None:
    def work(mlflow, client):
        values = [3.0, None, 1.0, float("nan"), 2.0, 2.0, float("inf"), float("-inf")]
        for number, value in enumerate(values):
            run_id = client.create_run("0", start_time=1700000000000 + number, run_name=str(number)).info.run_id
            if value is not None:
                client.log_metric(run_id, "m", value)

        def pages(order: list[str]) -> list[str]:
            found, token = [], None
            while True:
                page = client.search_runs(["0"], max_results=3, order_by=order, page_token=token)
                found.append("".join(run.info.run_name for run in page))
                if not (token := page.token):
                    return found

        return [pages(order) for order in (["metrics.m ASC"], ["metrics.m DESC"], ["start_time"], [])]

    rising, falling, oldest, newest = peer(work)
    assert [sorted("".join(each)) for each in (rising, falling)] == [list("01234567")] * 2
    assert "".join(rising)[:6] == "725406"
    assert "".join(falling)[:6] == "605427"
    assert oldest == ["012", "345", "67"]
    assert newest == ["765", "432", "10"]


def test_runs_of_no_experiment_are_none(peer: MlflowPeer) -> None:
    def work(mlflow, client):
        client.create_run("0")
        return [len(client.search_runs([])), len(client.search_runs(["4711"])), len(client.search_runs(["4711", "0"]))]

    assert peer(work) == [0, 0, 1]


def test_our_own_runs_are_seen_and_theirs_by_us(peer: MlflowPeer, served: Stores) -> None:
    ours = served.tracking.create_run("a" * 32, "both", "ours")
    served.tracking.log(ours.run_id, params={"p": "1"})

    def work(mlflow, client):
        home = client.get_experiment_by_name("both").experiment_id
        run_id = client.create_run(home, run_name="theirs").info.run_id
        client.log_metric(run_id, "m", 2.5)
        return [run_id, [run.info.run_name for run in client.search_runs([home], "params.p = '1'")]]

    run_id, found = peer(work)
    assert found == ["ours"]
    theirs = served.tracking.get_run(run_id)
    assert (theirs.experiment, theirs.name, theirs.metrics, theirs.status) == ("both", "theirs", {"m": 2.5}, "running")


def test_a_long_history_comes_whole_and_in_pages(peer: MlflowPeer) -> None:
    def work(mlflow, client):
        from mlflow.entities import Metric

        run_id = client.create_run("0").info.run_id
        for first in range(0, 4000, 1000):
            client.log_batch(run_id, [Metric("m", step / 7, step, step) for step in range(first, first + 1000)])
        store = client._tracking_client.store
        page = store.get_metric_history(run_id, "m", max_results=1500)
        rest = store.get_metric_history(run_id, "m", max_results=1500, page_token=page.token)
        return [len(client.get_metric_history(run_id, "m")), len(page), page[-1].step, rest[0].step, len(rest)]

    assert peer(work) == [4000, 1500, 1499, 1500, 1500]


@pytest.mark.parametrize("page", ["coming-from-mlflow.md", "registry.md"])
def test_what_the_documentation_shows_runs(peer: MlflowPeer, page: str) -> None:
    def work(mlflow, client, code):
        exec(code, {})

    (shown,) = blocks(ROOT / "docs" / page, "py")
    peer(work, shown)
