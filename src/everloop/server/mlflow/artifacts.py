"""MLflow's artifact proxy: bytes up and down, by the paths of `places.py`, on the object store.

The packages of registered versions are only read.
"""

from __future__ import annotations

import mimetypes
from pathlib import PurePosixPath

import msgspec
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import FileResponse, Response

from everloop.errors import DeniedError, InvalidError, NotFoundError
from everloop.registry import PackageFile, RegistryStore
from everloop.server.errors import json_response
from everloop.server.mlflow.places import PACKAGES, Place, children_of, find_package, find_place, folder_of, safe_path
from everloop.server.mlflow.runs import OfRun
from everloop.server.mlflow.wire import FileInfo, Message, Nothing, to_artifact_uri
from everloop.server.uploads import receive
from everloop.storage import ObjectStore
from everloop.tracking import Artifact, TrackingStore

ARTIFACT_LIMIT_BYTES = 1 << 40

_TEXT = frozenset([".cfg", ".conf", ".ini", ".log", ".md", ".mlmodel", ".mlproject", ".toml", ".yaml", ".yml"])


class ListArtifacts(OfRun, frozen=True, kw_only=True):
    path: str = ""


class ListProxied(Message, frozen=True, kw_only=True):
    path: str = ""


class Files(Message, frozen=True, kw_only=True):
    root_uri: str = ""
    files: tuple[FileInfo, ...] = ()


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
    names = children_of(tracking.list_artifacts(run.run_id, path), path)
    files = [msgspec.structs.replace(each, path=f"{path}/{each.path}" if path else each.path) for each in names]
    return Files(root_uri=to_artifact_uri(run), files=tuple(files))


def list_proxied(tracking: TrackingStore, registry: RegistryStore, asked: ListProxied) -> Files:
    """List a folder of the proxy, by names inside the folder."""
    path = safe_path(asked.path)
    if path.startswith(f"{PACKAGES}/"):
        return Files(files=tuple(children_of(*find_package(registry, path))))
    if not path:
        experiments = tracking.search_experiments(view="all", limit=50_000).experiments
        return Files(files=tuple(folder_of(each.experiment_id) for each in experiments))
    if path.isdecimal():
        runs = tracking.search_runs([path], view="all", limit=50_000).runs
        return Files(files=tuple(folder_of(run.run_id) for run in runs))
    place = find_place(tracking, path)
    return Files(files=tuple(children_of(place.list(tracking), place.path)))


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
