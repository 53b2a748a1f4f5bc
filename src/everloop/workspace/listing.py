"""List what a repository has, and how much space it takes; files of Git and data alike.

The shape of `entry_of` is that of `dvc list --json`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from everloop.workspace.objectid import digits
from everloop.workspace.source import Source
from everloop.workspace.values import Entry


def list_entries(
    source: Source, path: str = "", *, recursive: bool = False, dvc_only: bool = False, max_depth: int | None = None
) -> list[Entry]:
    """What lies in a folder, with paths relative to it; a file is listed by its name.

    Args:
        source: Where.
        path: Of the folder or file.
        recursive: Also what lies deeper: only files, and the folders at the greatest depth.
        dvc_only: Only data under version, and folders with some in them.
        max_depth: With `recursive`, how deep to look: 1 is only the folder itself. 0 is the path itself; None is all.

    Raises:
        NotFoundError: Nothing is there, or the listing of a directory is nowhere.
    """
    top = source.entry(path)
    if not top.is_directory or (recursive and max_depth == 0):
        return [msgspec.structs.replace(top, path=path.rpartition("/")[2] or ".")]
    depth = max_depth if recursive else 1
    found = source.files(path) if depth is None else _to_depth(source, path, depth, with_folders=not recursive)
    start = len(path) + 1 if path else 0
    kept = (entry for entry in found if not dvc_only or source.holds_data(entry))
    relative = [msgspec.structs.replace(entry, path=entry.path[start:]) for entry in kept]
    return sorted(relative, key=lambda entry: entry.path)


def list_tree(
    source: Source, path: str = "", *, dvc_only: bool = False, max_depth: int | None = None
) -> Iterator[tuple[int, bool, Entry]]:
    """All below a path as (depth, is the last of its folder, entry), each folder before what lies in it."""
    yield 0, True, source.entry(path)
    yield from _branches(source, path, 1, dvc_only, max_depth)


def usage(source: Source, path: str = "", *, summarise: bool = False) -> list[tuple[str, int]]:
    """The bytes of what lies in a folder, and last those of the whole; what nobody here can measure counts nothing.

    Args:
        source: Where.
        path: Of the folder or file.
        summarise: Only the whole.
    """
    if summarise or not source.entry(path).is_directory:
        return [(path, _total(source, path))]
    inner = [(child.path, _total(source, child.path)) for child in source.children(path)]
    return [*inner, (path, sum(size for _, size in inner))]


def entry_of(entry: Entry) -> dict[str, Any]:
    """An entry as DVC spells it."""
    return {
        "isout": entry.is_out,
        "isdir": entry.is_directory,
        "isexec": entry.is_executable,
        "size": entry.size_bytes,
        "md5": None if entry.md5 is None else digits(entry.md5),
        "path": entry.path,
    }


def _to_depth(source: Source, path: str, depth: int, *, with_folders: bool) -> Iterator[Entry]:
    for child in source.children(path):
        if not child.is_directory or with_folders or depth == 1:
            yield child
        else:
            yield from _to_depth(source, child.path, depth - 1, with_folders=False)


def _branches(
    source: Source, path: str, depth: int, dvc_only: bool, max_depth: int | None
) -> Iterator[tuple[int, bool, Entry]]:
    if max_depth is not None and depth > max_depth:
        return
    children = [child for child in source.children(path) if not dvc_only or source.holds_data(child)]
    for child in children:
        yield depth, child is children[-1], child
        if child.is_directory:
            yield from _branches(source, child.path, depth + 1, dvc_only, max_depth)


def _total(source: Source, path: str) -> int:
    entry = source.entry(path)
    if entry.md5 is not None and entry.is_directory:
        return entry.size_bytes or 0
    return sum(file.size_bytes or 0 for file in source.files(path))
