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
    """Whether the outputs of the last run that are missing or were changed since are all whole in the cache."""
    if not (stage.is_frozen or runs.is_reusable(stage)):
        return False
    for out in stage.outs:
        content = locked.outs.get(out.written)
        if content is None:
            return False
        is_wrong = out.path in outs and outs[out.path] is not Change.NOT_IN_CACHE
        if is_wrong and workspace.cache.missing(content.md5):
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
