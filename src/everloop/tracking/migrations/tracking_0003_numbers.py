"""Experiments with ids, runs and series by number, deletion, and the datasets that runs read.

The tables of before are put aside, copied from, and dropped. Experiments are numbered in order of creation; the one of
the name "Default" is number 0, and is made where there is none.
"""

# ruff: noqa: S608  what stands in these statements are the names of tables, a length and the time

import time

import sqlalchemy as sa
from alembic import op

revision = "tracking_0003"
down_revision = "tracking_0002"
branch_labels = None
depends_on = None

HEAD_LENGTH = 128
IDENTITY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
BEFORE = ("sources", "metrics", "latest_metrics", "artifacts", "params", "tags", "runs", "experiments")


def upgrade() -> None:
    op.drop_index("runs_by_experiment", "runs")
    for name in BEFORE:
        op.rename_table(name, f"{name}_before")
    _make_experiments()
    _make_runs()
    _make_metrics()
    _make_inputs()
    for name in BEFORE:
        op.drop_table(f"{name}_before")


def _make_experiments() -> None:
    op.create_table(
        "experiments",
        sa.Column("experiment_id", IDENTITY, primary_key=True),
        sa.Column("name", TEXT, nullable=False, unique=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.Column("deleted_at", sa.BigInteger()),
    )
    op.create_table(
        "experiment_tags",
        sa.Column("experiment_id", IDENTITY, sa.ForeignKey("experiments.experiment_id"), primary_key=True),
        sa.Column("key", TEXT, primary_key=True),
        sa.Column("value", TEXT, nullable=False),
        sqlite_with_rowid=False,
    )
    now = time.time_ns() // 1000
    op.execute(
        "INSERT INTO experiments (experiment_id, name, created_at, updated_at)"
        f" SELECT 0, 'Default', coalesce(min(created_at), {now}), coalesce(min(created_at), {now})"
        " FROM experiments_before WHERE name = 'Default'"
    )
    op.execute(
        "INSERT INTO experiments (name, created_at, updated_at) SELECT name, created_at, created_at"
        " FROM experiments_before WHERE name <> 'Default' ORDER BY created_at, name"
    )


def _make_runs() -> None:
    op.create_table(
        "runs",
        sa.Column("number", IDENTITY, primary_key=True),
        sa.Column("run_id", TEXT, nullable=False, unique=True),
        sa.Column("experiment_id", IDENTITY, sa.ForeignKey("experiments.experiment_id"), nullable=False),
        sa.Column("name", TEXT, nullable=False),
        sa.Column("status", TEXT, nullable=False),
        sa.Column("started_at", sa.BigInteger(), nullable=False),
        sa.Column("ended_at", sa.BigInteger()),
        sa.Column("deleted_at", sa.BigInteger()),
    )
    op.create_index("runs_by_experiment", "runs", ["experiment_id", "started_at", "run_id"])
    op.create_index("runs_by_start", "runs", ["started_at", "run_id"])
    op.execute(
        "INSERT INTO runs (run_id, experiment_id, name, status, started_at, ended_at)"
        " SELECT r.run_id, e.experiment_id, r.name, r.status, r.started_at, r.ended_at"
        " FROM runs_before r JOIN experiments e ON e.name = r.experiment ORDER BY r.started_at, r.run_id"
    )
    for name in ("params", "tags"):
        op.create_table(
            name,
            _run_column(),
            sa.Column("key", TEXT, primary_key=True),
            sa.Column("value", TEXT, nullable=False),
            sa.Column("head", TEXT, nullable=False),
            sqlite_with_rowid=False,
        )
        op.execute(
            f"INSERT INTO {name} (run, key, value, head) SELECT r.number, b.key, b.value,"
            f" substr(b.value, 1, {HEAD_LENGTH}) FROM {name}_before b JOIN runs r ON r.run_id = b.run_id"
        )
        op.create_index(f"{name}_by_value", name, ["key", "head", "run"])
    op.create_table(
        "artifacts",
        _run_column(),
        sa.Column("path", TEXT, primary_key=True),
        sa.Column("digest", TEXT, nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sqlite_with_rowid=False,
    )
    op.execute(
        "INSERT INTO artifacts (run, path, digest, size_bytes) SELECT r.number, b.path, b.digest, b.size_bytes"
        " FROM artifacts_before b JOIN runs r ON r.run_id = b.run_id"
    )
    op.create_table(
        "sources",
        _run_column(),
        sa.Column("source", TEXT, primary_key=True),
        sa.Column("stored", sa.BigInteger(), nullable=False),
        sqlite_with_rowid=False,
    )
    op.execute(
        "INSERT INTO sources (run, source, stored) SELECT r.number, b.source, b.stored"
        " FROM sources_before b JOIN runs r ON r.run_id = b.run_id"
    )


def _make_metrics() -> None:
    op.create_table(
        "series",
        sa.Column("series", IDENTITY, primary_key=True),
        sa.Column("run", IDENTITY, sa.ForeignKey("runs.number"), nullable=False),
        sa.Column("key", TEXT, nullable=False),
        sa.Column("step", sa.BigInteger(), nullable=False),
        sa.Column("logged_at", sa.BigInteger(), nullable=False),
        sa.Column("value", sa.Double(), nullable=False),
        sa.Column("is_nan", sa.Boolean(), nullable=False),
        sa.UniqueConstraint("run", "key"),
    )
    op.execute(
        "INSERT INTO series (run, key, step, logged_at, value, is_nan)"
        " SELECT r.number, b.key, b.step, b.logged_at, b.value, b.is_nan"
        " FROM latest_metrics_before b JOIN runs r ON r.run_id = b.run_id ORDER BY r.number, b.key"
    )
    op.create_index("series_by_value", "series", ["key", "is_nan", "value", "run"])
    op.create_table(
        "points",
        sa.Column("series", IDENTITY, sa.ForeignKey("series.series"), primary_key=True),
        sa.Column("step", sa.BigInteger(), primary_key=True),
        sa.Column("logged_at", sa.BigInteger(), primary_key=True),
        sa.Column("is_nan", sa.Boolean(), primary_key=True),
        sa.Column("value", sa.Double(), primary_key=True),
        sqlite_with_rowid=False,
    )
    op.execute(
        "INSERT INTO points (series, step, logged_at, is_nan, value)"
        " SELECT s.series, b.step, b.logged_at, b.is_nan, b.value FROM metrics_before b"
        " JOIN runs r ON r.run_id = b.run_id JOIN series s ON s.run = r.number AND s.key = b.key"
    )


def _make_inputs() -> None:
    op.create_table(
        "input_datasets",
        sa.Column("dataset", IDENTITY, primary_key=True),
        sa.Column("experiment_id", IDENTITY, sa.ForeignKey("experiments.experiment_id"), nullable=False),
        sa.Column("name", TEXT, nullable=False),
        sa.Column("digest", TEXT, nullable=False),
        sa.Column("source_type", TEXT, nullable=False),
        sa.Column("source", TEXT, nullable=False),
        sa.Column("schema", TEXT),
        sa.Column("profile", TEXT),
        sa.UniqueConstraint("experiment_id", "name", "digest"),
    )
    op.create_table(
        "inputs",
        _run_column(),
        sa.Column("dataset", IDENTITY, sa.ForeignKey("input_datasets.dataset"), primary_key=True),
        sa.Column("context", TEXT),
        sa.Column("tags", sa.Text(), nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_index("inputs_by_dataset", "inputs", ["dataset", "run"])


def _run_column() -> sa.Column[int]:
    return sa.Column("run", IDENTITY, sa.ForeignKey("runs.number"), primary_key=True)
