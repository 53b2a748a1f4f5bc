"""The state of a whole workspace, data and stages, and how to restore it.

The words and the shape are those of `dvc status --json`.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any

from everloop.pipelines import changes, graph, lockfile
from everloop.pipelines.values import Stage
from everloop.workspace import CheckoutReport, Out, Workspace


def status(workspace: Workspace) -> dict[str, list[Any]]:
    """What is not up to date, by stage or `.dvc` file; empty when everything is.

    Returns:
        `{"train": [{"changed deps": {"data": "modified", "params.yaml": {"lr": "modified"}}}, {"changed outs": {...}},
        "changed command"]}`

    Raises:
        InvalidError: A file is malformed or not supported.
    """
    report: dict[str, list[Any]] = {}
    for stage in graph.load(workspace).stages:
        entry = _entry(workspace, stage)
        if entry:
            report[stage.address] = entry
    for file, found in workspace.status().items():
        report[file] = [{"changed outs": dict(found)}]
    workspace.contents.save()
    return report


def checkout(
    workspace: Workspace, targets: Iterable[str | os.PathLike[str]] | None = None, *, force: bool = False
) -> CheckoutReport:
    """Restore data and the outputs of stages out of the cache, as `.dvc` files and `dvc.lock` record them.

    Args:
        workspace: Where.
        targets: Paths of data or outputs, or `.dvc` files; None means all.
        force: Overwrite changes that are nowhere else.

    Raises: as `Workspace.checkout`.
    """
    outs = [out for file in workspace.dvc_files().values() for out in file.outs]
    for stage in graph.load(workspace).stages:
        locked = lockfile.read(workspace.root / lockfile.path_for(stage.file)).get(stage.name)
        if locked is not None:
            recorded = ((out, locked.outs.get(out.written)) for out in stage.outs)
            outs += [Out(path=out.path, content=content, is_cached=out.is_cached) for out, content in recorded]
    return workspace.restore(workspace.select(outs, targets), force=force)


def _entry(workspace: Workspace, stage: Stage) -> list[Any]:
    locked = lockfile.read(workspace.root / lockfile.path_for(stage.file)).get(stage.name)
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
