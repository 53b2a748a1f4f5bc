"""Tell how the data in the workspace differ from their records. Changes nothing but the memory of hashes."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

from everloop.workspace.values import Change, Out

if TYPE_CHECKING:
    from everloop.workspace.workspace import Workspace


def change_of(workspace: Workspace, out: Out) -> Change | None:
    """How one out differs from its record; None when it does not."""
    contents = workspace.contents.like(out.content.md5 if out.content else None)
    present = contents.measure(out.path)
    if present is None:
        return Change.DELETED
    if out.content is None:
        return Change.NEW
    if present.md5 != out.content.md5:
        return Change.MODIFIED
    if out.is_cached and contents.missing(out.content.md5):
        return Change.NOT_IN_CACHE
    return None


def status(workspace: Workspace, paths: Collection[str] | None = None) -> dict[str, dict[str, Change]]:
    """`{.dvc file: {path of out: change}}`, only what differs; `paths` are the data to look at, None means all."""
    report: dict[str, dict[str, Change]] = {}
    for file in workspace.dvc_files().values():
        meant = [out for out in file.outs if paths is None or out.path in paths]
        changes = {out.path: change for out in meant if (change := change_of(workspace, out)) is not None}
        if changes:
            report[file.path] = changes
    workspace.contents.save()
    return report
