"""Hand the files that describe data to Git's index, where `core.autostage` asks for it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from everloop.workspace.workspace import Workspace


def stage(workspace: Workspace, paths: Iterable[str]) -> None:
    """Stage files that were written or removed, and the `.gitignore` files beside them, when the configuration says so.

    Args:
        workspace: Where they lie.
        paths: Of `.dvc` files and the like, relative to the root.
    """
    if not workspace.config.is_autostaged or not workspace.git.is_repository():
        return
    chosen: dict[str, None] = {}
    for path in paths:
        folder = path.rpartition("/")[0]
        chosen[path] = None
        chosen[f"{folder}/.gitignore" if folder else ".gitignore"] = None
    # A path that neither Git nor the disk knows would be refused.
    known = [path for path in chosen if (workspace.root / path).exists() or workspace.git.tracked([path])]
    workspace.git.stage(known)
