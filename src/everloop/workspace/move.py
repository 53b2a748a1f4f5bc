"""Rename data that a `.dvc` file has under version, with its record.

The new record is there before the data move, and the old one goes last: whoever reads the workspace after a crash finds
a record beside the data, and the same command finishes the work.
"""

from __future__ import annotations

import errno
import os
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from everloop.errors import ConflictError, InvalidError, NotFoundError
from everloop.workspace import durable, gitignore, recordhash, targets, yamlfile
from everloop.workspace.autostage import stage
from everloop.workspace.values import DvcFile, Out
from everloop.workspace.walk import DVC_SUFFIX

if TYPE_CHECKING:
    from ruamel.yaml.comments import CommentedMap

    from everloop.workspace.workspace import Workspace


def move(workspace: Workspace, source: str, target: str) -> DvcFile:
    """Rename data; see `Workspace.move`."""
    existing = workspace.dvc_files()
    file, out = _holder(workspace, source, existing)
    target = _destination(workspace, out, target)
    # A record of another name, or of several outs, keeps its place.
    is_renamed = file.path == source + DVC_SUFFIX and len(file.outs) == 1
    new_path = target + DVC_SUFFIX if is_renamed else file.path
    with workspace.locked(), workspace.claimed(writes=[source, target]):
        record = yamlfile.dump(_renamed(workspace.root, file, source, target, new_path))
        _refuse_overlap(workspace, file, target, new_path, existing)
        _refuse_obstacles(workspace, out, target, (new_path, record) if is_renamed else None)
        (workspace.root / target).parent.mkdir(parents=True, exist_ok=True)
        workspace.keep_out_of_git(target)
        if is_renamed:
            durable.write_atomically(workspace.root / new_path, record)
        _rename(workspace.root / source, workspace.root / target)
        if not is_renamed:
            durable.write_atomically(workspace.root / new_path, record)
        gitignore.unignore_out(workspace.root, source, workspace.gitignore)
        if is_renamed:
            (workspace.root / file.path).unlink()
        stage(workspace, dict.fromkeys([file.path, new_path]))
    return DvcFile(path=new_path, outs=(Out(path=target, content=out.content, is_cached=out.is_cached),))


def _holder(workspace: Workspace, source: str, existing: dict[str, DvcFile]) -> tuple[DvcFile, Out]:
    for file in existing.values():
        for out in file.outs:
            if out.path == source and any(version.ids for version in out.versions):
                raise InvalidError(
                    f"{source} is in a cloud-versioned remote under that very path, by which its record finds it",
                    hint=f"add it anew: mv {source} TARGET, ever add TARGET, ever remove {file.path}",
                )
            if out.path == source:
                return file, out
    made = targets.made_by_stages(workspace)
    if source in made:
        raise InvalidError(f"{source} is made by a stage in {made[source]}", hint="change its path there")
    raise NotFoundError(f"{source} is not under version by a .dvc file in {workspace.root}", hint=f"ever add {source}")


def _destination(workspace: Workspace, out: Out, target: str) -> str:
    if (workspace.root / target).is_dir() and not _is_unfinished(workspace, out, target):
        name = PurePosixPath(out.path).name
        target = name if target == "." else f"{target}/{name}"
    if target == out.path:
        raise InvalidError(f"{target} is there already")
    if target.startswith(out.path + "/"):
        raise InvalidError(f"{target} lies inside of {out.path}")
    return target


def _is_unfinished(workspace: Workspace, out: Out, target: str) -> bool:
    """Whether a crash has come between the renaming of the data and the end."""
    if os.path.lexists(workspace.root / out.path):
        return False
    present = workspace.contents.like(out.content.md5 if out.content else None).measure(target)
    is_same = present is not None and out.content is not None and present.md5 == out.content.md5
    return is_same or (workspace.root / (target + DVC_SUFFIX)).exists()


def _renamed(root: Path, file: DvcFile, source: str, target: str, new_path: str) -> CommentedMap:
    data = yamlfile.load_editable_mapping(root / file.path)
    folder = PurePosixPath(os.path.normpath(PurePosixPath(file.path).parent / str(data.get("wdir") or ".")))
    new_folder = folder
    if new_path != file.path:
        data.pop("wdir", None)
        new_folder = PurePosixPath(new_path).parent
    elif not PurePosixPath(target).is_relative_to(folder):
        raise InvalidError(f"{file.path} records paths below {folder}; {target} lies elsewhere")
    for entry in data["outs"]:
        if _path(folder, entry) == source:
            entry["path"] = PurePosixPath(target).relative_to(new_folder).as_posix()
    for dep in data.get("deps") or ():
        _follow(dep, root / folder, root / new_folder)
    if "md5" in data:
        # The hash over an import's whole record, by which DVC sees that somebody changed it.
        data["md5"] = recordhash.digest(data)
    return data


def _follow(dep: Any, folder: Path, new_folder: Path) -> None:
    """A source that is a file of this machine is written relative to the record."""
    path = str(dep.get("path", ""))
    if "repo" not in dep and "://" not in path and not path.startswith("/"):
        dep["path"] = Path(os.path.relpath(folder / path, new_folder)).as_posix()


def _path(folder: PurePosixPath, entry: Any) -> str:
    return os.path.normpath(folder / str(entry["path"]))


def _refuse_overlap(
    workspace: Workspace, moved: DvcFile, target: str, new_path: str, existing: dict[str, DvcFile]
) -> None:
    for file in existing.values():
        for out in file.outs:
            inside, around = target.startswith(out.path + "/"), out.path.startswith(target + "/")
            if inside or around or (out.path == target and file.path not in (new_path, moved.path)):
                raise InvalidError(f"{target} would overlap with {out.path}, which {file.path} has under version")
    targets.refuse_unseen(workspace, target)
    for path, maker in targets.made_by_stages(workspace).items():
        if target == path or target.startswith(path + "/") or path.startswith(target + "/"):
            raise InvalidError(f"{target} would overlap with {path}, an output of a stage in {maker}")


def _refuse_obstacles(workspace: Workspace, out: Out, target: str, record: tuple[str, bytes] | None) -> None:
    if record is not None:
        path, data = record
        there = workspace.root / path
        # The record of this very move, left by a crash, is none.
        if there.exists() and there.read_bytes() != data:
            raise ConflictError(f"{path} exists already", hint=f"remove it first: ever remove {path}")
    if os.path.lexists(workspace.root / target) and not _is_unfinished(workspace, out, target):
        raise ConflictError(f"{target} exists already", hint="move it away, or name another path")


def _rename(source: Path, target: Path) -> None:
    if not os.path.lexists(source):
        # Deleted, or moved before a crash: the record moves alone, and checkout brings the data.
        return
    try:
        source.rename(target)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        raise ConflictError(
            f"{source} and {target} lie on different filesystems, where nothing can be moved at once",
            hint="copy it there (cp -a), `ever add` the copy and `ever remove --outs` the first",
        ) from error
    durable.sync_path(target.parent)
    if source.parent != target.parent:
        durable.sync_path(source.parent)
