"""Which paths the words of a command mean: patterns, folders taken apart, data brought in from elsewhere."""

from __future__ import annotations

import glob
import os
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from everloop.errors import ConflictError, InvalidError, NotFoundError
from everloop.workspace import durable, records, scratch, walk
from everloop.workspace.treecopy import copy_tree
from everloop.workspace.walk import DVC_SUFFIX, PIPELINE_FILE

if TYPE_CHECKING:
    from everloop.workspace.workspace import Workspace

_DESCRIPTIONS = (".gitignore", ".dvcignore")


def describes_data(path: str) -> bool:
    """Whether a file of that name describes data, and so belongs into Git."""
    name = path.rpartition("/")[2]
    return name in _DESCRIPTIONS or records.is_record(name)


def made_by_stages(workspace: Workspace) -> dict[str, str]:
    """The outputs of all stages: `{path: its dvc.yaml}`."""
    files = [path for path in workspace.described_files() if path.rpartition("/")[2] == PIPELINE_FILE]
    return {out.path: file for file in files for out in records.outs_on_disk(workspace.root, [file])}


def refuse_unseen(workspace: Workspace, path: str) -> None:
    """Refuse to put a record where no command would look for it.

    Raises:
        InvalidError: Git or a `.dvcignore` file ignores the place, or it belongs to another workspace.
    """
    record = path + DVC_SUFFIX
    for rules, name in ((workspace.gitignore, ".gitignore"), (workspace.dvcignore, ".dvcignore")):
        if rules.ignores_or_parent(record, is_directory=False):
            raise InvalidError(
                f"{record} would be ignored by a {name} file, so nobody would ever find it",
                hint=f"change the pattern in {name}, or put the data elsewhere",
            )
    parts = path.split("/")
    for depth in range(1, len(parts)):
        folder = "/".join(parts[:depth])
        if (workspace.root / folder / ".dvc").is_dir():
            raise InvalidError(f"{path} lies in another workspace, {folder}", hint=f"cd {folder}, then ever add")


def matching(workspace: Workspace, patterns: Iterable[str]) -> list[str]:
    """The paths that match patterns of the shell (`**` for any depth), without those that describe data.

    Raises:
        NotFoundError: A pattern matches nothing.
    """
    found: list[str] = []
    for pattern in patterns:
        # Hidden files stay out, as with DVC; pathlib would bring them in.
        matches = glob.glob(pattern, root_dir=workspace.root, recursive=True)  # noqa: PTH207
        paths = sorted(path.rstrip("/") for path in matches if not describes_data(path.rstrip("/")))
        if not paths:
            raise NotFoundError(f"the pattern {pattern!r} matches nothing in {workspace.root}")
        found += paths
    return list(dict.fromkeys(found))


def taken_apart(workspace: Workspace, paths: Iterable[str]) -> list[str]:
    """Each file below the folders on its own; files stay what they are. Files that describe data are left out."""
    found: list[str] = []
    for path in paths:
        if not (workspace.root / path).is_dir():
            found.append(path)
            continue
        files = (relative for relative, _ in walk.data_files(workspace.root, path, workspace.dvcignore))
        found += sorted(f"{path}/{relative}" for relative in files if not describes_data(relative))
    return list(dict.fromkeys(found))


def bring(workspace: Workspace, source: Path, out: str, *, force: bool) -> str:
    """Copy a file or folder from anywhere to a path of the workspace, whole or not at all.

    Args:
        workspace: Where to.
        source: What to copy; it stays.
        out: The path, or a folder that is there already, in which it gets the name of the source.
        force: Put what lies there now into the trash.

    Returns:
        The path that it has now.

    Raises:
        NotFoundError: The source does not exist.
        ConflictError: Something lies there already.
        InvalidError: The source contains the target.
    """
    if not source.exists():
        raise NotFoundError(f"{source} does not exist")
    if (workspace.root / out).is_dir():
        out = f"{out}/{source.name}" if out != "." else source.name
    target = workspace.root / out
    if target.exists() and target.samefile(source):
        return out
    if target.is_relative_to(source):
        raise InvalidError(f"{out} lies inside of {source}, so it cannot hold a copy of it")
    if os.path.lexists(target) and not force:
        raise ConflictError(f"{out} exists already", hint="name another path, or replace it: --force")
    with (
        workspace.locked(),
        workspace.claimed(writes=[out]),
        scratch.beside(workspace.layout.scratch_dir, target) as folder,
    ):
        _copy(source, folder / "copy")
        if os.path.lexists(target):
            workspace.trash.take("add", [out])
        if target.is_dir():
            raise ConflictError(f"{out} holds files that .dvcignore excludes, so it stays", hint="move it away")
        (folder / "copy").replace(target)
    return out


def _copy(source: Path, aside: Path) -> None:
    if not source.is_dir():
        shutil.copy2(source, aside)
        durable.sync_path(aside)
        return
    copy_tree(source, aside)
    durable.sync_all(aside, [path for path in aside.rglob("*") if path.is_file() and not path.is_symlink()])
