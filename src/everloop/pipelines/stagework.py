"""Bring one stage, or one `.dvc` file that stages depend on, up to date: leave it, restore it, or run it.

Leaves when its turn is to `schedule.py`, and how a command runs to the executor.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING

import msgspec

from everloop.errors import ConflictError, FailedError
from everloop.pipelines import changes
from everloop.pipelines.changes import Difference, ParamsFiles
from everloop.pipelines.definition import declared_at
from everloop.pipelines.execution import Execution, Listener, Running
from everloop.pipelines.graph import Graph
from everloop.pipelines.lockfile import Locks
from everloop.pipelines.plan import Plan
from everloop.pipelines.restoring import Restorable, Restoring
from everloop.pipelines.settlement import Settlement, paths_of
from everloop.pipelines.tree import FolderTree
from everloop.pipelines.values import Event, EventKind, LockedStage, Options, Outcome, Stage, StageReport
from everloop.workspace import Change, Content, DvcFile, Workspace
from everloop.workspace.claims import Holder

if TYPE_CHECKING:
    from everloop.compute.job import Ended

# Is asked whether a stage shall be reproduced, with a sentence that names it.
Confirm = Callable[[str], bool]


class StageWork:
    """What one `repro` does to single stages. Use it while the workspace is locked."""

    def __init__(
        self,
        workspace: Workspace,
        whole: Graph,
        plan: Plan,
        options: Options,
        *,
        listener: Listener,
        environment: Mapping[str, str],
        confirm: Confirm | None,
    ) -> None:
        self._workspace = workspace
        self._graph = whole
        self._plan = plan
        self._options = options
        self._listener = listener
        self._confirm = confirm
        self._would_change: set[str] = set()
        self._locks = Locks(workspace.root)
        self._claims = workspace.claims()
        self.settlement = Settlement(workspace, self._locks, self._claims)
        self.restoring = Restoring(workspace, self.settlement, options, self._warn)
        self._params = ParamsFiles(workspace)
        self.execution = Execution(
            workspace, whole, plan, options, self.settlement, listener=listener, environment=environment
        )

    def begin(self, address: str, *, forced: bool) -> StageReport | Running | Holder | None:
        """Do what can be done at once.

        Returns:
            What was done, None for data that were right; or the command that is to run, for which to call `finish`; or
            who uses the stage's paths now, when that has to be waited for.

        Raises:
            EverloopError: It cannot be brought up to date.
        """
        node = self._graph.nodes[address]
        reads = [out.path for out in node.outs]
        if isinstance(node, Stage):
            reads += paths_of(node)[0]
        holder = None if self._options.dry else self._holder(reads, [])
        if holder is not None:
            return holder
        return self._data(node) if isinstance(node, DvcFile) else self._stage(node, forced=forced)

    def finish(self, running: Running, ended: Ended) -> StageReport:
        """Take what a command has made.

        Raises:
            FailedError: It failed, was stopped, or did not make its outputs.
        """
        self.execution.finish(running, ended)
        return _report(
            running.stage.address,
            Outcome.RAN,
            running.started,
            running.reasons,
            log=str(running.output.path),
            tail=tuple(running.output.tail),
        )

    def settle(self) -> None:
        """Record what is finished; see `Settlement.settle`."""
        self.execution.made.remember()
        self.settlement.settle()

    def _data(self, file: DvcFile) -> StageReport | Holder | None:
        """Restore data that are missing and commit data that changed, as DVC does for what stages depend on."""
        started = time.perf_counter()
        found = {out.path: change for out in file.outs if (change := self._workspace.change_of(out)) is not None}
        missing = [out for out in file.outs if found.get(out.path) is Change.DELETED]
        changed = [path for path, change in found.items() if change is not Change.DELETED]
        if file.is_import:
            changed = []
        if self._options.allow_missing:
            missing = [out for out in missing if out.content and not self._workspace.cache.missing(out.content.md5)]
        if not missing and not changed:
            return None
        reasons = [f"{path} is {change}" for path, change in found.items()]
        if self._options.dry:
            self._would_change.update([file.path] if changed else [])
            outcome = Outcome.WOULD_COMMIT if changed else Outcome.WOULD_RESTORE
            return _report(file.path, outcome, started, reasons)
        holder = self._holder([], list(found))
        if holder is not None:
            return holder
        if missing and self._options.pull:
            self._workspace.transfers.pull([out.path for out in missing])
        self._workspace.restore(missing)
        if changed:
            self._workspace.add(changed, commit=self._options.commit)
        return _report(file.path, Outcome.COMMITTED if changed else Outcome.RESTORED, started, reasons)

    def _stage(self, stage: Stage, *, forced: bool) -> StageReport | Running | Holder:
        started = time.perf_counter()
        locked = self._locks.of(stage)
        difference = self._compare(stage, locked)
        reasons = self._reasons(stage, difference, forced=forced)
        if not reasons and not difference.outs:
            return _report(stage.address, Outcome.UNCHANGED, started, [])
        reads, writes = paths_of(stage)
        if not self._options.dry and (holder := self._holder(reads, writes)):
            return holder
        found: Restorable | None = None
        if not reasons:
            assert locked is not None, "a stage that never ran has a reason to run"
            reasons = changes.out_sentences(difference)
            found = self.restoring.last(stage, locked, difference)
            if found is None and stage.is_frozen:
                raise FailedError(f"stage {stage.address} is frozen, but {reasons[0]}", hint="unfreeze it in dvc.yaml")
        if self._options.dry:
            return self._dry(stage, found, reasons, started, forced=forced)
        if self._confirm is not None and not self._confirm(f"{stage.address}: {'; '.join(reasons)}"):
            raise FailedError(f"stage {stage.address} was not reproduced: it was refused", hint="ever repro")
        if found is not None:
            return self._restore(stage, found, reasons, started)
        return self._run(stage, reasons, started, forced=forced)

    def _compare(self, stage: Stage, locked: LockedStage | None) -> Difference:
        if locked is None:
            return Difference(never_ran=True)
        found = changes.compare(self._workspace, stage, locked, self._params, self.execution.made.measure)
        options = self._options
        if not (options.allow_missing or options.pull):
            return found
        deps = {path: change for path, change in found.deps.items() if change is not Change.DELETED}
        stale = [path for path in found.deps if path not in deps and self._made_otherwise(stage, locked, path)]
        outs = {
            path: change
            for path, change in found.outs.items()
            if not options.allow_missing or change not in (Change.DELETED, Change.NOT_IN_CACHE)
        }
        return msgspec.structs.replace(found, deps=deps | dict.fromkeys(stale, Change.MODIFIED), outs=outs)

    def _made_otherwise(self, stage: Stage, locked: LockedStage, path: str) -> bool:
        """Whether the stage that makes a missing dependency made something else in its last run than what was read."""
        written = next(dep.written for dep in stage.deps if dep.path == path)
        for need in self._graph.needed(stage.address):
            maker = self._graph.nodes[need]
            made = self._locks.of(maker) if isinstance(maker, Stage) else None
            for out in maker.outs:
                if out.path == path and made is not None and isinstance(maker, Stage):
                    mine = next(each for each in maker.outs if each.path == path)
                    return made.outs.get(mine.written) != locked.deps.get(written)
        return False

    def _reasons(self, stage: Stage, difference: Difference, *, forced: bool) -> list[str]:
        if stage.is_frozen:
            return []
        reasons = ["it was forced"] if forced else []
        reasons += changes.sentences(stage, difference)
        waits = [address for address in self._plan.needs(stage.address) if address in self._would_change]
        return reasons + [f"{address}, which it depends on, would change" for address in waits]

    def _dry(
        self, stage: Stage, found: Restorable | None, reasons: list[str], started: float, *, forced: bool
    ) -> StageReport:
        depends = any(address in self._would_change for address in self._plan.needs(stage.address))
        has_inputs = all((self._workspace.root / dep.path).exists() for dep in stage.deps)
        if found is None and has_inputs and not (forced or depends or stage.is_frozen):
            found = self.restoring.equal(stage, self._inputs(stage))
        if found is not None:
            return _report(stage.address, Outcome.WOULD_RESTORE, started, reasons)
        self._would_change.add(stage.address)
        return _report(stage.address, Outcome.WOULD_RUN, started, reasons)

    def _restore(self, stage: Stage, found: Restorable, reasons: list[str], started: float) -> StageReport:
        self.restoring.restore(stage, found)
        return _report(stage.address, Outcome.RESTORED, started, reasons)

    def _run(self, stage: Stage, reasons: list[str], started: float, *, forced: bool) -> StageReport | Running:
        self.restoring.fetch_inputs(stage)
        inputs = self._inputs(stage)
        found = None if forced else self.restoring.equal(stage, inputs)
        if found is not None:
            return self._restore(stage, found, reasons, started)
        return self.execution.start(stage, inputs, reasons, started)

    def _inputs(self, stage: Stage) -> LockedStage:
        return LockedStage(
            command=stage.command,
            deps={dep.written: self._present(stage, dep.path) for dep in stage.deps},
            params={item.written: changes.current_params(self._workspace, item, self._params) for item in stage.params},
        )

    def _present(self, stage: Stage, path: str) -> Content:
        content = self.execution.made.measure(path)
        if content is None:
            raise FailedError(
                f"stage {stage.address} needs {path}, which does not exist and no stage makes",
                hint=f"put it there, or take it out of the deps ({declared_at(FolderTree(self._workspace), stage)})",
            )
        return content

    def _holder(self, reads: list[str], writes: list[str]) -> Holder | None:
        holder = self._claims.holder(reads, writes)
        if holder is not None and holder.is_above:
            raise ConflictError(
                f"{holder.path} is in use by the stage that called this (pid {holder.pid}: {holder.command})",
                hint="a stage cannot reproduce itself, nor what it reads",
            )
        return holder

    def _warn(self, text: str) -> None:
        self._listener(Event(kind=EventKind.PRINTED, stage="repro", text=text))


def _report(
    address: str,
    outcome: Outcome,
    started: float,
    reasons: Iterable[str],
    *,
    log: str | None = None,
    tail: tuple[str, ...] = (),
) -> StageReport:
    return StageReport(
        stage=address,
        outcome=outcome,
        seconds=time.perf_counter() - started,
        reasons=tuple(reasons),
        log=log,
        tail=tail,
    )
