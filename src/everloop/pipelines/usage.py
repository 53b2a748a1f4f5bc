"""How much processor and memory the commands of this process take, sampled lightly.

On Linux out of `/proc`, for every process below this one; elsewhere only the sums that the system keeps of children
that have ended. Work on other machines is not seen.
"""

from __future__ import annotations

import os
import resource
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

_PERIOD_S = 5.0
_PROC = Path("/proc")


class Sample(NamedTuple):
    """What the processes take at a moment.

    Attributes:
        cpu_percent: Of one processor since the sample before; 200 is two processors at full work.
        memory_mb: Resident, 10^6 bytes; what processes share counts for each.
    """

    cpu_percent: float
    memory_mb: float


class Usage:
    """Samples until it is stopped. `take` gets each sample, in a thread of its own."""

    def __init__(self, take: Callable[[Sample], None]) -> None:
        self._take = take
        self._stop = threading.Event()
        self._before = _of_children()
        self._thread = threading.Thread(target=self._run, name="everloop-usage", daemon=True)
        if _PROC.joinpath("self/stat").exists():
            self._thread.start()

    def stop(self) -> dict[str, float]:
        """Stop; return `cpu_s` and `max_memory_mb` (of the largest single process) of all commands that have ended."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()
        seconds, most = _of_children()
        return {"cpu_s": seconds - self._before[0], "max_memory_mb": most}

    def _run(self) -> None:
        before: dict[int, float] = {}
        at = time.monotonic()
        pause_s = 0.5  # a stage is often over before a period is
        while not self._stop.wait(pause_s):
            found = {pid: usage for pid in _below(os.getpid()) if (usage := _of(pid)) is not None}
            now = time.monotonic()
            used = sum(seconds - before.get(pid, 0.0) for pid, (seconds, _) in found.items())
            if found:
                memory = sum(size for _, size in found.values())
                self._take(Sample(max(0.0, 100 * used / (now - at)), memory / 1e6))
            before, at, pause_s = {pid: seconds for pid, (seconds, _) in found.items()}, now, _PERIOD_S


def _below(pid: int) -> Iterator[int]:
    """The processes that a process has started, and those that they have."""
    with suppress(OSError):  # it ended at this moment
        for task in (_PROC / str(pid) / "task").iterdir():
            for child in (task / "children").read_text().split():
                yield int(child)
                yield from _below(int(child))


def _of(pid: int) -> tuple[float, int] | None:
    """Seconds of processor time, and bytes of memory; None for a process that has ended."""
    try:
        text = (_PROC / str(pid) / "stat").read_text()
        # The name, in parentheses, may hold anything; what follows is numbers: proc_pid_stat(5), from field 3 on.
        fields = text.rpartition(")")[2].split()
        seconds = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
        return seconds, int(fields[21]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, IndexError, ValueError):
        return None


def _of_children() -> tuple[float, float]:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    # Bytes on macOS, KiB on Linux: getrusage(2) of each.
    unit = 1 if sys.platform == "darwin" else 1024
    return used.ru_utime + used.ru_stime, used.ru_maxrss * unit / 1e6
