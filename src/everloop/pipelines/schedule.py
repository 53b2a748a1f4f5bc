"""The order of a `repro` in time: each stage as soon as what it needs is done, as many commands at once as asked for.

One thread does everything with the workspace; a command that runs is waited for by a thread of its own. While this one
waits, it lends the workspace's lock. Leaves what is done with a stage to `stagework.py`.
"""

from __future__ import annotations

import heapq
import threading
import time
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING

from everloop.errors import EverloopError, FailedError
from everloop.pipelines.execution import Listener, Running
from everloop.pipelines.interrupts import Interrupts, noted
from everloop.pipelines.plan import Plan
from everloop.pipelines.stagework import StageWork
from everloop.pipelines.values import Event, EventKind, OnError, Options, Outcome, StageReport
from everloop.workspace import Workspace
from everloop.workspace.claims import Holder

if TYPE_CHECKING:
    from everloop.compute.job import Ended, Executor
    from everloop.pipelines.capacity import Capacity

_POLL_S = 0.1

# A command that ended; None only wakes whoever waits.
_Message = tuple[Running, "Ended | BaseException"] | None


class Schedule:
    """One run through a plan.

    Args:
        workspace: Locked by the caller.
        plan: What to look at.
        work: What is done with each.
        options: How many at once, and what to do about failures.
        executor: Gives the executor, when the first command is to run.
        listener: Told what happens, one event at a time.
        should_stop: Asked several times per second while commands run.
        capacity: Of this machine, to be counted; None counts nothing.
    """

    def __init__(
        self,
        workspace: Workspace,
        plan: Plan,
        work: StageWork,
        options: Options,
        executor: Callable[[], Executor],
        listener: Listener,
        should_stop: Callable[[], bool],
        capacity: Capacity | None = None,
    ) -> None:
        self._workspace = workspace
        self._plan = plan
        self._work = work
        self._options = options
        self._executor = executor
        self._listener = listener
        self._should_stop = should_stop
        self._capacity = capacity
        self._crowded_out: set[str] = set()  # until one of those that run has ended
        self._place = {address: place for place, address in enumerate(plan.addresses)}
        self._unmet = {address: len(plan.needs(address)) for address in plan.addresses}
        self._ready = [place for place, address in enumerate(plan.addresses) if not self._unmet[address]]
        self._running: set[str] = set()
        self._workers: list[threading.Thread] = []
        self._commands: SimpleQueue[Running | None] = SimpleQueue()
        # What waits for other processes, until it is tried again; and what this was told of.
        self._blocked: set[str] = set()
        self._told: set[str] = set()
        self._forced = set(plan.addresses) if options.force else set()
        self._skipped: set[str] = set()
        self._messages: SimpleQueue[_Message] = SimpleQueue()
        self._stopping = threading.Event()
        self._was_stopped = False
        self._is_interrupted = False
        self._failures: list[tuple[str, Exception]] = []
        self._reports: list[StageReport] = []

    def run(self) -> list[StageReport]:
        """Go through all of it; what was done, in the order in which it was done.

        Raises:
            EverloopError: A stage failed, or was stopped; what was done before, or beside it, is recorded.
        """
        with noted(self._wake) as interrupts:
            try:
                while not self._is_over(interrupts):
                    self._begin_ready()
                    self._await(interrupts)
            finally:
                self._end()
            if interrupts.number is not None:
                interrupts.throw()
        self._raise_failure()
        return self._reports

    def _is_over(self, interrupts: Interrupts) -> bool:
        if interrupts.number is not None:
            self._stop()
        if self._is_ending:
            self._ready.clear()
            self._blocked.clear()
        return not (self._ready or self._running or self._blocked)

    @property
    def _is_ending(self) -> bool:
        has_failed = bool(self._failures) and self._options.on_error is OnError.FAIL
        return has_failed or self._is_interrupted or self._stopping.is_set()

    def _begin_ready(self) -> None:
        while self._ready and len(self._running) < self._options.jobs and not self._is_ending:
            address = self._plan.addresses[heapq.heappop(self._ready)]
            if address in self._skipped:
                continue
            try:
                if self._capacity is not None and not self._capacity.take(address):
                    self._crowded_out.add(address)
                    continue
                begun = self._work.begin(address, forced=address in self._forced)
            except EverloopError as error:
                self._give_back(address)
                self._failed(address, error)
                continue
            if not isinstance(begun, Running):
                self._give_back(address)
            if isinstance(begun, Holder):
                self._block(address, begun)
            elif isinstance(begun, Running):
                self._start(address, begun)
            else:
                self._done(address, begun)

    def _start(self, address: str, running: Running) -> None:
        executor = self._executor()
        self._running.add(address)
        if self._capacity is not None and (excess := self._capacity.excess(address)):
            self._listener(Event(kind=EventKind.WAITING, stage=address, text=f"asks for {excess}: it runs alone"))
        if len(self._workers) < len(self._running):
            # One for each command at once, not for each stage: to start a thread takes as long as a small command.
            self._workers.append(threading.Thread(target=self._serve, args=(executor,), daemon=True))
            self._workers[-1].start()
        self._commands.put(running)

    def _give_back(self, address: str) -> None:
        if self._capacity is not None:
            self._capacity.give_back(address)

    def _serve(self, executor: Executor) -> None:
        while (running := self._commands.get()) is not None:
            try:
                message: _Message = (running, executor.run(running.job, running.output, self._stopping.is_set))
            except BaseException as error:  # noqa: BLE001  it is raised where the schedule hears of it
                message = (running, error)
            self._messages.put(message)

    def _block(self, address: str, holder: Holder) -> None:
        self._blocked.add(address)
        if address not in self._told:
            self._told.add(address)
            text = f"waits for {holder.command} (pid {holder.pid}), which uses {holder.path}"
            self._listener(Event(kind=EventKind.WAITING, stage=address, text=text))

    def _await(self, interrupts: Interrupts) -> None:
        """Wait until a command ends, or others may have given something back."""
        if not (self._running or self._blocked) or (self._ready and self._has_room):
            return
        if self._blocked:
            # Who waits for others must not hold what they may wait for.
            self._work.settle()
        with self._workspace.lock_lent():
            message = self._next(interrupts)
        if message is not None:
            self._ended(*message)
        elif self._work.settlement.due_in_s == 0.0:
            self._work.settle()
        if self._has_room:
            for address in self._blocked:
                heapq.heappush(self._ready, self._place[address])
            self._blocked.clear()

    @property
    def _has_room(self) -> bool:
        return len(self._running) < self._options.jobs

    def _next(self, interrupts: Interrupts) -> _Message:
        """The next command that ends; None when there is something else to do."""
        while True:
            due_s = self._work.settlement.due_in_s
            try:
                message = self._messages.get(timeout=_POLL_S if due_s is None else min(_POLL_S, due_s))
            except Empty:
                message = None
                if self._should_stop():
                    self._was_stopped = True
                    self._stop()
                    if not self._running:
                        return None
                if not (self._blocked and self._has_room) and due_s is None and interrupts.number is None:
                    if self._running:
                        continue
                    return None
            if interrupts.number is not None:
                self._stop()
            if message is not None or not self._running or self._blocked or self._work.settlement.due_in_s == 0.0:
                return message

    def _ended(self, running: Running, result: Ended | BaseException) -> None:
        address = running.stage.address
        self._running.discard(address)
        self._give_back(address)
        for other in self._crowded_out:
            heapq.heappush(self._ready, self._place[other])
        self._crowded_out.clear()
        try:
            if isinstance(result, BaseException):
                self._work.execution.give_up(running)
                raise result
            report = self._work.finish(running, result)
        except EverloopError as error:
            self._failed(address, error, running)
        else:
            self._done(address, report)
        finally:
            running.output.close()
        due_s = self._work.settlement.due_in_s
        if due_s == 0.0:
            self._work.settle()

    def _done(self, address: str, report: StageReport | None) -> None:
        has_changed = report is not None and report.outcome is not Outcome.UNCHANGED
        if self._options.force_downstream and (has_changed or address in self._forced):
            self._forced.update(self._plan.dependents(address))
        if report is not None:
            self._tell(report)
        self._free(address)

    def _failed(self, address: str, error: EverloopError, running: Running | None = None) -> None:
        self._failures.append((address, error))
        self._tell(
            StageReport(
                stage=address,
                outcome=Outcome.FAILED,
                seconds=time.perf_counter() - running.started if running else 0.0,
                reasons=(error.message,),
                log=str(running.output.path) if running else None,
                tail=tuple(running.output.tail) if running else (),
            )
        )
        if self._options.on_error is OnError.KEEP_GOING:
            for other in self._plan.all_dependents(address):
                if other not in self._skipped:
                    self._skipped.add(other)
                    reason = f"{address}, which it depends on, failed"
                    self._tell(StageReport(stage=other, outcome=Outcome.SKIPPED, seconds=0.0, reasons=(reason,)))
        elif self._options.on_error is OnError.IGNORE:
            self._free(address)

    def _free(self, address: str) -> None:
        for other in self._plan.dependents(address):
            self._unmet[other] -= 1
            if not self._unmet[other]:
                heapq.heappush(self._ready, self._place[other])

    def _tell(self, report: StageReport) -> None:
        self._reports.append(report)
        self._listener(Event(kind=EventKind.FINISHED, stage=report.stage, report=report))

    def _stop(self) -> None:
        self._stopping.set()

    def _wake(self) -> None:
        # Both are safe in a signal's handler, in contrast to most of what could be done there.
        self._is_interrupted = True
        self._messages.put(None)

    def _end(self) -> None:
        """Leave nothing that runs, and nothing unrecorded that is finished."""
        self._stopping.set()
        try:
            for _ in self._workers:
                self._commands.put(None)
            if self._running:
                with self._workspace.lock_lent():
                    for thread in self._workers:
                        thread.join()
        finally:
            self._work.settle()

    def _raise_failure(self) -> None:
        if self._was_stopped and not self._failures:
            # Nothing ran at that moment, so no stage says it.
            raise FailedError("it was stopped", hint="run it again: ever repro")
        if not self._failures or self._options.on_error is OnError.IGNORE:
            self._work.execution.made.require_unchanged()
            return
        if len(self._failures) == 1 or self._options.on_error is OnError.FAIL:
            raise self._failures[0][1]
        names = ", ".join(address for address, _ in self._failures)
        said = "".join(f"\n{error}" for _, error in self._failures)
        raise FailedError(f"{len(self._failures)} stages failed: {names}{said}", hint="ever repro --keep-going")
