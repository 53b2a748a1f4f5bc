"""Bring a workspace's pipelines up to date: run the stages whose inputs changed, restore what the cache still has.

Promises: `dvc.lock` says that a stage ran only after its outputs are durably in the cache, so a run that was killed at
any line is simply repeated; a stage's command never outlives this process. Leaves the order to `graph.py` and the
running of a command to `command.py`.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import msgspec

from everloop.errors import ConflictError, FailedError
from everloop.pipelines import changes, command, graph, lockfile
from everloop.pipelines.changes import Difference
from everloop.pipelines.values import Event, EventKind, LockedStage, Outcome, Report, Stage, StageReport
from everloop.workspace import Change, Content, DvcFile, Out, Workspace
from everloop.workspace.objectid import is_legacy

Listener = Callable[[Event], None]


def repro(
    workspace: Workspace,
    targets: Iterable[str] | None = None,
    *,
    force: bool = False,
    dry: bool = False,
    on_event: Listener | None = None,
    environment: Mapping[str, str] | None = None,
    should_stop: Callable[[], bool] | None = None,
) -> Report:
    """Run what has to run, in order.

    Args:
        workspace: Whose pipelines.
        targets: Names of stages, or paths that they make; with all that these depend on. None means everything.
        force: Run every stage in question, also when nothing changed.
        dry: Only tell what would be done.
        on_event: Told when a stage starts, prints a line, and is finished.
        environment: For the commands, on top of this process's.
        should_stop: Asked a few times per second while a command runs; True ends it.

    Raises:
        InvalidError: A `dvc.yaml`, `dvc.lock`, `.dvc` or params file is malformed or not supported.
        NotFoundError: A target or a parameter does not exist.
        FailedError: A command failed (names the stage, the exit code and the last lines), was stopped, or did not make
            its outputs; what ran before it is kept.
        ConflictError: Another process uses the workspace, or Git tracks an output.
    """
    with workspace.locked():
        whole = graph.load(workspace)
        run = _Run(workspace, whole, on_event or _ignore, dict(environment or {}), should_stop or _never)
        reports = []
        for address in whole.plan(targets):
            node = whole.nodes[address]
            report = run.data(node, dry=dry) if isinstance(node, DvcFile) else run.stage(node, force=force, dry=dry)
            if report is not None:
                reports.append(report)
        workspace.contents.save()
    return Report(stages=tuple(reports))


class _Run:
    """One call of `repro`."""

    def __init__(
        self,
        workspace: Workspace,
        whole: graph.Graph,
        listener: Listener,
        environment: dict[str, str],
        should_stop: Callable[[], bool],
    ) -> None:
        self._workspace = workspace
        self._graph = whole
        self._listener = listener
        self._environment = environment
        self._should_stop = should_stop
        self._would_change: set[str] = set()
        self._locks = lockfile.Locks(workspace.root)

    def data(self, file: DvcFile, *, dry: bool) -> StageReport | None:
        """Restore data that are missing and commit data that changed, as DVC does for what stages depend on.

        Returns:
            None when nothing was to do.
        """
        started = time.perf_counter()
        found = {out.path: change for out in file.outs if (change := self._workspace.change_of(out)) is not None}
        missing = [out for out in file.outs if found.get(out.path) is Change.DELETED]
        changed = [path for path, change in found.items() if change is not Change.DELETED]
        if file.is_import:
            changed = []
        if not missing and not changed:
            return None
        reasons = [f"{path} is {change}" for path, change in found.items()]
        if dry:
            self._would_change.update([file.path] if changed else [])
            outcome = Outcome.WOULD_COMMIT if changed else Outcome.WOULD_RESTORE
            return self._finished(file.path, outcome, started, reasons)
        self._workspace.restore(missing)
        if changed:
            self._workspace.add(changed)
        return self._finished(file.path, Outcome.COMMITTED if changed else Outcome.RESTORED, started, reasons)

    def stage(self, stage: Stage, *, force: bool, dry: bool) -> StageReport:
        """Run, restore or leave one stage."""
        started = time.perf_counter()
        lock_path = self._workspace.root / lockfile.path_for(stage.file)
        locked = self._locks.of(stage)
        difference = changes.compare(self._workspace, stage, locked)
        reasons = self._reasons(stage, difference, force=force)
        if not reasons:
            if not difference.outs:
                return self._finished(stage.address, Outcome.UNCHANGED, started, [])
            if locked is not None and self._can_restore(stage, locked, difference):
                return self._restore(stage, locked, difference, started, dry=dry)
            reasons = changes.out_sentences(difference)
            if stage.is_frozen:
                raise FailedError(f"stage {stage.address} is frozen, but {reasons[0]}", hint="unfreeze it in dvc.yaml")
        if dry:
            self._would_change.add(stage.address)
            return self._finished(stage.address, Outcome.WOULD_RUN, started, reasons)
        return self._run(stage, lock_path, reasons, started)

    def _reasons(self, stage: Stage, difference: Difference, *, force: bool) -> list[str]:
        if stage.is_frozen:
            return []
        reasons = ["it was forced"] if force else []
        reasons += changes.sentences(stage, difference)
        waits = [address for address in self._graph.needed(stage.address) if address in self._would_change]
        return reasons + [f"{address}, which it depends on, would change" for address in waits]

    def _can_restore(self, stage: Stage, locked: LockedStage, difference: Difference) -> bool:
        for out in stage.outs:
            change = difference.outs.get(out.path)
            if change is Change.NOT_IN_CACHE or change is None:
                continue
            content = locked.outs.get(out.written)
            if change is not Change.DELETED or not out.is_cached or content is None:
                return False
            if self._workspace.cache.missing(content.md5):
                return False
        return True

    def _restore(
        self, stage: Stage, locked: LockedStage, difference: Difference, started: float, *, dry: bool
    ) -> StageReport:
        reasons = changes.out_sentences(difference)
        if dry:
            return self._finished(stage.address, Outcome.WOULD_RESTORE, started, reasons)
        written_of = {out.path: out.written for out in stage.outs if out.written in locked.outs}
        by_path = {path: locked.outs[written] for path, written in written_of.items()}
        missing = [path for path, change in difference.outs.items() if change is Change.DELETED]
        self._workspace.restore([Out(path=path, content=by_path[path]) for path in missing])
        kept = self._workspace.commit([path for path in difference.outs if path not in missing])
        renewed = {written_of[path]: content for path, content in kept.items() if is_legacy(by_path[path].md5)}
        if renewed:
            # Objects of DVC 2 that the cache did not have are there as those of DVC 3 now.
            lock_path = self._workspace.root / lockfile.path_for(stage.file)
            self._locks.forget()
            lockfile.write_stage(
                lock_path, stage.name, msgspec.structs.replace(locked, outs={**locked.outs, **renewed})
            )
        return self._finished(stage.address, Outcome.RESTORED, started, reasons)

    def _run(self, stage: Stage, lock_path: Path, reasons: list[str], started: float) -> StageReport:
        self._listener(Event(kind=EventKind.STARTED, stage=stage.address, text="; ".join(reasons)))
        deps = {dep.written: self._present(stage, dep.path) for dep in stage.deps}
        params = {item.written: changes.current_params(self._workspace, item) for item in stage.params}
        self._refuse_tracked_outs(stage)
        log = self._workspace.layout.scratch_dir / "logs" / f"{stage.address.replace('/', '-').replace(':', '-')}.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        with (
            self._workspace.claimed(
                reads=[item.path for item in (*stage.deps, *stage.params)], writes=[out.path for out in stage.outs]
            ),
            self._workspace.lock_lent(),
            log.open("wb") as file,
        ):
            self._clear_outs(stage)
            output = command.Output(file, lambda line: self._printed(stage, line))
            command.run(
                stage,
                self._workspace.root,
                output,
                environment=self._environment,
                should_stop=self._should_stop,
            )
        outs = self._take_outs(stage, log)
        self._locks.forget()
        lockfile.write_stage(
            lock_path, stage.name, LockedStage(command=stage.command, deps=deps, params=params, outs=outs)
        )
        return self._finished(stage.address, Outcome.RAN, started, reasons, log=str(log), tail=tuple(output.tail))

    def _present(self, stage: Stage, path: str) -> Content:
        content = self._workspace.measure(path)
        if content is None:
            raise FailedError(
                f"stage {stage.address} needs {path}, which does not exist and no stage makes",
                hint=f"put it there, or take it out of the deps in {stage.file}",
            )
        return content

    def _refuse_tracked_outs(self, stage: Stage) -> None:
        cached = [out.path for out in stage.outs if out.is_cached]
        if not cached or not self._workspace.git.is_repository():
            return
        tracked = self._workspace.git.tracked(cached)
        if tracked:
            raise ConflictError(
                f"stage {stage.address}: the output {tracked[0]} is tracked by Git",
                hint=f"git rm -r --cached {tracked[0]}, or declare it with `cache: false`",
            )

    def _clear_outs(self, stage: Stage) -> None:
        for out in stage.outs:
            path = self._workspace.root / out.path
            if not os.path.lexists(path):
                continue
            if out.is_persistent:
                self._workspace.unprotect(out.path)
            elif path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()

    def _take_outs(self, stage: Stage, log: Path) -> dict[str, Content]:
        absent = [out.path for out in stage.outs if not (self._workspace.root / out.path).exists()]
        if absent:
            raise FailedError(
                f"stage {stage.address} ended well but did not make {', '.join(absent)}",
                hint=f"compare its command with its outs in {stage.file}; what it printed is in {log}",
            )
        kept = self._workspace.commit([out.path for out in stage.outs if out.is_cached])
        contents: dict[str, Content] = {}
        for out in stage.outs:
            if out.is_cached:
                self._workspace.keep_out_of_git(out.path)
            content = kept.get(out.path) or self._workspace.measure(out.path)
            assert content is not None, f"{out.path} vanished while it was measured"
            contents[out.written] = content
        return contents

    def _printed(self, stage: Stage, line: str) -> None:
        self._listener(Event(kind=EventKind.PRINTED, stage=stage.address, text=line))

    def _finished(
        self,
        address: str,
        outcome: Outcome,
        started: float,
        reasons: Iterable[str],
        *,
        log: str | None = None,
        tail: tuple[str, ...] = (),
    ) -> StageReport:
        report = StageReport(
            stage=address,
            outcome=outcome,
            seconds=time.perf_counter() - started,
            reasons=tuple(reasons),
            log=log,
            tail=tail,
        )
        self._listener(Event(kind=EventKind.FINISHED, stage=address, report=report))
        return report


def _ignore(_: Event) -> None:
    """Nobody listens."""


def _never() -> bool:
    return False
