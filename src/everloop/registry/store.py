"""What the registry promises.

Promises:
- A version is immutable from the moment it is registered, and its number is never used again.
- Registering the same package of the same run again returns the version it has.
- An alias moves by compare-and-set, and each move is an entry of the ledger in the same transaction.
- Safe to call from several threads and processes at once.
"""

from __future__ import annotations

from typing import Any, Protocol

from everloop.registry.model import ModelVersion, PackageFile, RegisteredModel
from everloop.storage.operation import operation


class RegistryStore(Protocol):
    """Registered models, their versions and aliases."""

    @operation("write")
    def register(
        self, model: str, run_id: str, digest: str, files: list[PackageFile], evidence: dict[str, Any], actor: str
    ) -> ModelVersion:
        """Register a package, whose files are in the object store already, as the model's next version.

        Raises:
            InvalidError: a name or path is malformed, or the package is empty.
        """
        ...

    @operation("read")
    def list_models(self) -> list[RegisteredModel]:
        """Return all registered models by name."""
        ...

    @operation("read")
    def list_versions(self, model: str) -> list[ModelVersion]:
        """Return a model's versions, newest first; empty when the model does not exist."""
        ...

    @operation("read")
    def get_version(self, model: str, version: int) -> ModelVersion:
        """Return one version.

        Raises:
            NotFoundError: there is no such version.
        """
        ...

    @operation("read")
    def resolve(self, model: str, alias: str) -> ModelVersion:
        """Return the version that an alias points at.

        Raises:
            NotFoundError: there is no such alias.
        """
        ...

    @operation("write")
    def set_alias(
        self, model: str, alias: str, version: int, actor: str, reason: str, expected: int | None = None
    ) -> RegisteredModel:
        """Point an alias at a version; pointing it where it points already changes nothing.

        Args:
            expected: the version that the alias must point at now (0: at none); None means whatever.

        Raises:
            NotFoundError: there is no such version.
            ConflictError: the alias does not point at `expected`.
        """
        ...
