"""Keeping a few processes running: start, restart with back-off, stop cleanly, logs to files.

One supervisor per home folder. What runs now is written to `run/<name>.json` (pid, restarts), for people and tests.
"""

from __future__ import annotations

import fcntl
import os
import select
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import IO

import msgspec

from everloop.errors import ConflictError

FIRST_PAUSE_S = 0.1
LONGEST_PAUSE_S = 30.0
STEADY_S = 10.0
"""A child that ran this long is healthy: its next restart begins with the shortest pause again."""
STOP_S = 15.0
LOG_LIMIT_BYTES = 32 << 20


class Child(msgspec.Struct, frozen=True, kw_only=True):
    """A process to keep running. The argument `{lifeline}` is replaced by the number of the lifeline's descriptor."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str]


class _Running:
    """One child's life: its process now, and when to start the next."""

    def __init__(self, child: Child) -> None:
        self.child = child
        self.process: subprocess.Popen[bytes] | None = None
        self.restarts = -1
        self.started_at = 0.0
        self.due_at = 0.0
        self.pause_s = FIRST_PAUSE_S


class Supervisor:
    """Runs children until it is told to stop.

    Args:
        home: folder for `logs/<name>.log`, `run/<name>.json` and the lock.
        children: what to run.
        on_event: told of every start and end: (child's name, what happened).
    """

    def __init__(
        self, home: Path, children: Sequence[Child], *, on_event: Callable[[str, str], None] | None = None
    ) -> None:
        self.home = home
        self.on_event = on_event or _unheard
        self._running = [_Running(child) for child in children]
        self._stopping = False
        self._wake_read, self._wake_write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)

    def run(self) -> None:
        """Start the children and keep them running until SIGTERM or SIGINT; then stop them and return.

        Raises:
            ConflictError: another supervisor runs for this home.
        """
        self.home.mkdir(parents=True, exist_ok=True)
        with (self.home / "up.lock").open("w") as lock:
            _take(lock, self.home)
            previous = {number: signal.signal(number, self._on_signal) for number in (signal.SIGTERM, signal.SIGINT)}
            previous[signal.SIGCHLD] = signal.signal(signal.SIGCHLD, lambda *_: None)
            old_wake = signal.set_wakeup_fd(self._wake_write, warn_on_full_buffer=False)
            lifeline_read, lifeline_write = os.pipe()
            try:
                while not self._stopping:
                    self._look(lifeline_read)
                    self._wait()
            finally:
                self._stop_all()
                os.close(lifeline_read)
                os.close(lifeline_write)
                signal.set_wakeup_fd(old_wake)
                for number, handler in previous.items():
                    signal.signal(number, handler)

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        self._stopping = True

    def _look(self, lifeline: int) -> None:
        now = time.monotonic()
        for each in self._running:
            if each.process is not None and each.process.poll() is not None:
                self._ended(each, now)
            if each.process is None and now >= each.due_at:
                self._start(each, lifeline)

    def _start(self, each: _Running, lifeline: int) -> None:
        log_path = self.home / "logs" / f"{each.child.name}.log"
        log_path.parent.mkdir(parents=True, exist_ok=True)
        if log_path.exists() and log_path.stat().st_size > LOG_LIMIT_BYTES:
            log_path.replace(log_path.with_suffix(".log.1"))
        command = [part.replace("{lifeline}", str(lifeline)) for part in each.child.command]
        with log_path.open("ab") as log:
            each.process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=dict(each.child.environment),
                pass_fds=(lifeline,),
                # Its own session: Ctrl-C reaches the supervisor alone, which then stops its children in order.
                start_new_session=True,
            )
        each.restarts += 1
        each.started_at = time.monotonic()
        self._note(each)
        self.on_event(each.child.name, f"started as process {each.process.pid}")

    def _ended(self, each: _Running, now: float) -> None:
        assert each.process is not None
        code = each.process.returncode
        if now - each.started_at > STEADY_S:
            each.pause_s = FIRST_PAUSE_S
        each.due_at = now + each.pause_s
        self.on_event(each.child.name, f"ended with {_describe(code)}; starting again in {each.pause_s:.1f} s")
        each.pause_s = min(each.pause_s * 2, LONGEST_PAUSE_S)
        each.process = None

    def _note(self, each: _Running) -> None:
        assert each.process is not None
        path = self.home / "run" / f"{each.child.name}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_suffix(".part")
        temporary.write_bytes(msgspec.json.encode({"pid": each.process.pid, "restarts": each.restarts}))
        temporary.rename(path)

    def _wait(self) -> None:
        now = time.monotonic()
        due = [each.due_at - now for each in self._running if each.process is None]
        ready, _, _ = select.select([self._wake_read], [], [], max(0.0, min(due)) if due else None)
        if ready:
            os.read(self._wake_read, 512)

    def _stop_all(self) -> None:
        """Stop the children in reverse order of their start: those who use others first."""
        for each in reversed(self._running):
            if each.process is None:
                continue
            each.process.terminate()
            try:
                each.process.wait(STOP_S)
                self.on_event(each.child.name, "stopped")
            except subprocess.TimeoutExpired:
                each.process.kill()
                each.process.wait()
                self.on_event(each.child.name, f"did not stop within {STOP_S:.0f} s and was killed")
            (self.home / "run" / f"{each.child.name}.json").unlink(missing_ok=True)


def _unheard(_name: str, _what: str) -> None:
    """Nobody listens."""


def _take(lock: IO[str], home: Path) -> None:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise ConflictError(
            f"Everloop is up already for {home}", hint="Use that one, or give another home with --home."
        ) from error


def _describe(code: int) -> str:
    if code >= 0:
        return f"exit code {code}"
    names = {each.value: each.name for each in signal.Signals}  # real-time signals between the first and last have none
    return f"signal {names.get(-code, -code)}"
