"""A package in use: what it scores, what it refuses."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ruamel.yaml import YAML
from sklearn.linear_model import LogisticRegression

from everloop.errors import FailedError, InvalidError, NotFoundError
from everloop.registry.package import save_model
from everloop.serving.model import LoadedModel
from tests.serving import models


@pytest.fixture
def loaded(tmp_path: Path) -> LoadedModel:
    return LoadedModel.load(models.save(tmp_path / "model"))


def test_scores_are_the_estimators_own(loaded: LoadedModel) -> None:
    columns = models.table(500, seed=9)
    assert loaded.score(columns).tolist() == models.expected(columns)


def test_a_row_scores_the_same_alone_as_among_others(loaded: LoadedModel) -> None:
    columns = models.table(50, seed=9)
    alone = [loaded.score({name: values[row : row + 1] for name, values in columns.items()})[0] for row in range(50)]
    assert alone == loaded.score(columns).tolist()


def test_unknown_categories_and_missing_values_are_scored(loaded: LoadedModel) -> None:
    columns: dict[str, list[Any]] = {
        "carrier": ["ZZ", None],
        "hour": [3, 3],
        "wind": [None, float("nan")],
        "is_holiday": [True, False],
    }
    assert loaded.score(columns).tolist() == models.expected(columns)


def test_columns_in_any_order_and_further_columns_do_not_matter(loaded: LoadedModel) -> None:
    columns = models.table(5)
    shuffled = {"extra": [0] * 5, **dict(reversed(columns.items()))}
    assert loaded.score(shuffled).tolist() == loaded.score(columns).tolist()


def test_doubles_alone_reach_the_estimator_as_numbers(tmp_path: Path) -> None:
    rows = np.random.default_rng(0).normal(size=(40, 2))
    estimator = LogisticRegression().fit(rows, (rows[:, 0] > 0).astype(int))
    save_model(estimator, tmp_path / "model", inputs={"a": "double", "b": "double"})
    loaded = LoadedModel.load(tmp_path / "model")
    expected = estimator.predict_proba(rows)[:, 1].tolist()
    assert loaded.score({"a": rows[:, 0].tolist(), "b": rows[:, 1].tolist()}).tolist() == expected


def test_a_missing_column_is_named(loaded: LoadedModel) -> None:
    columns = models.table(2)
    del columns["wind"]
    with pytest.raises(InvalidError, match="needs the inputs wind"):
        loaded.score(columns)


def test_columns_that_differ_in_length_are_named(loaded: LoadedModel) -> None:
    with pytest.raises(InvalidError, match="'hour' has 1 rows, but 'carrier' has 2"):
        loaded.score(models.table(2) | {"hour": [1]})


def test_what_the_estimator_cannot_score_is_a_failure_that_names_the_cause(loaded: LoadedModel) -> None:
    columns: dict[str, list[Any]] = models.table(2) | {"hour": ["noon", "noon"]}
    with pytest.raises(FailedError, match="could not score these rows: ValueError"):
        loaded.score(columns)


def test_a_pickled_package_is_never_loaded(tmp_path: Path) -> None:
    package = models.save(tmp_path / "model")
    yaml = YAML(typ="safe", pure=True)
    described = yaml.load(package / "MLmodel")
    described["flavors"]["sklearn"]["serialization_format"] = "cloudpickle"
    with (package / "MLmodel").open("w") as stream:
        yaml.dump(described, stream)
    with pytest.raises(InvalidError, match="serialised as cloudpickle; only skops is loaded"):
        LoadedModel.load(package)


def test_a_missing_package_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError):
        LoadedModel.load(tmp_path / "nothing")
