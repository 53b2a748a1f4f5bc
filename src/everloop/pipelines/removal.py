"""Take a stage out of its pipeline: its part of `dvc.yaml`, of `dvc.lock` and of `.gitignore`."""

from __future__ import annotations

from pathlib import Path

from everloop.errors import NotFoundError
from everloop.pipelines import graph, lockfile
from everloop.pipelines.values import Stage
from everloop.workspace import Workspace, yamlfile
from everloop.workspace.autostage import stage as stage_in_git
from everloop.workspace.durable import write_atomically
from everloop.workspace.gitignore import unignore_out


def remove_stage(workspace: Workspace, target: str, *, outs: bool = False) -> str:
    """Remove a stage; what it has made stays, unless asked.

    Args:
        workspace: Where.
        target: Its address or name, as `train` or `models/dvc.yaml:train`.
        outs: Move what it has made into the trash.

    Returns:
        Its address.

    Raises:
        NotFoundError: There is no such stage.
    """
    whole = graph.load(workspace)
    stage = whole.nodes[whole.resolve(target)]
    if not isinstance(stage, Stage):
        raise NotFoundError(f"{target!r} is data, not a stage", hint=f"ever remove {stage.path}")
    paths = [out.path for out in stage.outs]
    with workspace.locked(), workspace.claimed(writes=paths):
        if outs:
            workspace.trash.take("remove", paths)
            workspace.trash.prune()
        for out in stage.outs:
            unignore_out(workspace.root, out.path, workspace.gitignore)
        lock = lockfile.path_for(stage.file)
        _drop(workspace.root / lock, stage.name)
        # Last: as long as it is there, the command can be repeated.
        _drop(workspace.root / stage.file, stage.name)
        stage_in_git(workspace, [stage.file, lock])
    return stage.address


def _drop(path: Path, name: str) -> None:
    if not path.exists():
        return
    data = yamlfile.load_editable_mapping(path)
    stages = data.get("stages") or {}
    if name not in stages:
        return
    del stages[name]
    if stages or set(data) - {"stages", "schema"}:
        write_atomically(path, yamlfile.dump(data))
    else:
        # As DVC: a file that says nothing more goes.
        path.unlink()
