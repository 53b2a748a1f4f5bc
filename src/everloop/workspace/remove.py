"""Take data out of version: the `.dvc` file and the entry in `.gitignore` go, the data stay unless told otherwise."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from everloop.errors import NotFoundError
from everloop.workspace import gitignore, yamlfile
from everloop.workspace.autostage import stage
from everloop.workspace.values import DvcFile
from everloop.workspace.walk import DVC_SUFFIX

if TYPE_CHECKING:
    from everloop.workspace.workspace import Workspace


def remove(workspace: Workspace, targets: Iterable[str], *, outs: bool = False) -> list[DvcFile]:
    """Remove `.dvc` files; see `Workspace.remove`."""
    existing = workspace.dvc_files()
    chosen = [_file(workspace, target, existing) for target in dict.fromkeys(targets)]
    paths = [out.path for file in chosen for out in file.outs]
    with workspace.locked(), workspace.claimed(writes=paths):
        if outs:
            texts = {file.path: yamlfile.read_text(workspace.root / file.path) for file in chosen}
            workspace.trash.take("remove", paths, texts=texts)
            workspace.trash.prune()
        for file in chosen:
            for out in file.outs:
                gitignore.unignore_out(workspace.root, out.path, workspace.gitignore)
            # Last: as long as it is there, the command can be repeated.
            (workspace.root / file.path).unlink(missing_ok=True)
        stage(workspace, [file.path for file in chosen])
    return chosen


def _file(workspace: Workspace, target: str, existing: dict[str, DvcFile]) -> DvcFile:
    if target in existing:
        return existing[target]
    for file in existing.values():
        if any(out.path == target for out in file.outs):
            return file
    raise NotFoundError(
        f"{target} is not under version by a {DVC_SUFFIX} file in {workspace.root}",
        hint="for a part of a directory, delete it, then `ever add` its path",
    )
