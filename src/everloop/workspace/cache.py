"""The content-addressed cache: objects by MD5 under `files/md5/`, exactly as DVC keeps them.

Promises: an object appears under its final name only when its bytes are complete, verified by the hash that names it,
and flushed to the disk; it is read-only (0444). A directory object appears only after all of its files. Several
processes, also of several workspaces, may share a cache. Leaves paths in the workspace to `checkout.py` and `add.py`.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from everloop.errors import ConflictError, FailedError, NotFoundError
from everloop.workspace import durable, hashing, links

_READ_ONLY = 0o444
_INCOMING = "everloop-incoming"
# A larger batch gains nothing and leaves more work to repeat after a crash.
_BATCH_FILES = 4096


class Cache:
    """The objects below one folder."""

    def __init__(self, root: Path, link_types: Sequence[str]) -> None:
        self.root = root
        self.link_types = tuple(link_types)

    def path(self, md5: str) -> Path:
        """Where the object lies, or would lie."""
        return self.root / "files" / "md5" / md5[:2] / md5[2:]

    def has(self, md5: str) -> bool:
        """Whether the object is there; of a directory, only its listing."""
        return self.path(md5).exists()

    def missing(self, md5: str) -> list[str]:
        """The ids that are not there, of an object and, for a directory, of its files."""
        if not self.has(md5):
            return [md5]
        if not md5.endswith(".dir"):
            return []
        return sorted({file_md5 for file_md5 in self.read_directory(md5).values() if not self.has(file_md5)})

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
        if hashing.directory_md5(encoded) != md5:
            raise corrupt(path)
        return hashing.decode_directory(encoded, str(path))

    @contextmanager
    def incoming(self) -> Iterator[Incoming]:
        """Take objects in. They are durable when the block ends well; else what was not finished is removed."""
        folder = self.root / _INCOMING
        folder.mkdir(parents=True, exist_ok=True)
        _remove_leftovers(folder)
        own = folder / secrets.token_hex(8)
        own.mkdir()
        descriptor = os.open(own, os.O_RDONLY)
        try:
            # Held as long as this process lives, so that others know which folders a crash has left behind.
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            batch = Incoming(self, own)
            yield batch
            batch.finish()
        finally:
            shutil.rmtree(own, ignore_errors=True)
            os.close(descriptor)


class Incoming:
    """Objects on their way into the cache. Made by `Cache.incoming`."""

    def __init__(self, cache: Cache, folder: Path) -> None:
        self._cache = cache
        self._folder = folder
        self._waiting: dict[str, Path] = {}
        self._touched: set[Path] = set()
        self._reflinks = "reflink" in cache.link_types
        self._count = 0

    def add_file(self, source: Path, found: os.stat_result) -> str:
        """Take a file in; its bytes are read once.

        Args:
            source: The file; it stays where it is.
            found: Its stat, taken before.

        Returns:
            The MD5 of its bytes.

        Raises:
            ConflictError: The file changed while it was read.
        """
        aside = self._next_name()
        shared = self._share(source, aside, found)
        if shared:
            md5 = hashing.md5_of_file(aside)
        else:
            with source.open("rb", buffering=0) as stream, aside.open("xb", buffering=0) as sink:
                md5, _ = hashing.md5_of_stream(stream, sink)
        now = source.stat()
        if (now.st_ino, now.st_mtime_ns, now.st_size) != (found.st_ino, found.st_mtime_ns, found.st_size):
            raise ConflictError(f"{source} changed while it was read", hint="try again when nothing writes to it")
        self._accept(aside, md5, found.st_size)
        return md5

    def add_directory(self, files: dict[str, str]) -> str:
        """Take a directory object in, after all of its files that were added before.

        Returns:
            Its id, with `.dir`.
        """
        self.flush()
        encoded = hashing.encode_directory(files)
        md5 = hashing.directory_md5(encoded)
        aside = self._next_name()
        aside.write_bytes(encoded)
        self._accept(aside, md5, len(encoded))
        return md5

    def flush(self) -> None:
        """Give the objects that were added so far their final names, durably."""
        if not self._waiting:
            return
        durable.sync_all(self._folder, self._waiting.values())
        folders = set()
        for md5, aside in self._waiting.items():
            final = self._cache.path(md5)
            if final.parent not in self._touched:
                final.parent.mkdir(parents=True, exist_ok=True)
                self._touched.add(final.parent)
            aside.replace(final)
            folders.add(final.parent)
        self._waiting.clear()
        durable.sync_all(self._folder, [*folders, *{folder.parent for folder in folders}])

    def finish(self) -> None:
        """Flush what is left."""
        self.flush()

    def _next_name(self) -> Path:
        self._count += 1
        return self._folder / str(self._count)

    def _share(self, source: Path, aside: Path, found: os.stat_result) -> bool:
        for link_type in self._cache.link_types:
            if link_type == "reflink" and self._reflinks:
                if links.reflink(source, aside):
                    return True
                # The filesystem will not learn it before the next file.
                self._reflinks = False
            # A second name shares its mode, so an executable file would lose its bit: it is copied.
            if link_type == "hardlink" and not found.st_mode & 0o111 and links.hardlink(source.resolve(), aside):
                return True
            if link_type == "copy":
                return False
        return False

    def _accept(self, aside: Path, md5: str, size_bytes: int) -> None:
        final = self._cache.path(md5)
        if md5 in self._waiting or _is_trusted(final, size_bytes):
            aside.unlink()
            return
        aside.chmod(_READ_ONLY)
        self._waiting[md5] = aside
        if len(self._waiting) >= _BATCH_FILES:
            self.flush()


def corrupt(path: Path) -> FailedError:
    """The error for an object whose bytes are not what its name promises."""
    return FailedError(
        f"the cache object {path} is damaged: its bytes do not have the hash that names it",
        hint=f"delete it (rm -f {path}) and add, reproduce or pull the data again",
    )


def _is_trusted(final: Path, size_bytes: int) -> bool:
    """DVC's rule: a read-only object is whole; a writable one may be a stranger's and is replaced."""
    try:
        found = final.stat()
    except FileNotFoundError:
        return False
    return found.st_size == size_bytes and not found.st_mode & 0o222


def _remove_leftovers(folder: Path) -> None:
    for child in folder.iterdir():
        try:
            descriptor = os.open(child, os.O_RDONLY)
        except FileNotFoundError:
            continue
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(child, ignore_errors=True)
        except BlockingIOError:
            # Its writer lives.
            continue
        finally:
            os.close(descriptor)
