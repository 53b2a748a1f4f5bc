"""The run cache of stages: what has been made out of what before, in this workspace or another one.

Source: dvc 3.67 (`stage/cache.py`). Leaves where entries lie, and how they travel, to `workspace/runcache.py`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from everloop.errors import EverloopError
from everloop.pipelines import lockfile
from everloop.pipelines.values import LockedStage, OutKind, Stage
from everloop.workspace import Workspace, durable, yamlfile
from everloop.workspace.objectid import is_legacy
from everloop.workspace.runcache import folder_of, place_of


def is_reusable(stage: Stage) -> bool:
    """Whether the stage always makes the same out of the same, as far as DVC trusts it."""
    has_all = bool((stage.deps or stage.params) and stage.outs)
    return has_all and not stage.runs_every_time and not any(out.is_persistent for out in stage.outs)


def is_kept(stage: Stage) -> bool:
    """Whether its runs are kept; not so where an output that is no measure stays out of the cache."""
    return is_reusable(stage) and all(out.is_cached or out.kind is not OutKind.OUT for out in stage.outs)


def find(workspace: Workspace, stage: Stage, inputs: LockedStage) -> LockedStage | None:
    """The newest run of the stage with these inputs; None when there is none.

    Args:
        workspace: In whose cache to look.
        stage: Which.
        inputs: Its command, deps and params as they are now; what it has made does not matter.
    """
    folder = _folder(workspace, stage, inputs)
    try:
        found = max(folder.iterdir(), key=lambda path: path.stat().st_mtime_ns)
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return None
    try:
        entry = lockfile.read_entry(yamlfile.load_plain(found), str(found))
    except EverloopError:
        # As DVC: a damaged entry goes, and the stage runs.
        found.unlink(missing_ok=True)
        return None
    return entry if set(entry.outs) >= {out.written for out in stage.outs} else None


def keep(workspace: Workspace, ran: LockedStage) -> None:
    """Keep a run, after the cache has all that it made."""
    if any(is_legacy(content.md5) for content in (*ran.deps.values(), *ran.outs.values())):
        return
    entry = lockfile.entry_of(ran)
    place = workspace.cache.root / place_of(entry)
    if place.exists():
        return
    workspace.cache.make_folder(place.parent)
    # It can be made again: whoever finds it torn after a power cut removes it.
    durable.write_atomically(place, yamlfile.dump(entry), flush=False)


def _folder(workspace: Workspace, stage: Stage, inputs: LockedStage) -> Path:
    entry: dict[str, Any] = lockfile.entry_of(inputs)
    entry["outs"] = [{"path": written} for written in sorted(out.written for out in stage.outs)]
    return workspace.cache.root / folder_of(entry)
