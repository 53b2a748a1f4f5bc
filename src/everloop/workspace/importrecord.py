"""The `.dvc` file of an import: its source as a dependency, frozen, and a hash over all of it.

Leaves bringing the data to `importing.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from everloop.errors import InvalidError
from everloop.workspace import recordhash, yamlfile
from everloop.workspace.dvcfile import CONTENT_KEYS, content_fields
from everloop.workspace.values import Content, DvcFile, Out

if TYPE_CHECKING:
    from ruamel.yaml.comments import CommentedMap

_REFUSED = {"db", "ds", "cloud"}
_SOURCE_KEYS = ("md5", "checksum", "etag", "size", "nfiles", "isexec", "version_id", "hash")


def new(dep: CommentedMap, name: str, *, is_pushed: bool = True) -> CommentedMap:
    """A record with one source and one out, by the name that it has in its folder; `fill` completes it."""
    data = yamlfile.new_mapping(md5="", frozen=True)
    data["deps"] = [dep]
    data["outs"] = [yamlfile.new_mapping(hash="md5", path=name, **({} if is_pushed else {"push": False}))]
    return data


def load(root: Path, file: DvcFile) -> tuple[Out, CommentedMap, CommentedMap]:
    """The out, the whole record and the source in it, both to be changed in place.

    Raises:
        InvalidError: It has several sources or outs, or a source of a kind that is not supported.
    """
    data = yamlfile.load_editable_mapping(root / file.path)
    deps = data.get("deps") or []
    dep: Any = deps[0] if len(deps) == 1 and len(file.outs) == 1 else None
    if not isinstance(dep, dict):
        raise InvalidError(f"{file.path}: an import has one source and one out")
    repo = dep.get("repo")
    for key in (*dep, *(repo or {})):
        # What else is written there stays, but these change where the data come from.
        if key in _REFUSED:
            raise InvalidError(f"{file.path}: the key {key!r} of its source is not supported", hint="use dvc")
    if not isinstance(dep.get("path"), str) or (repo is not None and not isinstance(repo.get("url"), str)):
        raise InvalidError(f"{file.path}: its source has no path or no url")
    if not isinstance(dep.get("fs_config", {}), dict):
        raise InvalidError(f"{file.path}: fs_config must be a mapping of options, found {dep['fs_config']!r}")
    return file.outs[0], data, cast("CommentedMap", dep)


def fill(data: CommentedMap, content: Content | None, *, has_digest: bool = True) -> None:
    """Put the content of the out and the hash of the whole in place.

    Args:
        data: The record.
        content: None means that the data never came.
        has_digest: False where nobody has looked at the source yet, so that there is nothing to hash.
    """
    entry = data["outs"][0]
    fields = content_fields(content) if content is not None else {"hash": "md5"}
    _replace(entry, CONTENT_KEYS, fields)
    if not has_digest:
        data.pop("md5", None)
        return
    md5 = recordhash.digest(data)
    if "md5" in data:
        data["md5"] = md5
    else:
        data.insert(0, "md5", md5)


def renew(dep: CommentedMap, fields: dict[str, Any]) -> None:
    """Replace what a record says of what lies at its source."""
    listed = fields.get("files")
    _replace(dep, _SOURCE_KEYS, {key: value for key, value in fields.items() if key != "files"})
    if listed is None:
        dep.pop("files", None)
    else:
        # Last, as DVC has it.
        dep["files"] = [yamlfile.new_mapping(**file) for file in listed]


def put(entry: CommentedMap, key: str, value: str, *, after: str) -> None:
    """Set a key; a new one comes after another one."""
    if key in entry:
        entry[key] = value
    else:
        entry.insert(list(entry).index(after) + 1, key, value)


def is_same(dep: Mapping[str, Any], mark: dict[str, Any] | None) -> bool:
    """Whether the source has the mark that the record says; False when it has none to tell by."""
    said = mark or {}
    if "files" in said:
        return bool(said["files"] == [dict(file) for file in dep.get("files") or ()])
    told = {said.get(key) for key in ("md5", "etag", "checksum")} - {None}
    is_told = bool(told) and told <= {dep.get(key) for key in ("md5", "etag", "checksum")}
    return is_told and said.get("version_id", dep.get("version_id")) == dep.get("version_id")


def _replace(entry: CommentedMap, known: tuple[str, ...], fields: dict[str, Any]) -> None:
    for key in known:
        if key not in fields:
            entry.pop(key, None)
    for position, (key, value) in enumerate(fields.items()):
        if key in entry:
            entry[key] = value
        else:
            entry.insert(min(position, len(entry)), key, value)
