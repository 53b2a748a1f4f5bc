"""Run an experiment: in the workspace, or aside in a worktree, in this process."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Any

import msgspec

from everloop.errors import EverloopError, InvalidError
from everloop.pipelines import graph
from everloop.pipelines.commit import Confirm
from everloop.pipelines.experiments import here, queueing, reproduction, sandbox, saving
from everloop.pipelines.experiments.overrides import Override, combinations, is_grid, parse
from everloop.pipelines.experiments.queueing import Wish
from everloop.pipelines.experiments.saving import Saved
from everloop.pipelines.experiments.tasks import End, Queue, Task
from everloop.pipelines.values import Event, EventKind, Report
from everloop.workspace import Workspace
from everloop.workspace.durable import write_atomically

Listener = Callable[[Event], None]
_INTERRUPTED = 130


class Ran(msgspec.Struct, frozen=True, kw_only=True):
    """What a run came to.

    Attributes:
        saved: None when nothing was run (`dry`).
        report: What `repro` did; None when it happened aside.
    """

    saved: Saved | None
    report: Report | None = None


def run(workspace: Workspace, wish: Wish, *, on_event: Listener | None = None, confirm: Confirm | None = None) -> Ran:
    """Run an experiment in the workspace, which holds what it came to afterwards.

    Args:
        workspace: Where.
        wish: What to run.
        on_event: Told what happens.
        confirm: Asked before each stage.

    Raises:
        InvalidError: `assignments` make a grid, or one is malformed or names what its file does not have.
        ConflictError: The name is taken, or another experiment runs in the workspace.
        NotFoundError: Nothing was committed yet, or a target is not known.
        FailedError: A stage failed; the workspace holds what it left, and there is no experiment.
    """
    overrides = _single(wish)
    is_dry = bool(wish.options.get("dry"))
    reserved = saving.reserve(workspace, wish.name, force=wish.force, taken=Queue(workspace).promised())
    if overrides and is_dry:
        raise InvalidError("a dry run changes nothing, so it cannot set parameters", hint="leave -S or --dry away")
    with here.claimed(workspace, reserved.name, reserved.baseline):
        _set(workspace, overrides, wish)
        report = reproduction.repro(
            workspace,
            wish.targets,
            wish.options,
            name=reserved.name,
            baseline=reserved.baseline,
            root=workspace.root,
            on_event=on_event,
            confirm=confirm,
        )
        if is_dry:
            return Ran(saved=None, report=report)
        with workspace.locked():
            addresses = reproduction.addresses(workspace, graph.load(workspace), wish.targets, wish.options)
            saved = saving.commit(workspace, reserved, message=wish.message, addresses=addresses)
    return Ran(saved=saved, report=report)


def run_aside(workspace: Workspace, wish: Wish, *, on_event: Listener | None = None) -> Ran:
    """Run an experiment in a worktree of its own; the workspace stays as it is.

    When it fails it stays in the queue as failed, with its log.

    Args: as `run`.

    Raises: as `run`.
    """
    _single(wish)
    queue = Queue(workspace)
    sandbox.sweep(workspace, queue)
    ((task, _),) = queueing.put(workspace, wish, is_queued=False)
    with queue.claimed(task) as is_mine:
        assert is_mine, "nobody else may take a task that is not for workers"
        saved = execute(workspace, queue, task, on_event=on_event)
        queue.forget(task)
    return Ran(saved=saved)


def execute(workspace: Workspace, queue: Queue, task: Task, *, on_event: Listener | None = None) -> Saved:
    """Run a task that this process has claimed, keep a log of it, and write down how it ended.

    Raises:
        EverloopError: It failed, which is written down.
        KeyboardInterrupt, SystemExit: It was interrupted; it waits again then, unless it belongs to this process.
    """
    with queue.log(task).open("a", encoding="utf-8") as log:

        def tell(event: Event) -> None:
            log.write(_line(event))
            log.flush()
            if on_event is not None:
                on_event(event)

        log.write(f"experiment {task.name} of {task.baseline[:7]}\n")
        log.flush()
        try:
            saved = sandbox.run(workspace, task, on_event=tell, should_stop=lambda: queue.is_to_stop(task))
        except EverloopError as error:
            log.write(f"failed: {error}\n")
            queue.end(task, _failure(error.message, 1))
            raise
        except (KeyboardInterrupt, SystemExit):
            log.write("interrupted\n")
            if task.is_queued:
                queue.unstart(task)
            else:
                queue.end(task, _failure("it was interrupted", _INTERRUPTED))
            raise
        except Exception as error:
            # Written down, so that it is not begun again and again; whoever runs the process sees where it came from.
            log.write(f"failed: {type(error).__name__}: {error}\n")
            queue.end(task, _failure(f"{type(error).__name__}: {error}", 1))
            raise
        log.write(f"done: {saved.experiment.commit}\n")
    queue.end(task, End(is_success=True, ended_at=time.time(), code=0, commit=saved.experiment.commit))
    return saved


def _failure(error: str, code: int) -> End:
    return End(is_success=False, ended_at=time.time(), code=code, error=error)


def _single(wish: Wish) -> list[Override]:
    overrides = parse(wish.assignments)
    if is_grid(overrides):
        raise InvalidError("several values of a parameter make several experiments", hint="queue them: --queue")
    return overrides


def _set(workspace: Workspace, overrides: Iterable[Override], wish: Wish) -> None:
    ((changes),) = combinations(overrides)
    for path, data in queueing.Changes(workspace, composed=wish.composed).of(changes).items():
        write_atomically(workspace.root / path, data)


def _line(event: Event) -> str:
    if event.kind is EventKind.PRINTED:
        return f"{event.stage} | {event.text}\n"
    if event.kind is EventKind.FINISHED:
        outcome: Any = event.report.outcome if event.report is not None else "finished"
        return f"{event.stage}: {outcome}\n"
    return f"{event.stage}: {event.text}\n"
