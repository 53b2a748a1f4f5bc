"""What people do with a queue: run all of it in the foreground, kill, remove and clean."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterable

import msgspec

from everloop.errors import ConflictError
from everloop.pipelines.experiments import sandbox, workers
from everloop.pipelines.experiments.tasks import Queue, Seen, State, Task
from everloop.workspace import Workspace, gitrefs

_POLL_S = 0.05


class Cleaned(msgspec.Struct, frozen=True, kw_only=True):
    """What was cleaned away.

    Attributes:
        worktrees: Folders of experiments whose process was killed.
        refs: References that nothing needs.
    """

    worktrees: tuple[str, ...]
    refs: tuple[str, ...]


def run_all(workspace: Workspace, jobs: int, *, on_change: Callable[[Seen], None]) -> list[Seen]:
    """Run what waits, and wait for it; also for what others run of it.

    Args:
        workspace: Whose queue.
        jobs: How many at a time.
        on_change: Told when one begins and when it has ended.

    Returns:
        How all of them ended.

    Raises:
        KeyboardInterrupt: Those that ran wait again then.
    """
    queue = Queue(workspace)
    mine = {task.id for task in queue.waiting()}
    started = workers.start(workspace, jobs, is_attached=True) if mine else []
    told: dict[str, State] = dict.fromkeys(mine, State.QUEUED)
    try:
        return _follow(queue, started, told, on_change)
    finally:
        # After Ctrl-C, which they hear as well, too.
        for worker in started:
            worker.wait()


def _follow(
    queue: Queue, started: list[workers.Worker], told: dict[str, State], on_change: Callable[[Seen], None]
) -> list[Seen]:
    while True:
        are_done = all(worker.is_done for worker in started)
        seen = [each for each in queue.seen() if each.task.id in told]
        for each in seen:
            if each.state is not told[each.task.id]:
                told[each.task.id] = each.state
                on_change(each)
        states = {each.state for each in seen}
        if State.RUNNING not in states and (State.QUEUED not in states or (are_done and not workers.alive(queue))):
            return seen
        time.sleep(_POLL_S)


def kill(workspace: Workspace, tasks: Iterable[Task], *, force: bool = False) -> None:
    """End running experiments; each counts as failed.

    Args:
        workspace: Whose queue.
        tasks: Which.
        force: With SIGKILL to the process that runs it; others that wait are run by a new one.
    """
    queue = Queue(workspace)
    for task in tasks:
        queue.ask_to_stop(task)
        seen = queue.find(task.id)
        if force and seen.state is State.RUNNING and seen.start is not None:
            n_workers = len(workers.alive(queue))
            os.kill(seen.start.pid, signal.SIGKILL)
            _wait(queue, task)
            for worker in workers.start(workspace, n_workers):
                worker.leave()


def remove(workspace: Workspace, tasks: Iterable[Task]) -> list[str]:
    """Forget tasks and their logs.

    Returns:
        The names of their experiments.

    Raises:
        ConflictError: One runs.
    """
    queue = Queue(workspace)
    gone = []
    for task in tasks:
        if not queue.remove(task):
            raise ConflictError(f"{task.name} runs", hint=f"ever queue kill {task.name}")
        gone.append(task.name)
    return gone


def remove_waiting(workspace: Workspace, names: Iterable[str], *, everything: bool) -> list[str]:
    """Take experiments out of the queue that have not begun.

    Args:
        workspace: Whose queue.
        names: Of experiments; those that do not wait are passed over.
        everything: All of them.

    Returns:
        The names of those that were.
    """
    queue, wanted = Queue(workspace), set(names)
    waiting = [task for task in queue.waiting() if everything or task.name in wanted]
    return [task.name for task in waiting if queue.remove(task)]


def clean(workspace: Workspace) -> Cleaned:
    """Remove what killed processes have left: worktrees, and references that are kept for no task."""
    queue = Queue(workspace)
    with workspace.locked():
        strays = queue.strays()
        gitrefs.change(workspace.git, [gitrefs.RefChange(name=ref, new="") for ref in strays])
    return Cleaned(worktrees=tuple(sandbox.sweep(workspace, queue)), refs=tuple(strays))


def _wait(queue: Queue, task: Task) -> None:
    """Until the operating system has taken the lock of a killed process back."""
    while queue.find(task.id).state is State.RUNNING:
        time.sleep(_POLL_S)
