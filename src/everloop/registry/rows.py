"""Models and versions read from the database: a fixed number of queries, however many there are."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from everloop.errors import InvalidError, NotFoundError
from everloop.registry.model import ModelVersion, RegisteredModel
from everloop.registry.tables import aliases, model_tags, models, version_tags, versions
from everloop.storage.database import Database, check_text

KEY_CHARACTERS = 250
TEXT_CHARACTERS = 100_000
"""MLflow's limits for the registry's tags."""

Uses = Callable[[Connection, str], Mapping[str, Sequence[int]]]
"""Which endpoints use a model, and which of its versions each of them runs; the registry knows no endpoint itself."""


class RegistryRows:
    """What reads and checks have in common. Thread-safe."""

    def __init__(self, database: Database, uses: Uses) -> None:
        self.database = database
        self._uses = uses

    # --- models

    def model_in(self, connection: Connection, model: str) -> RegisteredModel:
        """Return a model inside the caller's transaction.

        Raises:
            NotFoundError: it was never registered, or is deleted.
        """
        return self._models(connection, [self._model_row(connection, model)])[0]

    def _model_row(self, connection: Connection, model: str, *, is_written: bool = False) -> Any:
        """Return the row of a model that is there; the write lock is of it, so that two changes come one by one."""
        query = sa.select(models).where(models.c.name == check_text(model, "the model", model))
        row = connection.execute(query.with_for_update() if is_written else query).first()
        if row is None or row.deleted_at is not None:
            raise NotFoundError(f"no registered model {model[:300]!r}", hint="`ever model list` shows the models.")
        return row

    def _models(self, connection: Connection, rows: Sequence[Any]) -> list[RegisteredModel]:
        names = [row.name for row in rows]
        tags: dict[str, dict[str, str]] = defaultdict(dict)
        tag = model_tags.c
        for found in connection.execute(self._of(model_tags, tag.model, names).order_by(tag.key)):
            tags[found.model][found.key] = found.value
        pointing = self._aliases(connection, names)
        return [
            RegisteredModel(
                name=row.name,
                created_at=row.created_at,
                updated_at=row.updated_at,
                description=row.description,
                tags=tags[row.name],
                latest_version=row.latest_version,
                aliases=pointing[row.name],
            )
            for row in rows
        ]

    # --- versions

    def _get(self, connection: Connection, model: str, version: int, *, is_written: bool = False) -> ModelVersion:
        # A number that no column can hold is one that was never given.
        number = version if 0 < version < 1 << 31 else 0
        query = sa.select(versions).where(versions.c.model == check_text(model, "the model", model))
        row = connection.execute(query.where(versions.c.version == number)).first()
        if row is None or (is_written and row.deleted_at is not None):
            raise NotFoundError(
                f"model {model[:300]!r} has no version {version}", hint="`ever model list` shows versions."
            )
        return self._versions(connection, [row])[0]

    def _versions(self, connection: Connection, rows: Sequence[Any]) -> list[ModelVersion]:
        names = sorted({row.model for row in rows})
        pointing: dict[tuple[str, int], list[str]] = defaultdict(list)
        for model, of_model in self._aliases(connection, names).items():
            for alias, version in of_model.items():
                pointing[model, version].append(alias)
        tags: dict[tuple[str, int], dict[str, str]] = defaultdict(dict)
        tag = version_tags.c
        query = self._of(version_tags, tag.model, names).order_by(tag.key)
        if len(rows) == 1:
            query = query.where(tag.version == rows[0].version)
        for found in connection.execute(query):
            tags[found.model, found.version][found.key] = found.value
        return [_version(row, tags[row.model, row.version], pointing[row.model, row.version]) for row in rows]

    def _aliases(self, connection: Connection, names: Sequence[str]) -> dict[str, dict[str, int]]:
        found: dict[str, dict[str, int]] = {name: {} for name in names}
        query = self._of(aliases, aliases.c.model, names).where(aliases.c.version > 0).order_by(aliases.c.alias)
        for row in connection.execute(query):
            found[row.model][row.alias] = row.version
        return found

    def _of(self, table: sa.Table, column: sa.Column[str], names: Sequence[str]) -> sa.Select[Any]:
        chosen = column == names[0] if len(names) == 1 else self.database.among(column, names)
        return sa.select(table).where(chosen)


def _version(row: Any, tags: dict[str, str], pointing: list[str]) -> ModelVersion:
    return ModelVersion(
        model=row.model,
        version=row.version,
        run_id=row.run_id,
        digest=row.digest,
        files=row.files,
        evidence=row.evidence,
        created_at=row.created_at,
        updated_at=row.updated_at,
        actor=row.actor,
        source=row.source,
        model_id=row.model_id,
        description=row.description,
        tags=tags,
        stage=row.stage,
        aliases=pointing,
        is_deleted=row.deleted_at is not None,
    )


def checked_tags(tags: Mapping[str, str]) -> list[dict[str, str]]:
    """Return tags as rows, in the order in which all writers lock them.

    Raises:
        InvalidError: a key has not 1 to 250 characters, a value more than 100,000, or either holds a NUL.
    """
    for key, value in tags.items():
        if not 0 < len(key) <= KEY_CHARACTERS:
            raise InvalidError(f"the key of a tag has 1 to {KEY_CHARACTERS} characters, found {key[:100]!r}")
        if len(value) > TEXT_CHARACTERS:
            raise InvalidError(f"tag {key!r} has {len(value):,} characters; the limit is {TEXT_CHARACTERS:,}")
    return [
        {"key": check_text(key, "the key", key), "value": check_text(value, "the value of", key)}
        for key, value in sorted(tags.items())
    ]
