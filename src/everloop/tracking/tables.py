"""The tracking room's tables.

Rows of a run refer to it by `number`, and points to their series by `series`: a number is a fifth of a run's id or of a
key, so that a hundred million points and the indexes that searches walk stay small. What is sought by its value is
sought by its `head`, because an index of PostgreSQL takes no long text. Texts sort by code point on both databases.
"""

from __future__ import annotations

import sqlalchemy as sa

from everloop.storage.database import Identity, Json, UtcDateTime

HEAD_LENGTH = 128
"""How many characters of a param's or tag's value are in the index."""

POINT = ("step", "logged_at", "is_nan", "value")
"""The order of a metric's points."""

_Text = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")

metadata = sa.MetaData()

experiments = sa.Table(
    "experiments",
    metadata,
    sa.Column("experiment_id", Identity, primary_key=True),
    sa.Column("name", _Text, nullable=False, unique=True),
    sa.Column("created_at", UtcDateTime, nullable=False),
    sa.Column("updated_at", UtcDateTime, nullable=False),
    sa.Column("deleted_at", UtcDateTime),
)
experiment_tags = sa.Table(
    "experiment_tags",
    metadata,
    sa.Column("experiment_id", Identity, sa.ForeignKey("experiments.experiment_id"), primary_key=True),
    sa.Column("key", _Text, primary_key=True),
    sa.Column("value", _Text, nullable=False),
    sqlite_with_rowid=False,
)
runs = sa.Table(
    "runs",
    metadata,
    sa.Column("number", Identity, primary_key=True),
    sa.Column("run_id", _Text, nullable=False, unique=True),
    sa.Column("experiment_id", Identity, sa.ForeignKey("experiments.experiment_id"), nullable=False),
    sa.Column("name", _Text, nullable=False),
    sa.Column("status", _Text, nullable=False),
    sa.Column("started_at", UtcDateTime, nullable=False),
    sa.Column("ended_at", UtcDateTime),
    sa.Column("deleted_at", UtcDateTime),
    sa.Index("runs_by_experiment", "experiment_id", "started_at", "run_id"),
    sa.Index("runs_by_start", "started_at", "run_id"),
)


def _run_column() -> sa.Column[int]:
    return sa.Column("run", Identity, sa.ForeignKey("runs.number"), primary_key=True)


def _texts(name: str, of: sa.Column[int]) -> sa.Table:
    return sa.Table(
        name,
        metadata,
        of,
        sa.Column("key", _Text, primary_key=True),
        sa.Column("value", _Text, nullable=False),
        sa.Column("head", _Text, nullable=False),
        sa.Index(f"{name}_by_value", "key", "head", of.name),
        sqlite_with_rowid=False,
    )


