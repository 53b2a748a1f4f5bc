"""The unmodified MLflow client against the hub: logged models, their files and their metrics."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.server.mlflowpeer import MlflowPeer, refused

pytestmark = pytest.mark.peer


def test_a_logged_model_lives_and_dies(peer: MlflowPeer) -> None:
    def work(mlflow, client):
        run_id = client.create_run("0").info.run_id
        params = {f"p{i}": str(i) for i in range(250)}
        made = client.create_logged_model("0", "tree", run_id, {"team": "air"}, params, "classifier")
        client.set_logged_model_tags(made.model_id, {"a": "1", "b": "2"})
        client.delete_logged_model_tag(made.model_id, "a")
        ready = client.finalize_logged_model(made.model_id, "READY")
        found = client.get_logged_model(made.model_id)
        client.delete_logged_model(made.model_id)
        return [
            [str(made.status), str(ready.status), found.params == params, found.tags, found.name, found.model_type],
            found.source_run_id == run_id,
            found.artifact_location == f"mlflow-artifacts:/0/models/{made.model_id}/artifacts",
            refused(client.get_logged_model, made.model_id)[0],
            refused(client.get_logged_model, "m-" + "0" * 32)[0],
            refused(client.create_logged_model, "0", "a/b")[0],
        ]

    assert peer(work) == [
        ["PENDING", "READY", True, {"team": "air", "b": "2"}, "tree", "classifier"],
        True,
        True,
        "RESOURCE_DOES_NOT_EXIST",
        "RESOURCE_DOES_NOT_EXIST",
        "INVALID_PARAMETER_VALUE",
    ]


def test_a_metric_of_a_model_is_kept_with_its_dataset(peer: MlflowPeer) -> None:
    def work(mlflow, client):
        from mlflow.entities import Metric

        run_id = client.create_run("0").info.run_id
        model_id = client.create_logged_model("0", "tree").model_id
        client.log_metric(run_id, "auc", 0.5, step=3, model_id=model_id, dataset_name="d", dataset_digest="x")
        client.log_batch(run_id, [Metric("auc", 0.7, 17, 0, model_id=model_id), Metric("n", 1.0, 17, 0)])
        found = client.get_logged_model(model_id).metrics
        refusal = refused(client.log_metric, run_id, "lost", 1.0, model_id="m-" + "0" * 32)[0]
        told = [[m.key, m.value, m.step, m.dataset_name, m.dataset_digest, m.run_id == run_id] for m in found]
        return [sorted(told, key=lambda each: each[1]), refusal, client.get_run(run_id).data.metrics]

    told, refusal, metrics = peer(work)
    assert [[each or None for each in metric] for metric in told] == [
        ["auc", 0.5, 3, "d", "x", True],
        ["auc", 0.7, None, None, None, True],
    ]
    assert refusal == "RESOURCE_DOES_NOT_EXIST"
    assert metrics == {"auc": 0.5, "n": 1.0}


def test_a_run_is_linked_to_the_models_that_it_read_and_made(peer: MlflowPeer) -> None:
    def work(mlflow, client):
        from mlflow.entities import LoggedModelInput, LoggedModelOutput

        run_id = client.create_run("0").info.run_id
        read, made = (client.create_logged_model("0", name).model_id for name in "ab")
        client.log_inputs(run_id, models=[LoggedModelInput(read)])
        client.log_outputs(run_id, [LoggedModelOutput(made, 3)])
        run = client.get_run(run_id)
        inputs = [each.model_id == read for each in run.inputs.model_inputs]
        return [inputs, [[each.model_id == made, each.step] for each in run.outputs.model_outputs]]

    assert peer(work) == [[True], [[True, 3]]]


def test_a_model_of_scikit_learn_is_logged_and_loaded(peer: MlflowPeer) -> None:
    def work(mlflow, client):
        import numpy as np
        from sklearn.linear_model import LogisticRegression

        x = np.random.default_rng(1).normal(size=(200, 3))
        model = LogisticRegression().fit(x, x[:, 0] > 0)
        with mlflow.start_run() as run:
            made = mlflow.sklearn.log_model(
                model,
                name="tree",
                input_example=x[:2],
                serialization_format="cloudpickle",
                pip_requirements=["scikit-learn"],
            )
        loaded = mlflow.pyfunc.load_model(made.model_uri)
        found = client.get_logged_model(made.model_id)
        outputs = [each.model_id for each in client.get_run(run.info.run_id).outputs.model_outputs]
        return [
            bool((loaded.predict(x) == model.predict(x)).all()),
            made.model_uri == f"models:/{made.model_id}",
            str(found.status),
            found.source_run_id == run.info.run_id,
            outputs == [made.model_id],
            loaded.metadata.signature is not None,
        ]

    assert peer(work) == [True, True, "READY", True, True, True]


def test_autologging_of_scikit_learn_keeps_runs_and_models(peer: MlflowPeer) -> None:
    def work(mlflow, client):
        import numpy as np
        from sklearn.linear_model import LogisticRegression
        from sklearn.model_selection import GridSearchCV

        mlflow.sklearn.autolog(serialization_format="cloudpickle")
        x = np.random.default_rng(1).normal(size=(200, 3))
        with mlflow.start_run() as run:
            GridSearchCV(LogisticRegression(), {"C": [0.1, 1.0]}, cv=2).fit(x, x[:, 0] > 0)
        mlflow.sklearn.autolog(disable=True)
        found = client.get_run(run.info.run_id)
        children = client.search_runs(["0"], f"tags.mlflow.parentRunId = '{run.info.run_id}'")
        (output, *_) = found.outputs.model_outputs
        return [
            found.info.status,
            len(children),
            found.data.params["estimator"],
            "training_score" in found.data.metrics,
            [each.dataset.name for each in found.inputs.dataset_inputs],
            str(client.get_logged_model(output.model_id).status),
        ]

    assert peer(work) == ["FINISHED", 2, "LogisticRegression()", True, ["dataset"], "READY"]


def test_the_files_of_a_model_go_up_and_come_down(peer: MlflowPeer, tmp_path: Path) -> None:
    (tmp_path / "up/data").mkdir(parents=True)
    (tmp_path / "up/MLmodel").write_text("flavors: {}\n")
    (tmp_path / "up/data/weights").write_bytes(b"\0\1")

    def work(mlflow, client, folder):
        from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

        made = client.create_logged_model("0", "tree")
        client.log_model_artifacts(made.model_id, f"{folder}/up")
        mlflow.artifacts.download_artifacts(f"models:/{made.model_id}", dst_path=f"{folder}/down")
        listed = [[each.path, each.is_dir] for each in client.list_logged_model_artifacts(made.model_id)]
        get_artifact_repository(made.artifact_location).delete_artifacts("data")
        return [listed, [each.path for each in client.list_logged_model_artifacts(made.model_id)]]

    assert peer(work, str(tmp_path)) == [[["MLmodel", False], ["data", True]], ["MLmodel"]]
    assert (tmp_path / "down/data/weights").read_bytes() == b"\0\1"


def test_logged_models_are_found_ordered_and_paged(peer: MlflowPeer) -> None:
    def work(mlflow, client):
        home = client.create_experiment("forest")
        run_id = client.create_run(home).info.run_id
        made = {}
        for i, name in enumerate(["ash", "elm", "fir"]):
            made[name] = client.create_logged_model(
                home, name, run_id, {"team": "air"}, {"depth": str(i)}, "tree"
            ).model_id
            client.log_metric(run_id, "auc", 0.5 + i / 10, model_id=made[name], dataset_name="d", dataset_digest="x")
        client.log_metric(run_id, "auc", 0.1, model_id=made["fir"], dataset_name="e", dataset_digest="y")
        client.create_logged_model("0", "oak")
        client.finalize_logged_model(made["elm"], "READY")

        def names(text: str = "", datasets: Any = None, *order: dict[str, Any]) -> str:
            found = client.search_logged_models([home], text, datasets, order_by=list(order))
            return " ".join(each.name for each in found)

        def paged(*order: dict[str, Any]) -> list[Any]:
            page = client.search_logged_models([home], max_results=2, order_by=list(order))
            rest = client.search_logged_models([home], max_results=2, order_by=list(order), page_token=page.token)
            return [" ".join(each.name for each in [*page, *rest]), len(page), rest.token]

        auc = {"field_name": "metrics.auc", "ascending": False}
        whole = client.search_logged_models([home])[0]
        one = client.get_logged_model(made["fir"])
        return {
            "all": names(),
            "name": names("name = 'elm'"),
            "id": names(f"model_id = '{made['ash']}'"),
            "run": names(f"source_run_id = '{run_id}' AND params.depth IN ('1', '2')"),
            "status": names("status = 'READY'"),
            "like": names("attributes.name LIKE '%f%' AND tags.team = 'air'"),
            "time": names("creation_timestamp > 0 AND last_updated_timestamp < 5"),
            "metric": names("metrics.auc > 0.55"),
            "dataset": names("metrics.auc > 0.0", [{"dataset_name": "e", "dataset_digest": "y"}]),
            "dataset alone": names("", [{"dataset_name": "d", "dataset_digest": "x"}]),
            "dataset without digest": names("", [{"dataset_name": "e"}]),
            "up": names("", None, {"field_name": "creation_time", "ascending": True}),
            "best": names("", None, {**auc, "dataset_name": "d", "dataset_digest": "x"}),
            "best on e": names("", None, {**auc, "dataset_name": "e"}),
            "paged": paged(),
            "paged by metric": paged({**auc, "dataset_name": "d"}),
            "whole": whole.to_dictionary() == one.to_dictionary() and len(whole.metrics) == 2,
            "fluent": [each.name for each in mlflow.search_logged_models([home], max_results=1, output_format="list")],
        }

    assert peer(work) == {
        "all": "fir elm ash",
        "name": "elm",
        "id": "ash",
        "run": "fir elm",
        "status": "elm",
        "like": "fir",
        "time": "",
        "metric": "fir elm",
        "dataset": "fir",
        "dataset alone": "fir elm ash",
        "dataset without digest": "fir",
        "up": "ash elm fir",
        "best": "fir elm ash",
        "best on e": "fir elm ash",
        "paged": ["fir elm ash", 2, None],
        "paged by metric": ["fir elm ash", 2, None],
        "whole": True,
        "fluent": ["fir"],
    }


def test_a_search_that_means_nothing_is_refused_in_mlflows_words(peer: MlflowPeer) -> None:
    def work(mlflow, client):
        def said(*args: Any, **kwargs: Any) -> list[str]:
            return list(refused(client.search_logged_models, *args, **kwargs))

        return [
            said([]),
            said(["0"], "metrics.auc > 'high'"),
            said(["0"], "run_name = 'a'"),
            said(["0"], order_by=[{"field_name": "accuracy"}]),
            said(["0"], order_by=[{"field_name": "metrics.auc", "dataset_digest": "x"}]),
            said(["0"], datasets=[{"dataset_name": "", "dataset_digest": "x"}]),
            said(["0"], page_token="nonsense"),
        ]

    words = [
        "Missing value for required parameter 'experiment_ids'",
        "numeric value for metric 'auc'",
        "Invalid attribute key 'run_name'",
        "Invalid order by field name: 'accuracy'",
        "`dataset_digest` can only be specified if `dataset_name` is also specified.",
        "`dataset_name` in the `datasets` clause must be specified.",
        "page token",
    ]
    told = peer(work)
    assert [code for code, _ in told] == ["INVALID_PARAMETER_VALUE"] * len(words)
    for (_, message), word in zip(told, words, strict=True):
        assert word in message


def test_a_runs_artifacts_hold_the_files_of_its_models(peer: MlflowPeer, tmp_path: Path) -> None:
    (tmp_path / "up").mkdir()
    (tmp_path / "up/MLmodel").write_text("flavors: {}\n")

    def work(mlflow, client, folder):
        run_id = client.create_run("0").info.run_id
        made = client.create_logged_model("0", "tree", run_id)
        client.log_model_artifacts(made.model_id, f"{folder}/up")
        return mlflow.artifacts.load_text(f"runs:/{run_id}/tree/MLmodel")

    assert peer(work, str(tmp_path)) == "flavors: {}\n"
