"""Read and write `.dvc` files in DVC's own style; what a person wrote into them stays.

Source: dvc 3.67 (`schema.py`, `output.py`). Read: outs of a local path with an MD5 of the 3.x kind. Everything else of
the format is named and refused, because passing over it would change what the file means.
"""

from __future__ import annotations

import posixpath
from pathlib import Path, PurePosixPath
from typing import Any

import msgspec

from everloop.errors import InvalidError
from everloop.workspace import durable, hashing, yamlfile
from everloop.workspace.values import Content, DvcFile, Imported, Out

_FILE_KEYS = {"md5", "frozen", "deps", "outs", "meta", "desc", "wdir", "always_changed", "locked"}
_CONTENT_KEYS = ("md5", "size", "nfiles", "isexec", "hash")
_OUT_OPTIONS = ("path", "cache", "push", "persist", "remote", "desc", "type", "labels", "meta")
_OUT_KEYS = {*_CONTENT_KEYS, *_OUT_OPTIONS}


def read(root: Path, path: str) -> DvcFile:
    """Read a `.dvc` file.

    Args:
        root: The workspace.
        path: Of the file, relative to it.

    Raises:
        NotFoundError: There is no such file.
        InvalidError: It is malformed or uses something that is not supported; names the file and the key.
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
    _refuse_unknown(data, _FILE_KEYS, where)
    folder = _folder(path, data.get("wdir"), where)
    entries = data.get("outs") or []
    if not isinstance(entries, list):
        raise InvalidError(f"{where}: outs must be a list, found {type(entries).__name__}")
    outs = tuple(_read_out(entry, folder, f"{where}: outs[{index}]") for index, entry in enumerate(entries))
    deps = data.get("deps")
    if deps and len(outs) == 1:
        outs = (msgspec.structs.replace(outs[0], imported=_read_source(deps, folder)),)
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
        if not has_size:
            entry.pop("size", None)
    durable.write_atomically(target, yamlfile.dump(data))


def content_fields(content: Content) -> dict[str, Any]:
    """A content as DVC spells it, in the order of a `.dvc` file."""
    fields: dict[str, Any] = {"md5": content.md5, "size": content.size_bytes}
    if content.n_files is not None:
        fields["nfiles"] = content.n_files
    if content.is_executable:
        fields["isexec"] = True
    fields["hash"] = "md5"
    return fields


def read_content(entry: dict[str, Any], where: str) -> Content | None:
    """Read the content of an entry of a `.dvc` file or of `dvc.lock`; None when it records no hash.

    Raises:
        InvalidError: The hash is malformed or of a kind that is not supported.
    """
    for key in ("etag", "checksum", "files", "cloud", "version_id"):
        if key in entry:
            raise InvalidError(f"{where}: {key} (cloud-versioned or external data) is not supported")
    md5 = entry.get("md5")
    if md5 is None:
        return None
    if not isinstance(md5, str) or not hashing.is_md5(md5):
        raise InvalidError(f"{where}: md5 must be 32 hex digits, with .dir for a directory; found {md5!r}")
    if entry.get("hash") != "md5":
        raise InvalidError(
            f"{where}: this is a hash of DVC 2 (no `hash: md5`), which is not supported",
            hint="migrate the workspace once: dvc cache migrate --dvc-files",
        )
    size = entry.get("size")
    return Content(
        md5=md5,
        size_bytes=size if isinstance(size, int) else 0,
        n_files=entry.get("nfiles"),
        is_executable=bool(entry.get("isexec", False)),
    )


def _read_source(deps: Any, folder: PurePosixPath) -> Imported | None:
    """Where an import comes from; None when it is of a kind that cannot be fetched. What is wrong, `update` tells."""
    dep = deps[0] if isinstance(deps, list) and len(deps) == 1 and isinstance(deps[0], dict) else {}
    path, repo, options = dep.get("path"), dep.get("repo"), dep.get("fs_config") or {}
    if not isinstance(path, str) or not isinstance(options, dict) or "version_aware" in options:
        return None
    if repo is None:
        address = path if "://" in path else posixpath.normpath(str(folder / path))
        mark = dep.get("md5") or dep.get("etag") or dep.get("checksum")
        known = tuple((str(key), str(value)) for key, value in options.items())
        return Imported(address=address, options=known, mark=mark)
    if (
        not isinstance(repo, dict)
        or not isinstance(repo.get("url"), str)
        or not isinstance(repo.get("remote", ""), str)
    ):
        return None
    return Imported(
        address=repo["url"],
        is_repository=True,
        path=path.strip("/"),
        commit=repo.get("rev_lock") or repo.get("rev"),
        remote=repo.get("remote"),
    )


def _read_out(entry: Any, folder: PurePosixPath, where: str) -> Out:
    _require_mapping(entry, where)
    content = read_content(entry, where)
    _refuse_unknown(entry, _OUT_KEYS, where)
    path = entry.get("path")
    if not isinstance(path, str):
        raise InvalidError(f"{where}: path must be a string, found {path!r}")
    return Out(
        path=inside(folder, path, where),
        content=content,
        is_cached=bool(entry.get("cache", True)),
        is_pushed=bool(entry.get("push", True)),
        remote=entry.get("remote"),
    )


def inside(folder: PurePosixPath, path: str, where: str) -> str:
    """Join a folder of the workspace with a path written in a file of it.

    Raises:
        InvalidError: The path is absolute, a URL, or leaves the workspace.
    """
    if "://" in path or path.startswith("/"):
        raise InvalidError(f"{where}: {path!r} lies outside of the workspace, which is not supported")
    parts: list[str] = []
    for part in (folder / path).parts:
        if part == "..":
            if not parts:
                raise InvalidError(f"{where}: {path!r} leaves the workspace")
            parts.pop()
        else:
            parts.append(part)
    return "/".join(parts)


def _update_entry(entry: Any, name: str, out: Out) -> None:
    fields = content_fields(out.content) if out.content is not None else {}
    if "path" not in entry:
        # A new entry has DVC's order: the content, then the path.
        entry.update(fields)
        entry["path"] = name
        return
    for key in _CONTENT_KEYS:
        if key not in fields:
            entry.pop(key, None)
    for position, (key, value) in enumerate(fields.items()):
        if key in entry:
            entry[key] = value
        else:
            entry.insert(min(position, len(entry)), key, value)


def _folder(path: str, wdir: Any, where: str) -> PurePosixPath:
    return PurePosixPath(inside(PurePosixPath(path).parent, str(wdir or "."), f"{where}: wdir"))


def _require_mapping(value: Any, where: str) -> None:
    if not isinstance(value, dict):
        raise InvalidError(f"{where}: must be a mapping of keys, found {type(value).__name__}")


def _refuse_unknown(data: dict[str, Any], known: set[str], where: str) -> None:
    for key in data:
        if key not in known:
            raise InvalidError(f"{where}: the key {key!r} is not known", hint=f"known are {', '.join(sorted(known))}")
