"""A bucket on a file server that fsspec reaches: SSH, WebDAV, Hadoop. The only file that speaks fsspec's language.

An object is written aside, in `.everloop-incoming` below the root, and gets its name when it is whole. How each kind is
reached, and what its errors mean, is told by the files of the kinds (`ssh.py`, `webdav.py`, `hadoop.py`).
"""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from typing import Any, Protocol

from everloop.errors import (
    DeniedError,
    EverloopError,
    FailedError,
    InvalidError,
    NotFoundError,
    UnavailableError,
)
from everloop.storage.bucket import CHUNK_BYTES, Stored, chunks_of, is_key

_ASIDE = ".everloop-incoming"
_LEFTOVER_AGE_S = 24 * 3600
_LISTERS = 8
# SFTP asks for all of a read at once, in dozens of requests: most of them for nothing when the object is small.
_FIRST_BYTES = 1 << 14


class Kind(Protocol):
    """What differs between the kinds of file servers."""

    url: str
    root: str

    def connect(self) -> Any:
        """Reach the server; a filesystem of fsspec, safe for threads."""
        ...

    def rename(self, filesystem: Any, old: str, new: str) -> None:
        """Give a file another name, in place of what may have that name, at once."""
        ...

    def make_folder(self, filesystem: Any, path: str) -> None:
        """Make a folder and those above it, unless they are there."""
        ...

    def translate(self, error: Exception, what: str) -> EverloopError | None:
        """What an error means; NotFoundError also where a folder is missing, None for an error of the program."""
        ...


