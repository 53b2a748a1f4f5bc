"""The registry's tables, and its store on SQLite and PostgreSQL."""

from __future__ import annotations

from collections import defaultdict
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from everloop import refs
from everloop.access import Decision
from everloop.access.sql import SqlLedger
from everloop.errors import ConflictError, InvalidError, NotFoundError
from everloop.registry.model import ModelVersion, PackageFile, RegisteredModel
from everloop.storage.database import Database, Json, UtcDateTime

metadata = sa.MetaData()

models = sa.Table(
    "models",
    metadata,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("created_at", UtcDateTime, nullable=False),
    sa.Column("latest_version", sa.Integer, nullable=False),
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
    sa.UniqueConstraint("model", "run_id", "digest", name="model_versions_once"),
)
aliases = sa.Table(
    "model_aliases",
    metadata,
    sa.Column("model", sa.Text, sa.ForeignKey("models.name"), primary_key=True),
    sa.Column("alias", sa.Text, primary_key=True),
    sa.Column("version", sa.Integer, nullable=False),
    sa.Column("moves", sa.Integer, nullable=False),
)


class SqlRegistry:
    """`RegistryStore` on a database; writes its decisions to `ledger`. Thread-safe."""

    def __init__(self, database: Database, ledger: SqlLedger) -> None:
        self.database = database
        self.ledger = ledger

    def register(
        self, model: str, run_id: str, digest: str, files: list[PackageFile], evidence: dict[str, Any], actor: str
    ) -> ModelVersion:
        refs.check_name(model, "model")
        refs.check_run_id(run_id)
        if not files:
            raise InvalidError(f"asked to register a version of {model!r}, but the package holds no file")
        for file in files:
            refs.check_path(file.path, "package file")
        now = datetime.now(UTC)
        with self.database.write() as connection:
            row = {"name": model, "created_at": now, "latest_version": 0}
            connection.execute(self.database.insert(models).values(row).on_conflict_do_nothing())
            # The model's row lock: of two registrations at once the second sees the first, whole.
            connection.execute(sa.select(models).where(models.c.name == model).with_for_update())
            bump = sa.update(models).where(models.c.name == model)
            bump = bump.values(latest_version=models.c.latest_version + 1).returning(models.c.latest_version)
            known = self._registered(connection, model, run_id, digest)
            if known is not None:
                return self._get(connection, model, known)
            version = connection.execute(bump).scalar_one()
            made = {"model": model, "version": version, "run_id": run_id, "digest": digest, "created_at": now}
            connection.execute(sa.insert(versions).values(made | {"files": files, "evidence": evidence}))
            self.ledger.record_in(
                connection,
                Decision(
                    key=f"register/{model}/{version}",
                    kind="version_registered",
                    subject=refs.model(model, version),
                    actor=actor,
                    body={"run": refs.run(run_id), "digest": digest},
                ),
            )
            return self._get(connection, model, version)

    def list_models(self) -> list[RegisteredModel]:
        with self.database.read() as connection:
            names = connection.execute(sa.select(models.c.name).order_by(models.c.name)).scalars().all()
            return [self._model(connection, name) for name in names]

    def list_versions(self, model: str) -> list[ModelVersion]:
        query = sa.select(versions).where(versions.c.model == model).order_by(versions.c.version.desc())
        with self.database.read() as connection:
            return self._assemble(connection, model, connection.execute(query).all())

    def get_version(self, model: str, version: int) -> ModelVersion:
        with self.database.read() as connection:
            return self._get(connection, model, version)

    def resolve(self, model: str, alias: str) -> ModelVersion:
        with self.database.read() as connection:
            version = self._points_at(connection, model, alias)
            if version == 0:
                raise NotFoundError(f"model {model!r} has no alias {alias!r}", hint="`ever model list` shows aliases.")
            return self._get(connection, model, version)

    def set_alias(
        self, model: str, alias: str, version: int, actor: str, reason: str, expected: int | None = None
    ) -> RegisteredModel:
        refs.check_name(alias, "alias")
        with self.database.write() as connection:
            self.move_alias_in(connection, model, alias, version, actor=actor, reason=reason, expected=expected)
            return self._model(connection, model)

    def move_alias_in(
        self,
        connection: Connection,
        model: str,
        alias: str,
        version: int,
        *,
        actor: str,
        reason: str,
        expected: int | None = None,
    ) -> None:
        """Move an alias inside the caller's write transaction, as a promotion does together with the traffic."""
        self._get(connection, model, version)
        start = {"model": model, "alias": alias, "version": 0, "moves": 0}
        connection.execute(self.database.insert(aliases).values(start).on_conflict_do_nothing())
        where = sa.and_(aliases.c.model == model, aliases.c.alias == alias)
        row = connection.execute(sa.select(aliases).where(where).with_for_update()).one()
        if expected is not None and row.version != expected:
            raise ConflictError(
                f"alias {alias!r} of {model!r} points at version {row.version}, not at {expected} as expected",
                hint="Someone moved it meanwhile; look again and repeat.",
            )
        if row.version == version:
            return
        connection.execute(sa.update(aliases).where(where).values(version=version, moves=row.moves + 1))
        self.ledger.record_in(
            connection,
            Decision(
                key=f"alias/{model}/{alias}/{row.moves + 1}",
                kind="alias_moved",
                subject=refs.model(model, version),
                actor=actor,
                body={"alias": alias, "from": row.version, "to": version, "reason": reason},
            ),
        )

    def model_in(self, connection: Connection, model: str) -> RegisteredModel:
        """Return a model inside the caller's transaction.

        Raises:
            NotFoundError: it was never registered.
        """
        if connection.execute(sa.select(models.c.name).where(models.c.name == model)).first() is None:
            raise NotFoundError(f"no registered model {model!r}", hint="`ever model list` shows the models.")
        return self._model(connection, model)

    def _registered(self, connection: Connection, model: str, run_id: str, digest: str) -> int | None:
        query = sa.select(versions.c.version).where(
            versions.c.model == model, versions.c.run_id == run_id, versions.c.digest == digest
        )
        return connection.execute(query).scalar_one_or_none()

    def _get(self, connection: Connection, model: str, version: int) -> ModelVersion:
        query = sa.select(versions).where(versions.c.model == model, versions.c.version == version)
        row = connection.execute(query).first()
        if row is None:
            raise NotFoundError(f"model {model!r} has no version {version}", hint="`ever model list` shows versions.")
        return self._assemble(connection, model, [row])[0]

    def _assemble(self, connection: Connection, model: str, rows: Any) -> list[ModelVersion]:
        names = defaultdict(list)
        for alias, version in self._aliases(connection, model).items():
            names[version].append(alias)
        return [ModelVersion(**row._mapping, aliases=names[row.version]) for row in rows]

    def _model(self, connection: Connection, name: str) -> RegisteredModel:
        row = connection.execute(sa.select(models).where(models.c.name == name)).one()
        return RegisteredModel(**row._mapping, aliases=self._aliases(connection, name))

    def _aliases(self, connection: Connection, model: str) -> dict[str, int]:
        rows = connection.execute(sa.select(aliases).where(aliases.c.model == model).order_by(aliases.c.alias))
        return {row.alias: row.version for row in rows if row.version}

    def _points_at(self, connection: Connection, model: str, alias: str) -> int:
        query = sa.select(aliases.c.version).where(aliases.c.model == model, aliases.c.alias == alias)
        return connection.execute(query).scalar_one_or_none() or 0
