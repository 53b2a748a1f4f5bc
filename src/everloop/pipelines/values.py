"""The nouns of pipelines: stages as `dvc.yaml` declares them, what `dvc.lock` remembers, what `repro` reports."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

import msgspec

from everloop.workspace import Content

DEFAULT_PARAMS_FILE = "params.yaml"


class StagePath(msgspec.Struct, frozen=True, kw_only=True):
    """A path of a stage.

    Attributes:
        written: As `dvc.yaml` and `dvc.lock` have it, relative to the stage's folder.
        path: Relative to the workspace root, posix; absolute when it lies outside, as what a stage only reads may.
    """

    written: str
    path: str


class OutKind(StrEnum):
    """Which list of the stage declares an output."""

    OUT = "outs"
    METRIC = "metrics"
    PLOT = "plots"


class StageOut(StagePath, frozen=True, kw_only=True):
    """A path that a stage makes.

    Attributes:
        is_cached: Its bytes are kept in the cache; otherwise only their hash is recorded.
        is_persistent: It is not removed before the stage runs.
        is_pushed: It is kept in remotes.
        remote: The one that it is kept in; None means the default one.
        kind: The list that declares it.
        plot: How it is drawn: `template`, `x`, `y`, `x_label`, `y_label`, `title`, `header`.
    """

    is_cached: bool = True
    is_persistent: bool = False
    is_pushed: bool = True
    remote: str | None = None
    kind: OutKind = OutKind.OUT
    plot: dict[str, Any] = {}


class ParamsFile(StagePath, frozen=True, kw_only=True):
    """Parameters that a stage depends on: dotted keys of a file; None means all of it."""

    keys: tuple[str, ...] | None = None


class Stage(msgspec.Struct, frozen=True, kw_only=True):
    """One step of a pipeline.

    Attributes:
        name: Its key in `dvc.yaml`; of a family with the item, `train@0.1`.
        file: The `dvc.yaml`, relative to the workspace root.
        command: One shell script, or several that run in order.
        folder: Where the command runs, relative to the workspace root; `.` is the root.
        is_frozen: It is not run, whatever changed.
        is_always_changed: It runs every time.
        meta: What `dvc.yaml` says under `meta`, for other programs; `everloop.resources` there is for executors.
    """

    name: str
    file: str
    command: str | tuple[str, ...]
    folder: str
    deps: tuple[StagePath, ...] = ()
    params: tuple[ParamsFile, ...] = ()
    outs: tuple[StageOut, ...] = ()
    is_frozen: bool = False
    is_always_changed: bool = False
    description: str = ""
    meta: Any = None

    @property
    def address(self) -> str:
        """How DVC names it: `train`, or `models/dvc.yaml:train` for a stage of another folder's file."""
        return self.name if self.file == "dvc.yaml" else f"{self.file}:{self.name}"

    @property
    def runs_every_time(self) -> bool:
        """It says so, or it has nothing that could change and nothing to make."""
        return self.is_always_changed or not (self.deps or self.params or self.outs)

    @property
    def scripts(self) -> list[str]:
        """The shell scripts one by one; as in DVC, each line of a single string is a script of its own."""
        return self.command.splitlines() if isinstance(self.command, str) else list(self.command)


class LockedStage(msgspec.Struct, frozen=True, kw_only=True):
    """What `dvc.lock` remembers of the last run of a stage; paths as written there.

    Attributes:
        params: `{file: {dotted key: value}}`.
    """

    command: str | tuple[str, ...]
    deps: dict[str, Content] = {}
    params: dict[str, dict[str, Any]] = {}
    outs: dict[str, Content] = {}


class Outcome(StrEnum):
    """What `repro` did with a stage, or (dry) would do."""

    RAN = "ran"
    UNCHANGED = "unchanged"
    RESTORED = "restored from cache"
    COMMITTED = "data committed"
    WOULD_RUN = "would run"
    WOULD_RESTORE = "would restore from cache"
    WOULD_COMMIT = "would commit data"
    FAILED = "failed"
    SKIPPED = "skipped"


class StageReport(msgspec.Struct, frozen=True, kw_only=True):
    """What happened to one stage, or to one `.dvc` file that stages depend on.

    Attributes:
        stage: Its address.
        seconds: Wall time.
        reasons: Why it ran, as sentences; why it failed or was skipped; empty when nothing was to do.
        log: File with all that the command printed, absolute; None when it did not run.
        tail: The last lines of it.
    """

    stage: str
    outcome: Outcome
    seconds: float
    reasons: tuple[str, ...] = ()
    log: str | None = None
    tail: tuple[str, ...] = ()


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What `repro` did, in the order in which it did it."""

    stages: tuple[StageReport, ...]

    @property
    def ran(self) -> tuple[str, ...]:
        """The addresses of the stages that ran."""
        return tuple(stage.stage for stage in self.stages if stage.outcome is Outcome.RAN)


class EventKind(StrEnum):
    """What `repro` tells while it works."""

    WAITING = "waiting"
    STARTED = "started"
    PRINTED = "printed"
    FINISHED = "finished"


class OnError(StrEnum):
    """What to do when a stage fails: start nothing more, go on with what does not depend on it, or go on with all."""

    FAIL = "fail"
    KEEP_GOING = "keep-going"
    IGNORE = "ignore"


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """How `repro` brings stages up to date; see there."""

    force: bool = False
    force_downstream: bool = False
    dry: bool = False
    pull: bool = False
    allow_missing: bool = False
    commit: bool = True
    run_cache: bool = True
    on_error: OnError = OnError.FAIL
    jobs: int = 1


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """One message of a running `repro`.

    Attributes:
        text: WAITING: for whom, or why it runs alone; STARTED: the reasons; PRINTED: one line of output without its
            end; FINISHED: empty.
        report: Only with FINISHED.
    """

    kind: EventKind
    stage: str
    text: str = ""
    report: StageReport | None = None
