"""The object store: bytes by the SHA-256 of their content, verified on the way in and on the way out.

An object appears under its name only when it is complete and on the disk. This skeleton keeps them in a folder, which
several processes of one machine share; cloud stores by URL find their place behind the same five verbs.
"""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from everloop.errors import InvalidError, NotFoundError

_DIGEST = re.compile(r"[0-9a-f]{64}")
_CHUNK = 1 << 20


class Incoming:
    """Bytes on their way into an object store. Not thread-safe, but may go from thread to thread."""

    def __init__(self, file: BinaryIO, publish: Callable[[str], None]) -> None:
        self._file = file
        self._publish = publish
        self._digest = hashlib.sha256()
        self.size_bytes = 0

    def write(self, chunk: bytes) -> None:
        self._digest.update(chunk)
        self._file.write(chunk)
        self.size_bytes += len(chunk)

    def store(self, expected: str | None = None) -> str:
        """Make what came one object; return its digest.

        Raises:
            InvalidError: `expected` is given and the content has another digest; nothing is stored.
        """
        self._file.flush()
        os.fsync(self._file.fileno())
        found = self._digest.hexdigest()
        if expected is not None and found != expected:
            raise InvalidError(f"asked to store {expected}, but the bytes that came have digest {found}")
        self._publish(found)
        return found


class ObjectStore:
    """A folder of immutable objects, `ab/cdef…`. Thread-safe and process-safe: the same content is stored once.

    Args:
        root: the folder; made when missing.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    def put(self, data: bytes) -> str:
        """Store bytes; return their digest, 64 hex digits."""
        return self.put_stream([data])

    def put_file(self, path: Path) -> str:
        """Store a file's content; return its digest."""
        with path.open("rb") as file:
            return self.put_stream(iter(lambda: file.read(_CHUNK), b""))

    def put_stream(self, chunks: Iterable[bytes], *, expected: str | None = None) -> str:
        """Store chunks as one object; return its digest.

        Raises:
            InvalidError: `expected` is given and the content has another digest; nothing is stored.
        """
        with self.incoming() as new:
            for chunk in chunks:
                new.write(chunk)
            return new.store(expected)

    @contextmanager
    def incoming(self) -> Iterator[Incoming]:
        """Take an object whose bytes come piece by piece; what was not stored when the context ends is gone."""
        self.root.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=".put-", dir=self.root)
        try:
            with os.fdopen(handle, "wb") as file:
                yield Incoming(file, lambda digest: self._publish(Path(name), digest))
        finally:
            Path(name).unlink(missing_ok=True)

    def _publish(self, temporary: Path, digest: str) -> None:
        # Also over an object of that name: its bytes are the same, or they were damaged and are whole again now.
        target = self._path(digest)
        target.parent.mkdir(exist_ok=True)
        temporary.chmod(0o444)
        temporary.rename(target)
        _sync_folder(target.parent)
        _sync_folder(self.root)

    def get(self, digest: str) -> bytes:
        """Return an object's bytes, verified.

        Raises:
            NotFoundError: there is no such object.
            InvalidError: the stored bytes no longer match their digest.
        """
        path = self._existing(digest)
        data = path.read_bytes()
        if hashlib.sha256(data).hexdigest() != digest:
            raise _damaged(digest, path)
        return data

    def fetch(self, digest: str, path: Path) -> None:
        """Copy an object to `path`, verified, so that `path` appears only when complete; parents are made.

        Raises:
            NotFoundError: there is no such object.
            InvalidError: the stored bytes no longer match their digest.
        """
        source = self._existing(digest)
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{secrets.token_hex(8)}.part")
        found = hashlib.sha256()
        try:
            with source.open("rb") as file, temporary.open("xb") as copy:
                while chunk := file.read(_CHUNK):
                    found.update(chunk)
                    copy.write(chunk)
                copy.flush()
                os.fsync(copy.fileno())
            if found.hexdigest() != digest:
                raise _damaged(digest, source)
            temporary.rename(path)
        finally:
            temporary.unlink(missing_ok=True)

    def has(self, digest: str) -> bool:
        """Say whether an object is stored (its content is not read)."""
        return self._path(digest).exists()

    def path_of(self, digest: str) -> Path:
        """Return where an object lies; for reading only."""
        return self._existing(digest)

    def _existing(self, digest: str) -> Path:
        path = self._path(digest)
        if not path.is_file():
            raise NotFoundError(f"no object {digest} in {self.root}")
        return path

    def _path(self, digest: str) -> Path:
        if not _DIGEST.fullmatch(digest):
            raise InvalidError(f"a digest is 64 hex digits, found {digest!r}")
        return self.root / digest[:2] / digest[2:]


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _damaged(digest: str, path: Path) -> InvalidError:
    return InvalidError(
        f"object {digest} is damaged on disk at {path}",
        hint="Store its content again, or restore it from a backup.",
    )
