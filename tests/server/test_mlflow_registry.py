"""The unmodified MLflow client against the hub: registered models, versions, aliases, stages and their files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.server.mlflowpeer import MlflowPeer, refused
from tests.stores import Stores

pytestmark = pytest.mark.peer


def test_a_registered_model_lives_and_dies(peer: MlflowPeer) -> None:
    def work(mlflow, client):
        made = client.create_registered_model("My delay (v2)", {"team": "air"}, "text")
        taken = refused(client.create_registered_model, "My delay (v2)")[0]
        client.set_registered_model_tag("My delay (v2)", "k", "v")
        client.delete_registered_model_tag("My delay (v2)", "team")
        client.update_registered_model("My delay (v2)", "other")
        client.rename_registered_model("My delay (v2)", "delay")
        found = client.get_registered_model("delay")
        client.delete_registered_model("delay")
        return [
            [made.name, made.description, made.tags, made.latest_versions],
            taken,
            [found.name, found.description, found.tags, found.creation_timestamp == made.creation_timestamp],
            [refused(client.get_registered_model, name)[0] for name in ("delay", "My delay (v2)", "nobody")],
            [refused(client.create_registered_model, name)[0] for name in ("a/b", "a:b", "", "x" * 300)],
        ]

    assert peer(work) == [
        ["My delay (v2)", "text", {"team": "air"}, []],
        "RESOURCE_ALREADY_EXISTS",
        ["delay", "other", {"k": "v"}, True],
        ["RESOURCE_DOES_NOT_EXIST"] * 3,
        ["INVALID_PARAMETER_VALUE"] * 4,
    ]


def test_versions_are_described_staged_and_deleted(peer: MlflowPeer) -> None:
    def work(mlflow, client):
        client.create_registered_model("delay")
        for number in (1, 2, 3):
            client.create_model_version("delay", f"s3://bucket/{number}", tags={"n": str(number)}, description="d")
        first = client.update_model_version("delay", "1", "new")
        client.set_model_version_tag("delay", "1", "k", "v")
        client.delete_model_version_tag("delay", "1", "n")
        for version, archive in (("1", False), ("2", False), ("3", True)):
            client.transition_model_version_stage("delay", version, "production", archive)
        latest = client.get_latest_versions("delay", ["Production"])
        of_model = client.get_registered_model("delay").latest_versions
        uri = client.get_model_version_download_uri("delay", "2")
        client.delete_model_version("delay", "2")
        return [
            [first.version, first.description, first.current_stage, first.status, first.source],
            client.get_model_version("delay", "1").tags,
            [[each.version, each.current_stage] for each in latest],
            [[each.version, each.current_stage] for each in of_model],
            uri,
            [refused(client.get_model_version, "delay", number)[0] for number in ("2", "9")],
            refused(client.get_model_version, "delay", "x")[0],
            refused(client.transition_model_version_stage, "delay", "1", "Best")[0],
            client.create_model_version("delay", "s3://bucket/4").version,
        ]

    assert peer(work) == [
        ["1", "new", "None", "READY", "s3://bucket/1"],
        {"k": "v"},
        [["3", "Production"]],
        [["2", "Archived"], ["3", "Production"]],
        "s3://bucket/2",
        ["RESOURCE_DOES_NOT_EXIST"] * 2,
        "INVALID_PARAMETER_VALUE",
        "INVALID_PARAMETER_VALUE",
        "4",
    ]


def test_aliases_move_and_protect(peer: MlflowPeer, served: Stores) -> None:
    def work(mlflow, client):
        client.create_registered_model("delay")
        for number in (1, 2):
            client.create_model_version("delay", f"s3://bucket/{number}")
        client.set_registered_model_alias("delay", "best", "1")
        client.set_registered_model_alias("delay", "best", "2")
        found = client.get_model_version_by_alias("delay", "best")
        aliases = client.get_registered_model("delay").aliases
        protected = [
            refused(client.delete_model_version, "delay", "2"),
            refused(client.delete_registered_model, "delay"),
        ]
        client.delete_registered_model_alias("delay", "best")
        client.delete_registered_model_alias("delay", "best")
        return [
            [found.version, list(found.aliases), dict(aliases)],
            [[code, "best" in message] for code, message in protected],
            refused(client.get_model_version_by_alias, "delay", "best")[0],
            client.get_model_version_by_alias("delay", "latest").version,
            [refused(client.set_registered_model_alias, "delay", alias, "1")[0] for alias in ("latest", "v2", "a b")],
            refused(client.set_registered_model_alias, "delay", "best", "9")[0],
        ]

    assert peer(work) == [
        ["2", ["best"], {"best": "2"}],
        [["INVALID_PARAMETER_VALUE", True]] * 2,
        "INVALID_PARAMETER_VALUE",
        "2",
        ["INVALID_PARAMETER_VALUE"] * 3,
        "RESOURCE_DOES_NOT_EXIST",
    ]
    assert len(served.ledger.entries(kind="alias_moved")) == 3


def test_models_and_versions_are_sought(peer: MlflowPeer, served: Stores) -> None:
    served.registry.create_model("greeting", tags={"mlflow.prompt.is_prompt": "true"})

    def work(mlflow, client):
        for name in ("a", "b", "c"):
            client.create_registered_model(name, {"team": name})
            client.create_model_version(name, f"s3://bucket/{name}", tags={"t": "1"})
        first = client.search_registered_models(max_results=2)
        second = client.search_registered_models(max_results=2, page_token=first.token)
        return [
            [[each.name for each in page] for page in (first, second)],
            bool(second.token),
            [each.name for each in client.search_registered_models("name ILIKE 'B%' and tags.team = 'b'")],
            [each.name for each in client.search_registered_models(order_by=["name DESC"])],
            [each.name for each in client.search_model_versions("name='b'")],
            [each.name for each in client.search_model_versions("tags.t = '1'", order_by=["name ASC"])],
            [len(each.latest_versions) for each in first],
            refused(client.search_registered_models, "team = 1")[0],
        ]

    assert peer(work) == [
        [["a", "b"], ["c"]],
        False,
        ["b"],
        ["c", "b", "a"],
        ["b"],
        ["a", "b", "c"],
        [1, 1],
        "INVALID_PARAMETER_VALUE",
    ]


def test_what_was_registered_stays_whatever_happens_to_its_run(peer: MlflowPeer, tmp_path: Path) -> None:
    (tmp_path / "model/data").mkdir(parents=True)
    (tmp_path / "model/MLmodel").write_text("flavors: {}\n")
    (tmp_path / "model/data/weights").write_bytes(b"\0\1")

    def work(mlflow, client, folder):
        import requests
        from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

        with mlflow.start_run() as run:
            mlflow.log_artifacts(f"{folder}/model", "model")
        other = client.create_run("0").info.run_id
        version = mlflow.register_model(f"runs:/{run.info.run_id}/model", "delay")
        copied = client.copy_model_version("models:/delay/1", "copy")
        uri = client.get_model_version_download_uri("delay", "1")
        client.log_text(run.info.run_id, "changed", "model/data/weights")
        repository = get_artifact_repository(run.info.artifact_uri)
        repository.delete_artifacts("model/MLmodel")
        for at in ("models:/delay/1", "models:/copy/1"):
            mlflow.artifacts.download_artifacts(at, dst_path=f"{folder}/{at.split('/')[1]}")
        package = get_artifact_repository(uri)

        def status_of(call: Callable[..., Any], *args: str) -> int | None:
            try:
                call(*args)
            except requests.HTTPError as error:
                return getattr(error.response, "status_code", None)
            return None

        return [
            [version.run_id == run.info.run_id, version.source == f"{run.info.artifact_uri}/model", copied.version],
            [uri.startswith("mlflow-artifacts:/registry/"), client.get_model_version_download_uri("copy", "1") == uri],
            [status_of(package.log_artifact, f"{folder}/model/MLmodel"), status_of(package.delete_artifacts, "data")],
            [
                refused(client.create_model_version, "delay", source, run_id)[0]
                for source, run_id in (
                    ("/etc/passwd", None),
                    ("file:///etc", run.info.run_id),
                    (f"{run.info.artifact_uri}/../../model", run.info.run_id),
                    (f"runs:/{run.info.run_id}/model", other),
                    ("s3://bucket/../x", None),
                )
            ],
            [
                refused(client.create_model_version, "delay", source)[0]
                for source in (f"runs:/{'0' * 32}/model", "models:/nobody/1", f"models:/m-{'0' * 32}")
            ],
        ]

    assert peer(work, str(tmp_path)) == [
        [True, True, "1"],
        [True, True],
        [403, 403],
        ["INVALID_PARAMETER_VALUE"] * 5,
        ["RESOURCE_DOES_NOT_EXIST"] * 3,
    ]
    for name in ("delay", "copy"):
        assert (tmp_path / name / "data/weights").read_bytes() == b"\0\1"
        assert (tmp_path / name / "MLmodel").read_text().startswith("flavors")


def test_a_model_is_logged_registered_and_loaded_by_its_alias(peer: MlflowPeer, served: Stores) -> None:
    def work(mlflow, client):
        import numpy as np
        from sklearn.linear_model import LogisticRegression

        x = np.random.default_rng(1).normal(size=(200, 3))
        model = LogisticRegression().fit(x, x[:, 0] > 0)
        kind = {"serialization_format": "cloudpickle", "pip_requirements": ["scikit-learn"]}
        for _ in range(2):
            with mlflow.start_run() as run:
                made = mlflow.sklearn.log_model(model, name="tree", registered_model_name="delay", **kind)
        client.set_registered_model_alias("delay", "champion", "2")
        found = client.get_model_version_by_alias("delay", "champion")
        loaded = mlflow.sklearn.load_model("models:/delay@champion")
        first = mlflow.pyfunc.load_model("models:/delay/1")
        return [
            bool((loaded.predict(x) == model.predict(x)).all() and (first.predict(x) == model.predict(x)).all()),
            found.run_id == run.info.run_id,
            made.model_id,
        ]

    is_same, is_of_run, model_id = peer(work)
    assert is_same
    assert is_of_run
    version = served.registry.resolve("delay", "champion")
    assert (version.version, version.model_id) == (2, model_id)
    assert "MLmodel" in [each.path for each in version.files]
