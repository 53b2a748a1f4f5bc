"""Whether what a stage makes is there already: in the cache, or as a run that the run cache remembers.

Only looks. Leaves restoring to `repro.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from everloop.errors import NotFoundError
from everloop.pipelines import changes, lockfile
from everloop.pipelines.values import LockedStage, Stage
from everloop.workspace import Change, Workspace, runcache, yamlfile
from everloop.workspace.dvcfile import read_content


def from_cache(workspace: Workspace, stage: Stage, locked: LockedStage, outs: Mapping[str, Change]) -> bool:
    """Whether the outputs of the last run that are missing or were changed since are all whole in the cache."""
    if not (stage.is_frozen or _makes_the_same(stage)):
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
    if not _makes_the_same(stage):
        return False
    deps = {dep.written: workspace.measure(dep.path) for dep in stage.deps}
    present = {written: content for written, content in deps.items() if content is not None}
    if len(present) < len(deps):
        return False
    try:
        values = {item.written: changes.current_params(workspace, item) for item in stage.params}
    except NotFoundError:
        return False
    entry = lockfile.entry_of(LockedStage(command=stage.command, deps=present, params=values))
    entry["outs"] = [{"path": path} for path in sorted(out.written for out in stage.outs)]
    # All runs of this key lie beside each other.
    folder = (workspace.cache.root / runcache.place_of(entry)).parent
    remembered = sorted(folder.iterdir(), key=_age, reverse=True) if folder.is_dir() else []
    return bool(remembered) and _is_whole(workspace, remembered[0])


def _makes_the_same(stage: Stage) -> bool:
    """Whether the stage always makes the same out of the same, as far as DVC trusts it."""
    has_all = bool((stage.deps or stage.params) and stage.outs)
    return has_all and not stage.runs_every_time and not any(out.is_persistent for out in stage.outs)


def _age(path: Path) -> float:
    return path.stat().st_mtime


def _is_whole(workspace: Workspace, run: Path) -> bool:
    for item in (yamlfile.load_plain(run) or {}).get("outs") or ():
        content = read_content(item, str(run))
        if content is None or workspace.cache.missing(content.md5):
            return False
    return True
