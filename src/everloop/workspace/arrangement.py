"""What it takes to give a directory on the disk the traits of its record, and doing it.

What is recorded is made. What is there and not recorded stays, as long as the bytes of the files are right: a link that
leads elsewhere is the user's own. A link to a folder on the way to a recorded path is taken away first, so that nothing
is written behind it. Leaves the bytes of files to `checkout.py`.
"""

from __future__ import annotations

import stat
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import msgspec

from everloop.workspace.cache import Cache
from everloop.workspace.protect import unprotect
from everloop.workspace.traits import EXECUTABLE, NONE, Seen, Traits, end_of, fitting, parents, stays_inside


class Arrangement(msgspec.Struct, frozen=True, kw_only=True):
    """What to make of a directory; all paths are relative to it.

    Attributes:
        recorded: All links that are to be there in the end, `{path: target}`.
        links: Those of them that are not there yet.
        executable: Files that are to have the bit, among those that are written.
        to_mark: Files that have the right bytes already, and lack the bit.
        empty: Folders to make.
        in_the_way: Links to folders, or to nowhere, that must go, `{path: target}`.
        stale: Links to files that are to be files of their own, since their targets change.
    """

    recorded: dict[str, str] = {}
    links: dict[str, str] = {}
    executable: frozenset[str] = frozenset()
    to_mark: tuple[str, ...] = ()
    empty: tuple[str, ...] = ()
    in_the_way: dict[str, str] = {}
    stale: frozenset[str] = frozenset()

    @property
    def has_work(self) -> bool:
        """Whether anything is to be done to a directory whose bytes are right."""
        return bool(self.links or self.to_mark or self.empty)

    @property
    def made(self) -> list[str]:
        """What is made and has no bytes in the listing, so that it can be taken away again."""
        return [*self.links, *self.empty]


def arrange(recorded: Traits | None, seen: Seen, files: Mapping[str, str], present: Mapping[str, str]) -> Arrangement:
    """Plan it.

    Args:
        recorded: The traits of the record.
        seen: What is there now.
        files: The listing that the record names, `{path: md5}`.
        present: The files that are there now.
    """
    if recorded is None and not seen.links:
        return Arrangement()
    wanted = fitting(recorded or NONE, files)
    links = {path: target for path, target in wanted.links.items() if seen.links.get(path) != target}
    executable = wanted.executables(files)
    marked = {*seen.executable, *wanted.links}
    return Arrangement(
        recorded=wanted.links,
        links=links,
        executable=frozenset(executable),
        to_mark=tuple(path for path in sorted(executable - marked) if present.get(path) == files[path]),
        empty=tuple(path for path in wanted.empty if path not in seen.empty),
        in_the_way=_in_the_way(wanted, seen, files),
        stale=frozenset(
            path
            for path, target in seen.links.items()
            if path in files and path not in wanted.links and stays_inside(path, target)
        ),
    )


def _in_the_way(wanted: Traits, seen: Seen, files: Mapping[str, str]) -> dict[str, str]:
    """Links to folders, or to nowhere, where something else is to be; links to folders whose target goes."""
    without_bytes = seen.folder_links.union(seen.broken).intersection(seen.links).difference(wanted.links)
    if not without_bytes:
        return {}
    paths = {*files, *wanted.empty, *wanted.links}
    folders = {parent for path in paths for parent in parents(path)}.union(wanted.empty)
    doomed = {}
    for path in sorted(without_bytes):
        target = seen.links[path]
        is_left = path in seen.folder_links and stays_inside(path, target)
        if path in paths or path in folders or (is_left and end_of(path, seen.links) not in {"", *folders}):
            doomed[path] = target
    return doomed


def clear(target: Path, arrangement: Arrangement) -> None:
    """Take away the links that are in the way, before anything is put in place."""
    for path in arrangement.in_the_way:
        place = target / path
        if place.is_symlink():
            place.unlink()


def make_links(folder: Path, arrangement: Arrangement) -> None:
    """Make the links in a folder that nobody sees yet, each at its path."""
    for path, target in arrangement.links.items():
        place = folder / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.symlink_to(target)


def finish(target: Path, arrangement: Arrangement, scratch_dir: Path, cache: Cache) -> None:
    """Make the empty folders, and mark the files that were right already."""
    for path in arrangement.empty:
        (target / path).mkdir(parents=True, exist_ok=True)
    for path in arrangement.to_mark:
        place = target / path
        found = place.lstat()
        if not stat.S_ISREG(found.st_mode) or found.st_nlink > 1:
            # The mode is that of the cache's object, too.
            unprotect(place, scratch_dir, cache)
        place.chmod(place.stat().st_mode | EXECUTABLE)


def unmake(target: Path) -> None:
    """Take away a link or an empty folder that was made."""
    if target.is_symlink():
        target.unlink()
    elif target.is_dir():
        with suppress(OSError):  # not empty: something of the user's lies in it
            target.rmdir()