class Filesystem:
    """See `Bucket`.

    Args:
        kind: How it is reached.
    """

    is_near = False

    def __init__(self, kind: Kind) -> None:
        self._kind = kind
        self._lock = threading.Lock()
        self._filesystem: Any = None
        self._sweeping = threading.Lock()
        self._is_swept = False

    @property
    def url(self) -> str:
        return self._kind.url

    def exists(self, key: str) -> bool:
        try:
            with self._reached(key) as filesystem:
                return bool(filesystem.info(self._path(key))["type"] == "file")
        except NotFoundError:
            return False

    def keys(self, prefix: str) -> Iterator[str]:
        if prefix and not is_key(prefix.rstrip("/")):
            raise InvalidError(f"{prefix!r} is no prefix of keys")
        return (stored.key for stored in self._walk(prefix.rstrip("/")))

    def find(self, key: str) -> Iterator[Stored]:
        if key:
            try:
                with self._reached(key) as filesystem:
                    entry = filesystem.info(self._path(key))
            except NotFoundError:
                return
            if entry["type"] == "file":
                yield _stored(key, entry)
                return
        yield from self._walk(key)

    def get(self, key: str, sink: Callable[[bytes], object]) -> None:
        with self._reached(key) as filesystem, filesystem.open(self._path(key), "rb") as stream:
            size_bytes = _FIRST_BYTES
            while chunk := stream.read(size_bytes):
                sink(chunk)
                size_bytes = CHUNK_BYTES if len(chunk) == size_bytes else _FIRST_BYTES

    def put(self, key: str, data: bytes | Iterable[bytes]) -> None:
        final = self._path(key)
        aside = self._below(f"{_ASIDE}/{secrets.token_hex(12)}")
        with self._reached(key) as filesystem:
            self._sweep(filesystem)
            try:
                self._write(filesystem, aside, data)
                self._in_folder(filesystem, final, lambda: self._kind.rename(filesystem, aside, final))
            except BaseException:
                # Whatever else is wrong there, the first error is the one to tell.
                with suppress(Exception):
                    filesystem.rm_file(aside)
                raise

    def flush(self) -> None:
        """A put ends when the object has its name, and the server has been asked to keep it."""

    def delete(self, keys: Iterable[str]) -> None:
        for key in keys:
            with suppress(NotFoundError), self._reached(key) as filesystem:
                filesystem.rm_file(self._path(key))

    def _walk(self, top: str) -> Iterator[Stored]:
        """The objects below a folder; several folders are listed at a time, each costs a round trip."""
        with ThreadPoolExecutor(_LISTERS, thread_name_prefix="everloop-list") as pool:
            running: set[Future[list[tuple[str, Any]]]] = {pool.submit(self._children, top)}
            try:
                while running:
                    ended, running = wait(running, return_when=FIRST_COMPLETED)
                    for key, entry in (child for future in ended for child in future.result()):
                        if key == _ASIDE:
                            continue
                        if entry["type"] == "directory":
                            running.add(pool.submit(self._children, key))
                        else:
                            yield _stored(key, entry)
            finally:
                pool.shutdown(wait=False, cancel_futures=True)

    def _children(self, folder: str) -> list[tuple[str, Any]]:
        """The keys right below a folder, and what the server says of them."""
        try:
            with self._reached(folder) as filesystem:
                entries = filesystem.ls(self._below(folder), detail=True)
        except NotFoundError:
            return []
        prefix = f"{folder}/" if folder else ""
        named = ((entry["name"].rstrip("/").rpartition("/")[2], entry) for entry in entries)
        return [(prefix + name, entry) for name, entry in named if name]

    def _write(self, filesystem: Any, path: str, data: bytes | Iterable[bytes]) -> None:
        # Opened first, so that data which can be read only once are not lost to a missing folder.
        first: list[Any] = []
        self._in_folder(filesystem, path, lambda: first.append(filesystem.open(path, "wb")))
        stream = first[0]
        try:
            for chunk in chunks_of(data):
                stream.write(chunk)
            self._flush_to_disk(stream)
            stream.close()
        except BaseException:
            # Some kinds send what they have when they are closed, and once more when they are forgotten.
            with suppress(Exception):
                getattr(stream, "discard", stream.close)()
            raise

    def _flush_to_disk(self, stream: Any) -> None:
        sync = getattr(stream, "fsync", None)
        if sync is None:
            return
        try:
            sync()
        except Exception as error:
            # A server that cannot be asked keeps what it acknowledged, as well as it can.
            if not isinstance(self._kind.translate(error, path_of(stream)), InvalidError):
                raise

    def _in_folder(self, filesystem: Any, path: str, work: Callable[[], object]) -> None:
        """Do what needs the folder of a path; the folder is made when that is why it failed."""
        try:
            work()
        except Exception as error:
            if not isinstance(self._kind.translate(error, path), NotFoundError):
                raise
            self._kind.make_folder(filesystem, path.rpartition("/")[0])
            work()

    def _sweep(self, filesystem: Any) -> None:
        """Remove what clients that were killed have left aside, once."""
        with self._sweeping:
            if self._is_swept:
                return
            folder = self._below(_ASIDE)
            # To tidy up is nobody's request: that it fails must not fail a put.
            with suppress(Exception):
                self._kind.make_folder(filesystem, folder)
                for entry in filesystem.ls(folder, detail=True):
                    changed = entry.get("mtime") or entry.get("modified")
                    if isinstance(changed, datetime) and _age_s(changed) > _LEFTOVER_AGE_S:
                        filesystem.rm_file(f"{folder}/{entry['name'].rpartition('/')[2]}")
            self._is_swept = True

    @contextmanager
    def _reached(self, what: str) -> Iterator[Any]:
        """The filesystem; its errors become ours, and after a lost connection it is reached anew."""
        filesystem: Any = None
        try:
            with self._lock:
                if self._filesystem is None:
                    self._filesystem = self._kind.connect()
                filesystem = self._filesystem
            yield filesystem
        except EverloopError:
            raise
        except Exception as error:
            known = self._kind.translate(error, what)
            if known is None:
                raise
            if isinstance(known, UnavailableError):
                with self._lock:
                    if self._filesystem is filesystem:
                        self._filesystem = None
            raise known from error

    def _path(self, key: str) -> str:
        if not is_key(key):
            raise InvalidError(f"{key!r} is no key: it would leave the bucket {self.url}")
        return self._below(key)

    def _below(self, key: str) -> str:
        return f"{self._kind.root}/{key}" if self._kind.root else key


def _stored(key: str, entry: Any) -> Stored:
    etag = entry.get("etag")
    return Stored(key=key, size_bytes=entry.get("size"), etag=etag.strip('"') if etag else None)


def _age_s(changed: datetime) -> float:
    # Who names no zone means UTC.
    return time.time() - changed.replace(tzinfo=changed.tzinfo or UTC).timestamp()


def path_of(stream: Any) -> str:
    """The path of an open file, for messages."""
    return str(getattr(stream, "path", "a file"))


def of_the_system(error: Exception, url: str, what: str) -> EverloopError | None:
    """What Python's own errors mean, which all kinds raise; None for those that are no news of a server."""
    if isinstance(error, FileNotFoundError):
        return NotFoundError(f"{what} is not in {url}")
    if isinstance(error, PermissionError):
        return DeniedError(
            f"{url} refuses {what}: {error}", hint="look at the credentials: ever remote list, ever config -l"
        )
    if isinstance(error, TimeoutError | ConnectionError):
        return UnavailableError(f"{url} does not answer ({type(error).__name__})")
    if isinstance(error, IsADirectoryError | NotADirectoryError | FileExistsError):
        return FailedError(f"{url}: {what}: {error}")
    if isinstance(error, OSError):
        return UnavailableError(f"{url}: {what}: {error.strerror or error}")
    return None
