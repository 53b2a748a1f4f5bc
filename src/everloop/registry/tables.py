"""The registry's tables. Rows are never removed: what is deleted says when, and a name keeps its numbers."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from everloop.registry.model import PackageFile
from everloop.storage.database import Json, UtcDateTime

metadata = sa.MetaData()
_Text = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")

models = sa.Table(
    "models",
    metadata,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("created_at", UtcDateTime, nullable=False),
    sa.Column("latest_version", sa.Integer, nullable=False),
    sa.Column("updated_at", UtcDateTime, nullable=False),
    sa.Column("description", sa.Text, nullable=False),
    sa.Column("deleted_at", UtcDateTime),
)
versions = sa.Table(
    "model_versions",
    metadata,
    sa.Column("model", sa.Text, sa.ForeignKey("models.name"), primary_key=True),
    sa.Column("version", sa.Integer, primary_key=True),
    sa.Column("run_id", sa.Text, nullable=False),
    sa.Column("digest", sa.Text, nullable=False),
    sa.Column("files", Json(list[PackageFile]), nullable=False),
    sa.Column("evidence", Json(dict[str, Any]), nullable=False),
    sa.Column("created_at", UtcDateTime, nullable=False),
    sa.Column("updated_at", UtcDateTime, nullable=False),
    sa.Column("actor", sa.Text, nullable=False),
    sa.Column("source", sa.Text, nullable=False),
    sa.Column("model_id", sa.Text, nullable=False),
    sa.Column("description", sa.Text, nullable=False),
    sa.Column("stage", sa.Text, nullable=False),
    sa.Column("deleted_at", UtcDateTime),
    sa.Index("model_versions_by_run", "run_id"),
    sa.Index("model_versions_by_digest", "digest"),
    sa.Index("model_versions_by_stage", "model", "stage", "version"),
)
aliases = sa.Table(
    "model_aliases",
    metadata,
    sa.Column("model", sa.Text, sa.ForeignKey("models.name"), primary_key=True),
    sa.Column("alias", sa.Text, primary_key=True),
    sa.Column("version", sa.Integer, nullable=False),  # 0: the alias was taken away
    sa.Column("moves", sa.Integer, nullable=False),
)
model_tags = sa.Table(
    "model_tags",
    metadata,
    sa.Column("model", sa.Text, sa.ForeignKey("models.name"), primary_key=True),
    sa.Column("key", _Text, primary_key=True),
    sa.Column("value", _Text, nullable=False),
    sqlite_with_rowid=False,
)
version_tags = sa.Table(
    "model_version_tags",
    metadata,
    sa.Column("model", sa.Text, primary_key=True),
    sa.Column("version", sa.Integer, primary_key=True),
    sa.Column("key", _Text, primary_key=True),
    sa.Column("value", _Text, nullable=False),
    sa.ForeignKeyConstraint(["model", "version"], ["model_versions.model", "model_versions.version"]),
    sqlite_with_rowid=False,
)
