"""The nouns of the registry: a registered model has versions; an alias points at one of them."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec


class PackageFile(msgspec.Struct, frozen=True, kw_only=True):
    """One file of a model package: its path inside the package, and its bytes by digest in the object store."""

    path: str
    digest: str
    size_bytes: int


class ModelVersion(msgspec.Struct, frozen=True, kw_only=True):
    """An immutable version of a registered model. `version` counts from 1 and is never used again.

    `digest` covers the whole package (`registry.package.package_digest`); `evidence` holds the numbers that the version
    was registered on (metrics, data versions, gate report), as the registering room wrote them.
    """

    model: str
    version: int
    run_id: str
    digest: str
    files: list[PackageFile]
    evidence: dict[str, Any]
    created_at: datetime
    aliases: list[str]


class RegisteredModel(msgspec.Struct, frozen=True, kw_only=True):
    """A model by name; `aliases` maps each alias to a version."""

    name: str
    created_at: datetime
    latest_version: int
    aliases: dict[str, int]
