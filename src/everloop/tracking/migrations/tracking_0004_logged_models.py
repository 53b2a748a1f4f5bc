"""Logged models: their params, tags, files, the latest of their metrics, and the runs that read or made them."""

import sqlalchemy as sa
from alembic import op

revision = "tracking_0004"
down_revision = "tracking_0003"
branch_labels = None
depends_on = None

IDENTITY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    op.create_table(
        "logged_models",
        sa.Column("number", IDENTITY, primary_key=True),
        sa.Column("model_id", TEXT, nullable=False, unique=True),
        sa.Column("experiment_id", IDENTITY, sa.ForeignKey("experiments.experiment_id"), nullable=False),
        sa.Column("name", TEXT, nullable=False),
        sa.Column("model_type", TEXT),
        sa.Column("source_run_id", TEXT),
        sa.Column("status", TEXT, nullable=False),
        sa.Column("status_message", TEXT),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.Column("deleted_at", sa.BigInteger()),
    )
    op.create_index("logged_models_by_experiment", "logged_models", ["experiment_id", "created_at", "model_id"])
    op.create_index("logged_models_by_name", "logged_models", ["name"])
    op.create_index("logged_models_by_run", "logged_models", ["source_run_id"])
    for name in ("logged_model_params", "logged_model_tags"):
        op.create_table(
            name,
            _model_column(),
            sa.Column("key", TEXT, primary_key=True),
            sa.Column("value", TEXT, nullable=False),
            sa.Column("head", TEXT, nullable=False),
            sqlite_with_rowid=False,
        )
        op.create_index(f"{name}_by_value", name, ["key", "head", "model"])
    op.create_table(
        "logged_model_metrics",
        _model_column(),
        sa.Column("key", TEXT, primary_key=True),
        sa.Column("run", IDENTITY, sa.ForeignKey("runs.number"), primary_key=True),
        sa.Column("dataset_name", TEXT, primary_key=True),
        sa.Column("dataset_digest", TEXT, primary_key=True),
        sa.Column("step", sa.BigInteger(), nullable=False),
        sa.Column("logged_at", sa.BigInteger(), nullable=False),
        sa.Column("value", sa.Double(), nullable=False),
        sa.Column("is_nan", sa.Boolean(), nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_index("logged_model_metrics_by_value", "logged_model_metrics", ["key", "is_nan", "value", "model"])
    op.create_table(
        "logged_model_artifacts",
        _model_column(),
        sa.Column("path", TEXT, primary_key=True),
        sa.Column("digest", TEXT, nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "run_models",
        sa.Column("run", IDENTITY, sa.ForeignKey("runs.number"), primary_key=True),
        sa.Column("is_output", sa.Boolean(), primary_key=True),
        sa.Column("model_id", TEXT, primary_key=True),
        sa.Column("step", sa.BigInteger(), primary_key=True),
        sqlite_with_rowid=False,
    )


def _model_column() -> sa.Column[int]:
    return sa.Column("model", IDENTITY, sa.ForeignKey("logged_models.number"), primary_key=True)
