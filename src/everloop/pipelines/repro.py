"""Bring a workspace's pipelines up to date: run the stages whose inputs changed, restore what was made before.

Promises: `dvc.lock` says that a stage ran only after its outputs are durably in the cache, so a run that was killed at
any line is simply repeated; a stage's command never outlives this process. Leaves which stages to `plan.py`, when each
has its turn to `schedule.py`, and what is done with it to `stagework.py`.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Self

from everloop.errors import InvalidError
from everloop.pipelines import graph
from everloop.pipelines import plan as plans
from everloop.pipelines.plan import Reach
from everloop.pipelines.values import Event, OnError, Options, Report
from everloop.workspace import Workspace

if TYPE_CHECKING:
    from everloop.compute.job import Executor
    from everloop.pipelines.execution import Listener
    from everloop.pipelines.stagework import Confirm


def repro(
    workspace: Workspace,
    targets: Iterable[str] | None = None,
    *,
    folder: str | os.PathLike[str] | None = None,
    reach: Reach | None = None,
    force: bool = False,
    force_downstream: bool = False,
    dry: bool = False,
    pull: bool = False,
    allow_missing: bool = False,
    commit: bool = True,
    run_cache: bool = True,
    on_error: OnError = OnError.FAIL,
    jobs: int = 1,
    confirm: Confirm | None = None,
    executor: Executor | None = None,
    on_event: Listener | None = None,
    environment: Mapping[str, str] | None = None,
    should_stop: Callable[[], bool] | None = None,
) -> Report:
    """Run what has to run, each stage after what it depends on.

    Args:
        workspace: Whose pipelines.
        targets: Names of stages, `dvc.yaml` and `.dvc` files, or paths that stages make; with all that these depend on.
            None means everything.
        folder: What paths are relative to; None means the root.
        reach: How far the targets reach; None means as just said.
        force: Run every stage in question, also when nothing changed, and whatever the run cache has.
        force_downstream: Run what depends on a stage that ran, also when it made the same as before.
        dry: Only tell what would be done.
        pull: Bring what is missing from the remote: data, outputs, and the run cache.
        allow_missing: Leave stages of which only data are missing.
        commit: False records the hashes only; the cache gets the bytes with a later commit.
        run_cache: Look for an equal run of before.
        on_error: What to do when a stage fails.
        jobs: Commands at once.
        confirm: Asked before a stage is run or restored; False fails it.
        executor: Runs the commands, and stays open; None means processes of this machine.
        on_event: Told when a stage waits, starts, prints a line, and is finished; by one thread at a time.
        environment: For the commands, on top of this process's.
        should_stop: Asked several times per second while a command runs; True ends it.

    Raises:
        InvalidError: A `dvc.yaml`, `dvc.lock`, `.dvc` or params file is malformed or not supported.
        NotFoundError: A target or a parameter does not exist.
        FailedError: A command failed (names the stage, the exit code and the last lines), was stopped, or did not make
            its outputs, or wrote to those of another stage; what ran before it is kept.
        ConflictError: Another process uses the workspace, or Git tracks an output.
    """
    # Here, because the room has this verb for commands, too, that run nothing.
    from everloop.pipelines.schedule import Schedule
    from everloop.pipelines.stagework import StageWork

    if jobs < 1:
        raise InvalidError(f"at least one job is needed, not {jobs}")
    options = Options(
        force=force,
        force_downstream=force_downstream,
        dry=dry,
        pull=pull,
        allow_missing=allow_missing,
        commit=commit,
        run_cache=run_cache,
        on_error=on_error,
        jobs=1 if dry else jobs,
    )
    listener = _one_at_a_time(on_event or _ignore)
    with workspace.locked(), _Lazy(executor) as lazy:
        whole = graph.load(workspace)
        plan = plans.make(workspace, whole, targets, reach or Reach(), folder)
        work = StageWork(
            workspace, whole, plan, options, listener=listener, environment=environment or {}, confirm=confirm
        )
        if pull and run_cache and not dry:
            work.restoring.fetch_runs()
        counts = None
        if executor is None and options.jobs > 1:
            from everloop.pipelines.capacity import of_this_machine

            counts = of_this_machine(whole, plan.addresses)
        schedule = Schedule(workspace, plan, work, options, lazy.get, listener, should_stop or _never, counts)
        return Report(stages=tuple(schedule.run()))


class _Lazy:
    """The executor that was given, or one of this machine when the first command is to run."""

    def __init__(self, given: Executor | None) -> None:
        self._given = given
        self._own: Executor | None = None

    def get(self) -> Executor:
        if self._given is not None:
            return self._given
        if self._own is None:
            from everloop.compute.local import LocalExecutor

            own = LocalExecutor()
            own.prepare()
            self._own = own
        return self._own

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._own is not None:
            self._own.close()


def _one_at_a_time(listener: Listener) -> Listener:
    lock = threading.Lock()

    def tell(event: Event) -> None:
        with lock:
            listener(event)

    return tell


def _ignore(_: Event) -> None:
    """Nobody listens."""


def _never() -> bool:
    return False
