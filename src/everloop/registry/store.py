"""What the registry promises.

Promises:
- A version's files are immutable from the moment it is registered, and its number is never used again, also when its
  model is deleted or renamed.
- What an alias points at or an endpoint uses is not deleted; what is deleted is kept for the record.
- Registering the same package of the same run again returns the version it has.
- An alias moves by compare-and-set, and each move is an entry of the ledger in the same transaction.
- Safe to call from several threads and processes at once.
"""

from __future__ import annotations

from typing import Any, Protocol

from everloop.registry.model import ModelPage, ModelVersion, PackageFile, RegisteredModel, Stage, VersionPage
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

    @operation("write")
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
        """Register what lies at `source` as the next version of a model that is there; each call makes a version.

        Args:
            digest: Of the package, whose `files` are in the object store; empty for a source whose bytes are elsewhere.

        Raises:
            NotFoundError: there is no such model.
            InvalidError: an id, a path or a tag is malformed, or the package is empty.
        """
        ...

    @operation("write")
    def create_model(self, name: str, description: str = "", tags: dict[str, str] | None = None) -> RegisteredModel:
        """Make a model without versions. Under the name of a deleted one it goes on counting where that one stopped.

        Raises:
            ConflictError: there is one of the name.
            InvalidError: the name, the description or a tag is malformed.
        """
        ...

    @operation("read")
    def get_model(self, name: str) -> RegisteredModel:
        """Return a model.

        Raises:
            NotFoundError: there is no such model, or it is deleted.
        """
        ...

    @operation("write")
    def describe_model(self, name: str, description: str) -> RegisteredModel:
        """Change a model's description, Markdown of at most 100,000 characters.

        Raises:
            NotFoundError: there is no such model.
            InvalidError: the description is too long.
        """
        ...

    @operation("write")
    def rename_model(self, name: str, new_name: str, actor: str) -> RegisteredModel:
        """Give a model, its versions and aliases another name, which no model ever had.

        Raises:
            NotFoundError: there is no such model.
            ConflictError: an endpoint uses the model, or the name is taken, be it by a deleted model.
            InvalidError: the name is malformed.
        """
        ...

    @operation("write")
    def delete_model(self, name: str, actor: str) -> None:
        """Delete a model and its versions.

        Raises:
            NotFoundError: there is no such model.
            ConflictError: it has an alias, or an endpoint uses it.
        """
        ...

    @operation("write")
    def tag_model(self, name: str, tags: dict[str, str]) -> None:
        """Set tags of a model: keys of 1 to 250, values of at most 100,000 characters.

        Raises:
            NotFoundError: there is no such model.
            InvalidError: a tag is malformed.
        """
        ...

    @operation("write")
    def untag_model(self, name: str, key: str) -> None:
        """Take a tag from a model; one that it lacks changes nothing.

        Raises:
            NotFoundError: there is no such model.
        """
        ...

    @operation("read")
    def search_models(
        self,
        filter: str = "",  # noqa: A002  the word of MLflow and of everyone who searches
        order_by: list[str] | None = None,
        limit: int = 100,
        after: str = "",
    ) -> ModelPage:
        """Return a page of the models that meet a filter over name, times and tags, by default in the order of names.

        Raises:
            InvalidError: the filter, the order or the place is malformed, or `limit` is not 1 to 50,000.
        """
        ...

    @operation("read")
    def search_versions(
        self,
        filter: str = "",  # noqa: A002  the word of MLflow and of everyone who searches
        order_by: list[str] | None = None,
        limit: int = 10_000,
        after: str = "",
    ) -> VersionPage:
        """Return a page of the versions that meet a filter over name, run_id, source_path, version_number, model_id,
        times and tags, by default the one that was changed last first.

        Raises:
            InvalidError: the filter, the order or the place is malformed, or `limit` is not 1 to 50,000.
        """
        ...

    @operation("read")
    def latest_versions(self, names: list[str], stages: list[Stage] | None = None) -> list[ModelVersion]:
        """Return the newest version of each stage, or of some, of each of some models, by model and version."""
        ...

    @operation("read")
    def package_files(self, digest: str) -> list[PackageFile]:
        """Return the files of the package that has a digest.

        Raises:
            NotFoundError: no version has it.
        """
        ...

    @operation("write")
    def describe_version(self, model: str, version: int, description: str) -> ModelVersion:
        """Change a version's description, Markdown of at most 100,000 characters.

        Raises:
            NotFoundError: there is no such version.
            InvalidError: the description is too long.
        """
        ...

    @operation("write")
    def tag_version(self, model: str, version: int, tags: dict[str, str]) -> None:
        """Set tags of a version.

        Raises:
            NotFoundError: there is no such version.
            InvalidError: a tag is malformed.
        """
        ...

    @operation("write")
    def untag_version(self, model: str, version: int, key: str) -> None:
        """Take a tag from a version; one that it lacks changes nothing.

        Raises:
            NotFoundError: there is no such version.
        """
        ...

    @operation("write")
    def set_stage(
        self, model: str, version: int, stage: Stage, actor: str, archive_existing: bool = False
    ) -> ModelVersion:
        """Put a version into a stage of MLflow's; `archive_existing` moves the others there to Archived.

        Raises:
            NotFoundError: there is no such version.
            InvalidError: `archive_existing` with None or Archived.
        """
        ...

    @operation("write")
    def delete_version(self, model: str, version: int, actor: str) -> None:
        """Delete a version.

        Raises:
            NotFoundError: there is no such version.
            ConflictError: it has an alias, or an endpoint uses it.
        """
        ...

    @operation("write")
    def delete_alias(self, model: str, alias: str, actor: str, reason: str) -> None:
        """Take an alias away; one that is not there changes nothing.

        Raises:
            ConflictError: it is the champion of an endpoint.
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
        """Return one version, also one that is deleted.

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
            ConflictError: the alias does not point at `expected`, or is the champion of an endpoint.
        """
        ...
