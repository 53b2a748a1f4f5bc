"""The queue: experiments that wait, run or have ended, kept in small files below `.dvc/tmp/everloop`. No daemon.

Promises. A task is acknowledged when its file is there, whole. Whoever runs it holds a lock of the operating system on
it, which ends with the process, however that ends: so nobody else runs it meanwhile, and a task whose process was
killed is seen to wait again. How a task ended is written once, and then it is never run again. Any number of processes
may use the queue at once. Leaves what running means to `sandbox.py`.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from everloop.errors import NotFoundError
from everloop.plaintext import nearest
from everloop.workspace import Workspace, gitrefs
from everloop.workspace.durable import write_atomically

Kind = TypeVar("Kind")
KEPT = "refs/everloop/queue"
# A task that was cut off so often by a kill is not begun again.
MAX_STARTS = 3


class State(StrEnum):
    """Where a task is; as `dvc queue status` spells it."""

    QUEUED = "Queued"
    RUNNING = "Running"
    FAILED = "Failed"
    SUCCESS = "Success"


class Task(msgspec.Struct, frozen=True, kw_only=True):
    """An experiment that is to be run.

    Attributes:
        id: A commit that holds the files to run with, and is kept by a reference of its own.
        name: Of the experiment.
        baseline: The commit that it is derived from.
        old: What the experiment of this name was when it was queued, to be replaced; empty means nothing.
        created_at: Seconds since 1970; those that came first are run first.
        is_queued: False runs in the process that made it, and is not for the queue's workers.
        options: What `repro` is called with.
    """

    id: str
    name: str
    baseline: str
    created_at: float
    old: str = ""
    targets: tuple[str, ...] | None = None
    message: str | None = None
    copy_paths: tuple[str, ...] = ()
    is_queued: bool = True
    options: dict[str, Any] = {}


class Start(msgspec.Struct, frozen=True, kw_only=True):
    """The process that runs a task, or did last.

    Attributes:
        count: How often it was begun.
    """

    pid: int
    started_at: float
    count: int


class End(msgspec.Struct, frozen=True, kw_only=True):
    """How a task ended.

    Attributes:
        commit: The experiment's; empty when it failed.
        code: Exit code, as DVC tells it.
        error: Why it failed.
    """

    is_success: bool
    ended_at: float
    code: int
    commit: str = ""
    error: str = ""


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """A task as it is at this moment."""

    task: Task
    state: State
    start: Start | None = None
    end: End | None = None


class Queue:
    """The tasks of one workspace."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self.folder = workspace.layout.scratch_dir / "experiments"

    def put(self, tasks: Iterable[Task]) -> None:
        """Take tasks in, the first ones first."""
        taken = list(tasks)
        self.folder.mkdir(parents=True, exist_ok=True)
        changes = [gitrefs.RefChange(name=f"{KEPT}/{task.id}", new=task.id) for task in taken]
        gitrefs.change(self._workspace.git, changes)
        for task in taken:
            write_atomically(self._file(task.id, "task"), msgspec.json.encode(task))

    def seen(self) -> list[Seen]:
        """All tasks, the first ones first."""
        found = [self._look(task) for task in self._tasks()]
        return sorted(found, key=lambda seen: (seen.task.created_at, seen.task.id))

    def waiting(self) -> list[Task]:
        """Those that a worker may begin, in the order in which they are to be."""
        return [seen.task for seen in self.seen() if seen.state is State.QUEUED and seen.task.is_queued]

    def promised(self) -> set[str]:
        """The names that tasks will give to experiments."""
        return {seen.task.name for seen in self.seen() if seen.state in (State.QUEUED, State.RUNNING)}

    def find(self, name: str) -> Seen:
        """A task by the name of its experiment (the last one that has it), or by the begin of its id.

        Raises:
            NotFoundError: There is none.
        """
        everything = self.seen()
        for seen in reversed(everything):
            if seen.task.name == name or (len(name) >= 4 and seen.task.id.startswith(name)):
                return seen
        near = nearest(name, (seen.task.name for seen in everything))
        raise NotFoundError(
            f"the queue has no task {name!r}", hint=f"do you mean {near!r}?" if near else "see them: ever queue status"
        )

    @contextmanager
    def claimed(self, task: Task) -> Iterator[bool]:
        """Hold a task; False when somebody else does, or it has ended or is gone.

        Inside, the process is told to be the one that runs it. Whoever leaves without `end` leaves it waiting.
        """
        with self._file(task.id, "lock").open("a") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
                return
            if self._look(task, is_mine=True).state is not State.QUEUED:
                yield False
                return
            before = self._read(task.id, "start", Start)
            start = Start(pid=os.getpid(), started_at=time.time(), count=1 + (before.count if before else 0))
            write_atomically(self._file(task.id, "start"), msgspec.json.encode(start))
            yield True

    def end(self, task: Task, end: End) -> None:
        """Write down how a task ended; before its lock is left."""
        write_atomically(self._file(task.id, "end"), msgspec.json.encode(end))

    def unstart(self, task: Task) -> None:
        """Let it wait again as if it had not been begun: it was interrupted on purpose."""
        self._file(task.id, "start").unlink(missing_ok=True)

    def ask_to_stop(self, task: Task) -> None:
        """Ask the process that runs a task to end it; it counts as failed then."""
        self._file(task.id, "stop").touch()

    def is_to_stop(self, task: Task) -> bool:
        """Whether somebody asked for that."""
        return self._file(task.id, "stop").exists()

    def log(self, task: Task) -> Path:
        """The file with what it printed; may not be there yet."""
        return self._file(task.id, "log")

    def remove(self, task: Task) -> bool:
        """Forget a task with its log. False when it runs: then it stays."""
        if not self._file(task.id, "task").exists():
            return False
        with self._file(task.id, "lock").open("a") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return False
            self.forget(task)
        return True

    def forget(self, task: Task) -> None:
        """As `remove`, for the process that holds the task."""
        # First the task: what is left of it after a kill means nothing.
        for kind in ("task", "start", "end", "stop", "log", "lock"):
            self._file(task.id, kind).unlink(missing_ok=True)
        gitrefs.change(self._workspace.git, [gitrefs.RefChange(name=f"{KEPT}/{task.id}", new="")])

    def strays(self) -> list[str]:
        """References that are kept for no task: a kill came between both."""
        known = {f"{KEPT}/{task.id}" for task in self._tasks()}
        return [ref for ref in gitrefs.listed(self._workspace.git, KEPT) if ref not in known]

    def _tasks(self) -> list[Task]:
        files = self.folder.glob("*.task") if self.folder.is_dir() else ()
        found = (self._read(file.stem, "task", Task) for file in files)
        return [task for task in found if task is not None]

    def _look(self, task: Task, *, is_mine: bool = False) -> Seen:
        end = self._read(task.id, "end", End)
        start = self._read(task.id, "start", Start)
        if end is not None:
            return Seen(task=task, state=State.SUCCESS if end.is_success else State.FAILED, start=start, end=end)
        if not is_mine and self._is_held(task):
            return Seen(task=task, state=State.RUNNING, start=start)
        # Its process may have written the end between both looks.
        late = self._read(task.id, "end", End)
        if late is not None:
            return Seen(task=task, state=State.SUCCESS if late.is_success else State.FAILED, start=start, end=late)
        if not self._file(task.id, "task").exists():
            return Seen(task=task, state=State.FAILED)
        cut_off = self._cut_off(task, start)
        return Seen(task=task, state=State.FAILED if cut_off else State.QUEUED, start=start, end=cut_off)

    def _cut_off(self, task: Task, start: Start | None) -> End | None:
        """The end of a task that nobody runs and nobody will."""
        if start is None:
            return None
        if self.is_to_stop(task):
            why = "it was killed"
        elif start.count >= MAX_STARTS or not task.is_queued:
            why = f"process {start.pid}, which ran it, was killed"
        else:
            return None
        return End(is_success=False, ended_at=start.started_at, code=-9, error=why)

    def _is_held(self, task: Task) -> bool:
        try:
            with self._file(task.id, "lock").open() as lock:
                fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except FileNotFoundError:
            return False
        except BlockingIOError:
            return True
        return False

    def _read(self, task_id: str, what: str, kind: type[Kind]) -> Kind | None:
        try:
            return msgspec.json.decode(self._file(task_id, what).read_bytes(), type=kind)
        except FileNotFoundError:
            return None

    def _file(self, task_id: str, kind: str) -> Path:
        return self.folder / f"{task_id}.{kind}"
