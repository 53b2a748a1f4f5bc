"""Bring data from where they are straight to a remote, past the cache: `add --to-remote`, `import-url --to-remote`.

Bytes are hashed on the way. A file of this machine is read twice, a small one of another is held in memory, a large one
waits on the disk for its hash, since a remote takes an object by that name only; where the disk has no room for it, it
comes twice instead. As with a push the listing of a directory goes last.
"""

from __future__ import annotations

import hashlib
import queue
import shutil
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from everloop.errors import ConflictError, EverloopError, FailedError
from everloop.workspace import hashing, parallel
from everloop.workspace.add import add_brought
from everloop.workspace.origin import Origin, OriginFile, Sink
from everloop.workspace.parallel import Patience
from everloop.workspace.remote_store import RemoteStore
from everloop.workspace.values import AddReport, Content

if TYPE_CHECKING:
    from everloop.workspace.workspace import Workspace

_HELD_BYTES = 8 << 20
# Room that is left for others, when a file waits on the disk.
_SPARE_BYTES = 1 << 30
_CHUNKS_AHEAD = 4


def measure(origin: Origin, *, jobs: int, hashes: dict[str, str] | None = None) -> Content:
    """Hash what lies at an address, and keep nothing of it.

    Args:
        origin: The address.
        jobs: How many files at a time.
        hashes: Gets the hash of each file, when it is a directory.

    Raises: as `Origin.read`.
    """

    def one(file: OriginFile) -> tuple[str, int]:
        return _hashed(origin, file)

    content, found = _whole(origin.files(), one, jobs, origin.patience)
    if hashes is not None:
        hashes |= found or {}
    return content


def send(workspace: Workspace, origin: Origin, store: RemoteStore, *, jobs: int | None = None) -> Content:
    """Bring what lies at an address to a remote.

    Returns:
        What it is; the remote has all of it durably.

    Raises:
        NotFoundError: Nothing is there.
        EverloopError: A file did not arrive; to do it again goes on with what is missing, as far as that can be told.
    """
    workspace.layout.scratch_dir.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="to-remote-", dir=workspace.layout.scratch_dir) as scratch:
        way = _Way(origin, store, Path(scratch))
        content, files = _whole(origin.files(), way.bring, jobs or store.jobs, store.patience)
    store.flush()
    if files is not None:
        encoded = hashing.encode_directory(files)
        parallel.insist(lambda: store.put_hashed(content.md5, encoded), store.patience)
        store.flush()
    return content


def add(workspace: Workspace, origin: Origin, path: str, store: RemoteStore, *, jobs: int | None = None) -> AddReport:
    """Put what lies at an address under version at a path, with its bytes in a remote only; `pull` puts them in place.

    Raises: as `Workspace.add` and `send`.
    """
    return add_brought(workspace, path, lambda: send(workspace, origin, store, jobs=jobs))


def _whole(
    files: list[OriginFile], one: Callable[[OriginFile], tuple[str, int]], jobs: int, patience: Patience
) -> tuple[Content, dict[str, str] | None]:
    """Do each file; the content of all, and the hashes by name when it is a directory."""
    hashes: dict[str, str] = {}
    size_bytes = 0
    for done in parallel.each(one, files, jobs=jobs, patience=patience):
        if done.error is not None:
            raise _named(done.error, done.item.name)
        assert done.result is not None
        hashes[done.item.name] = done.result[0]
        size_bytes += done.result[1]
    if "" in hashes:
        return Content(md5=hashes[""], size_bytes=size_bytes, is_executable=files[0].is_executable), None
    return Content(md5=hashing.directory_md5_of(hashes), size_bytes=size_bytes, n_files=len(hashes)), hashes


