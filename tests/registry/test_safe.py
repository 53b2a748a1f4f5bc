"""Models without pickle: what comes back, what is refused, what is checked."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.preprocessing import FunctionTransformer
from threadpoolctl import threadpool_limits

from everloop.errors import InvalidError
from everloop.registry import safe
from tests.serving import models


def boosting(*, categorical: bool = False) -> HistGradientBoostingClassifier:
    rng = np.random.default_rng(0)
    rows = np.column_stack([rng.integers(0, 5, 300), rng.normal(size=300)]).astype(float)
    chosen = [0] if categorical else None
    labels = ((rows[:, 0] == 2) ^ (rows[:, 1] > 0)).astype(int)
    with threadpool_limits(1):  # a team of threads is slower on a busy machine
        return HistGradientBoostingClassifier(max_iter=3, categorical_features=chosen).fit(rows, labels)


def written(tmp_path: Path, data: bytes) -> Path:
    path = tmp_path / "model.skops"
    path.write_bytes(data)
    return path


def rewritten(data: bytes, change: Any) -> bytes:
    """Return a skops file whose schema text went through `change`."""
    target = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as source, zipfile.ZipFile(target, "w") as archive:
        for name in source.namelist():
            content = source.read(name)
            archive.writestr(name, change(content.decode()).encode() if name == "schema.json" else content)
    return target.getvalue()


@pytest.mark.parametrize("categorical", [False, True])
def test_a_gradient_boosting_comes_back_with_the_same_answers(tmp_path: Path, categorical: bool) -> None:
    model = boosting(categorical=categorical)
    rows = np.random.default_rng(1).normal(size=(50, 2))
    loaded = safe.load(written(tmp_path, safe.dump(model)))
    assert np.array_equal(loaded.predict_proba(rows), model.predict_proba(rows))


def test_a_pipeline_comes_back_with_the_same_answers(tmp_path: Path) -> None:
    rows = models.as_array(models.table(100, seed=5))
    loaded = safe.load(written(tmp_path, safe.dump(models.model())))
    assert np.array_equal(loaded.predict_proba(rows), models.model().predict_proba(rows))


def test_the_same_training_gives_the_same_bytes() -> None:
    # skops names objects by their address in memory; the two models lie at different ones.
    first, second = models.fitted(), models.fitted()
    assert safe.dump(first) == safe.dump(second)


def own_function(rows: Any) -> Any:
    return rows


def test_a_type_that_is_not_on_the_list_is_refused_by_name_when_saving() -> None:
    with pytest.raises(InvalidError, match=r"own_function"):
        safe.dump(FunctionTransformer(own_function))


def test_a_forest_is_refused_because_its_nodes_cannot_be_checked() -> None:
    with pytest.raises(InvalidError, match=r"sklearn\.tree\._tree\.Tree"):
        safe.dump(RandomForestClassifier(2).fit([[0.0], [1.0]], [0, 1]))


def test_a_file_that_names_a_foreign_function_is_refused_when_loading(tmp_path: Path) -> None:
    def change(text: str) -> str:
        return text.replace('"check_array"', '"system"').replace('"sklearn.utils.validation"', '"os"')

    forged = rewritten(safe.dump(boosting(categorical=True)), change)
    with pytest.raises(InvalidError, match=r"not on the safe list: .*os\.system"):
        safe.load(written(tmp_path, forged))


@pytest.mark.parametrize("data", [b"", b"no zip", b"PK\x05\x06" + b"\0" * 18])
def test_a_file_that_is_no_model_is_refused(tmp_path: Path, data: bytes) -> None:
    with pytest.raises(InvalidError):
        safe.load(written(tmp_path, data))


def test_a_schema_that_makes_no_sense_is_refused(tmp_path: Path) -> None:
    forged = rewritten(safe.dump(boosting()), lambda _text: json.dumps({"protocol": 2, "__loader__": "nothing"}))
    with pytest.raises(InvalidError):
        safe.load(written(tmp_path, forged))


def test_a_file_that_unpacks_to_too_much_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(safe, "MAX_UNPACKED_BYTES", 1000)
    with pytest.raises(InvalidError, match="would unpack to"):
        safe.load(written(tmp_path, safe.dump(boosting())))


@pytest.mark.parametrize(
    ("field", "value", "broken"),
    [
        ("left", 10_000, "left child"),
        ("right", 0, "right child"),
        ("feature_idx", 7, "unknown feature"),
        ("feature_idx", -1, "unknown feature"),
        ("is_categorical", 1, "a number as a category|unknown category set"),
    ],
)
def test_trees_that_point_outside_are_refused(tmp_path: Path, field: str, value: int, broken: str) -> None:
    model = boosting()
    model._predictors[0][0].nodes[field][0] = value
    with pytest.raises(InvalidError, match=broken):
        safe.load(written(tmp_path, safe.dump(model)))


def test_a_category_set_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    model = boosting(categorical=True)
    for trees in model._predictors:
        trees[0].nodes["bitset_idx"][:] = 999
    with pytest.raises(InvalidError, match="unknown category set"):
        safe.load(written(tmp_path, safe.dump(model)))


def test_categories_beyond_their_set_are_refused(tmp_path: Path) -> None:
    model = boosting(categorical=True)
    model._bin_mapper.bin_thresholds_[0][:] = 300.0
    with pytest.raises(InvalidError, match=r"outside 0\.\.255"):
        safe.load(written(tmp_path, safe.dump(model)))
