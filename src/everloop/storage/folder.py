"""A bucket that is a folder: of this machine, of a mounted disk or of a file server.

Objects are read-only (0444), as DVC leaves them. They are written aside in `.everloop-incoming`, flushed to the disk
many at a time, and only then given their names.
"""

from __future__ import annotations

import ctypes
import errno
import os
import secrets
import shutil
import stat
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from everloop.errors import DeniedError, EverloopError, FailedError, InvalidError, NotFoundError, UnavailableError
from everloop.storage.bucket import CHUNK_BYTES, Stored, chunks_of, is_key

_ASIDE = ".everloop-incoming"
_READ_ONLY = 0o444
# A larger batch gains nothing and leaves more work to repeat after a crash.
_BATCH_FILES = 4096
_BATCH_BYTES = 1 << 30
_LEFTOVER_AGE_S = 24 * 3600
# Below this number of files one fsync each is cheaper than a flush of the whole filesystem.
_FEW_FILES = 16
_PASSING = {errno.EIO, errno.EAGAIN, errno.ETIMEDOUT, errno.ESTALE, errno.ENETDOWN, errno.EHOSTDOWN, errno.ENOTCONN}


class Folder:
    """See `Bucket`.

    Args:
        root: Made when something is put.
    """

    is_near = True

    def __init__(self, root: Path) -> None:
        self.root = root.absolute()
        self._lock = threading.Lock()
        # Paths are plain strings here: `Path` would take as long as writing a small file.
        self._prefix = os.fspath(self.root) + "/"
        self._aside: str | None = None
        self._waiting: list[tuple[str, str]] = []
        self._waiting_bytes = 0
        self._count = 0

    @property
    def url(self) -> str:
        return str(self.root)

    def exists(self, key: str) -> bool:
        try:
            return stat.S_ISREG(os.stat(self._path(key)).st_mode)  # noqa: PTH116
        except (FileNotFoundError, NotADirectoryError):
            return False
        except OSError as error:
            raise self._problem(key, error) from error

    def keys(self, prefix: str) -> Iterator[str]:
        if prefix and not is_key(prefix.rstrip("/")):
            raise InvalidError(f"{prefix!r} is no prefix of keys")
        try:
            yield from _files(os.fspath(self.root / prefix), prefix)
        except OSError as error:
            raise self._problem(prefix, error) from error

    def find(self, key: str) -> Iterator[Stored]:
        names = [key] if key and self.exists(key) else self.keys(f"{key}/" if key else "")
        for name in names:
            if not name.startswith(_ASIDE):
                yield Stored(key=name, size_bytes=os.stat(self._path(name)).st_size)  # noqa: PTH116

    def get(self, key: str, sink: Callable[[bytes], object]) -> None:
        try:
            descriptor = os.open(self._path(key), os.O_RDONLY)
            try:
                while chunk := os.read(descriptor, CHUNK_BYTES):
                    sink(chunk)
            finally:
                os.close(descriptor)
        except (FileNotFoundError, NotADirectoryError) as error:
            raise NotFoundError(f"{key} is not in {self.root}") from error
        except OSError as error:
            raise self._problem(key, error) from error

    def put(self, key: str, data: bytes | Iterable[bytes]) -> None:
        self._path(key)
        try:
            aside, size_bytes = self._write_aside(data)
        except OSError as error:
            raise self._problem(key, error) from error
        with self._lock:
            self._waiting.append((key, aside))
            self._waiting_bytes += size_bytes
            is_full = len(self._waiting) >= _BATCH_FILES or self._waiting_bytes >= _BATCH_BYTES
        if is_full:
            self._publish_all()

    def flush(self) -> None:
        self._publish_all()
        with self._lock:
            if self._aside is not None:
                os.rmdir(self._aside)  # noqa: PTH106
                self._aside = None

    def delete(self, keys: Iterable[str]) -> None:
        for key in keys:
            path = self._path(key)
            try:
                os.unlink(path)  # noqa: PTH108
            except FileNotFoundError:
                continue
            except OSError as error:
                raise self._problem(key, error) from error

    def new_aside(self) -> Path:
        """A new folder in which whoever calls may write files before they get their names; to be removed by it.

        Raises:
            OSError: It cannot be made.
        """
        parent = self.root / _ASIDE
        parent.mkdir(parents=True, exist_ok=True)
        for leftover in parent.iterdir():
            # Whoever still writes there touches the folder now and then; locks mean little on file servers.
            if time.time() - leftover.stat().st_mtime > _LEFTOVER_AGE_S:
                shutil.rmtree(leftover, ignore_errors=True)
        own = parent / secrets.token_hex(8)
        own.mkdir()
        return own

    def _write_aside(self, data: bytes | Iterable[bytes]) -> tuple[str, int]:
        with self._lock:
            if self._aside is None:
                self._aside = os.fspath(self.new_aside())
            self._count += 1
            aside = f"{self._aside}/{self._count}"
        size_bytes = 0
        descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _READ_ONLY)
        try:
            for chunk in chunks_of(data):
                rest = memoryview(chunk)
                while rest:
                    rest = rest[os.write(descriptor, rest) :]
                size_bytes += len(chunk)
            os.fchmod(descriptor, _READ_ONLY)
        except BaseException:
            os.unlink(aside)  # noqa: PTH108
            raise
        finally:
            os.close(descriptor)
        return aside, size_bytes

    def _publish_all(self) -> None:
        with self._lock:
            waiting, self._waiting, self._waiting_bytes = self._waiting, [], 0
            if not waiting:
                return
            try:
                self._publish(waiting)
            except OSError as error:
                self._waiting = [(key, aside) for key, aside in waiting if os.path.lexists(aside)]
                raise self._problem(waiting[0][0], error) from error

    def _publish(self, waiting: list[tuple[str, str]]) -> None:
        _sync(self.root, [aside for _, aside in waiting])
        folders: set[str] = set()
        for key, aside in waiting:
            final = self._prefix + key
            folder = final.rpartition("/")[0]
            if folder not in folders:
                os.makedirs(folder, exist_ok=True)  # noqa: PTH103
                folders.add(folder)
            os.rename(aside, final)  # noqa: PTH104
        above = {
            os.fspath(parent)
            for folder in folders
            for parent in Path(folder).parents
            if parent.is_relative_to(self.root)
        }
        _sync(self.root, [*folders, *above])

    def _path(self, key: str) -> str:
        if not is_key(key):
            raise InvalidError(f"{key!r} is no key: it would leave the bucket {self.root}")
        return self._prefix + key

    def _problem(self, key: str, error: OSError) -> EverloopError:
        reason = f"{self.root}: {key}: {error.strerror or error}"
        if isinstance(error, PermissionError) or error.errno == errno.EROFS:
            return DeniedError(reason)
        return UnavailableError(reason) if error.errno in _PASSING else FailedError(reason)


def _files(folder: str, prefix: str) -> Iterator[str]:
    try:
        entries = os.scandir(folder)
    except (FileNotFoundError, NotADirectoryError):
        return
    below = []
    with entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                below.append((entry.path, f"{prefix}{entry.name}/"))
            else:
                yield prefix + entry.name
    for path, inner in below:
        yield from _files(path, inner)


def _sync(root: Path, paths: list[str]) -> None:
    """Flush files and folders to the disk; many of them with one flush of their filesystem."""
    if len(paths) > _FEW_FILES and sys.platform.startswith("linux"):
        descriptor = os.open(root, os.O_RDONLY)
        libc = ctypes.CDLL(None, use_errno=True)
        try:
            if libc.syncfs(descriptor) != 0:
                number = ctypes.get_errno()
                raise OSError(number, os.strerror(number), str(root))
        finally:
            os.close(descriptor)
        return
    for path in paths:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
