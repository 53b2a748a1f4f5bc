"""Where artifacts are, by the paths of MLflow's proxy: `<experiment_id>/<run_id>/artifacts/<path>` for runs,
`<experiment_id>/models/<model_id>/artifacts/<path>` for logged models, `registry/<digest>/<path>` for packages.

Paths come from clients: whatever leaves its folder, is absolute, or does so when decoded once more, is refused, and no
path ever reaches the disk, since objects lie there by their digest.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from urllib.parse import unquote

import msgspec

from everloop.errors import InvalidError, NotFoundError
from everloop.refs import check_path
from everloop.registry import PackageFile, RegistryStore
from everloop.server.mlflow.wire import FileInfo
from everloop.tracking import Artifact, TrackingStore

_PLACE = re.compile(
    r"(?P<experiment_id>\d+)/(?:(?P<run_id>[0-9a-f]{32})|models/(?P<model_id>m-[0-9a-f]{32}))/artifacts(?:/(?P<path>.+))?"
)
PACKAGES = "registry"
_PACKAGE = re.compile(rf"{PACKAGES}/(?P<digest>[0-9a-f]{{64}})(?:/(?P<path>.+))?")


class Place(msgspec.Struct, frozen=True):
    """A file or a folder of a run or of a logged model, its `owner`; `path` is empty for all of its artifacts."""

    owner: str
    path: str

    @property
    def is_of_model(self) -> bool:
        return self.owner.startswith("m-")

    def list(self, tracking: TrackingStore) -> list[Artifact]:
        find = tracking.list_model_artifacts if self.is_of_model else tracking.list_artifacts
        return find(self.owner, self.path)

    def put(self, tracking: TrackingStore, digest: str, size_bytes: int) -> None:
        put = tracking.log_model_artifact if self.is_of_model else tracking.log_artifact
        put(self.owner, self.path, digest, size_bytes)

    def remove(self, tracking: TrackingStore) -> None:
        remove = tracking.remove_model_artifacts if self.is_of_model else tracking.remove_artifacts
        for path in [self.path] if self.path else [each.path for each in children_of(self.list(tracking), "")]:
            remove(self.owner, path)


def find_package(registry: RegistryStore, path: str) -> tuple[list[PackageFile], str]:
    """Return the files of the package that a path of the proxy names, and the path inside of it.

    Raises:
        InvalidError: it leaves its folder.
        NotFoundError: no version has such a package.
    """
    found = _PACKAGE.fullmatch(safe_path(path))
    if found is None:
        raise NotFoundError(f"No package at {path!r}", hint=f"The hub keeps {PACKAGES}/<digest>/<path>.")
    return registry.package_files(found["digest"]), found["path"] or ""


def find_place(tracking: TrackingStore, path: str) -> Place:
    """Return what a path of the proxy names.

    Raises:
        InvalidError: it leaves its folder.
        NotFoundError: there is no such run or logged model in that experiment.
    """
    found = _PLACE.fullmatch(safe_path(path))
    if found is None:
        raise NotFoundError(
            f"No artifacts at {path!r}", hint="The hub keeps <experiment_id>/<run_id>/artifacts/<path>."
        )
    if found["model_id"]:
        model = tracking.get_logged_model(found["model_id"])
        if model.experiment_id != found["experiment_id"]:
            raise NotFoundError(f"No logged model {model.model_id!r} in experiment {found['experiment_id']}")
        return Place(model.model_id, found["path"] or "")
    run = tracking.get_run(found["run_id"])
    if run.experiment_id != found["experiment_id"]:
        raise NotFoundError(f"No run {run.run_id!r} in experiment {found['experiment_id']}")
    return Place(run.run_id, found["path"] or "")


def safe_path(path: str) -> str:
    """Return a path from a client in its plain form; empty stays empty.

    Raises:
        InvalidError: it is absolute or leaves its folder, as it is or when it is percent-decoded again, however often.
    """
    if not path:
        return ""
    found, plain, decoded = _check(path, path), path, unquote(path)
    while decoded != plain:
        _check(decoded, path)
        plain, decoded = decoded, unquote(decoded)
    return found


def _check(path: str, asked: str) -> str:
    refusal = InvalidError(f"Invalid path: {asked!r} is not a relative path inside its folder")
    if "//" in path:  # an absolute path behind the run's own
        raise refusal
    try:
        return check_path(path, "artifact path")
    except InvalidError as error:
        raise refusal from error


def children_of(artifacts: Iterable[Artifact | PackageFile], folder: str) -> list[FileInfo]:
    """List what lies directly in a folder, files by size and folders once, in the order of their names."""
    prefix = f"{folder}/" if folder else ""
    found: dict[str, FileInfo] = {}
    for artifact in artifacts:
        if artifact.path.startswith(prefix):
            name, below, _ = artifact.path[len(prefix) :].partition("/")
            found[name] = folder_of(name) if below else FileInfo(path=name, is_dir=False, file_size=artifact.size_bytes)
    return [found[name] for name in sorted(found)]


def folder_of(name: str) -> FileInfo:
    return FileInfo(path=name, is_dir=True)
