"""The state of a whole workspace, data and stages.

The words and the shape are those of `dvc status --json`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from everloop.pipelines import changes, graph
from everloop.pipelines.lockfile import Locks
from everloop.pipelines.targets import chosen
from everloop.pipelines.values import LockedStage, Stage
from everloop.workspace import Workspace


def status(
    workspace: Workspace,
    targets: Sequence[str] = (),
    folder: str | os.PathLike[str] | None = None,
    *,
    with_deps: bool = False,
    recursive: bool = False,
) -> dict[str, list[Any]]:
    """What is not up to date, by stage or `.dvc` file; empty when everything is.

    Args:
        workspace: Where.
        targets: Stages, `dvc.yaml` and `.dvc` files, outputs, data, paths inside of them; none means all.
        folder: What paths are relative to; None means the root.
        with_deps: Also all that the targets depend on.
        recursive: A target may be a folder, and means all that is described below it.

    Returns:
        `{"train": [{"changed deps": {"data": "modified", "params.yaml": {"lr": "modified"}}}, {"changed outs": {...}},
        "changed command"]}`

    Raises:
        InvalidError: A file is malformed or not supported.
        NotFoundError: A target means nothing.
    """
    connected = graph.load(workspace)
    wanted: dict[str, set[str] | None] | None = None
    if targets:
        wanted = chosen(workspace, connected, targets, folder, with_deps=with_deps, recursive=recursive)
    report: dict[str, list[Any]] = {}
    locks = Locks(workspace.root)
    for stage in connected.stages:
        if wanted is None or stage.address in wanted:
            outs = None if wanted is None else wanted[stage.address]
            entry = _entry(workspace, stage, locks.of(stage), outs)
            if entry:
                report[stage.address] = entry
    for file, found in workspace.status(None if wanted is None else _data(connected, wanted)).items():
        report[file] = [{"changed outs": dict(found)}]
    workspace.contents.save()
    return report


def _data(connected: graph.Graph, wanted: Mapping[str, set[str] | None]) -> set[str]:
    """The paths of `.dvc` files' data that are meant."""
    files = {address: node for address, node in connected.nodes.items() if not isinstance(node, Stage)}
    return {
        out.path
        for address, outs in wanted.items()
        if address in files
        for out in files[address].outs
        if outs is None or out.path in outs
    }


def _entry(workspace: Workspace, stage: Stage, locked: LockedStage | None, outs: set[str] | None) -> list[Any]:
    if outs is not None:
        stage = msgspec.structs.replace(stage, outs=tuple(out for out in stage.outs if out.path in outs))
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
