"""Read and write `.dvc` files in DVC's own style; what a person wrote into them stays.

Source: dvc 3.67 (`schema.py`, `output.py`). Read: outs of a path in the workspace. What else is written in a file,
known or not, stays as it is.
"""

from __future__ import annotations

import posixpath
from pathlib import Path, PurePosixPath
from typing import Any

import msgspec

from everloop.errors import InvalidError
from everloop.plaintext import nearest
from everloop.workspace import durable, hashing, objectid, reach, recordhash, traitrecord, yamlfile
from everloop.workspace.cloudentry import read_pins, read_versions
from everloop.workspace.values import Content, DvcFile, Imported, Out

# What an entry says of the bytes; all of it goes when they change.
CONTENT_KEYS = (
    "md5", "size", "nfiles", "isexec", "hash", "etag", "checksum", "version_id", "files", "cloud",
)  # fmt: skip

_FILE_KEYS = {"md5", "frozen", "deps", "outs", "meta", "desc", "wdir", "always_changed", "locked"}
_OUT_KEYS = {*CONTENT_KEYS, "path", "cache", "push", "persist", "remote", "desc", "type", "labels", "meta", "fs_config",
             "metric", "plot"}  # fmt: skip


def read(root: Path, path: str) -> DvcFile:
    """Read a `.dvc` file.

    Args:
        root: The workspace.
        path: Of the file, relative to it.

    Raises:
        NotFoundError: There is no such file.
        InvalidError: It is malformed; names the file and the key.
    """
    return parse(yamlfile.read_text(root / path), path, str(root / path))


def parse(text: str, path: str, where: str) -> DvcFile:
    """Read the text of a `.dvc` file, for example of an older revision.

    Args:
        text: Of the file.
        path: Of the file, relative to the workspace.
        where: What to call it in an error.

    Raises:
        InvalidError: as `read`.
    """
    data = yamlfile.parse_plain(text, where) or {}
    _require_mapping(data, where)
    folder = _folder(path, data.get("wdir"), where)
    entries = data.get("outs") or []
    if not isinstance(entries, list):
        raise InvalidError(f"{where}: outs must be a list, found {type(entries).__name__}")
    read = (_read_out(entry, folder, f"{where}: outs[{index}]") for index, entry in enumerate(entries))
    outs = tuple(filter(None, read))
    deps = data.get("deps")
    if deps and len(outs) == 1:
        outs = (msgspec.structs.replace(outs[0], imported=_read_source(deps, folder, where)),)
    return DvcFile(path=path, outs=outs, is_import=bool(deps))


def write(root: Path, file: DvcFile, *, has_size: bool = True) -> None:
    """Write the outs' contents; comments, order and further keys of an existing file are kept.

    Args:
        root: The workspace.
        file: What to write.
        has_size: False leaves the size out, where nobody knows it.

    Raises:
        InvalidError: The existing file is malformed.
    """
    durable.write_atomically(root / file.path, text_of(root, file, has_size=has_size))


def text_of(root: Path, file: DvcFile, *, has_size: bool = True) -> bytes:
    """What `write` writes.

    Raises: as `write`.
    """
    target = root / file.path
    data = yamlfile.load_editable_mapping(target) if target.exists() else {}
    entries = data.setdefault("outs", [])
    folder = _folder(file.path, data.get("wdir"), str(target))
    for out in file.outs:
        name = str(PurePosixPath(out.path).relative_to(folder))
        entry = next((entry for entry in entries if entry.get("path") == name), None)
        if entry is None:
            entry = {}
            entries.append(entry)
        _update_entry(entry, name, out)
        traitrecord.write(entry, out.traits)
        if not has_size:
            _drop(entry, "size")
    if "md5" in data:
        data["md5"] = recordhash.digest(data)
    return yamlfile.dump(data)


def strangers(root: Path, path: str) -> list[str]:
    """What a `.dvc` file has that nobody acts on: keys that DVC does not know, and outs outside of the workspace.

    Args:
        root: The workspace.
        path: Of the file, relative to it.

    Raises: as `read`.
    """
    data = yamlfile.load_plain(root / path) or {}
    found = [_unknown(key, _FILE_KEYS) for key in data if key not in _FILE_KEYS]
    for entry in data.get("outs") or ():
        found += [_unknown(key, _OUT_KEYS) for key in entry if key not in _OUT_KEYS]
        if _is_outside(str(entry.get("path"))):
            found.append(f"{entry['path']} (outside of the workspace)")
    return [f"{path}: {what}" for what in found]


def _unknown(key: Any, known: set[str]) -> str:
    close = nearest(str(key), known)
    return f"{key} (do you mean {close}?)" if close else str(key)


def _is_outside(path: str) -> bool:
    return "://" in path or path.startswith("/")


def content_fields(content: Content) -> dict[str, Any]:
    """A content as DVC spells it, in the order of a `.dvc` file."""
    fields: dict[str, Any] = {"md5": objectid.digits(content.md5), "size": content.size_bytes}
    if content.n_files is not None:
        fields["nfiles"] = content.n_files
    if content.is_executable:
        fields["isexec"] = True
    if not objectid.is_legacy(content.md5):
        fields["hash"] = "md5"
    return fields


