"""Make a folder no workspace any more: its records, its settings and its own cache go; the data on the disk stay.

A cache that lies outside of `.dvc` belongs to others, too, and stays, as do remotes.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from everloop.errors import FailedError
from everloop.workspace.protect import unprotect
from everloop.workspace.records import LOCK_FILE
from everloop.workspace.walk import PIPELINE_FILE

if TYPE_CHECKING:
    from everloop.workspace.workspace import Workspace


class Destruction(msgspec.Struct, frozen=True, kw_only=True):
    """What `destroy` removes.

    Attributes:
        records: `.dvc` files, `dvc.yaml` and `dvc.lock`, relative to the workspace.
        uncommitted: Those whose text Git does not have; their content is lost.
        only_in_cache: Data that are not on the disk as they are recorded; the cache's bytes of them are lost.
        cache: The folder of the cache that goes; None when it lies elsewhere and stays.
    """

    records: tuple[str, ...]
    uncommitted: tuple[str, ...] = ()
    only_in_cache: tuple[str, ...] = ()
    cache: str | None = None


def plan(workspace: Workspace) -> Destruction:
    """What would go. Nothing is changed."""
    found = list(_records(workspace))
    is_own = workspace.cache.root.is_relative_to(workspace.layout.dvc_dir)
    outs = [out for out in workspace.outs() if is_own and out.is_cached and out.content is not None]
    return Destruction(
        records=tuple(found),
        uncommitted=tuple(_uncommitted(workspace, found)),
        only_in_cache=tuple(out.path for out in outs if workspace.measure(out.path) != out.content),
        cache=str(workspace.cache.root) if is_own else None,
    )


def destroy(workspace: Workspace) -> Destruction:
    """Do it; see `Workspace.destroy`."""
    with workspace.locked():
        going = plan(workspace)
        for out in workspace.outs():
            place = workspace.root / out.path
            if place.exists():
                unprotect(place, workspace.layout.scratch_dir, workspace.cache)
        _refuse_links_into_cache(workspace)
        dvc_dir = workspace.layout.dvc_dir
        gone = dvc_dir.with_name(f".dvc-{os.urandom(4).hex()}.gone")
        for path in going.records:
            (workspace.root / path).unlink(missing_ok=True)
        (workspace.root / ".dvcignore").unlink(missing_ok=True)
        # At once out of sight: half of a cache must not look like a cache.
        dvc_dir.replace(gone)
    shutil.rmtree(gone)
    return going


def _records(workspace: Workspace) -> Iterator[str]:
    for path in workspace.described_files():
        yield path
        lock = path.removesuffix(PIPELINE_FILE) + LOCK_FILE
        if path.endswith(PIPELINE_FILE) and (workspace.root / lock).exists():
            yield lock


def _uncommitted(workspace: Workspace, records: list[str]) -> Iterator[str]:
    if not records or not workspace.git.is_repository():
        yield from records
        return
    top = workspace.git.ask("rev-parse", "--show-prefix").strip()
    said = workspace.git.ask("status", "--porcelain", "-z", "--ignored", "--untracked-files=all", "--", *records)
    changed = {line[3:].removeprefix(top) for line in said.split("\0") if line}
    yield from (path for path in records if path in changed)


def _refuse_links_into_cache(workspace: Workspace) -> None:
    """What still leads into the cache would lead nowhere."""
    own = workspace.layout.dvc_dir.resolve()
    for out in workspace.outs():
        top = workspace.root / out.path
        inner = (Path(folder, name) for folder, folders, files in os.walk(top) for name in (*folders, *files))
        for path in (top, *inner):
            if path.is_symlink() and path.resolve().is_relative_to(own):
                raise FailedError(
                    f"{path} is a symbolic link into the cache, which would go; nothing was removed",
                    hint=f"make it a file of its own first: ever unprotect {path}",
                )
