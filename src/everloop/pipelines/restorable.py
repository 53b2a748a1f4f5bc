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
    if not stage.deps and not stage.params:
        return False
    if not stage.outs or stage.is_always_changed or any(out.is_persistent for out in stage.outs):
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


def _age(path: Path) -> float:
    return path.stat().st_mtime


def _is_whole(workspace: Workspace, run: Path) -> bool:
    for item in (yamlfile.load_plain(run) or {}).get("outs") or ():
        content = read_content(item, str(run))
        if content is None or workspace.cache.missing(content.md5):
            return False
    return True
