"""Small real models for the serving tests: trained in a moment, packaged as a user would."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OrdinalEncoder, StandardScaler
from threadpoolctl import threadpool_limits

from everloop.registry.package import save_model

INPUTS = {"carrier": "string", "hour": "long", "wind": "double", "is_holiday": "boolean"}
CARRIERS = ("AA", "B6", "DL", "UA")


def table(n_rows: int, seed: int = 0) -> dict[str, list[Any]]:
    """Return n rows of the four inputs; some strings and doubles are missing."""
    rng = np.random.default_rng(seed)
    carrier = rng.choice(CARRIERS, n_rows).tolist()
    wind = rng.normal(10, 5, n_rows).round(2).tolist()
    missing = rng.random((2, n_rows)) < 0.1
    return {
        "carrier": [None if gone else value for value, gone in zip(carrier, missing[0], strict=True)],
        "hour": rng.integers(0, 24, n_rows).tolist(),
        "wind": [None if gone else value for value, gone in zip(wind, missing[1], strict=True)],
        "is_holiday": (rng.random(n_rows) < 0.1).tolist(),
    }


def as_array(columns: dict[str, list[Any]], names: tuple[str, ...] = tuple(INPUTS)) -> NDArray[np.object_]:
    """Return (n_rows, n_columns) objects, a missing double as NaN: what the estimators are fitted on."""
    rows = np.empty((len(columns[names[0]]), len(names)), dtype=object)
    for place, name in enumerate(names):
        values = columns[name]
        rows[:, place] = [np.nan if value is None else value for value in values] if name == "wind" else values
    return rows


@cache
def model(seed: int = 0, names: tuple[str, ...] = tuple(INPUTS)) -> Pipeline:
    """Return a fitted pipeline; another seed gives other scores."""
    return fitted(seed, names)


def fitted(seed: int = 0, names: tuple[str, ...] = tuple(INPUTS)) -> Pipeline:
    """Fit a pipeline anew."""
    columns = table(400, seed)
    rng = np.random.default_rng(seed)
    late = np.array([hour > 15 for hour in columns["hour"]]) ^ (rng.random(400) < 0.2 + 0.1 * (seed % 3))
    encoder = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1, encoded_missing_value=-2)
    numbers = list(range(1, len(names)))
    pipeline = Pipeline(
        [
            ("encode", ColumnTransformer([("text", encoder, [0]), ("number", StandardScaler(), numbers)])),
            ("boost", HistGradientBoostingClassifier(max_iter=8, random_state=seed)),
        ]
    )
    with threadpool_limits(1):  # a team of threads is slower on a busy machine
        return pipeline.fit(as_array(columns, names), late.astype(int))


def save(folder: Path, seed: int = 0, names: tuple[str, ...] = tuple(INPUTS)) -> Path:
    """Write the model of this seed as a package."""
    save_model(model(seed, names), folder, inputs={name: INPUTS[name] for name in names})
    return folder


def expected(columns: dict[str, list[Any]], seed: int = 0) -> list[float]:
    """Return what the model of this seed says itself."""
    scores: list[float] = model(seed).predict_proba(as_array(columns))[:, 1].tolist()
    return scores
