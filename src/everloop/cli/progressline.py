"""One line on stderr that says how far work is: shown on a terminal after a second, gone when the work is done."""

from __future__ import annotations

import shutil
import sys
import threading
import time

from everloop.cli.manners import is_quiet
from everloop.progress import Phase

# Nobody needs a line for what is over before it can be read.
PATIENCE_S = 1.0
_PAUSE_S = 0.1
_UNITS = ("bytes", "kB", "MB", "GB", "TB")


class ProgressLine:
    """See `progress.Listener`."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._next_s = 0.0
        self._is_shown = False

    def show(self, phase: Phase) -> None:
        now = time.monotonic()
        if now < max(self._next_s, phase.started_s + PATIENCE_S) or not self._lock.acquire(blocking=False):
            return
        try:
            self._next_s = now + _PAUSE_S
            if not is_quiet():
                width = shutil.get_terminal_size().columns
                self._write(f"\r{told(phase, now - phase.started_s)[: width - 1]}\x1b[K")
                self._is_shown = True
        finally:
            self._lock.release()

    def hide(self) -> None:
        with self._lock:
            if self._is_shown:
                self._write("\r\x1b[K")
                self._is_shown = False

    def _write(self, text: str) -> None:
        sys.stderr.write(text)
        sys.stderr.flush()


def told(phase: Phase, elapsed_s: float) -> str:
    """The line: what is done of what, how fast, and how long it will take."""
    of = "" if phase.n_all is None else f" of {phase.n_all:,}"
    parts = [f"{phase.name}: {phase.n_done:,}{of} {phase.unit}"]
    if phase.done_bytes:
        whole = "" if phase.size_bytes is None else f" of {amount(phase.size_bytes)}"
        parts += [f"{amount(phase.done_bytes)}{whole}", f"{amount(round(phase.done_bytes / elapsed_s))}/s"]
    else:
        parts.append(f"{phase.n_done / elapsed_s:,.0f} {phase.unit}/s")
    share = _share(phase)
    if share:
        left_s = round(elapsed_s * (1.0 - share) / share)
        parts.append(f"{left_s // 60}:{left_s % 60:02} left")
    return ", ".join(parts)


def amount(n_bytes: int) -> str:
    """A number of bytes as people read it."""
    value, unit = float(n_bytes), 0
    while value >= 999.5 and unit < len(_UNITS) - 1:
        value, unit = value / 1000.0, unit + 1
    return f"{value:.0f} {_UNITS[unit]}" if unit == 0 or value >= 99.95 else f"{value:.1f} {_UNITS[unit]}"


def _share(phase: Phase) -> float | None:
    """How much is done, of 1; bytes tell it better than files."""
    if phase.size_bytes and phase.done_bytes:
        return min(phase.done_bytes / phase.size_bytes, 1.0)
    return phase.n_done / phase.n_all if phase.n_all else None
