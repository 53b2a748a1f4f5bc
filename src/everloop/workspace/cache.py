"""The content-addressed cache: objects by MD5 under `files/md5/` exactly as DVC keeps them, older ones as DVC 2 did.

Promises: an object appears under its final name only when its bytes are complete, verified by the hash that names it,
and flushed to the disk; it is read-only (0444). A directory object appears only after all of its files. Several
processes, also of several workspaces, may share a cache. Leaves paths in the workspace to `checkout.py` and `add.py`.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path

from everloop.errors import FailedError, NotFoundError
from everloop.workspace import hashing, links, objectid, scratch
from everloop.workspace.incoming import SHARED_FOLDER, Incoming, object_folders
from everloop.workspace.state import CLOCK_TICK_NS

_INCOMING = "everloop-incoming"
# From this number on it is faster to list a folder of the cache than to ask for its objects one by one.
_MANY_OF_FOLDER = 8
_PREFIXES = tuple(f"{number:02x}" for number in range(256))
# Twice the coarsest clock: FAT keeps two seconds.
_STAMP_AGE_NS = 40 * CLOCK_TICK_NS


class Cache:
    """The objects below one folder."""

    def __init__(self, root: Path, link_types: Sequence[str], *, is_shared: bool = False) -> None:
        self.root = root
        self.is_shared = is_shared
        self.link_types = tuple(link_types)
        self.can_reflink = "reflink" in self.link_types
        self._objects = f"{root}/files/md5"

    def path(self, md5: str) -> Path:
        """Where the object lies, or would lie."""
        return Path(self.place(md5))

    def place(self, md5: str) -> str:
        """The same as text, which is ten times faster to make."""
        if md5[:1] == "m":
            return f"{self.root}/{objectid.key(md5)}"
        return f"{self._objects}/{md5[:2]}/{md5[2:]}"

    def object_of(self, target: str) -> str | None:
        """The id of the object that a symbolic link's target is the place of; None for every other target."""
        for prefix in self._prefixes:
            if target.startswith(prefix):
                return objectid.of_key(target[len(prefix) :])
        return None

    def make_folder(self, path: Path) -> None:
        """Make a folder in the cache, for the group to write in when the cache is shared."""
        if not self.is_shared:
            path.mkdir(parents=True, exist_ok=True)
            return
        missing = [folder for folder in (path, *path.parents) if not folder.exists()]
        path.mkdir(parents=True, exist_ok=True)
        for folder in missing:
            folder.chmod(SHARED_FOLDER)

    def has_legacy(self) -> bool:
        """Whether there may be objects of DVC 2."""
        return any(os.path.isdir(f"{self.root}/{prefix}") for prefix in _PREFIXES)  # noqa: PTH112

    def has(self, md5: str) -> bool:
        """Whether the object is there; of a directory, only its listing."""
        return os.path.exists(self.place(md5))  # noqa: PTH110  a Path for each object costs more than its stat

    def missing(self, md5: str) -> list[str]:
        """The ids that are not there, of an object and, for a directory, of its files."""
        if not self.has(md5):
            return [md5]
        if not hashing.is_directory(md5):
            return []
        return sorted(self.absent(self.read_directory(md5).values()))

    def absent(self, md5s: Iterable[str]) -> set[str]:
        """Which of many objects are not there."""
        wanted: dict[str, set[str]] = {}
        for md5 in md5s:
            wanted.setdefault(md5[:2], set()).add(md5)
        # All of DVC 2, whatever their folder.
        absent = {md5 for md5 in wanted.pop(objectid.LEGACY[:2], ()) if not self.has(md5)}
        for prefix, group in wanted.items():
            if len(group) < _MANY_OF_FOLDER:
                absent.update(md5 for md5 in group if not self.has(md5))
                continue
            try:
                there = os.listdir(f"{self._objects}/{prefix}")  # noqa: PTH208  names are enough
            except FileNotFoundError:
                absent |= group
                continue
            absent |= group.difference([prefix + name for name in there])
        return absent

    def folders(self) -> set[str]:
        """The first two digits of the ids for which there is a folder."""
        return set(object_folders(self._objects))

    def reflink(self, source: str, target: str) -> bool:
        """As `links.reflink`, but where it failed once it is not tried again: the filesystem will not learn it."""
        if self.can_reflink and not links.reflink(source, target):
            self.can_reflink = False
        return self.can_reflink

    def stamp(self) -> bytes:
        """A value that changes whenever an object appears or vanishes; empty while it is too early to tell."""
        # Here, as everywhere else: its import loads a library that commands without data have no use for.
        import hashlib

        newest_ns = 0
        hasher = hashlib.blake2b(self._objects.encode("utf-8", "surrogateescape"), digest_size=16)
        for prefix in _PREFIXES:
            try:
                found = os.stat(f"{self._objects}/{prefix}")  # noqa: PTH116  256 of them in each `status`
            except FileNotFoundError:
                continue
            newest_ns = max(newest_ns, found.st_mtime_ns)
            hasher.update(f"{prefix} {found.st_ino} {found.st_mtime_ns}\n".encode())
        # Within a tick of the clock a second change would not show.
        return hasher.digest() if time.time_ns() - newest_ns > _STAMP_AGE_NS else b""

    def read_directory(self, md5: str) -> dict[str, str]:
        """The files of a directory object as `{relative path: md5}`.

        Raises:
            NotFoundError: The object is not there.
            FailedError: Its bytes are not those that its name promises.
            InvalidError: It is no directory object.
        """
        path = self.path(md5)
        try:
            encoded = path.read_bytes()
        except FileNotFoundError as error:
            raise NotFoundError(f"the directory object {md5} is not in the cache {self.root}") from error
        if hashing.directory_md5(encoded, md5) != md5:
            raise corrupt(path)
        return hashing.decode_directory(encoded, str(path), md5)

    @cached_property
    def _prefixes(self) -> tuple[str, ...]:
        """How the places of objects may begin: as the configuration spells it, and as the system does."""
        return tuple(dict.fromkeys((f"{self.root}/", f"{os.path.realpath(self.root)}/")))

    @contextmanager
    def incoming(self, *, may_link: bool = True) -> Iterator[Incoming]:
        """Take objects in. They are durable when the block ends well; else what was not finished is removed.

        Args:
            may_link: Files may get a second name in the cache, read-only, where `cache.type` says so.
        """
        folder = self.root / _INCOMING
        self.make_folder(folder)
        scratch.remove_leftovers(folder)
        with scratch.private(folder) as own:
            if self.is_shared:
                own.chmod(SHARED_FOLDER)
            batch = Incoming(self, own, may_link=may_link)
            yield batch
            batch.finish()


def corrupt(path: Path) -> FailedError:
    """The error for an object whose bytes are not what its name promises."""
    return FailedError(
        f"the cache object {path} is damaged: its bytes do not have the hash that names it",
        hint=f"delete it (rm -f {path}) and add, reproduce or pull the data again",
    )
