"""MLflow's artifact proxy: the files of runs, by `<experiment_id>/<run_id>/artifacts/<path>`, on the object store, and
those of logged models, by `<experiment_id>/models/<model_id>/artifacts/<path>`; the packages of registered versions, by
`registry/<digest>/<path>`, are only read.

Paths come from clients: whatever leaves its folder, is absolute, or does so when decoded once more, is refused, and no
path ever reaches the disk, since objects lie there by their digest.
"""

from __future__ import annotations

import mimetypes
import re
from collections.abc import Iterable
from pathlib import PurePosixPath
from urllib.parse import unquote

import msgspec
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import FileResponse, Response

from everloop.errors import DeniedError, InvalidError, NotFoundError
from everloop.refs import check_path
from everloop.registry import PackageFile, RegistryStore
from everloop.server.errors import json_response
from everloop.server.mlflow.runs import OfRun
from everloop.server.mlflow.wire import FileInfo, Message, Nothing, to_artifact_uri
from everloop.server.uploads import receive
from everloop.storage import ObjectStore
from everloop.tracking import Artifact, TrackingStore

ARTIFACT_LIMIT_BYTES = 1 << 40

_PLACE = re.compile(
    r"(?P<experiment_id>\d+)/(?:(?P<run_id>[0-9a-f]{32})|models/(?P<model_id>m-[0-9a-f]{32}))/artifacts(?:/(?P<path>.+))?"
)
PACKAGES = "registry"
_PACKAGE = re.compile(rf"{PACKAGES}/(?P<digest>[0-9a-f]{{64}})(?:/(?P<path>.+))?")
_TEXT = frozenset([".cfg", ".conf", ".ini", ".log", ".md", ".mlmodel", ".mlproject", ".toml", ".yaml", ".yml"])


class ListArtifacts(OfRun, frozen=True, kw_only=True):
    path: str = ""


class ListProxied(Message, frozen=True, kw_only=True):
    path: str = ""


class Files(Message, frozen=True, kw_only=True):
    root_uri: str = ""
    files: tuple[FileInfo, ...] = ()


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
        for path in [self.path] if self.path else [each.path for each in _children(self.list(tracking), "")]:
            remove(self.owner, path)


class ArtifactProxy:
    """The calls that carry bytes; each takes a request and gives a response."""

    def __init__(self, tracking: TrackingStore, registry: RegistryStore, objects: ObjectStore) -> None:
        self.tracking = tracking
        self.registry = registry
        self.objects = objects

    async def upload(self, request: Request) -> Response:
        place = await run_in_threadpool(self._find, request.path_params["path"])
        if not place.path:
            raise InvalidError("Invalid path: the path names no file of the run or model")
        digest, size_bytes = await receive(request, self.objects, ARTIFACT_LIMIT_BYTES)
        await run_in_threadpool(place.put, self.tracking, digest, size_bytes)
        return json_response(Nothing())

    async def download(self, request: Request) -> Response:
        """Answer a file, or the range of it that is asked for."""
        path = request.path_params["path"]
        if path.startswith(f"{PACKAGES}/"):
            return await run_in_threadpool(self._file_of_package, path)
        place = await run_in_threadpool(self._find, path)
        return await run_in_threadpool(self._file, place)

    async def download_of_run(self, request: Request) -> Response:
        """Answer a file by its run and its path inside, as MLflow's pages ask for it."""
        asked = request.query_params
        place = Place(asked.get("run_uuid") or asked.get("run_id", ""), safe_path(asked.get("path", "")))
        return await run_in_threadpool(self._file, place)

    async def delete(self, request: Request) -> Response:
        place = await run_in_threadpool(self._find, request.path_params["path"])
        await run_in_threadpool(place.remove, self.tracking)
        return json_response(Nothing())

    def _find(self, path: str) -> Place:
        if path.startswith(f"{PACKAGES}/"):
            raise DeniedError("The files of a registered version never change", hint="Register a new version.")
        return find_place(self.tracking, path)

    def _file_of_package(self, path: str) -> Response:
        files, inside = find_package(self.registry, path)
        for file in files:
            if file.path == inside:
                return _file_response(file, self.objects)
        raise NotFoundError(f"No file {inside!r} in this version's package")

    def _file(self, place: Place) -> Response:
        for artifact in place.list(self.tracking):
            if artifact.path == place.path:
                return _file_response(artifact, self.objects)
            raise InvalidError(f"Artifact path refers to a directory, not a file: {place.path!r}")
        kind = "logged model" if place.is_of_model else "run"
        raise NotFoundError(f"No artifact {place.path!r} in {kind} {place.owner}")


def list_artifacts(tracking: TrackingStore, asked: ListArtifacts) -> Files:
    """List a folder of a run, by paths inside the run."""
    path = safe_path(asked.path)
    run = tracking.get_run(asked.run)
    names = _children(tracking.list_artifacts(run.run_id, path), path)
    files = [msgspec.structs.replace(each, path=f"{path}/{each.path}" if path else each.path) for each in names]
    return Files(root_uri=to_artifact_uri(run), files=tuple(files))


def list_proxied(tracking: TrackingStore, registry: RegistryStore, asked: ListProxied) -> Files:
    """List a folder of the proxy, by names inside the folder."""
    path = safe_path(asked.path)
    if path.startswith(f"{PACKAGES}/"):
        return Files(files=tuple(_children(*find_package(registry, path))))
    if not path:
        experiments = tracking.search_experiments(view="all", limit=50_000).experiments
        return Files(files=tuple(_folder(each.experiment_id) for each in experiments))
    if path.isdecimal():
        runs = tracking.search_runs([path], view="all", limit=50_000).runs
        return Files(files=tuple(_folder(run.run_id) for run in runs))
    place = find_place(tracking, path)
    return Files(files=tuple(_children(place.list(tracking), place.path)))


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


def _children(artifacts: Iterable[Artifact | PackageFile], folder: str) -> list[FileInfo]:
    """List what lies directly in a folder, files by size and folders once, in the order of their names."""
    prefix = f"{folder}/" if folder else ""
    found: dict[str, FileInfo] = {}
    for artifact in artifacts:
        if artifact.path.startswith(prefix):
            name, below, _ = artifact.path[len(prefix) :].partition("/")
            found[name] = _folder(name) if below else FileInfo(path=name, is_dir=False, file_size=artifact.size_bytes)
    return [found[name] for name in sorted(found)]


def _folder(name: str) -> FileInfo:
    return FileInfo(path=name, is_dir=True)


def _file_response(artifact: Artifact | PackageFile, objects: ObjectStore) -> Response:
    path = PurePosixPath(artifact.path)
    # As an attachment of a type that is not guessed from the bytes, so that no page of a user runs as ours.
    return FileResponse(
        objects.path_of(artifact.digest),
        filename=path.name,
        media_type=_media_type(path),
        headers={"X-Content-Type-Options": "nosniff", "ETag": f'"{artifact.digest}"'},
    )


def _media_type(path: PurePosixPath) -> str:
    if path.suffix.lower() in _TEXT or path.name in {"MLmodel", "MLproject"}:
        return "text/plain"
    return mimetypes.guess_type(path.name)[0] or "application/octet-stream"
