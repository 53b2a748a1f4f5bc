"""The workers of a queue: start them, count them, tell them to stop.

Each has a file of its own, locked as long as it lives; removing the file tells it to stop after its experiment.
"""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from everloop.pipelines.experiments.tasks import Queue
from everloop.workspace import Workspace

_SUFFIX = ".worker"


class Worker:
    """A worker that was started; `wait` for it, or leave it."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process

    @property
    def is_done(self) -> bool:
        return self._process.poll() is not None

    def wait(self) -> None:
        """Until it has ended."""
        self._process.wait()

    def leave(self) -> None:
        """Let it live on by itself."""
        # It is not this process's to wait for; without this, Python warns that nobody did.
        self._process.returncode = 0


def start(workspace: Workspace, count: int, *, is_attached: bool = False) -> list[Worker]:
    """Start workers, so many that there are `count` of them, and no more than there are tasks for.

    Args:
        workspace: Whose queue.
        count: How many there shall be.
        is_attached: They hear Ctrl-C of this terminal, too, and let their experiments wait again then.
    """
    queue = Queue(workspace)
    queue.folder.mkdir(parents=True, exist_ok=True)
    # Two who start at once do not start twice as many.
    with _alone(queue):
        there = alive(queue)
        for path in set(queue.folder.glob(f"*{_SUFFIX}")) - set(there):
            path.unlink(missing_ok=True)
        wanted = min(count - len(there), len(queue.waiting()))
        return [_start(workspace, queue, is_attached=is_attached) for _ in range(wanted)]


def alive(queue: Queue) -> list[Path]:
    """The files of workers that live."""
    return [path for path in sorted(queue.folder.glob(f"*{_SUFFIX}")) if _is_locked(path)]


def resign(queue: Queue, own: Path) -> bool:
    """Let a worker end that found nothing to do; False when something came in meanwhile.

    Whoever starts workers after that does not count on this one.
    """
    with _alone(queue):
        if queue.waiting():
            return False
        own.unlink(missing_ok=True)
    return True


def stop(queue: Queue) -> int:
    """Tell all workers to stop after the experiment they are at.

    Returns:
        How many there are.
    """
    told = alive(queue)
    for path in told:
        path.unlink(missing_ok=True)
    return len(told)


def log(queue: Queue) -> Path:
    """The file with what went wrong in workers themselves."""
    return queue.folder / "workers.log"


def _start(workspace: Workspace, queue: Queue, *, is_attached: bool) -> Worker:
    path = queue.folder / f"{uuid.uuid4().hex}{_SUFFIX}"
    with path.open("w") as own, log(queue).open("ab") as output:
        # The lock is that of the open file, which the worker inherits: it lives as long as one of both does.
        fcntl.flock(own, fcntl.LOCK_EX)
        words = [sys.executable, "-m", "everloop.pipelines.experiments.worker", str(workspace.root), str(path)]
        return Worker(
            subprocess.Popen(
                [*words, str(own.fileno())],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                pass_fds=[own.fileno()],
                start_new_session=not is_attached,
                cwd=workspace.root,
                env=os.environ,
            )
        )


@contextmanager
def _alone(queue: Queue) -> Iterator[None]:
    with (queue.folder / "workers.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _is_locked(path: Path) -> bool:
    try:
        with path.open() as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False