def read_content(entry: dict[str, Any], where: str) -> Content | None:
    """Read the content of an entry of a `.dvc` file or of `dvc.lock`; None when it records no hash.

    Raises:
        InvalidError: The hash is malformed or of a kind that is not supported.
    """
    if entry.get("files"):
        # The listing stands in the record itself.
        listed = read_versions(entry, where)
        return Content(
            md5=hashing.directory_md5_of({version.path: version.md5 for version in listed}),
            size_bytes=sum(version.size_bytes for version in listed),
            n_files=len(listed),
        )
    md5 = entry.get("md5")
    if md5 is None:
        return None
    if not isinstance(md5, str) or not hashing.is_md5(md5):
        raise InvalidError(f"{where}: md5 must be 32 hex digits, with .dir for a directory; found {md5!r}")
    kind = entry.get("hash")
    if kind not in (None, "md5", "md5-dos2unix"):
        raise InvalidError(f"{where}: hashes of the kind {kind!r} are not supported; found {md5}")
    size = entry.get("size")
    return Content(
        # Without its kind it is one of DVC 2.
        md5=md5 if kind == "md5" else objectid.legacy(md5),
        size_bytes=size if isinstance(size, int) else 0,
        n_files=entry.get("nfiles"),
        is_executable=bool(entry.get("isexec", False)),
    )


def _read_source(deps: Any, folder: PurePosixPath, where: str) -> Imported | None:
    """Where an import comes from; None when it is of a kind that cannot be fetched. What is wrong, `update` tells."""
    dep = deps[0] if isinstance(deps, list) and len(deps) == 1 and isinstance(deps[0], dict) else {}
    path, repo, options = dep.get("path"), dep.get("repo"), dep.get("fs_config") or {}
    if not isinstance(path, str) or not isinstance(options, dict):
        return None
    if repo is None:
        address = path if "://" in path else posixpath.normpath(str(folder / path))
        mark = dep.get("md5") or dep.get("etag") or dep.get("checksum")
        known = tuple((str(key), str(value)) for key, value in options.items() if key != "version_aware")
        return Imported(address=address, options=known, mark=mark, pins=read_pins(dep, where))
    if not isinstance(repo, dict) or not isinstance(repo.get("url"), str):
        return None
    return Imported(
        address=repo["url"],
        is_repository=True,
        path=path.strip("/"),
        commit=repo.get("rev_lock") or repo.get("rev"),
        reach=reach.read(repo, where),
    )


def _read_out(entry: Any, folder: PurePosixPath, where: str) -> Out | None:
    """An out; None when it lies outside of the workspace, where nothing is done with it."""
    _require_mapping(entry, where)
    path = entry.get("path")
    if not isinstance(path, str):
        raise InvalidError(f"{where}: path must be a string, found {path!r}")
    if _is_outside(path):
        return None
    content = read_content(entry, where)
    return Out(
        path=inside(folder, path, where),
        content=content,
        is_cached=bool(entry.get("cache", True)),
        is_pushed=bool(entry.get("push", True)),
        remote=entry.get("remote"),
        traits=traitrecord.read(entry.get("meta"), where),
        versions=read_versions(entry, where),
    )


def inside(folder: PurePosixPath, path: str, where: str) -> str:
    """Join a folder of the workspace with a path written in a file of it.

    Raises:
        InvalidError: The path is absolute, a URL, or leaves the workspace.
    """
    if _is_outside(path):
        raise InvalidError(f"{where}: {path!r} lies outside of the workspace, which is not supported")
    joined = posixpath.normpath(f"{folder}/{path}")
    if joined == ".." or joined.startswith("../"):
        raise InvalidError(f"{where}: {path!r} leaves the workspace")
    return "" if joined == "." else joined


def _update_entry(entry: Any, name: str, out: Out) -> None:
    fields = content_fields(out.content) if out.content is not None else {}
    if "path" not in entry:
        # A new entry has DVC's order: the content, then the path.
        entry.update(fields)
        entry["path"] = name
        return
    for key in CONTENT_KEYS:
        if key in entry and key not in fields:
            _drop(entry, key)
    for position, (key, value) in enumerate(fields.items()):
        if key in entry:
            entry[key] = value
        else:
            entry.insert(min(position, len(entry)), key, value)


def _drop(entry: Any, key: str) -> None:
    """Remove a key; a comment behind it, which may be about what follows, goes to its neighbour."""
    if not hasattr(entry, "ca"):
        del entry[key]
        return
    place = list(entry).index(key)
    comments = entry.ca.items
    comment = comments.pop(key, None)
    del entry[key]
    if comment is None or comment[2] is None:
        return
    other = comments.setdefault(list(entry)[max(place - 1, 0)], [None, None, None, None])
    if other[2] is None:
        other[2] = comment[2]
    else:
        other[2].value = other[2].value.rstrip("\n") + "\n" + comment[2].value.lstrip(" ")


def _folder(path: str, wdir: Any, where: str) -> PurePosixPath:
    return PurePosixPath(inside(PurePosixPath(path).parent, str(wdir or "."), f"{where}: wdir"))


def _require_mapping(value: Any, where: str) -> None:
    if not isinstance(value, dict):
        raise InvalidError(f"{where}: must be a mapping of keys, found {type(value).__name__}")
