"""Whether what a stage makes is there already: in the cache, or as a run that the run cache remembers.

Only looks. Leaves restoring to `repro.py`.
"""

from __future__ import annotations

from collections.abc import Mapping

from everloop.errors import NotFoundError
from everloop.pipelines import changes, runs
from everloop.pipelines.values import LockedStage, Stage
from everloop.workspace import Change, Workspace


def from_cache(workspace: Workspace, stage: Stage, locked: LockedStage, outs: Mapping[str, Change]) -> bool:
    """Whether all outputs that differ are only missing, and whole in the cache."""
    for out in stage.outs:
        change = outs.get(out.path)
        if change is None or change is Change.NOT_IN_CACHE:
            continue
        content = locked.outs.get(out.written)
        if change is not Change.DELETED or not out.is_cached or content is None:
            return False
        if workspace.cache.missing(content.md5):
            return False
    return True


def from_run_cache(workspace: Workspace, stage: Stage) -> bool:
    """Whether the run cache remembers a run of the same command, dependencies and parameters, whole in the cache."""
    if not runs.is_reusable(stage):
        return False
    deps = {dep.written: workspace.measure(dep.path) for dep in stage.deps}
    present = {written: content for written, content in deps.items() if content is not None}
    if len(present) < len(deps):
        return False
    try:
        values = {item.written: changes.current_params(workspace, item) for item in stage.params}
    except NotFoundError:
        return False
    found = runs.find(workspace, stage, LockedStage(command=stage.command, deps=present, params=values))
    return found is not None and not any(workspace.cache.missing(content.md5) for content in found.outs.values())
