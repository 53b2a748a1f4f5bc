"""The package of a model: what is written, what is read, what is refused."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from ruamel.yaml import YAML
from sklearn.linear_model import LogisticRegression

from everloop.errors import ConflictError, EverloopError, InvalidError, NotFoundError, TooLargeError
from everloop.registry.package import Column, package_digest, read_package, save_model
from tests.serving import models


@pytest.fixture
def package(tmp_path: Path) -> Path:
    return models.save(tmp_path / "model")


def described(package: Path) -> dict[str, Any]:
    loaded: dict[str, Any] = YAML(typ="safe", pure=True).load(package / "MLmodel")
    return loaded


def rewrite(package: Path, **changes: Any) -> None:
    changed = described(package) | changes
    with (package / "MLmodel").open("w") as stream:
        YAML(typ="safe", pure=True).dump(changed, stream)


def test_a_package_reads_as_it_was_written(tmp_path: Path) -> None:
    example = {name: values[:1] for name, values in models.table(1).items()}
    made = save_model(
        models.model(),
        tmp_path / "model",
        inputs=models.INPUTS,
        output="late",
        input_example=example,
        profile={"rows": 400},
        metadata={"commit": "0" * 7, "when": "no"},
    )
    found = read_package(tmp_path / "model")
    assert found == made
    assert found.inputs == tuple(Column(name=name, type=kind) for name, kind in models.INPUTS.items())
    assert found.outputs == (Column(name="late", type="double"),)
    assert (found.format, found.model_file) == ("skops", "model.skops")
    assert found.flavors == ("python_function", "sklearn")
    assert found.metadata == {
        "commit": "0000000",
        "when": "no",
        "everloop": {"output": "late", "profile": "profile.json"},
    }
    assert msgspec.json.decode((tmp_path / "model/profile.json").read_bytes()) == {"rows": 400}
    table = msgspec.json.decode((tmp_path / "model/input_example.json").read_bytes())
    assert table == {"columns": list(models.INPUTS), "data": [[example[name][0] for name in models.INPUTS]]}


def test_the_description_is_shaped_as_mlflow_writes_it(package: Path) -> None:
    found = described(package)
    assert found["flavors"]["python_function"]["loader_module"] == "mlflow.sklearn"
    assert found["flavors"]["sklearn"]["serialization_format"] == "skops"
    assert msgspec.json.decode(found["signature"]["inputs"])[0] == {
        "type": "string",
        "name": "carrier",
        "required": True,
    }
    pins = (package / "requirements.txt").read_text().splitlines()
    assert all("==" in line for line in pins)
    assert {line.partition("==")[0] for line in pins} == {"numpy", "scikit-learn", "scipy", "skops"}


def test_a_package_replaces_a_package_but_nothing_else(package: Path, tmp_path: Path) -> None:
    before = read_package(package).model_uuid
    models.save(package)
    assert read_package(package).model_uuid != before
    assert [path.name for path in tmp_path.iterdir()] == ["model"]
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes/thesis.txt").write_text("years of work")
    with pytest.raises(ConflictError, match="holds something else"):
        models.save(tmp_path / "notes")
    assert (tmp_path / "notes/thesis.txt").read_text() == "years of work"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model", "notes"]


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({}, "at least one input"),
        (models.INPUTS | {"hour": "int"}, "'hour' has type 'int'"),
        ({"carrier": "string"}, "fitted on 4 columns, but 1"),
    ],
)
def test_inputs_that_do_not_fit_are_refused(tmp_path: Path, inputs: dict[str, str], message: str) -> None:
    with pytest.raises(InvalidError, match=message):
        save_model(models.model(), tmp_path / "model", inputs=inputs)
    assert not (tmp_path / "model").exists()


def test_only_a_fitted_classifier_of_two_classes_is_taken(tmp_path: Path) -> None:
    three = LogisticRegression().fit([[0.0], [1.0], [2.0]], [0, 1, 2])
    for model, message in (
        (object(), "no predict_proba"),
        (LogisticRegression(), "is not fitted"),
        (three, "3 classes"),
    ):
        with pytest.raises(InvalidError, match=message):
            save_model(model, tmp_path / "model", inputs={"x": "double"})


@pytest.mark.parametrize(("example", "message"), [({"hour": [1]}, "example has columns"), ({}, "example has columns")])
def test_an_example_that_does_not_fit_is_refused(tmp_path: Path, example: dict[str, list[Any]], message: str) -> None:
    with pytest.raises(InvalidError, match=message):
        save_model(models.model(), tmp_path / "model", inputs=models.INPUTS, input_example=example)


def test_the_digest_is_of_names_and_content_alone(package: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    copy.mkdir()
    for file in sorted(package.iterdir(), reverse=True):
        (copy / file.name).write_bytes(file.read_bytes())
    assert package_digest(copy) == package_digest(package)
    (copy / "requirements.txt").write_text("numpy==0\n")
    assert package_digest(copy) != package_digest(package)


def test_a_missing_package_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="no model package"):
        read_package(tmp_path / "nothing")


@pytest.mark.parametrize("name", ["../../etc/passwd", "/etc/passwd", "a/../../b", "..", "a\\b", "", 7, "missing.skops"])
def test_a_path_that_leaves_the_package_or_names_nothing_is_refused(package: Path, name: Any) -> None:
    flavors = described(package)["flavors"]
    flavors["sklearn"]["pickled_model"] = name
    rewrite(package, flavors=flavors)
    with pytest.raises(InvalidError, match=r"flavors\.sklearn\.pickled_model"):
        read_package(package)


def test_links_are_refused(package: Path) -> None:
    (package / "extra.txt").symlink_to("/etc/passwd")
    for read in (read_package, package_digest):
        with pytest.raises(InvalidError, match="is a link"):
            read(package)


def test_an_oversized_description_is_refused(package: Path) -> None:
    with (package / "MLmodel").open("a") as stream:
        stream.write("#" * (300 << 10))
    with pytest.raises(TooLargeError, match="the limit is"):
        read_package(package)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: &x [1]\nb: *x\n", "alias"),
        ("[" * 500 + "]" * 500, "nested deeper"),
        ("- 1\n", "should hold a mapping"),
        ("a: [", "is not YAML"),
        ("flavors: 7\n", "flavors should be a mapping"),
        ("signature: {inputs: 'no json'}\n", "not an MLflow signature"),
        ('signature: {inputs: \'[{"name":"a","type":"long"},{"name":"a","type":"long"}]\'}\n', "twice: a"),
        ("utc_time_created: yesterday\n", "is not a time"),
        ("a: !!python/object/apply:os.system ['true']\n", "is not YAML"),
        ("a: !!timestamp 'soon'\n", "is not YAML"),
    ],
)
def test_a_broken_description_is_refused(package: Path, text: str, message: str) -> None:
    (package / "MLmodel").write_text(text)
    with pytest.raises(InvalidError, match=message):
        read_package(package)


def test_a_package_that_mlflow_pickled_is_read_but_says_so(package: Path) -> None:
    rewrite(package, flavors={"sklearn": {"pickled_model": "model.skops"}}, signature=None)
    found = read_package(package)
    assert (found.format, found.inputs) == ("pickle", ())


@given(st.text(max_size=200) | st.recursive(st.none() | st.text(max_size=5), st.lists, max_leaves=8).map(repr))
def test_whatever_the_description_holds_the_error_is_ours(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    folder = tmp_path_factory.mktemp("any")
    (folder / "MLmodel").write_text(text, encoding="utf-8", errors="surrogatepass")
    with contextlib.suppress(EverloopError):
        read_package(folder)
