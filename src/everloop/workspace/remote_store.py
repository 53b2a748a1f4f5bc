"""The objects in a remote, by their hash, in DVC's layout: `files/md5/ab/cdef…`.

Remembers which directories were once seen there whole, so that a push with nothing to do asks one question for each.
The memory is a file below `.dvc/tmp/everloop/remotes` that can be deleted at any time. Leaves what is moved, and in
which order, to `push.py` and `fetch.py`.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Collection, Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from everloop.errors import FailedError, InvalidError, NotFoundError, UnavailableError
from everloop.progress import Passing
from everloop.workspace import durable, hashing, objectid, parallel
from everloop.workspace.cache import corrupt
from everloop.workspace.parallel import Patience
from everloop.workspace.remotes import Remote

if TYPE_CHECKING:
    from everloop.storage.bucket import Bucket

_WHOLE_BYTES = 8 << 20
# A question for each object, below this number; one listing above.
_FEW_FAR = 64
_FEW_NEAR = 512
# A remote with more objects than this is listed by its 256 folders at once, as far as they matter. Below it, one
# listing of twenty pages costs less, although its pages come one after the other.
_LISTED_AT_ONCE = 20_000
_DECODER = msgspec.msgpack.Decoder(set[str])


class WrongBytesError(UnavailableError):
    """What came is not what was asked for; it may be right the next time, when the way is to blame."""


class RemoteStore:
    """One remote's objects. Thread-safe, but for its memory.

    Args:
        remote: Which.
        memory_dir: Where to remember.
        jobs: How many requests may be under way at once; None means what suits the kind of remote.
        patience: With requests that fail.
        bucket: Where the bytes are; None means what the remote's URL says.
    """

    def __init__(
        self,
        remote: Remote,
        memory_dir: Path,
        *,
        jobs: int | None = None,
        patience: Patience | None = None,
        bucket: Bucket | None = None,
    ) -> None:
        for option in ("worktree", "version_aware"):
            if remote.options.get(option, "false").lower() == "true":
                raise InvalidError(
                    f"remote {remote.name}: {option} (cloud versioning) is not supported",
                    hint="use dvc for this remote",
                )
        self.name = remote.name
        if bucket is None:
            # Here, because its room loads the HTTP client, which costs as much as all other imports of a command.
            from everloop.storage.bucket import open_bucket

            bucket = open_bucket(remote.url, remote.options)
        self.bucket = bucket
        self.jobs = jobs or _number(remote.options.get("jobs")) or self._usual_jobs()
        self.patience = patience or Patience()
        self._memory = memory_dir / hashlib.sha256(remote.url.encode()).hexdigest()[:32]
        self._whole = _load(self._memory)

    @property
    def url(self) -> str:
        """For messages; without secrets."""
        return self.bucket.url

    @property
    def batch(self) -> int:
        """How many objects a thread takes at a time: handing one over costs as much as a small file."""
        return 64 if self.bucket.is_near else 1

    @staticmethod
    def key(md5: str) -> str:
        """Where the object of that id lies."""
        return objectid.key(md5)

    def has(self, md5: str) -> bool:
        """Whether the object is there; of a directory, only its listing."""
        return parallel.insist(lambda: self.bucket.exists(self.key(md5)), self.patience)

    def present(self, ids: Collection[str]) -> set[str]:
        """Which of the ids are there. Asks for each when they are few, else lists.

        Raises:
            EverloopError: The remote does not answer, or refuses.
        """
        legacy = {md5 for md5 in ids if objectid.is_legacy(md5)}
        if legacy and len(legacy) < len(ids):
            return self.present(legacy) | self.present(set(ids) - legacy)
        if len(ids) <= (_FEW_NEAR if self.bucket.is_near else _FEW_FAR):
            return self._asked(ids)
        if self.bucket.is_near or legacy:
            return self._listed_by_folder(ids)
        try:
            found = parallel.insist(self._listed_whole, self.patience)
        except InvalidError:
            # A web server cannot list.
            return self._asked(ids)
        if found is None:
            return self._listed_by_folder(ids) if len(ids) > 2 * _FEW_NEAR else self._asked(ids)
        return found.intersection(ids)

    def ids(self) -> Iterator[str]:
        """All objects that are there, those of DVC 2 too."""
        return filter(None, map(objectid.of_key, self.bucket.keys("")))

    def read(self, md5: str) -> bytes:
        """An object's bytes, for a directory's listing; with patience.

        Raises:
            NotFoundError: The remote does not have it.
            UnavailableError: It did not come whole, or its bytes are not those that its name promises.
        """

        def once() -> bytes:
            chunks: list[bytes] = []
            self._get(md5, chunks.append)
            return b"".join(chunks)

        return parallel.insist(once, self.patience)

    def stream(self, md5: str, sink: Callable[[bytes], object]) -> None:
        """Hand an object's bytes to the sink as they come; with patience, and none of them twice.

        Raises:
            NotFoundError: The remote does not have it.
            UnavailableError: It did not come whole, or what was handed out is not what its name promises.
        """
        digest = hashing.digest(md5)
        n_given = 0

        def once() -> None:
            position = 0

            def rest(chunk: bytes) -> None:
                nonlocal position, n_given
                fresh = chunk[max(n_given - position, 0) :]
                position += len(chunk)
                if fresh:
                    # What is checked is what was handed out, from whichever attempt it came.
                    digest.update(fresh)
                    n_given += len(fresh)
                    sink(fresh)

            self.bucket.get(self.key(md5), rest)

        parallel.insist(once, self.patience)
        if digest.hexdigest() != md5.removesuffix(".dir"):
            raise self._wrong_bytes(md5)

    def fetch(self, md5: str, aside: str) -> int:
        """Bring an object to a new file; returns its size in bytes. Tries once; after an error there is no file.

        Raises:
            NotFoundError: The remote does not have it.
            UnavailableError: It did not come whole, or its bytes are not those that its name promises.
            FailedError: The file cannot be written.
        """
        size_bytes = 0

        def sink(chunk: bytes) -> None:
            nonlocal size_bytes
            rest = memoryview(chunk)
            while rest:
                rest = rest[os.write(descriptor, rest) :]
            size_bytes += len(chunk)
            passing.passed(len(chunk))

        passing = Passing()
        try:
            descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
            try:
                with passing:
                    self._get(md5, sink)
            except BaseException:
                os.unlink(aside)  # noqa: PTH108
                raise
            finally:
                os.close(descriptor)
        except OSError as error:
            raise FailedError(f"{md5} cannot be written to {aside}: {error.strerror or error}") from error
        return size_bytes

    def _get(self, md5: str, sink: Callable[[bytes], object]) -> None:
        digest = hashing.digest(md5)

        def both(chunk: bytes) -> None:
            digest.update(chunk)
            sink(chunk)

        self.bucket.get(self.key(md5), both)
        if digest.hexdigest() != md5.removesuffix(".dir"):
            raise self._wrong_bytes(md5)

    def _wrong_bytes(self, md5: str) -> WrongBytesError:
        return WrongBytesError(f"{self.url}: {self.key(md5)} came with other bytes than its name promises")

    def put(self, md5: str, source: str) -> None:
        """Bring an object here, verified on the way; it is there for certain after `flush`.

        Raises:
            NotFoundError: The file is gone.
            FailedError: Its bytes are not what its name promises, or cannot be read; nothing was put.
        """
        try:
            self.bucket.put(self.key(md5), _verified(md5, source))
        except FileNotFoundError as error:
            raise NotFoundError(f"{source} is not there (any more)") from error
        except OSError as error:
            raise FailedError(f"{source} cannot be read: {error.strerror or error}") from error

    def put_hashed(self, md5: str, data: bytes | Iterable[bytes]) -> None:
        """Bring bytes here whose hash is known to be right, or which raise an error at their end when it is not."""
        self.bucket.put(self.key(md5), data)

    def flush(self) -> None:
        """Wait until all that was put is there."""
        parallel.insist(self.bucket.flush, self.patience)

    def delete(self, ids: Iterable[str]) -> None:
        """Remove objects; the directories that need them are no longer known as whole."""
        self.forget()
        keys = [self.key(md5) for md5 in ids]
        parallel.insist(lambda: self.bucket.delete(keys), self.patience)

    def whole(self, ids: Iterable[str]) -> set[str]:
        """Which directories are there, and were once seen there with all of their files."""
        known = self._whole.intersection(ids)
        there = self.present(known) if known else set()
        if there != known:
            # Somebody removes objects, so nothing that was seen counts any more.
            self.forget()
            return set()
        return there

    def seen(self, ids: Iterable[str]) -> set[str]:
        """Which files, and directories with all of their files, were once seen there; nothing is asked."""
        return self._whole.intersection(ids)

    def remember_whole(self, ids: Iterable[str]) -> None:
        """Note that files are there, and directories with all of their files."""
        new = set(ids) - self._whole
        if new:
            self._whole |= new
            self._memory.parent.mkdir(parents=True, exist_ok=True)
            durable.write_atomically(self._memory, msgspec.msgpack.encode(self._whole), flush=False)

    def forget(self) -> None:
        """Trust nothing that was seen: something failed, or was removed."""
        self._whole = set()
        self._memory.unlink(missing_ok=True)

    def _asked(self, ids: Collection[str]) -> set[str]:
        found: set[str] = set()
        done = parallel.each(self.has, ids, jobs=self.jobs, batch=self.batch, patience=Patience(attempts=1))
        for answer in done:
            if answer.error is not None:
                raise answer.error
            if answer.result:
                found.add(answer.item)
        return found

    def _listed_whole(self) -> set[str] | None:
        """All ids by one listing; None when there are too many for that."""
        keys = self.bucket.keys(objectid.FOLDER)
        found = set(islice(filter(None, map(objectid.of_key, keys)), _LISTED_AT_ONCE + 1))
        return None if len(found) > _LISTED_AT_ONCE else found

    def _listed_by_folder(self, ids: Collection[str]) -> set[str]:
        found: set[str] = set()
        folders = sorted({self.key(md5).rpartition("/")[0] for md5 in ids})
        for answer in parallel.each(self._listed, folders, jobs=self.jobs, patience=self.patience):
            if answer.error is not None:
                raise answer.error
            found.update(answer.result or ())
        return found.intersection(ids)

    def _listed(self, folder: str) -> list[str]:
        return list(filter(None, map(objectid.of_key, self.bucket.keys(f"{folder}/"))))

    def _usual_jobs(self) -> int:
        cores = os.cpu_count() or 1
        return min(2, cores) if self.bucket.is_near else 4 * max(cores, 4)


def _verified(md5: str, source: str) -> bytes | Iterator[bytes]:
    descriptor = os.open(source, os.O_RDONLY)
    try:
        if os.fstat(descriptor).st_size > _WHOLE_BYTES:
            return _verified_chunks(md5, source)
        data = b""
        while chunk := os.read(descriptor, _WHOLE_BYTES):
            data = data + chunk if data else chunk
    finally:
        os.close(descriptor)
    digest = hashing.digest(md5)
    digest.update(data)
    if digest.hexdigest() != md5.removesuffix(".dir"):
        raise corrupt(Path(source))
    return data


def _verified_chunks(md5: str, source: str) -> Iterator[bytes]:
    digest = hashing.digest(md5)
    with Path(source).open("rb", buffering=0) as stream, Passing() as passing:
        while chunk := stream.read(hashing.CHUNK_BYTES):
            digest.update(chunk)
            yield chunk
            passing.passed(len(chunk))
    if digest.hexdigest() != md5.removesuffix(".dir"):
        raise corrupt(Path(source))


def _number(text: str | None) -> int | None:
    return int(text) if text and text.isdecimal() else None


def _load(memory: Path) -> set[str]:
    try:
        return _DECODER.decode(memory.read_bytes())
    except (FileNotFoundError, msgspec.MsgspecError):
        # Of another release, or damaged: it only costs to ask again.
        return set()
