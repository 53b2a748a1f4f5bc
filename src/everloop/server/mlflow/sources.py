"""What the source of a model version means: the files that lie there now, which are the version's from then on.

No client chooses a path of the hub's machine (most of MLflow's security reports are about such paths). An address of
elsewhere is kept as a name, and nothing is known of its bytes.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from urllib.parse import urlsplit

import msgspec

from everloop.errors import InvalidError, NotFoundError
from everloop.registry import ModelVersion, PackageFile, RegistryStore
from everloop.registry.transfer import listing_digest
from everloop.server.mlflow.places import PACKAGES, find_package, find_place, safe_path
from everloop.tracking import Artifact, TrackingStore

_OF_RUN = re.compile(r"(?P<run_id>[0-9a-f]{32})(?:/(?P<path>.*))?")
_OF_VERSION = re.compile(r"(?P<model>[^/:@]+)(?:/(?P<version>\d{1,9})|@(?P<alias>[^/:@]+))")
_LOGGED = re.compile(r"m-[0-9a-f]{32}")


class Source(msgspec.Struct, frozen=True):
    """What lies at a source; `digest` is empty when its bytes are elsewhere, or nothing is there yet."""

    run_id: str = ""
    model_id: str = ""
    digest: str = ""
    files: list[PackageFile] = []


class Rooms(msgspec.Struct, frozen=True):
    """The stores that the registry's calls need."""

    tracking: TrackingStore
    registry: RegistryStore


def find_source(rooms: Rooms, source: str, run_id: str, model_id: str) -> Source:
    """Return what lies at the source of a version; `run_id` and `model_id` are empty when the client did not tell them.

    Raises:
        InvalidError: the source is a local path, leaves its folder, or is not of that run or logged model.
        NotFoundError: there is no such run, logged model or version.
    """
    parts = urlsplit(source)
    path = parts.path.lstrip("/")
    match parts.scheme:
        case "runs":
            found = _of_run(rooms.tracking, path, source)
        case "mlflow-artifacts" if path.startswith(f"{PACKAGES}/"):
            found = _of_package(rooms.registry, path)
        case "mlflow-artifacts":
            place = find_place(rooms.tracking, path)
            files = _package(place.list(rooms.tracking), place.path)
            found = _held(files, model_id=place.owner) if place.is_of_model else _held(files, run_id=place.owner)
        case "models" if _LOGGED.fullmatch(path):
            found = _of_logged_model(rooms.tracking, path)
        case "models":
            found = _of_version(rooms.registry, path, source)
        case "" | "file":
            raise InvalidError(
                f"Invalid model version source: '{source}'. A path of a machine is no source: log the files to a run"
                " and give its artifact URI, or give the URI of an object store."
            )
        case _:
            if ".." in parts.path.split("/"):
                raise InvalidError(f"Invalid model version source: '{source}' has relative parts")
            found = Source()
    if model_id and not found.model_id and not found.digest:
        found = _of_logged_model(rooms.tracking, model_id)
    return _agreed(found, source, run_id, model_id)


def _agreed(found: Source, source: str, run_id: str, model_id: str) -> Source:
    for given, known, what in ((run_id, found.run_id, "run"), (model_id, found.model_id, "logged model")):
        # A logged model and a copied version tell where they come from, which the client may know better.
        if given and known and given != known and not (what == "run" and found.model_id):
            raise InvalidError(f"Invalid model version source: '{source}' is of {what} {known}, not of {given}")
    return msgspec.structs.replace(found, run_id=run_id or found.run_id, model_id=model_id or found.model_id)


def _of_run(tracking: TrackingStore, path: str, source: str) -> Source:
    matched = _OF_RUN.fullmatch(path)
    if matched is None:
        raise InvalidError(f"Invalid model version source: '{source}' is not runs:/<run_id>/<path>")
    run = tracking.get_run(matched["run_id"])
    inside = safe_path((matched["path"] or "").strip("/"))
    return _held(_package(tracking.list_artifacts(run.run_id, inside), inside), run_id=run.run_id)


def _of_logged_model(tracking: TrackingStore, model_id: str) -> Source:
    model = tracking.get_logged_model(model_id)
    if model.is_deleted:
        raise NotFoundError(f"Logged model with ID '{model_id}' not found.")
    files = _package(tracking.list_model_artifacts(model_id), "")
    return _held(files, run_id=model.source_run_id or "", model_id=model_id)


def _of_version(registry: RegistryStore, path: str, source: str) -> Source:
    matched = _OF_VERSION.fullmatch(path)
    if matched is None:
        raise InvalidError(f"Invalid model version source: '{source}' is not models:/<name>/<version> or @<alias>")
    version: ModelVersion
    if matched["alias"]:
        version = registry.resolve(matched["model"], matched["alias"])
    else:
        version = registry.get_version(matched["model"], int(matched["version"]))
    if version.is_deleted:
        raise NotFoundError(f"Model Version (name={version.model}, version={version.version}) not found")
    return Source(version.run_id, version.model_id, version.digest, version.files)


def _of_package(registry: RegistryStore, path: str) -> Source:
    return _held(_package(*find_package(registry, path)))


def _package(artifacts: Iterable[Artifact | PackageFile], folder: str) -> list[PackageFile]:
    prefix = f"{folder}/" if folder else ""
    return [
        PackageFile(path=each.path.removeprefix(prefix), digest=each.digest, size_bytes=each.size_bytes)
        for each in artifacts
        if each.path.startswith(prefix)
    ]


def _held(files: list[PackageFile], run_id: str = "", model_id: str = "") -> Source:
    return Source(run_id, model_id, listing_digest(files) if files else "", files)
