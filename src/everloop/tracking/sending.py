"""Bringing a spool's entries to the hub: in order, in batches, each once.

Whatever is cut off (this process, the hub, the line between them) is done again from the entry that the hub says is the
last it has. Leaves when to try again to the callers.
"""

from __future__ import annotations

import hashlib
import json
import mmap
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from everloop.errors import ConflictError, InvalidError
from everloop.storage import HttpClient, remote
from everloop.tracking.run import Artifact, Edge, Metric
from everloop.tracking.spool import Blob, Ended, Entry, Reader
from everloop.tracking.store import TrackingStore

BATCH_BYTES = 1 << 20
_CHUNK = 1 << 20


class Hub(Protocol):
    """Where runs are sent."""

    @property
    def tracking(self) -> TrackingStore:
        """Its runs."""
        ...

    def put_file(self, path: Path) -> str:
        """Store a file's content; return its SHA-256."""
        ...


class HttpHub:
    """The hub at a URL. Thread-safe; connects at the first call.

    Args:
        timeout_s: For how long one answer is waited for.
    """

    def __init__(self, url: str, *, timeout_s: float = 30.0) -> None:
        self._http = HttpClient(url, timeout_s=timeout_s)
        self.tracking = remote(TrackingStore, "tracking", self._http)

    def put_file(self, path: Path) -> str:
        """Store a file's content, of which nothing is held in memory; return its SHA-256."""
        if path.stat().st_size == 0:
            return self._put(b"")
        with (
            path.open("rb") as file,
            mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped,
            memoryview(mapped) as view,
        ):
            return self._put(view)

    def _put(self, data: bytes | memoryview) -> str:
        hashed = hashlib.sha256()
        for start in range(0, len(data), _CHUNK):
            hashed.update(data[start : start + _CHUNK])
        digest = hashed.hexdigest()
        self._http.call("PUT", f"/api/objects/{digest}", body=data, content_type="application/octet-stream")
        return digest


class Sender:
    """Sends one segment. Not thread-safe.

    Args:
        tell: Told in words of what the hub refused.
    """

    def __init__(self, path: Path, hub: Hub, tell: Callable[[str], None]) -> None:
        self.reader = Reader(path)
        self.sent = 0
        self.is_done = False
        self.is_uploading = False
        self._hub = hub
        self._tell = tell
        self._has_begun = False

    def send(self) -> int:
        """Send the next batch; return how many entries it had, 0 when none waits.

        Raises:
            UnavailableError: The hub does not answer; the next call goes on where this one was.
            NotFoundError: The run that this segment joined is not there yet.
            InvalidError: The segment is damaged.
        """
        if not self._has_begun:
            self._begin()
        entries = self.reader.read(BATCH_BYTES)
        if not entries:
            return 0
        if entries[0].ended is not None:
            # Ended first and counted then: cut off in between, it is ended again, which changes nothing.
            self.end(entries[0].ended)
            self._append(entries[:1], _Batch([]))
            self.is_done = True
            return 1
        if entries[-1].ended is not None:
            entries.pop()
        self._send(entries)
        return len(entries)

    def end(self, ended: Ended) -> None:
        """End the run; one that has ended otherwise stays as it is."""
        if self.reader.header.is_owner:
            try:
                self._hub.tracking.finish_run(self.reader.header.run_id, ended.status, ended.at)
            except ConflictError as error:
                self._tell(error.message)

    def _begin(self) -> None:
        header = self.reader.header
        if header.is_owner:
            self._hub.tracking.create_run(header.run_id, header.experiment, header.name, header.started_at, header.tags)
        self._move_to(self._hub.tracking.append(header.run_id, self.reader.source, 0, 0))
        self.is_done = self.reader.has_ended_at(self.sent)
        self._has_begun = True

    def _move_to(self, number: int) -> None:
        self.sent = number
        self.reader.seek(number)

    def _send(self, entries: list[Entry]) -> None:
        """Send entries; those that the hub will never take are left out, one by one."""
        try:
            self._append(entries, _Batch(entries))
        except InvalidError as error:
            if len(entries) > 1:
                half = len(entries) // 2
                self._send(entries[:half])
                self._send(entries[half:])
                return
            self._tell(f"left out of run {self.reader.header.run_id}: {error.message}")
            self._append(entries, _Batch([]))

    def _append(self, entries: list[Entry], batch: _Batch) -> None:
        run_id, after = self.reader.header.run_id, self.sent
        artifacts = [Artifact(path=b.path, digest=self._put(b), size_bytes=b.size_bytes) for b in batch.blobs]

        def store() -> int:
            return self._hub.tracking.append(
                run_id,
                self.reader.source,
                after,
                after + len(entries),
                metrics=batch.metrics,
                params=batch.params,
                tags=batch.tags,
                artifacts=artifacts,
                edges=batch.edges,
            )

        try:
            stored = store()
        except ConflictError:
            # Params never change on the hub, but a script may log one again: what it said then is kept as a tag.
            batch.demote(self._hub.tracking.get_run(run_id).params)
            stored = store()
        self._move_to(stored)
        for entry in entries:
            if entry.blob is not None:
                self._file(entry.blob).unlink(missing_ok=True)

    def _put(self, blob: Blob) -> str:
        self.is_uploading = True
        try:
            return self._hub.put_file(self._file(blob))
        except FileNotFoundError as error:
            raise InvalidError(f"the bytes of artifact {blob.path!r} are gone: {error.filename}") from error
        finally:
            self.is_uploading = False

    def _file(self, blob: Blob) -> Path:
        return self.reader.path.with_name(Path(blob.name).name)


class _Batch:
    """Several entries as one call takes them."""

    def __init__(self, entries: list[Entry]) -> None:
        self.metrics: list[Metric] = [point for entry in entries for point in entry.metrics]
        self.params: dict[str, str] = {}
        self.tags: dict[str, str] = {}
        self.blobs = list({entry.blob.path: entry.blob for entry in entries if entry.blob is not None}.values())
        self.edges: list[Edge] = [edge for entry in entries for edge in entry.edges]
        for entry in entries:
            self.tags.update(entry.tags)
            self._add_params(entry.params)

    def demote(self, known: dict[str, str]) -> None:
        """Make tags of the params that have another value already."""
        mine, self.params = self.params, dict(known)
        self._add_params(mine)
        self.params = {key: value for key, value in self.params.items() if key in mine}

    def _add_params(self, params: dict[str, str]) -> None:
        for key, value in params.items():
            if self.params.setdefault(key, value) != value:
                self.tags[f"param.{key}"] = value


def text_of(value: object) -> str:
    """Return a param's value as the hub keeps it: text as it is, everything else as JSON."""
    return (
        value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=str)
    )
