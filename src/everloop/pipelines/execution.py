"""Run a stage: what has to be so before its command, and what is taken of it after.

Leaves whether it runs to `stagework.py`, and how a command runs to the executor.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from everloop.errors import ConflictError, FailedError
from everloop.pipelines import runs
from everloop.pipelines.graph import Graph
from everloop.pipelines.made import Made
from everloop.pipelines.plan import Plan
from everloop.pipelines.settlement import Settlement
from everloop.pipelines.values import Event, EventKind, LockedStage, Options, Stage
from everloop.workspace import Content, Workspace

if TYPE_CHECKING:
    from everloop.compute.job import Ended, Job, Output

Listener = Callable[[Event], None]
_PATHS_AT_ONCE = 500


class Running:
    """A stage whose command runs.

    Attributes:
        stage: Which.
        inputs: Its command, deps and params as they were when it started.
        job: For the executor.
        output: What it prints.
    """

    def __init__(
        self, stage: Stage, inputs: LockedStage, reasons: list[str], started: float, job: Job, output: Output
    ) -> None:
        self.stage = stage
        self.inputs = inputs
        self.reasons = reasons
        self.started = started
        self.started_ns = time.time_ns()
        self.job = job
        self.output = output


class Execution:
    """The runs of one `repro`. Use it while the workspace is locked."""

    def __init__(
        self,
        workspace: Workspace,
        whole: Graph,
        plan: Plan,
        options: Options,
        settlement: Settlement,
        *,
        listener: Listener,
        environment: Mapping[str, str],
    ) -> None:
        self._workspace = workspace
        self._graph = whole
        self._plan = plan
        self._options = options
        self._settlement = settlement
        self._listener = listener
        self._environment = dict(environment)
        self.made = Made(workspace)

    def start(self, stage: Stage, inputs: LockedStage, reasons: list[str], started: float) -> Running:
        """Claim its paths, and clear the way for its command, which the caller lets run.

        Raises:
            ConflictError: Git tracks an output, or somebody else uses one.
            InvalidError: What it asks of a machine, or its Python environment, is malformed.
            NotFoundError: A file of its Python environment is not there.
        """
        self._listener(Event(kind=EventKind.STARTED, stage=stage.address, text="; ".join(reasons)))
        self._refuse_tracked_outs(stage)
        job = self._job(stage, inputs)
        self._settlement.claim(stage)
        try:
            self._clear_outs(stage)
            return Running(stage, inputs, reasons, started, job, self._output(stage))
        except BaseException:
            self._settlement.give_up(stage)
            raise

    def finish(self, running: Running, ended: Ended) -> None:
        """Take what the command has made, and let it be recorded.

        Raises:
            FailedError: It failed, was stopped, or did not make its outputs.
        """
        stage, output = running.stage, running.output
        try:
            if ended.was_stopped:
                raise FailedError(f"stage {stage.address} was stopped", hint="run it again: ever repro")
            if ended.code != 0:
                last = "".join(f"\n  {line}" for line in output.tail)
                raise FailedError(f"stage {stage.address} failed with exit code {ended.code}: {ended.script}{last}")
            self._take_outs(running)
        except BaseException:
            self.give_up(running)
            raise

    def give_up(self, running: Running) -> None:
        """Nothing is to be taken: the executor did not even come to an end."""
        self._settlement.give_up(running.stage)

    def _job(self, stage: Stage, inputs: LockedStage) -> Job:
        from everloop.compute.job import Job
        from everloop.pipelines import resources, stageenvironment

        root = self._workspace.root
        return Job(
            name=f"stage {stage.address}",
            scripts=tuple(stage.scripts),
            root=root,
            folder=stage.folder,
            environment={"DVC_ROOT": str(root), "DVC_STAGE": stage.address, **self._environment},
            inputs={dep.path: inputs.deps[dep.written].md5 for dep in stage.deps},
            outputs=tuple(out.path for out in stage.outs),
            resources=resources.of(stage),
            python=stageenvironment.spec_of(self._workspace, stage),
        )

    def _output(self, stage: Stage) -> Output:
        from everloop.compute.job import Output

        log = self._log_folder / f"{stage.address.replace('/', '-').replace(':', '-')}.log"
        return Output(log, lambda line: self._listener(Event(kind=EventKind.PRINTED, stage=stage.address, text=line)))

    @cached_property
    def _log_folder(self) -> Path:
        folder = self._workspace.layout.scratch_dir / "logs"
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def _refuse_tracked_outs(self, stage: Stage) -> None:
        for out in stage.outs:
            if out.is_cached and out.path in self._tracked:
                raise ConflictError(
                    f"stage {stage.address}: the output {out.path} is tracked by Git",
                    hint=f"git rm -r --cached {out.path}, or declare it with `cache: false`",
                )

    @cached_property
    def _tracked(self) -> set[str]:
        """The cached outputs of the plan that Git tracks, in whole or in part: asked once, not once per stage."""
        nodes = (self._graph.nodes[address] for address in self._plan.addresses)
        paths = [out.path for node in nodes if isinstance(node, Stage) for out in node.outs if out.is_cached]
        git = self._workspace.git
        if not paths or not git.is_repository():
            return set()
        parts = range(0, len(paths), _PATHS_AT_ONCE)
        files = [file for start in parts for file in git.tracked(paths[start : start + _PATHS_AT_ONCE])]
        if not files:
            return set()
        return {path for path in paths if any(file == path or file.startswith(path + "/") for file in files)}

    def _clear_outs(self, stage: Stage) -> None:
        for out in stage.outs:
            path = self._workspace.root / out.path
            if not os.path.lexists(path):
                continue
            if out.is_persistent:
                self._workspace.unprotect(out.path)
            elif path.is_dir() and not path.is_symlink():
                from shutil import rmtree

                rmtree(path)
            else:
                path.unlink()

    def _take_outs(self, running: Running) -> None:
        stage = running.stage
        absent = [out.path for out in stage.outs if not (self._workspace.root / out.path).exists()]
        if absent:
            raise FailedError(
                f"stage {stage.address} ended well but did not make {', '.join(absent)}",
                hint=f"compare its command with its outs in {stage.file}; what it printed is in {running.output.path}",
            )
        keep_run = self._options.commit and runs.is_kept(stage)
        contents: dict[str, Content] = {}
        if self._options.commit:
            contents |= self._settlement.keep([out.path for out in stage.outs if out.is_cached])
        if keep_run:
            # As DVC: so that the run cache can restore them; the workspace's own belong to Git.
            measures = [out.path for out in stage.outs if not out.is_cached]
            contents |= self._settlement.keep(measures, relink=False) if measures else {}
        for out in stage.outs:
            content = contents.get(out.path) or self._workspace.measure(out.path)
            assert content is not None, f"{out.path} vanished while it was measured"
            contents[out.path] = content
        self.made.put(stage, contents, started_ns=running.started_ns)
        outs = {out.written: contents[out.path] for out in stage.outs}
        ran = msgspec.structs.replace(running.inputs, outs=outs)
        self._settlement.record(stage, ran, keep_run=keep_run)
