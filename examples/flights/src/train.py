"""Stage `train`: features.parquet -> model/ (a model package) and holdout.csv (the rows it is judged on).

The last days are held out, in time order, as the model will meet the future and not a random part of the past. The
model that is judged on them is the model that is deployed: it is not fitted again on everything. Its own answers stand
beside them for the stage `evaluate`; the gates do not look at those but ask the packaged model again.
"""

import csv
from datetime import timedelta
from pathlib import Path

import duckdb
import numpy as np
from ruamel.yaml import YAML
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OrdinalEncoder, StandardScaler

import everloop
from everloop.datasets import profile_columns

TYPES = {"VARCHAR": "string", "DOUBLE": "double"}


def main() -> None:
    params = YAML(typ="safe").load(Path("params.yaml"))["train"]
    table = duckdb.read_parquet("features.parquet")
    last = table.max("day").fetchall()[0][0]
    split = last - timedelta(days=params["holdout_days"])
    known, held = table.filter(f"day <= DATE '{split}'"), table.filter(f"day > DATE '{split}'")
    inputs = {
        name: TYPES[str(kind)]
        for name, kind in zip(table.columns, table.types, strict=True)
        if name not in ("flight_id", "day", "late")
    }

    rows, late = read(known, list(inputs)), known.fetchnumpy()["late"]
    if params["shuffle_labels"]:
        late = np.random.default_rng(params["seed"]).permutation(late)
    model = make_model(list(inputs.values()), params["model"], params["seed"])
    model.fit(as_objects(rows), late)

    everloop.save_model(
        model,
        "model",
        inputs=inputs,
        input_example={name: values[:2].tolist() for name, values in rows.items()},
        profile=profile_columns(rows),
    )
    scores = model.predict_proba(as_objects(read(held, list(inputs))))[:, 1]
    with Path("holdout.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([*held.columns, "score"])
        writer.writerows([*row, score] for row, score in zip(held.fetchall(), scores.tolist(), strict=True))
    print(f"trained on {len(late):,} flights, held out {len(scores):,}")


def read(table: duckdb.DuckDBPyRelation, names: list[str]) -> dict[str, np.ndarray]:
    """Return columns by name, each of shape (n_rows,); NaN where a number is missing."""
    columns = table.project(", ".join(names)).fetchnumpy()
    return {name: v.filled(np.nan) if isinstance(v, np.ma.MaskedArray) else v for name, v in columns.items()}


def as_objects(columns: dict[str, np.ndarray]) -> np.ndarray:
    """Return the columns side by side as the gateway hands them to the model: objects, shape (n_rows, n_columns)."""
    table = np.empty((len(next(iter(columns.values()))), len(columns)), dtype=object)
    for k, values in enumerate(columns.values()):
        table[:, k] = values
    return table


def make_model(kinds: list[str], settings: dict, seed: int) -> Pipeline:
    """Return an unfitted model over an array of objects whose columns are of `kinds`, "string" or "double"."""
    categories = [k for k, kind in enumerate(kinds) if kind == "string"]
    numbers = [k for k, kind in enumerate(kinds) if kind == "double"]
    # A category that training never saw becomes NaN, which the trees treat as a value of its own.
    encoder = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=np.nan)
    # Trees do not care about scale; scaling turns the objects into numbers, as callers with data frames expect.
    columns = ColumnTransformer([("categories", encoder, categories), ("numbers", StandardScaler(), numbers)])
    boosting = HistGradientBoostingClassifier(
        categorical_features=list(range(len(categories))), random_state=seed, early_stopping=False, **settings
    )
    return Pipeline([("columns", columns), ("boosting", boosting)])


if __name__ == "__main__":
    main()
