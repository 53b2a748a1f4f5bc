"""The registry's store on SQLite and PostgreSQL."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from everloop import refs
from everloop.access import Decision
from everloop.access.sql import SqlLedger
from everloop.errors import ConflictError, InvalidError, NotFoundError
from everloop.registry.model import ModelVersion, PackageFile, RegisteredModel, Stage
from everloop.registry.rows import TEXT_CHARACTERS, Uses, checked_tags
from everloop.registry.search import SqlRegistrySearch
from everloop.registry.tables import aliases, model_tags, models, version_tags, versions
from everloop.storage.database import Database, check_text

CHAMPION = "champion"
"""The alias that follows the traffic of an endpoint that serves the model."""


def _by_nobody(_connection: Connection, _model: str) -> dict[str, tuple[int, ...]]:
    return {}


class SqlRegistry(SqlRegistrySearch):
    """`RegistryStore` on a database; writes its decisions to `ledger`. Thread-safe.

    Args:
        uses: Which endpoints use a model; what they use is neither deleted nor renamed.
    """

    def __init__(self, database: Database, ledger: SqlLedger, uses: Uses = _by_nobody) -> None:
        super().__init__(database, uses)
        self.ledger = ledger

    # --- models

    def create_model(self, name: str, description: str = "", tags: dict[str, str] | None = None) -> RegisteredModel:
        refs.check_model_name(name)
        with self.database.write() as connection:
            if not self._make(connection, name):
                raise ConflictError(f"Registered Model (name={name}) already exists.")
            self._describe(connection, name, description)
            self._put_tags(connection, model_tags, {"model": name}, tags or {})
            return self.model_in(connection, name)

    def get_model(self, name: str) -> RegisteredModel:
        with self.database.read() as connection:
            return self.model_in(connection, name)

    def list_models(self) -> list[RegisteredModel]:
        query = sa.select(models).where(models.c.deleted_at.is_(None)).order_by(models.c.name)
        with self.database.read() as connection:
            return self._models(connection, connection.execute(query).all())

    def describe_model(self, name: str, description: str) -> RegisteredModel:
        with self.database.write() as connection:
            self._model_row(connection, name, is_written=True)
            self._describe(connection, name, description)
            return self.model_in(connection, name)

    def rename_model(self, name: str, new_name: str, actor: str) -> RegisteredModel:
        refs.check_model_name(new_name)
        with self.database.write() as connection:
            row = self._model_row(connection, name, is_written=True)
            if used := self._uses(connection, name):
                raise _in_use(f"model {name!r}", used)
            now = datetime.now(UTC)
            made = {"name": new_name, "created_at": row.created_at, "updated_at": now}
            made |= {"latest_version": row.latest_version, "description": row.description}
            statement = self.database.insert(models).values(made).on_conflict_do_nothing()
            if not connection.execute(statement).rowcount:
                raise ConflictError(
                    f"Registered Model (name={new_name}) already exists.",
                    hint="A name of a deleted model keeps its versions' numbers, so it is not given to another model.",
                )
            self._move(connection, name, new_name)
            gone = sa.update(models).where(models.c.name == name)
            connection.execute(gone.values(deleted_at=now, updated_at=now, description=""))
            self._record(connection, f"rename/{new_name}", "model_renamed", f"models/{new_name}", actor, {"from": name})
            return self.model_in(connection, new_name)

    def delete_model(self, name: str, actor: str) -> None:
        with self.database.write() as connection:
            row = self._model_row(connection, name, is_written=True)
            if used := self._uses(connection, name):
                raise _in_use(f"model {name!r}", used)
            if pointing := self._aliases(connection, [name])[name]:
                raise _has_aliases(f"model {name!r}", pointing)
            now = datetime.now(UTC)
            connection.execute(sa.update(models).where(models.c.name == name).values(deleted_at=now, updated_at=now))
            alive = sa.and_(versions.c.model == name, versions.c.deleted_at.is_(None))
            connection.execute(sa.update(versions).where(alive).values(deleted_at=now, updated_at=now))
            # A model made again under the name is deleted again: each time has a time of its own.
            key = f"delete/{name}/{int(row.updated_at.timestamp() * 1e6)}"
            body = {"versions": row.latest_version}
            self._record(connection, key, "model_deleted", f"models/{name}", actor, body)

    def tag_model(self, name: str, tags: dict[str, str]) -> None:
        with self.database.write() as connection:
            self._model_row(connection, name, is_written=True)
            self._put_tags(connection, model_tags, {"model": name}, tags)
            self._touch(connection, name)

    def untag_model(self, name: str, key: str) -> None:
        with self.database.write() as connection:
            self._model_row(connection, name, is_written=True)
            tag = sa.and_(model_tags.c.model == name, model_tags.c.key == key)
            connection.execute(sa.delete(model_tags).where(tag))
            self._touch(connection, name)

    # --- versions

    def register(
        self, model: str, run_id: str, digest: str, files: list[PackageFile], evidence: dict[str, Any], actor: str
    ) -> ModelVersion:
        refs.check_model_name(model)
        refs.check_run_id(run_id)
        _check_files(model, files)
        with self.database.write() as connection:
            self._make(connection, model)
            # The model's row lock: of two registrations at once the second sees the first, whole.
            self._model_row(connection, model, is_written=True)
            known = self._registered(connection, model, run_id, digest)
            if known is not None:
                return self._get(connection, model, known)
            given = {"run_id": run_id, "digest": digest, "files": files, "evidence": evidence, "actor": actor}
            return self._add(connection, model, given)

    def create_version(
        self,
        model: str,
        source: str,
        actor: str,
        run_id: str = "",
        model_id: str = "",
        digest: str = "",
        files: list[PackageFile] | None = None,
        description: str = "",
        tags: dict[str, str] | None = None,
    ) -> ModelVersion:
        if run_id:
            refs.check_run_id(run_id)
        if model_id:
            refs.check_model_id(model_id)
        if digest:
            _check_files(model, files or [])
        given = {"run_id": run_id, "digest": digest, "files": files or [], "evidence": {}, "actor": actor}
        given |= {"source": check_text(source, "the source of", model), "model_id": model_id}
        given["description"] = _check_description(description)
        with self.database.write() as connection:
            self._model_row(connection, model, is_written=True)
            made = self._add(connection, model, given)
            at = {"model": model, "version": made.version}
            self._put_tags(connection, version_tags, at, tags or {})
            return self._get(connection, model, made.version)

    def list_versions(self, model: str) -> list[ModelVersion]:
        query = sa.select(versions).where(versions.c.model == model, versions.c.deleted_at.is_(None))
        with self.database.read() as connection:
            return self._versions(connection, connection.execute(query.order_by(versions.c.version.desc())).all())

    def latest_versions(self, names: list[str], stages: list[Stage] | None = None) -> list[ModelVersion]:
        newest = sa.select(versions.c.model, sa.func.max(versions.c.version))
        newest = newest.where(self.database.among(versions.c.model, names), versions.c.deleted_at.is_(None))
        if stages:
            newest = newest.where(versions.c.stage.in_(stages))
        newest = newest.group_by(versions.c.model, versions.c.stage)
        query = sa.select(versions).where(sa.tuple_(versions.c.model, versions.c.version).in_(newest))
        with self.database.read() as connection:
            rows = connection.execute(query.order_by(versions.c.model, versions.c.version)).all()
            return self._versions(connection, rows)

    def get_version(self, model: str, version: int) -> ModelVersion:
        with self.database.read() as connection:
            return self._get(connection, model, version)

    def package_files(self, digest: str) -> list[PackageFile]:
        query = sa.select(versions.c.files).where(versions.c.digest == digest).limit(1)
        with self.database.read() as connection:
            found: list[PackageFile] | None = connection.execute(query).scalar() if digest else None
        if found is None:
            raise NotFoundError(f"no version has the digest {digest[:100]!r}")
        return found

    def describe_version(self, model: str, version: int, description: str) -> ModelVersion:
        _check_description(description)
        return self._change(model, version, description=description)

    def tag_version(self, model: str, version: int, tags: dict[str, str]) -> None:
        with self.database.write() as connection:
            self._open(connection, model, version)
            self._put_tags(connection, version_tags, {"model": model, "version": version}, tags)
            self._update(connection, model, version)

    def untag_version(self, model: str, version: int, key: str) -> None:
        with self.database.write() as connection:
            self._open(connection, model, version)
            tag = version_tags.c
            mine = sa.and_(tag.model == model, tag.version == version, tag.key == key)
            connection.execute(sa.delete(version_tags).where(mine))
            self._update(connection, model, version)

    def set_stage(
        self, model: str, version: int, stage: Stage, actor: str, archive_existing: bool = False
    ) -> ModelVersion:
        if archive_existing and stage not in ("Staging", "Production"):
            raise InvalidError(f"only Staging and Production archive the versions that are there, not {stage}")
        with self.database.write() as connection:
            found = self._open(connection, model, version)
            now = datetime.now(UTC)
            if archive_existing:
                there = sa.and_(versions.c.model == model, versions.c.stage == stage, versions.c.version != version)
                connection.execute(sa.update(versions).where(there).values(stage="Archived", updated_at=now))
            if found.stage != stage:
                key = f"stage/{model}/{version}/{int(now.timestamp() * 1e6)}"
                body = {"from": found.stage, "to": stage, "archived_others": archive_existing}
                self._record(connection, key, "stage_changed", refs.model(model, version), actor, body)
            self._update(connection, model, version, stage=stage)
            return self._get(connection, model, version)

    def delete_version(self, model: str, version: int, actor: str) -> None:
        with self.database.write() as connection:
            found = self._open(connection, model, version)
            name = f"version {version} of {model!r}"
            users = {at: each for at, each in self._uses(connection, model).items() if version in each}
            if users:
                raise _in_use(name, users)
            if found.aliases:
                raise _has_aliases(name, found.aliases)
            self._update(connection, model, version, deleted_at=datetime.now(UTC))
            subject = refs.model(model, version)
            self._record(connection, f"delete/{model}/{version}", "version_deleted", subject, actor, {})

    # --- aliases

    def resolve(self, model: str, alias: str) -> ModelVersion:
        query = sa.select(aliases.c.version).where(aliases.c.model == model, aliases.c.alias == alias)
        with self.database.read() as connection:
            version = connection.execute(query).scalar_one_or_none() or 0
            if version == 0:
                raise NotFoundError(f"model {model!r} has no alias {alias!r}", hint="`ever model list` shows aliases.")
            return self._get(connection, model, version)

    def set_alias(
        self, model: str, alias: str, version: int, actor: str, reason: str, expected: int | None = None
    ) -> RegisteredModel:
        refs.check_name(alias, "alias")
        with self.database.write() as connection:
            self._check_champion(connection, model, alias)
            self.move_alias_in(connection, model, alias, version, actor=actor, reason=reason, expected=expected)
            return self.model_in(connection, model)

    def delete_alias(self, model: str, alias: str, actor: str, reason: str) -> None:
        with self.database.write() as connection:
            self._check_champion(connection, model, alias)
            where = sa.and_(aliases.c.model == model, aliases.c.alias == alias, aliases.c.version > 0)
            row = connection.execute(sa.select(aliases).where(where).with_for_update()).first()
            if row is not None:
                self._point(connection, row, 0, actor, reason)

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
        self._open(connection, model, version)
        start = {"model": model, "alias": alias, "version": 0, "moves": 0}
        connection.execute(self.database.insert(aliases).values(start).on_conflict_do_nothing())
        where = sa.and_(aliases.c.model == model, aliases.c.alias == alias)
        row = connection.execute(sa.select(aliases).where(where).with_for_update()).one()
        if expected is not None and row.version != expected:
            raise ConflictError(
                f"alias {alias!r} of {model!r} points at version {row.version}, not at {expected} as expected",
                hint="Someone moved it meanwhile; look again and repeat.",
            )
        if row.version != version:
            self._point(connection, row, version, actor, reason)

    # --- inside of a write transaction

    def _make(self, connection: Connection, name: str) -> bool:
        """Make a model, or bring the name of a deleted one back, empty; False when there is one."""
        now = datetime.now(UTC)
        row = {"name": name, "created_at": now, "updated_at": now, "latest_version": 0, "description": ""}
        if connection.execute(self.database.insert(models).values(row).on_conflict_do_nothing()).rowcount:
            return True
        gone = sa.and_(models.c.name == name, models.c.deleted_at.is_not(None))
        back = sa.update(models).where(gone).values(created_at=now, updated_at=now, description="", deleted_at=None)
        if not connection.execute(back).rowcount:
            return False
        connection.execute(sa.delete(model_tags).where(model_tags.c.model == name))
        return True

    def _add(self, connection: Connection, model: str, given: Mapping[str, Any]) -> ModelVersion:
        now = datetime.now(UTC)
        bump = sa.update(models).where(models.c.name == model)
        bump = bump.values(latest_version=models.c.latest_version + 1, updated_at=now)
        version = connection.execute(bump.returning(models.c.latest_version)).scalar_one()
        row = {"source": "", "model_id": "", "description": "", "stage": "None", **given}
        row |= {"model": model, "version": version, "created_at": now, "updated_at": now}
        connection.execute(sa.insert(versions).values(row))
        body = {"run": refs.run(row["run_id"]) if row["run_id"] else "", "digest": row["digest"]}
        body |= {"source": row["source"]} if row["source"] else {}
        key = f"register/{model}/{version}"
        self._record(connection, key, "version_registered", refs.model(model, version), row["actor"], body)
        return self._get(connection, model, version)

    def _open(self, connection: Connection, model: str, version: int) -> ModelVersion:
        """Return a version that may be changed, and hold its model until the transaction ends."""
        connection.execute(sa.select(models.c.name).where(models.c.name == model).with_for_update())
        return self._get(connection, model, version, is_written=True)

    def _change(self, model: str, version: int, **values: Any) -> ModelVersion:
        with self.database.write() as connection:
            self._open(connection, model, version)
            self._update(connection, model, version, **values)
            return self._get(connection, model, version)

    def _update(self, connection: Connection, model: str, version: int, **values: Any) -> None:
        mine = sa.and_(versions.c.model == model, versions.c.version == version)
        connection.execute(sa.update(versions).where(mine).values(updated_at=datetime.now(UTC), **values))

    def _describe(self, connection: Connection, name: str, description: str) -> None:
        values = {"description": _check_description(description), "updated_at": datetime.now(UTC)}
        connection.execute(sa.update(models).where(models.c.name == name).values(values))

    def _touch(self, connection: Connection, name: str) -> None:
        connection.execute(sa.update(models).where(models.c.name == name).values(updated_at=datetime.now(UTC)))

    def _put_tags(
        self, connection: Connection, table: sa.Table, at: Mapping[str, Any], tags: Mapping[str, str]
    ) -> None:
        if tags:
            statement = self.database.insert(table)
            statement = statement.on_conflict_do_update(
                index_elements=[*at, "key"], set_={"value": statement.excluded.value}
            )
            connection.execute(statement, [{**at, **row} for row in checked_tags(tags)])

    def _move(self, connection: Connection, name: str, new_name: str) -> None:
        """Give what belongs to one name to another, which never had anything."""
        tagged = connection.execute(sa.select(version_tags).where(version_tags.c.model == name)).all()
        connection.execute(sa.delete(version_tags).where(version_tags.c.model == name))
        for table in (versions, model_tags):
            connection.execute(sa.update(table).where(table.c.model == name).values(model=new_name))
        if tagged:
            connection.execute(sa.insert(version_tags), [{**row._mapping, "model": new_name} for row in tagged])
        # The old name keeps how often its aliases were moved: each move is an entry of the ledger under that number.
        pointing = connection.execute(sa.select(aliases).where(aliases.c.model == name)).all()
        connection.execute(sa.update(aliases).where(aliases.c.model == name).values(version=0))
        if pointing:
            connection.execute(sa.insert(aliases), [{**row._mapping, "model": new_name} for row in pointing])

    def _point(self, connection: Connection, row: Any, version: int, actor: str, reason: str) -> None:
        where = sa.and_(aliases.c.model == row.model, aliases.c.alias == row.alias)
        connection.execute(sa.update(aliases).where(where).values(version=version, moves=row.moves + 1))
        key = f"alias/{row.model}/{row.alias}/{row.moves + 1}"
        subject = refs.model(row.model, version or row.version)
        body = {"alias": row.alias, "from": row.version, "to": version, "reason": reason}
        self._record(connection, key, "alias_moved", subject, actor, body)

    def _record(
        self, connection: Connection, key: str, kind: str, subject: str, actor: str, body: dict[str, Any]
    ) -> None:
        self.ledger.record_in(connection, Decision(key=key, kind=kind, subject=subject, actor=actor, body=body))

    def _check_champion(self, connection: Connection, model: str, alias: str) -> None:
        if alias == CHAMPION and (used := self._uses(connection, model)):
            raise ConflictError(
                f"the alias {CHAMPION!r} of {model!r} follows the traffic of {_named(used)}",
                hint="Move the traffic: `ever promote ENDPOINT VERSION`.",
            )

    def _registered(self, connection: Connection, model: str, run_id: str, digest: str) -> int | None:
        query = sa.select(sa.func.min(versions.c.version)).where(
            versions.c.model == model,
            versions.c.run_id == run_id,
            versions.c.digest == digest,
            versions.c.deleted_at.is_(None),
        )
        known: int | None = connection.execute(query).scalar_one_or_none()
        return known


def _check_files(model: str, files: list[PackageFile]) -> None:
    if not files:
        raise InvalidError(f"asked to register a version of {model!r}, but the package holds no file")
    for file in files:
        refs.check_path(file.path, "package file")


def _check_description(description: str) -> str:
    if len(description) > TEXT_CHARACTERS:
        raise InvalidError(f"a description has {len(description):,} characters; the limit is {TEXT_CHARACTERS:,}")
    return check_text(description, "the description", description)


def _named(used: Mapping[str, Any]) -> str:
    return f"endpoint {', '.join(map(repr, sorted(used)))}"


def _in_use(what: str, used: Mapping[str, Any]) -> ConflictError:
    return ConflictError(f"{what} is used by {_named(used)}", hint="Deploy another version there first.")


def _has_aliases(what: str, found: Any) -> ConflictError:
    return ConflictError(
        f"{what} has the alias {', '.join(map(repr, sorted(found)))}", hint="Move or delete the alias first."
    )
