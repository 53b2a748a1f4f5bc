"""What an entry of a `.dvc` file or of `dvc.lock` says of buckets that keep versions: `files`, `cloud`, version ids."""

from __future__ import annotations

from typing import Any

from everloop.errors import InvalidError
from everloop.workspace import hashing
from everloop.workspace.values import Version


def read_versions(entry: dict[str, Any], where: str) -> tuple[Version, ...]:
    """The versions that an entry of a `.dvc` file or of `dvc.lock` names; empty when it has none.

    Raises:
        InvalidError: They are malformed, or a path leads out of the directory.
    """
    listed = entry.get("files")
    if listed is None:
        return (_version(entry, "", where),) if entry.get("cloud") and entry.get("md5") else ()
    if not isinstance(listed, list):
        raise InvalidError(f"{where}: files must be a list, found {type(listed).__name__}")
    return tuple(_version(item, _path(item, where), where) for item in listed)


def read_pins(dep: dict[str, Any], where: str) -> tuple[tuple[str, str | None], ...] | None:
    """The versions that the source of an import is pinned to: `((name below it, id), ...)`.

    None means that the source is not version-aware; empty, that nobody has looked at it yet.

    Raises:
        InvalidError: They are malformed, or a path leads out of the source.
    """
    listed, options = dep.get("files"), dep.get("fs_config")
    wanted = options.get("version_aware") if isinstance(options, dict) else None
    if listed is None and not dep.get("version_id") and str(wanted).lower() != "true":
        return None
    if listed is None:
        return (("", dep.get("version_id")),) if "etag" in dep or "version_id" in dep else ()
    if not isinstance(listed, list):
        raise InvalidError(f"{where}: files of its source must be a list, found {type(listed).__name__}")
    return tuple((_path(item, where), item.get("version_id")) for item in listed)


def _path(item: Any, where: str) -> str:
    path = item.get("relpath") if isinstance(item, dict) else None
    if not isinstance(path, str) or any(part in ("", ".", "..") for part in path.split("/")):
        raise InvalidError(f"{where}: each of files must have a relpath inside of the directory, found {item!r}")
    return path


def _version(entry: dict[str, Any], path: str, where: str) -> Version:
    md5, size, clouds = entry.get("md5"), entry.get("size"), entry.get("cloud") or {}
    if not isinstance(md5, str) or not hashing.is_md5(md5):
        raise InvalidError(f"{where}: md5 must be 32 hex digits, found {md5!r} for {path or 'it'}")
    if not isinstance(clouds, dict) or not all(isinstance(said, dict) for said in clouds.values()):
        raise InvalidError(f"{where}: cloud must be a mapping of remotes, found {clouds!r}")
    ids = {str(name).lower(): said.get("version_id") for name, said in clouds.items()}
    return Version(path=path, md5=md5, size_bytes=size if isinstance(size, int) else 0, ids=ids)