class _Way:
    """From one address to one remote."""

    def __init__(self, origin: Origin, store: RemoteStore, scratch: Path) -> None:
        self._origin = origin
        self._store = store
        self._scratch = scratch

    def bring(self, file: OriginFile) -> tuple[str, int]:
        """Bring one file; its hash and its size."""
        if self._origin.is_here:
            return self._again(file)
        if file.size_bytes is not None and file.size_bytes <= _HELD_BYTES:
            return self._held(file)
        if (file.size_bytes or 0) + _SPARE_BYTES > shutil.disk_usage(self._scratch).free:
            return self._again(file)
        return self._waiting(file)

    def _held(self, file: OriginFile) -> tuple[str, int]:
        chunks: list[bytes] = []
        self._origin.read(file.name, chunks.append)
        data = b"".join(chunks)
        md5 = hashlib.md5(data, usedforsecurity=False).hexdigest()
        self._store.put_hashed(md5, data)
        return md5, len(data)

    def _waiting(self, file: OriginFile) -> tuple[str, int]:
        digest = hashlib.md5(usedforsecurity=False)
        with tempfile.NamedTemporaryFile(dir=self._scratch) as aside:

            def sink(chunk: bytes) -> None:
                digest.update(chunk)
                aside.write(chunk)

            self._origin.read(file.name, sink)
            aside.flush()
            size_bytes = aside.tell()
            md5 = digest.hexdigest()
            if not self._store.has(md5):
                self._store.put(md5, aside.name)
        return md5, size_bytes

    def _again(self, file: OriginFile) -> tuple[str, int]:
        """Read the file once for its hash, and once more to bring it."""
        md5, size_bytes = _hashed(self._origin, file)
        if self._store.has(md5):
            return md5, size_bytes
        chunks = _pulled(lambda sink: self._origin.read(file.name, sink))
        if size_bytes <= _HELD_BYTES:
            data = b"".join(chunks)
            _require_same(file, hashlib.md5(data, usedforsecurity=False).hexdigest(), md5)
            self._store.put_hashed(md5, data)
        else:
            self._store.put_hashed(md5, _checked(chunks, file, md5))
        return md5, size_bytes


def _hashed(origin: Origin, file: OriginFile) -> tuple[str, int]:
    digest = hashlib.md5(usedforsecurity=False)
    size_bytes = 0

    def sink(chunk: bytes) -> None:
        nonlocal size_bytes
        digest.update(chunk)
        size_bytes += len(chunk)

    origin.read(file.name, sink)
    return digest.hexdigest(), size_bytes


def _checked(chunks: Iterator[bytes], file: OriginFile, md5: str) -> Iterator[bytes]:
    digest = hashlib.md5(usedforsecurity=False)
    for chunk in chunks:
        digest.update(chunk)
        yield chunk
    _require_same(file, digest.hexdigest(), md5)


def _require_same(file: OriginFile, found: str, md5: str) -> None:
    if found != md5:
        raise ConflictError(
            f"{file.name or 'the file'} changed while it was read", hint="try again when nothing writes to it"
        )


def _pulled(read: Callable[[Sink], None]) -> Iterator[bytes]:
    """The chunks that a reader pushes, for who wants to pull them; a few are read ahead, never all."""
    ahead: queue.Queue[bytes | BaseException | None] = queue.Queue(maxsize=_CHUNKS_AHEAD)
    is_over = threading.Event()

    def sink(chunk: bytes) -> None:
        while not is_over.is_set():
            with suppress(queue.Full):
                ahead.put(chunk, timeout=0.1)
                return
        raise FailedError("nobody wants the rest")

    def run() -> None:
        end: BaseException | None = None
        try:
            read(sink)
        except BaseException as error:  # noqa: BLE001  it is raised where the chunks are wanted
            end = error
        with suppress(FailedError):
            sink(end)  # type: ignore[arg-type]

    reader = threading.Thread(target=run, name="everloop-read-ahead")
    reader.start()
    try:
        while (item := ahead.get()) is not None:
            if isinstance(item, BaseException):
                raise item
            yield item
    finally:
        is_over.set()
        reader.join()


def _named(error: EverloopError, name: str) -> EverloopError:
    return type(error)(f"{name}: {error.message}", hint=error.hint) if name else error