params = _texts("params", _run_column())
tags = _texts("tags", _run_column())
series = sa.Table(
    "series",  # a metric of a run, with its latest point
    metadata,
    sa.Column("series", Identity, primary_key=True),
    sa.Column("run", Identity, sa.ForeignKey("runs.number"), nullable=False),
    sa.Column("key", _Text, nullable=False),
    sa.Column("step", sa.BigInteger, nullable=False),
    sa.Column("logged_at", UtcDateTime, nullable=False),
    sa.Column("value", sa.Double, nullable=False),
    # Neither database orders NaN as IEEE 754 does, so it is kept beside the value, which is then 0.
    sa.Column("is_nan", sa.Boolean, nullable=False),
    sa.UniqueConstraint("run", "key"),
    sa.Index("series_by_value", "key", "is_nan", "value", "run"),
)
points = sa.Table(
    "points",
    metadata,
    sa.Column("series", Identity, sa.ForeignKey("series.series"), primary_key=True),
    sa.Column("step", sa.BigInteger, primary_key=True),
    sa.Column("logged_at", UtcDateTime, primary_key=True),
    sa.Column("is_nan", sa.Boolean, primary_key=True),
    sa.Column("value", sa.Double, primary_key=True),
    sqlite_with_rowid=False,
)
input_datasets = sa.Table(
    "input_datasets",  # a dataset that runs of an experiment say they read
    metadata,
    sa.Column("dataset", Identity, primary_key=True),
    sa.Column("experiment_id", Identity, sa.ForeignKey("experiments.experiment_id"), nullable=False),
    sa.Column("name", _Text, nullable=False),
    sa.Column("digest", _Text, nullable=False),
    sa.Column("source_type", _Text, nullable=False),
    sa.Column("source", _Text, nullable=False),
    sa.Column("schema", _Text),
    sa.Column("profile", _Text),
    sa.UniqueConstraint("experiment_id", "name", "digest"),
)
inputs = sa.Table(
    "inputs",
    metadata,
    _run_column(),
    sa.Column("dataset", Identity, sa.ForeignKey("input_datasets.dataset"), primary_key=True),
    sa.Column("context", _Text),
    sa.Column("tags", Json(dict[str, str]), nullable=False),
    sa.Index("inputs_by_dataset", "dataset", "run"),
    sqlite_with_rowid=False,
)
artifacts = sa.Table(
    "artifacts",
    metadata,
    _run_column(),
    sa.Column("path", _Text, primary_key=True),
    sa.Column("digest", _Text, nullable=False),
    sa.Column("size_bytes", sa.BigInteger, nullable=False),
    sqlite_with_rowid=False,
)
sources = sa.Table(
    "sources",
    metadata,
    _run_column(),
    sa.Column("source", _Text, primary_key=True),
    sa.Column("stored", sa.BigInteger, nullable=False),
    sqlite_with_rowid=False,
)
edges = sa.Table(
    "edges",
    metadata,
    sa.Column("source", sa.Text, primary_key=True),
    sa.Column("relation", sa.Text, primary_key=True),
    sa.Column("target", sa.Text, primary_key=True),
    sa.Index("edges_by_target", "target"),
)
logged_models = sa.Table(
    "logged_models",
    metadata,
    sa.Column("number", Identity, primary_key=True),
    sa.Column("model_id", _Text, nullable=False, unique=True),
    sa.Column("experiment_id", Identity, sa.ForeignKey("experiments.experiment_id"), nullable=False),
    sa.Column("name", _Text, nullable=False),
    sa.Column("model_type", _Text),
    sa.Column("source_run_id", _Text),
    sa.Column("status", _Text, nullable=False),
    sa.Column("status_message", _Text),
    sa.Column("created_at", UtcDateTime, nullable=False),
    sa.Column("updated_at", UtcDateTime, nullable=False),
    sa.Column("deleted_at", UtcDateTime),
    sa.Index("logged_models_by_experiment", "experiment_id", "created_at", "model_id"),
    sa.Index("logged_models_by_name", "name"),
    sa.Index("logged_models_by_run", "source_run_id"),
)


def _model_column() -> sa.Column[int]:
    return sa.Column("model", Identity, sa.ForeignKey("logged_models.number"), primary_key=True)


logged_model_params = _texts("logged_model_params", _model_column())
logged_model_tags = _texts("logged_model_tags", _model_column())
logged_model_metrics = sa.Table(
    "logged_model_metrics",  # the latest value of each key, run and dataset; no dataset is an empty name
    metadata,
    _model_column(),
    sa.Column("key", _Text, primary_key=True),
    sa.Column("run", Identity, sa.ForeignKey("runs.number"), primary_key=True),
    sa.Column("dataset_name", _Text, primary_key=True),
    sa.Column("dataset_digest", _Text, primary_key=True),
    sa.Column("step", sa.BigInteger, nullable=False),
    sa.Column("logged_at", UtcDateTime, nullable=False),
    sa.Column("value", sa.Double, nullable=False),
    sa.Column("is_nan", sa.Boolean, nullable=False),
    sa.Index("logged_model_metrics_by_value", "key", "is_nan", "value", "model"),
    sqlite_with_rowid=False,
)
run_models = sa.Table(
    "run_models",  # the logged models that a run read or made; models of elsewhere, too, so it names them
    metadata,
    _run_column(),
    sa.Column("is_output", sa.Boolean, primary_key=True),
    sa.Column("model_id", _Text, primary_key=True),
    sa.Column("step", sa.BigInteger, primary_key=True),
    sqlite_with_rowid=False,
)
logged_model_artifacts = sa.Table(
    "logged_model_artifacts",
    metadata,
    _model_column(),
    sa.Column("path", _Text, primary_key=True),
    sa.Column("digest", _Text, nullable=False),
    sa.Column("size_bytes", sa.BigInteger, nullable=False),
    sqlite_with_rowid=False,
)
