"""Let files of the workspace share their bytes with the cache in the way that `cache.type` says.

For data that hold what they record: only how they are stored changes. Files with an executable bit have bytes of their
own, since a link would share its mode with the cache, and the user's own links stay what they are.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

from everloop.workspace import scratch
from everloop.workspace.checkout import remake
from everloop.workspace.values import Content

if TYPE_CHECKING:
    from everloop.workspace.workspace import Workspace


class Way(StrEnum):
    """How a file of the workspace has its bytes."""

    SYMLINK = "symlink"
    HARDLINK = "hardlink"
    OWN = "own"


def relink(workspace: Workspace, data: Mapping[str, Content]) -> list[str]:
    """Link data to the cache anew where they are not linked as `cache.type` says.

    Args:
        workspace: Locked by the caller.
        data: What the paths hold now.

    Returns:
        The paths of which something was linked anew.

    Raises:
        ConflictError: Data changed meanwhile; they stay.
        FailedError: A cache object is damaged; the files stay.
    """
    changed = []
    for path, content in data.items():
        if not workspace.cache.has(content.md5):
            continue
        files = workspace.cache.read_directory(content.md5) if content.is_directory else {"": content.md5}
        absent = workspace.cache.absent(files.values())
        present = {name: md5 for name, md5 in files.items() if md5 not in absent}
        wrong = dict(_wrong(workspace, path, present))
        if wrong:
            remake(workspace, path, content, wrong)
            changed.append(path)
    return changed


def _wrong(workspace: Workspace, path: str, files: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    if not files:
        return
    seen = workspace.contents.seen(path, anew=True)
    executable = set(seen.executable)
    target = workspace.root / path
    wanted = _wanted(workspace, target, next(iter(files.values())))
    for name, md5 in files.items():
        if name in seen.links:
            continue
        way = Way.OWN if name in executable else wanted
        if name in seen.objects:
            is_right = way is Way.SYMLINK and seen.objects[name] == md5
        else:
            # To tell a copy from a link to the cache takes a look at both.
            is_right = way is not Way.SYMLINK and way is _way(workspace, target / name if name else target, md5)
        if not is_right:
            yield name, md5


def _wanted(workspace: Workspace, target: Path, md5: str) -> Way:
    """The first way of `cache.type` that works here."""
    cache = workspace.cache
    for link_type in cache.link_types:
        if link_type == "symlink":
            return Way.SYMLINK
        if link_type == "hardlink" and cache.root.stat().st_dev == target.parent.stat().st_dev:
            return Way.HARDLINK
        if link_type == "copy" or (link_type == "reflink" and _can_reflink(workspace, target, md5)):
            return Way.OWN
    return Way.OWN


def _can_reflink(workspace: Workspace, target: Path, md5: str) -> bool:
    with scratch.beside(workspace.layout.scratch_dir, target) as folder:
        return workspace.cache.reflink(workspace.cache.place(md5), str(folder / "probe"))


def _way(workspace: Workspace, place: Path, md5: str) -> Way:
    found, kept = place.stat(), workspace.cache.path(md5).stat()
    return Way.HARDLINK if (found.st_dev, found.st_ino) == (kept.st_dev, kept.st_ino) else Way.OWN
