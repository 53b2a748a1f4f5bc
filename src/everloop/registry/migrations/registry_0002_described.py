"""What people say of models and versions, where versions come from, and deletion that keeps the rows.

A package may be registered twice: MLflow's clients make a new version each time that they ask for one.
"""

import sqlalchemy as sa
from alembic import op

revision = "registry_0002"
down_revision = "registry_0001"
branch_labels = None
depends_on = None

TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
OF_VERSIONS = ("actor", "source", "model_id", "description")


def upgrade() -> None:
    op.add_column("models", sa.Column("updated_at", sa.BigInteger(), nullable=False, server_default="0"))
    op.add_column("models", sa.Column("description", sa.Text(), nullable=False, server_default=""))
    op.add_column("models", sa.Column("deleted_at", sa.BigInteger()))
    op.execute("UPDATE models SET updated_at = created_at")
    with op.batch_alter_table("model_versions") as versions:
        versions.drop_constraint("model_versions_once", type_="unique")
        versions.add_column(sa.Column("updated_at", sa.BigInteger(), nullable=False, server_default="0"))
        for name in OF_VERSIONS:
            versions.add_column(sa.Column(name, sa.Text(), nullable=False, server_default=""))
        versions.add_column(sa.Column("stage", sa.Text(), nullable=False, server_default="None"))
        versions.add_column(sa.Column("deleted_at", sa.BigInteger()))
    op.execute("UPDATE model_versions SET updated_at = created_at")
    op.create_index("model_versions_by_run", "model_versions", ["run_id"])
    op.create_index("model_versions_by_digest", "model_versions", ["digest"])
    op.create_index("model_versions_by_stage", "model_versions", ["model", "stage", "version"])
    op.create_table(
        "model_tags",
        sa.Column("model", sa.Text(), sa.ForeignKey("models.name"), primary_key=True),
        sa.Column("key", TEXT, primary_key=True),
        sa.Column("value", TEXT, nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "model_version_tags",
        sa.Column("model", sa.Text(), primary_key=True),
        sa.Column("version", sa.Integer(), primary_key=True),
        sa.Column("key", TEXT, primary_key=True),
        sa.Column("value", TEXT, nullable=False),
        sa.ForeignKeyConstraint(["model", "version"], ["model_versions.model", "model_versions.version"]),
        sqlite_with_rowid=False,
    )
