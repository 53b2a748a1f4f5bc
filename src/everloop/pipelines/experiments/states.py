"""What is known of a commit or of the workspace, in the shape in which `dvc exp show --json` prints it.

Source: dvc 3.67 (`repo/experiments/serialize.py`); the VS Code extension reads it. Fields stand in its order.
"""

from __future__ import annotations

from typing import Any

import msgspec

from everloop.pipelines.params import flatten

# `{"data": values}`, or `{"error": Problem}` where a file could not be read.
FileResult = dict[str, Any]


def flat(result: FileResult) -> dict[str, Any]:
    """The values of a file by their dotted key; that of a file which is one bare value is empty."""
    data = result.get("data", {})
    return flatten(data) if isinstance(data, dict) else {"": data}


class Dep(msgspec.Struct, frozen=True, kw_only=True):
    """What a stage was made from, as `dvc.lock` records it; None is not recorded."""

    hash: str | None
    size: int | None
    nfiles: int | None


class Made(msgspec.Struct, frozen=True, kw_only=True):
    """Data under version, or what a stage made, as recorded; None is not recorded."""

    hash: str | None
    size: int | None
    nfiles: int | None
    use_cache: bool
    is_data_source: bool


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """Why something could not be read."""

    msg: str
    type: str = ""


class Data(msgspec.Struct, frozen=True, kw_only=True):
    """Parameters, metrics and records.

    Attributes:
        rev: The commit, or `workspace`.
        timestamp: When it was committed, in local time, without a zone, as DVC prints it.
        params: By file.
        metrics: By file.
    """

    rev: str
    timestamp: str | None = None
    params: dict[str, FileResult] = {}
    metrics: dict[str, FileResult] = {}
    deps: dict[str, Dep] = {}
    outs: dict[str, Made] = {}
    meta: dict[str, Any] = {}


class LocalRun(msgspec.Struct, frozen=True, kw_only=True):
    """Where an experiment runs, or ran."""

    root: str | None = None
    log: str | None = None
    pid: int | None = None
    returncode: int | None = None
    task_id: str | None = None


class Executor(msgspec.Struct, frozen=True, kw_only=True):
    """Who runs an experiment; `state` is success, queued, running or failed."""

    state: str
    name: str | None = None
    local: LocalRun | None = None


class Shown(msgspec.Struct, frozen=True, kw_only=True):
    """A baseline with its experiments, or one experiment."""

    rev: str
    name: str | None = None
    data: Data | None = None
    error: Problem | None = None
    experiments: list[Range] | None = None


class Range(msgspec.Struct, frozen=True, kw_only=True):
    """An experiment: its one state, and who runs it."""

    revs: list[Shown]
    executor: Executor | None = None
    name: str | None = None

    @property
    def tip(self) -> Shown:
        return self.revs[0]
