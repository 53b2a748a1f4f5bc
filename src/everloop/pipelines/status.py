"""The state of a whole workspace, data and stages.

The words and the shape are those of `dvc status --json`.
"""

from __future__ import annotations

from typing import Any

from everloop.pipelines import changes, graph
from everloop.pipelines.lockfile import Locks
from everloop.pipelines.values import LockedStage, Stage
from everloop.workspace import Workspace


def status(workspace: Workspace) -> dict[str, list[Any]]:
    """What is not up to date, by stage or `.dvc` file; empty when everything is.

    Returns:
        `{"train": [{"changed deps": {"data": "modified", "params.yaml": {"lr": "modified"}}}, {"changed outs": {...}},
        "changed command"]}`

    Raises:
        InvalidError: A file is malformed or not supported.
    """
    report: dict[str, list[Any]] = {}
    locks = Locks(workspace.root)
    for stage in graph.load(workspace).stages:
        entry = _entry(workspace, stage, locks.of(stage))
        if entry:
            report[stage.address] = entry
    for file, found in workspace.status().items():
        report[file] = [{"changed outs": dict(found)}]
    workspace.contents.save()
    return report


def _entry(workspace: Workspace, stage: Stage, locked: LockedStage | None) -> list[Any]:
    difference = changes.compare(workspace, stage, locked)
    entry: list[Any] = []
    inputs = {**difference.deps, **difference.params}
    if inputs and not stage.is_frozen:
        entry.append({"changed deps": inputs})
    if difference.outs:
        entry.append({"changed outs": dict(difference.outs)})
    if stage.runs_every_time:
        entry.append("always changed")
    if difference.command or difference.never_ran:
        entry.append("changed command")
    return entry
