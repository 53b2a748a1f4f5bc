"""A process that runs what waits in the queue, one after the other, and ends when nothing waits.

Run as a script: `python -m everloop.pipelines.experiments.worker ROOT FILE FD`. FILE is the worker's own of
`workers.py`; FD is open on it, with a lock that says that this process lives.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import time
from pathlib import Path
from types import FrameType

from everloop.errors import EverloopError
from everloop.pipelines.experiments import running, sandbox, workers
from everloop.pipelines.experiments.tasks import Queue
from everloop.workspace import Workspace

_POLL_S = 0.05
_INTERRUPTED = 130
_log = logging.getLogger(__name__)


def work(workspace: Workspace, own: Path) -> int:
    """Run tasks until none waits, or this worker is told to stop.

    Args:
        workspace: Whose.
        own: The worker's file; that it is gone tells it to stop.

    Returns:
        How many have failed.
    """
    queue = Queue(workspace)
    sandbox.sweep(workspace, queue)
    n_failed = 0
    while own.exists():
        waiting = queue.waiting()
        if not waiting and workers.resign(queue, own):
            break
        for task in waiting:
            with queue.claimed(task) as is_mine:
                if not is_mine:
                    continue
                try:
                    # Its own: what it has in mind of files is that of one worktree.
                    running.execute(Workspace(workspace.root), queue, task)
                except EverloopError as error:
                    n_failed += 1
                    _log.warning("experiment %s failed: %s", task.name, error)
                break
        else:
            # Others look at these in this moment, or have just taken them.
            time.sleep(_POLL_S)
    return n_failed


def main() -> None:
    """Read the words, work."""
    root, own, lock = sys.argv[1:]
    # Not for the commands of stages: the lock must end with this process.
    os.set_inheritable(int(lock), False)
    logging.basicConfig(format="%(asctime)s %(message)s")
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        work(Workspace(Path(root)), Path(own))
    except KeyboardInterrupt:
        sys.exit(_INTERRUPTED)


def _interrupt(_: int, __: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    main()
