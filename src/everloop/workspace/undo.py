"""Bring back what the last command replaced or removed, out of the trash.

Each step leaves what is right already as it is, so that after a crash the same command finishes the work.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from everloop.errors import ConflictError, NotFoundError
from everloop.workspace import arrangement, durable, dvcfile, hashing, links, scratch
from everloop.workspace.cache import corrupt
from everloop.workspace.trash import Operation, TrashedFile
from everloop.workspace.walk import DVC_SUFFIX

if TYPE_CHECKING:
    from everloop.workspace.workspace import Workspace


class UndoReport(msgspec.Struct, frozen=True, kw_only=True):
    """What `undo` brought back.

    Attributes:
        verb: The command that was undone.
        restored: Paths, of data and of files that describe them.
        removed: Paths that the command had made.
        n_objects: Objects that are in the cache again.
    """

    verb: str
    restored: tuple[str, ...]
    removed: tuple[str, ...]
    n_objects: int


def undo(workspace: Workspace) -> UndoReport:
    """Undo the newest operation; see `Workspace.undo`."""
    with workspace.locked():
        operations = workspace.trash.operations()
        if not operations:
            raise NotFoundError("there is nothing to undo: the trash is empty")
        operation = operations[0]
        with workspace.claimed(writes=[file.path for file in operation.files]):
            _return_objects(workspace, operation)
            files, obstacles = _to_change(workspace, operation)
            if obstacles:
                raise ConflictError(
                    f"{len(obstacles)} file(s) changed since that {operation.verb}, the first is {obstacles[0]}",
                    hint="move them away, then undo again",
                )
            _require_bytes(workspace, files)
            restored = _return_texts(workspace, operation)
            # What was made goes first: it may lie where a folder has to be.
            for path in operation.made:
                arrangement.unmake(workspace.root / path)
            for file in files:
                if file.md5 is None:
                    _remove_made(workspace, file)
            _return_files(workspace, operation, [file for file in files if file.md5 is not None])
            restored += [file.path for file in files] + _return_links(workspace, operation)
            workspace.contents.save()
            workspace.trash.forget(operation)
    made = {file.path for file in operation.files if file.md5 is None}
    return UndoReport(
        verb=operation.verb,
        restored=tuple(sorted(path for path in restored if path not in made)),
        removed=tuple(sorted(path for path in restored if path in made)),
        n_objects=len(operation.objects),
    )


def _return_objects(workspace: Workspace, operation: Operation) -> None:
    place = Path(operation.objects_at)
    # They were moved listings first, so they come back files first.
    touched = set()
    for md5 in reversed(operation.objects):
        source, final = place / md5, workspace.cache.path(md5)
        if source.exists() and not final.exists():
            final.parent.mkdir(parents=True, exist_ok=True)
            source.replace(final)
            touched.add(final.parent)
    durable.sync_all(workspace.cache.root, touched)


def _to_change(workspace: Workspace, operation: Operation) -> tuple[list[TrashedFile], list[str]]:
    """The files that are not as they were, and of them those that somebody else has changed meanwhile."""
    files: list[TrashedFile] = []
    obstacles: list[str] = []
    made = {file.path for file in operation.files if file.md5 is None}
    for file in operation.files:
        target = workspace.root / file.path
        if _is_behind_made_link(workspace.root, file.path, operation):
            # What is seen there lies elsewhere; the link goes before anything is put there.
            files += [file] if file.md5 is not None else []
            continue
        contents = workspace.contents.like(file.md5 or file.now)
        found = contents.files(file.path).get("") if target.is_file() else None
        if found == file.md5 and not target.is_dir() and (found is None or _link_of(target) == file.link):
            continue
        files.append(file)
        # In the place of a file there may be a folder of files that the operation made.
        inner = workspace.contents.files(file.path) if target.is_dir() else {}
        if found not in (None, file.now) or any(f"{file.path}/{name}" not in made for name in inner):
            obstacles.append(file.path)
    for path, text in operation.texts.items():
        target = workspace.root / path
        if target.exists() and target.read_bytes() != text.encode():
            obstacles.append(path)
    return files, obstacles


def _require_bytes(workspace: Workspace, files: list[TrashedFile]) -> None:
    for file in files:
        if file.md5 is not None and file.kept is None and not workspace.cache.has(file.md5):
            raise NotFoundError(
                f"the bytes of {file.path} ({file.md5}) are no longer in the cache {workspace.cache.root}",
                hint="bring them there (ever pull, dvc pull), then undo again",
            )


def _return_texts(workspace: Workspace, operation: Operation) -> list[str]:
    returned = []
    for path, text in operation.texts.items():
        target = workspace.root / path
        if not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            durable.write_atomically(target, text.encode())
            returned.append(path)
        if path.endswith(DVC_SUFFIX):
            for out in dvcfile.read(workspace.root, path).outs:
                workspace.keep_out_of_git(out.path)
    return returned


def _remove_made(workspace: Workspace, file: TrashedFile) -> None:
    target = workspace.root / file.path
    target.unlink(missing_ok=True)
    _remove_empty_parents(target, workspace.root)


def _return_links(workspace: Workspace, operation: Operation) -> list[str]:
    """Links to folders, and empty folders."""
    returned = []
    for path, target in operation.links.items():
        place = workspace.root / path
        if not os.path.lexists(place):
            place.parent.mkdir(parents=True, exist_ok=True)
            place.symlink_to(target)
            returned.append(path)
    for path in operation.folders:
        (workspace.root / path).mkdir(parents=True, exist_ok=True)
    return returned


def _is_behind_made_link(root: Path, path: str, operation: Operation) -> bool:
    return any(path.startswith(made + "/") and (root / made).is_symlink() for made in operation.made)


def _link_of(target: Path) -> str | None:
    return os.readlink(target) if target.is_symlink() else None  # noqa: PTH115  a Path would tidy it up


def _return_files(workspace: Workspace, operation: Operation, files: list[TrashedFile]) -> None:
    by_device: dict[int, list[TrashedFile]] = {}
    for file in files:
        parent = (workspace.root / file.path).parent
        parent.mkdir(parents=True, exist_ok=True)
        by_device.setdefault(parent.stat().st_dev, []).append(file)
    for group in by_device.values():
        with scratch.beside(workspace.layout.scratch_dir, workspace.root / group[0].path) as folder:
            asides = [_prepared(workspace, operation, file, folder / str(n)) for n, file in enumerate(group)]
            durable.sync_all(folder, [aside for aside in asides if not aside.is_symlink()])
            for file, aside in zip(group, asides, strict=True):
                target = workspace.root / file.path
                if target.is_dir():
                    target.rmdir()
                aside.replace(target)


def _prepared(workspace: Workspace, operation: Operation, file: TrashedFile, aside: Path) -> Path:
    assert file.md5 is not None
    source = workspace.trash.place(operation) / file.kept if file.kept else workspace.cache.path(file.md5)
    if file.link is not None:
        aside.symlink_to(file.link)
        return aside
    if file.kept and links.hardlink(source, aside):
        return aside
    if not links.reflink(source, aside):
        shutil.copyfile(source, aside)
    if hashing.md5_of_file(aside, file.md5) != file.md5:
        raise corrupt(source)
    aside.chmod(0o755 if file.is_executable else 0o644)
    return aside


def _remove_empty_parents(path: Path, root: Path) -> None:
    for parent in path.parents:
        if parent == root or not parent.is_dir() or any(parent.iterdir()):
            return
        parent.rmdir()
