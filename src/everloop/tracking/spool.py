"""What a run has to tell the hub, kept on disk until the hub has it: one folder a run, one append-only file a process.

    EVERLOOP_HOME/spool/<run id>/<source>.jsonl     a header, then one entry a line; entry n is line n after the header
    EVERLOOP_HOME/spool/<run id>/<source>-<n>.blob  a file's bytes, as they were when it was logged
    EVERLOOP_HOME/spool/<run id>/folders            where processes that joined the run keep the metrics that they tell

Promises:
- A file has one writer, which holds its `flock` for as long as it lives: who gets the lock knows that the writer is
  gone, however it went. A line that a crash has cut is no entry.
- Entries are never changed, so their number names them; the hub stores each number once (`TrackingStore.append`).
- The files of a run, by name, are in the order in which their writers started.
"""

from __future__ import annotations

import fcntl
import itertools
import os
import secrets
import shutil
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from everloop.errors import InvalidError
from everloop.refs import check_run_id
from everloop.tracking.livefiles import append, write_all
from everloop.tracking.run import Edge, Metric, Status


class Ended(msgspec.Struct, frozen=True):
    """How and when a run ended."""

    status: Status
    at: datetime


class Blob(msgspec.Struct, frozen=True):
    """An artifact's path in the run, and the file beside the spool that holds its bytes."""

    path: str
    name: str
    size_bytes: int


class Entry(msgspec.Struct, frozen=True, omit_defaults=True):
    """One thing to tell."""

    metrics: list[Metric] = []
    params: dict[str, str] = {}
    tags: dict[str, str] = {}
    blob: Blob | None = None
    edges: list[Edge] = []
    ended: Ended | None = None


class Header(msgspec.Struct, frozen=True, kw_only=True):
    """The first line: which run, and who writes.

    Attributes:
        experiment: Empty for a writer that joined a run which another one makes and ends.
        hub: Where it is to be sent; empty when no hub was set.
    """

    run_id: str
    experiment: str
    name: str
    started_at: datetime
    tags: dict[str, str]
    hub: str
    format: int = 1

    @property
    def is_owner(self) -> bool:
        """Whether the writer makes the run and ends it."""
        return bool(self.experiment)


_FOLDERS = "folders"
_encode = msgspec.json.Encoder().encode
_header = msgspec.json.Decoder(Header)
_entry = msgspec.json.Decoder(Entry)


class Segment:
    """The file that this process writes. Not thread-safe.

    Raises:
        OSError: It cannot be made.
    """

    def __init__(self, root: Path, header: Header) -> None:
        folder = root / check_run_id(header.run_id)
        source = f"{time.time_ns():020d}-{secrets.token_hex(4)}"
        self.path = folder / f"{source}.jsonl"
        self._descriptor = _created(self.path)
        self._n_blobs = 0
        try:
            write_all(self._descriptor, _encode(header) + b"\n")
        except OSError:
            self.path.unlink()
            self.close()
            raise

    def add(self, entries: Iterable[Entry]) -> None:
        """Write entries: all of them or, when that fails, none.

        Raises:
            OSError: The disk is full, for one.
        """
        write_all(self._descriptor, b"".join(_encode(entry) + b"\n" for entry in entries))

    def keep(self, path: str, source: Path) -> Blob:
        """Take a copy of a file's bytes, as the artifact `path`; the entry is left to the caller.

        Raises:
            OSError: The disk is full, or the file cannot be read.
        """
        self._n_blobs += 1
        target = self.path.with_name(f"{self.path.stem}-{self._n_blobs}.blob")
        try:
            shutil.copyfile(source, target)
        except OSError:
            target.unlink(missing_ok=True)
            raise
        return Blob(path=path, name=target.name, size_bytes=target.stat().st_size)

    def flush(self) -> None:
        """Wait until the disk has what was written."""
        os.fsync(self._descriptor)

    def close(self) -> None:
        """Let go of the file; another process may now send what it holds."""
        os.close(self._descriptor)


