"""Put files and directories under version: bytes into the cache, a `.dvc` file beside them, an entry in `.gitignore`.

The data stay where they are; nothing is moved away and copied back.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from everloop.errors import ConflictError, InvalidError, NotFoundError
from everloop.workspace import dvcfile
from everloop.workspace.git import Git
from everloop.workspace.values import AddReport, Content, DvcFile, Out
from everloop.workspace.walk import DVC_SUFFIX, PIPELINE_FILE

if TYPE_CHECKING:
    from everloop.workspace.workspace import Workspace


def add(workspace: Workspace, targets: Iterable[str]) -> AddReport:
    """Add the targets; see `Workspace.add`."""
    existing = workspace.dvc_files()
    paths = [_accepted(workspace, target, existing) for target in dict.fromkeys(targets)]
    _refuse_tracked_by_git(workspace.root, paths)
    with (
        workspace.locked(),
        workspace.claimed(writes=paths),
    ):
        contents = workspace.commit(paths)
        added: list[DvcFile] = []
        unchanged: list[DvcFile] = []
        for path in paths:
            file, is_new = _record(workspace, path, contents[path], existing)
            (added if is_new else unchanged).append(file)
    return AddReport(added=tuple(added), unchanged=tuple(unchanged))


def _record(workspace: Workspace, path: str, content: Content, existing: dict[str, DvcFile]) -> tuple[DvcFile, bool]:
    holders = (name for name, file in existing.items() if any(out.path == path for out in file.outs))
    name = next(holders, path + DVC_SUFFIX)
    before = existing.get(name)
    file = DvcFile(path=name, outs=(Out(path=path, content=content),))
    recorded = next((out.content for out in before.outs if out.path == path), None) if before else None
    workspace.keep_out_of_git(path)
    if recorded is not None and recorded == content:
        return file, False
    dvcfile.write(workspace.root, file)
    return file, True


def _accepted(workspace: Workspace, target: str, existing: dict[str, DvcFile]) -> str:
    path = workspace.relative(target)
    if path == ".":
        raise InvalidError("the workspace itself cannot be added", hint="add the folders of data in it by name")
    if not (workspace.root / path).exists():
        raise NotFoundError(f"{path} does not exist in {workspace.root}")
    name = Path(path).name
    if name.endswith(DVC_SUFFIX) or name in (PIPELINE_FILE, "dvc.lock", ".gitignore", ".dvcignore"):
        raise InvalidError(f"{path} describes data; it belongs into Git", hint=f"git add {path}")
    if workspace.dvcignore.ignores_or_parent(path, is_directory=(workspace.root / path).is_dir()):
        raise InvalidError(f"{path} is excluded by a .dvcignore file", hint="change the pattern there")
    for file in existing.values():
        for out in file.outs:
            _refuse_overlap(path, out.path, file)
            if out.path == path and file.is_import:
                raise InvalidError(f"{path} was imported by {file.path}; adding it would cut it off from its source")
    return path


def _refuse_overlap(path: str, other: str, file: DvcFile) -> None:
    if path.startswith(other + "/"):
        raise InvalidError(
            f"{path} lies inside {other}, which {file.path} has under version",
            hint=f"add the whole of it: ever add {other}",
        )
    if other.startswith(path + "/"):
        raise InvalidError(
            f"{path} contains {other}, which {file.path} has under version",
            hint=f"remove {file.path} first, or add the other parts of {path} one by one",
        )


def _refuse_tracked_by_git(root: Path, paths: list[str]) -> None:
    git = Git(root)
    if not git.is_repository():
        return
    tracked = git.tracked(paths)
    if tracked:
        raise ConflictError(
            f"{tracked[0]} is tracked by Git already, {len(tracked)} file(s) in all",
            hint=f"take it out of Git, the file itself stays: git rm -r --cached {' '.join(paths)}",
        )
