"""The nouns of the registry: a registered model has versions; an alias points at one of them."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

import msgspec

Stage = Literal["None", "Staging", "Production", "Archived"]
"""MLflow's stages, for clients that still use them; aliases are what Everloop itself goes by."""


class PackageFile(msgspec.Struct, frozen=True, kw_only=True):
    """One file of a model package: its path inside the package, and its bytes by digest in the object store."""

    path: str
    digest: str
    size_bytes: int


class ModelVersion(msgspec.Struct, frozen=True, kw_only=True):
    """An immutable version of a registered model. `version` counts from 1 and is never used again.

    Only what people say of it changes: description, tags, stage, aliases.

    Attributes:
        run_id: The run that made it; empty when unknown.
        digest: Covers the whole package (`registry.package.package_digest`); empty when `source` is elsewhere, whose
            bytes nobody here can vouch for.
        evidence: The numbers that it was registered on (metrics, data versions, gate report), as the registering room
            wrote them.
        source: Where the files were when it was registered; empty when a room of ours registered it.
        model_id: The logged model that it is; empty when none.
        is_deleted: It is kept for the record, but no alias can point at it.
    """

    model: str
    version: int
    run_id: str
    digest: str
    files: list[PackageFile]
    evidence: dict[str, Any]
    created_at: datetime
    updated_at: datetime
    actor: str
    source: str
    model_id: str
    description: str
    tags: dict[str, str]
    stage: Stage
    aliases: list[str]
    is_deleted: bool


class RegisteredModel(msgspec.Struct, frozen=True, kw_only=True):
    """A model by name; `aliases` maps each alias to a version, and `latest_version` is the last number given."""

    name: str
    created_at: datetime
    updated_at: datetime
    description: str
    tags: dict[str, str]
    latest_version: int
    aliases: dict[str, int]


class ModelPage(msgspec.Struct, frozen=True, kw_only=True):
    """Some of the models that were sought. `next` is what to ask for those behind them by; empty at the end."""

    models: list[RegisteredModel]
    next: str


class VersionPage(msgspec.Struct, frozen=True, kw_only=True):
    """Some of the versions that were sought. `next` is what to ask for those behind them by; empty at the end."""

    versions: list[ModelVersion]
    next: str
