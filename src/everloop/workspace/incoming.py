"""Objects on their way into a cache, or into a remote that is a folder: many at once, durable before they are named.

Leaves where objects lie, and which are there, to `cache.py`.
"""

from __future__ import annotations

import errno
import itertools
import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from everloop.errors import ConflictError
from everloop.workspace import durable, hashing, links, objectid, slices
from everloop.workspace.state import Identity, identity

if TYPE_CHECKING:
    from everloop.workspace.cache import Cache

Key = TypeVar("Key")
# A file to take in: where it lies, and what it was before.
Source = tuple[str, Identity]

# The mode of a folder in which a group writes; what it makes there is the group's, too.
SHARED_FOLDER = 0o2775
_READ_ONLY = 0o444
_WRITABLE = 0o222
_EXECUTABLE = 0o111
_WRITE_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
# Each batch waits for the disk once; a larger one gains little and leaves more work to repeat after a crash.
_BATCH_FILES = 1 << 17
_BATCH_BYTES = 4 << 30
# Up to this size a file is held in memory, so that nothing is written when the cache has its bytes already.
_SMALL_BYTES = 1 << 20
_PREFIX_LETTERS = 2


class Incoming:
    """Objects on their way into the cache. Made by `Cache.incoming`.

    They wait in a folder of the cache's own shape: where the cache has no folder for them yet, one rename gives all of
    them their final names.
    """

    def __init__(self, cache: Cache, folder: Path, *, may_link: bool = True) -> None:
        self._cache = cache
        self._may_link = may_link
        self._folder = os.fspath(folder)
        self._n_waiting = 0
        self._touched: set[str] = set()
        # Of DVC 2, which has no folder for them to wait in: `{id: where}`.
        self._legacy: dict[str, str] = {}
        self._count = itertools.count()
        # An object whose folder is not there need not be looked for.
        self._folders = cache.folders()
        self._has_modes = False

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
        md5s = self.add_files([source], lambda path: (os.fspath(path), identity(found)), file_bytes=found.st_size)
        return md5s[0]

    def add_files(
        self,
        keys: Sequence[Key],
        source: Callable[[Key], Source],
        *,
        file_bytes: int = 0,
        told: Callable[[Sequence[Key]], object] | None = None,
    ) -> list[str]:
        """Take many files in, several at once.

        Args:
            keys: One for each file.
            source: Where the file of a key lies, and what it was before.
            file_bytes: Average size.
            told: Gets the keys of those that are done, batch by batch.

        Returns:
            The MD5s in the order of the keys.

        Raises: as `add_file`.
        """
        size = max(1, min(_BATCH_FILES, _BATCH_BYTES // max(file_bytes, 1)))
        md5s: list[str] = []
        for start in range(0, len(keys), size):
            if self._n_waiting >= size:
                self._name_waiting()
            part = keys[start : start + size]
            md5s += slices.each(
                lambda some: [self._take(*source(key)) for key in some],
                part,
                item_bytes=file_bytes,
                is_forkable=True,
                told=told,
            )
            self._n_waiting += len(part)
        return md5s

    def add_objects(
        self, ids: Sequence[str], place: Callable[[str], str], told: Callable[[Sequence[str]], object] | None = None
    ) -> list[bool]:
        """Take objects in from another store, verified, several at once.

        Args:
            ids: Of the objects.
            place: Where an object lies there.
            told: Gets the ids of those that are done, batch by batch.

        Returns:
            Whether it came, for each; one that is not there, damaged or cannot be written did not.
        """
        if self._n_waiting >= _BATCH_FILES:
            self._name_waiting()
        self._n_waiting += len(ids)
        return slices.each(
            lambda some: [self._bring(md5, place(md5)) for md5 in some], ids, is_forkable=True, told=told
        )

    def add_directory(self, files: dict[str, str]) -> str:
        """Take a directory object in, after all of its files that were added before.

        Returns:
            Its id, with `.dir`.
        """
        self.flush()
        encoded = hashing.encode_directory(files)
        md5 = hashing.directory_md5(encoded)
        if not self._is_trusted(md5, len(encoded)):
            self._write(md5, encoded)
        return md5

    def flush(self) -> None:
        """Give the objects that were added so far their final names, durably."""
        self._name_waiting()
        if self._touched:
            durable.sync_all(self._folder, self._touched)
            for above in {os.path.dirname(folder) for folder in self._touched}:  # noqa: PTH120
                durable.sync_path(above)
            self._touched.clear()

    def finish(self) -> None:
        """Flush what is left."""
        self.flush()

    def reserve(self) -> Path:
        """A name for a file that is to be handed to `adopt`. Thread-safe, in contrast to all else here."""
        return Path(self._next_name())

    def adopt(self, aside: Path, md5: str, size_bytes: int) -> None:
        """Take in a file that was written under a reserved name, and whose bytes were verified on the way."""
        self._settle(os.fspath(aside), md5, size_bytes)

    def _name_waiting(self) -> None:
        self._n_waiting = 0
        self._name_legacy()
        waiting = {name: os.listdir(f"{self._folder}/{name}") for name in object_folders(self._folder)}  # noqa: PTH208
        if not waiting:
            return
        folders = [f"{self._folder}/{prefix}" for prefix in waiting]
        objects = [f"{self._folder}/{prefix}/{name}" for prefix, names in waiting.items() for name in names]
        durable.sync_all(self._folder, [*objects, *folders])
        self._cache.make_folder(self._cache.path(""))
        for prefix, names in waiting.items():
            if not self._move_folder(prefix):
                self._move_objects(prefix, names)
            self._folders.add(prefix)
            self._touched.add(self._cache.place(prefix))

    def _name_legacy(self) -> None:
        durable.sync_all(self._folder, self._legacy.values())
        for md5, aside in self._legacy.items():
            place = self._cache.path(md5)
            self._cache.make_folder(place.parent)
            Path(aside).rename(place)
            self._touched |= {str(place.parent), str(self._cache.root)}
        self._legacy.clear()

    def _move_folder(self, prefix: str) -> bool:
        """Give all objects of a folder their names at once; False where the cache has such a folder."""
        if prefix in self._folders:
            return False
        if self._cache.is_shared:
            os.chmod(f"{self._folder}/{prefix}", SHARED_FOLDER)  # noqa: PTH101
        try:
            os.rename(f"{self._folder}/{prefix}", self._cache.place(prefix))  # noqa: PTH104
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
            # Somebody else made it meanwhile.
            return False
        return True

    def _move_objects(self, prefix: str, names: Iterable[str]) -> None:
        folder = self._cache.place(prefix)
        self._cache.make_folder(Path(folder))
        for name in names:
            os.rename(f"{self._folder}/{prefix}/{name}", f"{folder}{name}")  # noqa: PTH104  a Path costs more
        os.rmdir(f"{self._folder}/{prefix}")  # noqa: PTH106

    def _take(self, path: str, before: Identity) -> str:
        """The MD5 of a file whose bytes the cache has, or that wait to be named."""
        aside = self._share(path) if self._shares else None
        if aside is not None:
            md5 = hashing.md5_of_file(aside)
            _require_same(path, identity(os.stat(path)), before)  # noqa: PTH116
            self._settle(aside, md5, before[2])
            return md5
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            if before[2] <= _SMALL_BYTES:
                # One byte more than there should be: a file that grew shows itself.
                data = os.read(descriptor, before[2] + 1)
                _require_same(path, identity(os.fstat(descriptor)), before, n_read=len(data))
                md5 = hashing.md5_of(data)
                if not self._is_trusted(md5, len(data)):
                    self._write(md5, data)
                return md5
            aside = self._next_name()
            target = os.open(aside, _WRITE_NEW, _READ_ONLY)
            try:
                md5 = hashing.md5_of_copy(descriptor, target, before[2], is_flushed=True)
            finally:
                os.close(target)
            _require_same(path, identity(os.fstat(descriptor)), before)
        finally:
            os.close(descriptor)
        self._settle(aside, md5, before[2])
        return md5

    def _bring(self, md5: str, path: str) -> bool:
        if objectid.is_legacy(md5):
            return False
        promised = md5.removesuffix(".dir")
        try:
            source = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            try:
                size_bytes = os.fstat(source).st_size
                if size_bytes <= _SMALL_BYTES:
                    data = os.read(source, size_bytes)
                    if hashing.md5_of(data) != promised:
                        return False
                    self._write(md5, data)
                    return True
                return self._copy(md5, source, size_bytes)
            finally:
                os.close(source)
        except OSError:
            # Whoever asked for it learns why when it asks for this object alone.
            return False

    def _copy(self, md5: str, source: int, size_bytes: int) -> bool:
        aside = self._next_name()
        target = os.open(aside, _WRITE_NEW, _READ_ONLY)
        try:
            is_whole = hashing.md5_of_copy(source, target, size_bytes, is_flushed=True) == md5.removesuffix(".dir")
        except BaseException:
            os.unlink(aside)  # noqa: PTH108
            raise
        finally:
            os.close(target)
        if is_whole:
            self._settle(aside, md5, size_bytes)
        else:
            os.unlink(aside)  # noqa: PTH108
        return is_whole

    def _share(self, path: str) -> str | None:
        """Where the file's own bytes have a further name now; None when they have to be copied."""
        aside = self._next_name()
        for link_type in self._cache.link_types:
            if link_type == "reflink" and self._cache.reflink(path, aside):
                return aside
            may_link = self._may_link and link_type == "hardlink" and _can_be_protected(path)
            if may_link and links.hardlink(_real(path), aside):
                return aside
            if link_type in ("copy", "symlink"):
                return None
        return None

    @property
    def _shares(self) -> bool:
        return self._cache.can_reflink or "hardlink" in self._cache.link_types

    def _write(self, md5: str, data: bytes) -> None:
        """Let bytes wait under their id."""
        place = self._waiting_place(md5)
        try:
            descriptor = self._open_new(place)
        except FileExistsError:
            # An equal file waits already; all of them are whole before any is named.
            return
        try:
            self._require_mode(descriptor)
            hashing.write_all(descriptor, data)
        except BaseException:
            os.unlink(place)  # noqa: PTH108
            raise
        finally:
            os.close(descriptor)

    def _settle(self, aside: str, md5: str, size_bytes: int) -> None:
        """Let a file that is whole wait under its id."""
        if self._is_trusted(md5, size_bytes):
            os.unlink(aside)  # noqa: PTH108
            return
        os.chmod(aside, _READ_ONLY)  # noqa: PTH101
        if objectid.is_legacy(md5):
            self._legacy[md5] = aside
            return
        place = self._waiting_place(md5)
        try:
            os.rename(aside, place)  # noqa: PTH104
        except FileNotFoundError:
            os.makedirs(os.path.dirname(place), exist_ok=True)  # noqa: PTH103, PTH120
            os.rename(aside, place)  # noqa: PTH104

    def _open_new(self, place: str) -> int:
        try:
            return os.open(place, _WRITE_NEW, _READ_ONLY)
        except FileNotFoundError:
            os.makedirs(os.path.dirname(place), exist_ok=True)  # noqa: PTH103, PTH120
            return os.open(place, _WRITE_NEW, _READ_ONLY)

    def _require_mode(self, descriptor: int) -> None:
        """The process's umask may take bits away from a new file; one look tells it for all of them."""
        if not self._has_modes:
            self._has_modes = os.fstat(descriptor).st_mode & 0o777 == _READ_ONLY
            if not self._has_modes:
                os.fchmod(descriptor, _READ_ONLY)

    def _waiting_place(self, md5: str) -> str:
        return f"{self._folder}/{md5[:2]}/{md5[2:]}"

    def _next_name(self) -> str:
        # With the process's id: this may run in several that were forked from one.
        return f"{self._folder}/{os.getpid()}-{next(self._count)}"

    def _is_trusted(self, md5: str, size_bytes: int) -> bool:
        """DVC's rule: a read-only object is whole; a writable one may be a stranger's and is replaced."""
        if md5[:2] not in self._folders and not objectid.is_legacy(md5):
            return False
        try:
            found = os.stat(self._cache.place(md5))  # noqa: PTH116  a Path for each object costs more than its stat
        except FileNotFoundError:
            return False
        return found.st_size == size_bytes and not found.st_mode & _WRITABLE


def object_folders(folder: str) -> list[str]:
    """The folders `00` to `ff` that are there."""
    try:
        return [name for name in os.listdir(folder) if len(name) == _PREFIX_LETTERS]  # noqa: PTH208
    except FileNotFoundError:
        return []


def _can_be_protected(path: str) -> bool:
    # A second name shares its mode, so an executable file would lose its bit: it is copied.
    return not os.stat(path).st_mode & _EXECUTABLE  # noqa: PTH116


def _real(path: str) -> str:
    # The name of a symbolic link is not the name of its target.
    return os.path.realpath(path) if os.path.islink(path) else path  # noqa: PTH114


def _require_same(path: str, now: Identity, before: Identity, *, n_read: int | None = None) -> None:
    if now != before or n_read not in (None, before[2]):
        raise ConflictError(f"{path} changed while it was read", hint="try again when nothing writes to it")