class Reader:
    """The entries of a segment, from the first that was not sent on."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with path.open("rb") as file:
            line = file.readline()
        try:
            self.header = _header.decode(line)
        except msgspec.MsgspecError as error:
            raise InvalidError(
                f"{path}:1: is no spool of a run: {error}", hint=f"Nothing of it can be sent; remove it: rm {path}"
            ) from error
        self._start = self._offset = len(line)
        self._number = 0

    @property
    def source(self) -> str:
        return self.path.stem

    def seek(self, number: int) -> None:
        """Go on after entry `number`."""
        if number < self._number:
            self._offset, self._number = self._start, 0
        with self.path.open("rb") as file:
            file.seek(self._offset)
            for _ in range(number - self._number):
                line = file.readline()
                if not line.endswith(b"\n"):
                    break
                self._offset += len(line)
                self._number += 1

    def read(self, limit_bytes: int) -> list[Entry]:
        """Return the next entries, about so many bytes of them; the same ones again until `seek`.

        Raises:
            InvalidError: The next line is damaged; names it.
        """
        entries: list[Entry] = []
        size = 0
        with self.path.open("rb") as file:
            file.seek(self._offset)
            while size < limit_bytes and (line := file.readline()).endswith(b"\n"):
                try:
                    entries.append(self._decoded(line, self._number + len(entries) + 2))
                except InvalidError:
                    if entries:
                        break  # those before it first
                    raise
                size += len(line)
        return entries

    def count(self) -> int:
        """Return how many entries there are in all."""
        with self.path.open("rb") as file:
            return sum(line.endswith(b"\n") for line in file) - 1

    def has_ended_at(self, number: int) -> bool:
        """Whether entry `number` is the run's end."""
        if number == 0:
            return False
        with self.path.open("rb") as file:
            line = next(itertools.islice(file, number, None), b"")
        return line.endswith(b"\n") and self._decoded(line, number + 1).ended is not None

    def _decoded(self, line: bytes, number: int) -> Entry:
        try:
            return _entry.decode(line)
        except msgspec.MsgspecError as error:
            raise InvalidError(
                f"{self.path}:{number}: is damaged: {error}", hint="What comes before it was sent."
            ) from error


def segments(root: Path) -> list[Path]:
    """Return what is in a spool: run by run, each in order."""
    return sorted(root.glob("*/*.jsonl"), key=lambda path: (path.parent.name, path.name))


@contextmanager
def taken(path: Path) -> Iterator[bool]:
    """Hold a segment whose writer is gone; gives False when it lives, another process sends it, or it is sent."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        yield False
        return
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        yield os.fstat(descriptor).st_nlink > 0
    finally:
        os.close(descriptor)


def tell_folder(root: Path, run_id: str, folder: Path) -> None:
    """Note that a process which joined a run tells of the metrics in a folder itself.

    Raises:
        OSError: It cannot be noted.
    """
    path = root / run_id / _FOLDERS
    path.parent.mkdir(parents=True, exist_ok=True)
    append(path, os.fsencode(folder.resolve()) + b"\0")


def told_folders(root: Path, run_id: str) -> set[Path]:
    """The folders whose metrics are told by the processes that joined a run."""
    try:
        data = (root / run_id / _FOLDERS).read_bytes()
    except FileNotFoundError:
        return set()
    return {Path(os.fsdecode(name)) for name in data.split(b"\0") if name}


def remove(path: Path) -> None:
    """Forget a segment that was sent, and the run's folder with the last of them."""
    path.unlink(missing_ok=True)
    for blob in path.parent.glob(f"{path.stem}-*.blob"):
        blob.unlink(missing_ok=True)
    if not any(path.parent.glob("*.jsonl")):
        (path.parent / _FOLDERS).unlink(missing_ok=True)
    with suppress(OSError):
        path.parent.rmdir()


def modified_at(path: Path) -> datetime:
    """Return when a segment was written to for the last time."""
    return datetime.fromtimestamp(path.stat().st_mtime, UTC)


def _created(path: Path) -> int:
    for _ in range(100):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
        except FileNotFoundError:
            continue  # the last segment of this run was sent at this moment, and its folder removed
        # Nobody else knows the file yet, so this never waits.
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        return descriptor
    raise FileNotFoundError(f"{path.parent} is removed again and again")
