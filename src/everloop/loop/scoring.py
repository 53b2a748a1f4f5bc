"""Scoring jobs: processes of their own in which model packages are loaded.

Importing the libraries of models takes seconds, so a job can be started early, while the training still runs: it
imports them and then waits for its work on standard input. It ends by itself when its worker is gone.
"""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from everloop.errors import FailedError

JOB_TIMEOUT_S = 1800.0
_COMMAND = (sys.executable, "-m", "everloop.serving.score", "--wait")


class _Scores(msgspec.Struct, frozen=True):
    rows: int
    scores: list[list[float]]


class Scorer:
    """Starts scoring jobs. Thread-safe; holds at most one job that waits for work."""

    def __init__(self) -> None:
        self._waiting: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()

    def warm(self) -> None:
        """Start a job that imports what it needs and waits; nothing when one waits already."""
        with self._lock:
            if self._waiting is None or self._waiting.poll() is not None:
                self._waiting = _start()

    def score(self, packages: Sequence[Path], data: Path, output: Path) -> list[NDArray[np.float64]]:
        """Score every row of a CSV file with each package.

        Args:
            packages: model packages.
            data: CSV with a column for each of their inputs, n rows.
            output: file that the job writes its answer to.

        Returns:
            For each package the probabilities of class 1, shape (n,).

        Raises:
            FailedError: the job failed; its message is in the error.
        """
        with self._lock:
            job, self._waiting = self._waiting, None
        if job is None or job.poll() is not None:
            job = _start()
        named = [word for package in packages for word in ("--package", str(package))]
        work = msgspec.json.encode([*named, "--data", str(data), "--output", str(output)]) + b"\n"
        try:
            _, errors = job.communicate(work, timeout=JOB_TIMEOUT_S)
        except subprocess.TimeoutExpired as error:
            job.kill()
            job.communicate()
            raise FailedError(f"scoring {data.name} took more than {JOB_TIMEOUT_S:.0f} s and was stopped") from error
        if job.returncode != 0:
            raise FailedError(f"scoring {data.name} failed: {errors.decode(errors='replace').strip()[-2000:]}")
        return [np.array(values) for values in msgspec.json.decode(output.read_bytes(), type=_Scores).scores]


def _start() -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        _COMMAND,
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
