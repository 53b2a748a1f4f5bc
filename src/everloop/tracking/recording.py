"""What stands behind a run: notes are taken at once, and written a moment later by a thread, so no training waits.

Everything that is written passes here: to the run's files, and to the stream that tells the hub. Leaves the verbs that
a script calls to `live.py`.
"""

from __future__ import annotations

import atexit
import os
import sys
import threading
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from everloop.tracking.plainvalues import finite, flat

if TYPE_CHECKING:
    from everloop.tracking.livefiles import LiveFiles
    from everloop.tracking.run import Metric, Status
    from everloop.tracking.stream import Stream

Done = TypeVar("Done")

_PERIOD_S = 0.2
_POINTS_AN_ENTRY = 500


class Note(NamedTuple):
    """Metrics of one moment.

    Attributes:
        step: None when the run counts no steps.
        time_ns: Since 1970.
        is_drawn: They are points of a history, not of the summary only.
        is_counted: The step is the summary's.
    """

    step: int | None
    time_ns: int
    values: dict[str, float | str]
    is_drawn: bool = True
    is_counted: bool = False


class Recorder:
    """Writes what a run notes. Thread-safe; after the end, and in a fork of the process, it does nothing."""

    def __init__(self, files: LiveFiles, stream: Stream | None) -> None:
        self.files = files
        self.stream = stream
        self._notes: deque[Note] = deque()
        self._has_news = False
        self._wake = threading.Event()
        self._lock = threading.RLock()
        self._ending = threading.Event()
        self._has_told = False
        self._pid = os.getpid()
        self._thread = threading.Thread(target=self._write_regularly, name="everloop-log", daemon=True)
        self._thread.start()
        atexit.register(self._end_with_process)

    def note(self, note: Note) -> None:
        """Take a note; costs a microsecond."""
        self._notes.append(note)
        if not self._has_news:
            self._has_news = True
            self._wake.set()

    def flush(self) -> None:
        """Write the notes that were taken, now."""
        if self._is_open():
            with self._lock:
                self._write_notes()

    def add_params(self, params: Mapping[str, Any]) -> None:
        """Write plain parameters, now."""
        if not self._is_open():
            return
        with self._lock:
            self._guarded(lambda: self.files.add_params(params))
            if self.stream is not None:
                from everloop.tracking.sending import text_of
                from everloop.tracking.spool import Entry

                self.stream.put([Entry(params={name: text_of(value) for name, value in flat(params)})])

    def place(self, write: Callable[[LiveFiles], Path]) -> None:
        """Write one file of the run's folder, now; the hub gets it as an artifact of the same path."""
        if not self._is_open():
            return
        with self._lock:
            path = self._guarded(lambda: write(self.files))
            if path is not None and self.stream is not None:
                self.stream.put_file(path.relative_to(self.files.folder).as_posix(), path)

    def add_artifact(self, name: str, source: Path, facts: Mapping[str, Any] | None, *, copy: bool) -> None:
        """Note a file or folder; the hub gets the bytes."""
        if not self._is_open():
            return
        with self._lock:
            self._guarded(lambda: self.files.add_artifact(name, source, facts, copy=copy))
            if self.stream is None:
                return
            if source.is_file():
                self.stream.put_file(source.name, source)
                return
            for file in sorted(path for path in source.rglob("*") if path.is_file()):
                self.stream.put_file(f"{source.name}/{file.relative_to(source).as_posix()}", file)

    def end(self, status: Status) -> None:
        """Write what is left, tell the hub. Again: nothing."""
        if not self._is_open():
            return
        with self._lock:
            self._ending.set()
            self._write_notes()
            self._guarded(self.files.write_summary)
        self._wake.set()
        self._thread.join()
        atexit.unregister(self._end_with_process)
        if self.stream is not None:
            self.stream.end(status)

    def _end_with_process(self) -> None:
        # Set by the interpreter when it has printed a traceback: the last that is known of how the script ended.
        self.end(status_of(getattr(sys, "last_value", None)))

    def _is_open(self) -> bool:
        return os.getpid() == self._pid and not self._ending.is_set()

    def _write_regularly(self) -> None:
        while not self._ending.is_set():
            self._wake.wait()
            self._ending.wait(_PERIOD_S)
            self._wake.clear()
            self._has_news = False  # before the notes are taken: one that comes now is taken, or wakes again
            with self._lock:
                self._write_notes()

    def _write_notes(self) -> None:
        taken: list[Note] = []
        with suppress(IndexError):
            while True:
                taken.append(self._notes.popleft())
        if not taken:
            return
        rows: dict[str, list[tuple[int, float | str]]] = {}
        for note in taken:
            for name, value in note.values.items():
                self.files.set_latest(name, finite(value))
                if note.is_drawn:
                    rows.setdefault(name, []).append((note.step or 0, finite(value)))
            if note.is_counted:
                self.files.summary["step"] = note.step
        for name, points in rows.items():
            # One by one: a name that is too long for the disk costs the others nothing.
            self._guarded(partial(self.files.add_points, name, points))
        self._guarded(self.files.write_summary)
        if self.stream is not None:
            self._tell(self.stream, taken)

    def _tell(self, stream: Stream, taken: list[Note]) -> None:
        from everloop.tracking.spool import Entry

        points: list[Metric] = []
        tags: dict[str, str] = {}
        for note in taken:
            for name, value in note.values.items():
                if isinstance(value, str):
                    tags[f"metric.{name}"] = value
                else:
                    points.append(_metric(name, value, note))
        entries = [Entry(metrics=points[at : at + _POINTS_AN_ENTRY]) for at in range(0, len(points), _POINTS_AN_ENTRY)]
        stream.put([*entries, *([Entry(tags=tags)] if tags else [])])

    def _guarded(self, write: Callable[[], Done]) -> Done | None:
        """Write; a disk that is full is no reason to end a training."""
        try:
            return write()
        except OSError as error:
            if not self._has_told:
                self._has_told = True
                place = error.filename or self.files.folder
                print(  # noqa: T201  the one line that a run may print
                    f"everloop: {place} cannot be written ({error.strerror}): the run goes on, its files are not whole",
                    file=sys.stderr,
                )
            return None


def status_of(error: BaseException | None) -> Status:
    """Return how a run ends that this exception, or none, ends."""
    if error is None or (isinstance(error, SystemExit) and error.code in (None, 0)):
        return "finished"
    return "killed" if isinstance(error, KeyboardInterrupt) else "failed"


def _metric(name: str, value: float, note: Note) -> Metric:
    from datetime import UTC, datetime, timedelta

    from everloop.tracking.run import Metric

    at = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=note.time_ns // 1000)
    return Metric(key=name, value=value, step=note.step or 0, logged_at=at)
