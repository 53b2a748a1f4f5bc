"""Telling the hub of a run while it goes on: first to the spool, then by a thread of its own to the hub.

Promises: nothing here raises into the work that is tracked, waits for the hub before the end, or changes the process's
exit code. A trouble (no hub, a full disk) is told once on stderr. Thread-safe.
"""

from __future__ import annotations

import os
import sys
import threading
from collections import deque
from collections.abc import Iterable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from everloop.errors import EverloopError, NotFoundError
from everloop.tracking import spool
from everloop.tracking.run import Status
from everloop.tracking.spool import Ended, Entry, Header
from everloop.tracking.watch import Watch

if TYPE_CHECKING:
    from everloop.tracking.sending import Sender

_FIRST_PAUSE_S = 0.05
_PERIOD_S = 1.0
_LONGEST_PAUSE_S = 30.0
_LAST_WAIT_S = 10.0
_KEPT_IN_MEMORY = 10_000


class Stream:
    """What one process tells of one run.

    Args:
        root: The spool's folder.
        header: The run; with `hub`, what is told is sent there at once, else it waits for `ever sync`.
    """

    def __init__(self, root: Path, header: Header) -> None:
        self.header = header
        self._root = root
        self._lock = threading.Lock()
        self._segment: spool.Segment | None = None
        self._unwritten: deque[Entry] = deque(maxlen=_KEPT_IN_MEMORY)
        self._n_lost = 0
        self._told: set[str] = set()
        self._wake = threading.Event()
        self._is_ending = False
        self._has_ended = False
        self._is_sent = False
        self._sender: Sender | None = None
        self._thread: threading.Thread | None = None
        self._pid = os.getpid()
        self._watch = Watch(header.run_id) if header.hub and header.is_owner else None
        with self._lock:
            self._write([])
        if header.hub:
            self._thread = threading.Thread(target=self._send_all, name="everloop-hub", daemon=True)
            self._thread.start()

    @property
    def run_id(self) -> str:
        return self.header.run_id

    def put(self, entries: Iterable[Entry]) -> None:
        """Keep entries in the spool, to be sent. Nothing after the end."""
        with self._lock:
            self._write(entries)
        if self._is_ending:
            self._wake.set()

    def put_file(self, path: str, source: Path) -> None:
        """Keep a file as it is now as the run's artifact `path`."""
        with self._lock:
            self._write([])
            if self._segment is None:
                return
            try:
                self._write([Entry(blob=self._segment.keep(path, source))])
            except OSError as error:
                self._tell(f"artifact {path} is not kept: {error.strerror}: {error.filename or source}")

    def put_text(self, path: str, text: str) -> None:
        """Keep a text as the run's artifact `path`."""
        with self._lock:
            self._write([])
            if self._segment is None:
                return
            scratch = self._segment.path.with_suffix(".text")
            try:
                scratch.write_text(text, encoding="utf-8", errors="surrogateescape")
                self._write([Entry(blob=self._segment.keep(path, scratch))])
            except OSError as error:
                self._tell(f"artifact {path} is not kept: {error.strerror}")
            finally:
                scratch.unlink(missing_ok=True)

    def end(self, status: Status) -> bool:
        """End the run (one that was joined goes on), and send what can be sent; True when the hub has all of it."""
        if os.getpid() != self._pid:
            return False  # a fork of the process that tracks: the run is not its own
        self.put([Entry(ended=Ended(status, datetime.now(UTC)))])
        self._is_ending = True
        self._wake.set()
        if self._thread is not None:
            self._wait_for(self._thread)
        with self._lock:
            if self._n_lost or self._unwritten:
                self._tell(f"run {self.run_id[:12]}: {self._n_lost + len(self._unwritten)} entries are lost")
            if self._segment is not None:
                if self._is_sent:
                    spool.remove(self._segment.path)
                else:
                    with suppress(OSError):
                        self._segment.flush()
                    self._tell(f"run {self.run_id[:12]} waits to be sent: ever sync")
                self._segment.close()
                self._segment = None
            self._has_ended = True
        if self._watch is not None:
            self._watch.stop()
        return self._is_sent

    def _wait_for(self, thread: threading.Thread) -> None:
        thread.join(_LAST_WAIT_S)
        while thread.is_alive() and self._sender is not None and self._sender.is_uploading:
            # The hub takes a large file; one that stops doing so ends this by its silence.
            thread.join(_LAST_WAIT_S)

    # --- to the disk

    def _write(self, entries: Iterable[Entry]) -> None:
        """Write entries, after those that could not be written before; they wait in memory when the disk is full."""
        if self._has_ended:
            return
        before, fresh = len(self._unwritten), list(entries)
        self._unwritten.extend(fresh)
        self._n_lost += before + len(fresh) - len(self._unwritten)
        try:
            if self._segment is None:
                self._segment = spool.Segment(self._root, self.header)
            if self._unwritten:
                self._segment.add(self._unwritten)
                self._unwritten.clear()
        except OSError as error:
            self._tell(
                f"{self._root} cannot be written ({error.strerror}): the run goes on, but what it tells may be lost",
                once="disk",
            )

    # --- to the hub, in the thread

    def _send_all(self) -> None:
        pause_s = _FIRST_PAUSE_S
        while True:
            self._wake.wait(pause_s)
            is_last = self._is_ending
            self._wake.clear()
            try:
                self._send()
                pause_s = _PERIOD_S
            except NotFoundError:
                # The process that makes the run has not got through to the hub yet.
                pause_s = min(pause_s * 2, _LONGEST_PAUSE_S)
            except EverloopError as error:
                self._tell(f"the hub is not told for now: {error.message}", once="hub")
                pause_s = min(pause_s * 2, _LONGEST_PAUSE_S)
            except OSError as error:
                self._tell(f"the spool cannot be read: {error}", once="spool")
                pause_s = _LONGEST_PAUSE_S
            if is_last:
                return

    def _send(self) -> None:
        # Here, in the thread, because an HTTP client takes long to import.
        from everloop.tracking.sending import HttpHub, Sender

        with self._lock:
            if self._segment is None:
                return
            self._segment.flush()
            path = self._segment.path
        if self._sender is None:
            self._sender = Sender(path, HttpHub(self.header.hub), self._tell)
        while self._sender.send():
            pass
        self._is_sent = self._sender.is_done

    def _tell(self, text: str, once: str | None = None) -> None:
        if once is not None and once in self._told:
            return
        self._told.add(once or text)
        with suppress(OSError, ValueError):  # stderr may be closed
            print(f"everloop: {text}", file=sys.stderr, flush=True)  # noqa: T201  the one line that a run may print


def open_stream(
    root: Path,
    run_id: str,
    *,
    experiment: str,
    name: str = "",
    tags: Mapping[str, str] | None = None,
    hub: str = "",
) -> Stream:
    """Open a stream for a run that starts now.

    Args:
        root: The spool's folder.
        experiment: Empty to join a run that another process makes and ends.
        hub: Empty to keep what is told for `ever sync`.
    """
    header = Header(
        run_id=run_id, experiment=experiment, name=name, started_at=datetime.now(UTC), tags=dict(tags or {}), hub=hub
    )
    return Stream(root, header)
