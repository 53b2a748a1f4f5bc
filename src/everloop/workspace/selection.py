"""The data that a transfer is about: whole outs, and single files out of tracked directories; now or in revisions.

A target may be an out, its `.dvc` file, a path inside of a tracked directory, or with `recursive` a folder with outs.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

import msgspec

from everloop.errors import NotFoundError
from everloop.workspace import dvcfile, records, versions
from everloop.workspace.traits import NONE
from everloop.workspace.values import Content, Imported, Out, Revision
from everloop.workspace.walk import DVC_SUFFIX

if TYPE_CHECKING:
    from everloop.workspace.workspace import Workspace

# The files of a directory object, by its id: `{relative path: md5}`.
ReadDirectory = Callable[[Out], Mapping[str, str]]


def meant(
    workspace: Workspace,
    targets: Iterable[str] | None,
    read: ReadDirectory,
    *,
    revisions: Iterable[Revision] = (),
    recursive: bool = False,
    glob: bool = False,
) -> tuple[list[Out], dict[str, str]]:
    """The outs that the words of a command mean, of the files on disk and of revisions.

    Args:
        workspace: Where.
        targets: As in `select`, and the paths of `.dvc` files; None means all.
        read: As in `select`.
        revisions: What is meant besides the files on disk.
        recursive: As in `select`.
        glob: As in `select`.

    Returns:
        Also what could not be read in the revisions: `{file: why}`.

    Raises:
        NotFoundError: A target names nothing.
        InvalidError: A file on disk is malformed or uses something that is not supported.
    """
    outs = workspace.outs()
    unreadable: dict[str, str] = {}
    wanted = list(revisions)
    for snapshot in workspace.snapshots(wanted) if wanted else ():
        outs += snapshot.outs
        unreadable |= snapshot.unreadable
    unique = {(out.path, out.content.md5 if out.content else ""): out for out in outs}
    outs = list(unique.values())
    if targets is None:
        return outs, unreadable
    return select(outs, without_records(workspace, targets), read, recursive=recursive, glob=glob), unreadable


def without_records(workspace: Workspace, targets: Iterable[str]) -> list[str]:
    """The targets, with the data of `.dvc` files in the place of these."""
    paths: list[str] = []
    for target in targets:
        is_record = target.endswith(DVC_SUFFIX) and (workspace.root / target).is_file()
        paths += [out.path for out in dvcfile.read(workspace.root, target).outs] if is_record else [target]
    return paths


def select(
    outs: Iterable[Out], targets: Iterable[str], read: ReadDirectory, *, recursive: bool = False, glob: bool = False
) -> list[Out]:
    """The outs that the targets name, and for a path inside of a directory its files, each as an out of its own.

    Args:
        outs: All that there are; of one path there may be several, from several revisions.
        targets: Relative to the workspace, posix.
        read: Gives the files of a directory.
        recursive: A folder names all outs below it.
        glob: A target is a pattern of the shell for paths of outs.

    Raises:
        NotFoundError: A target names nothing.
    """
    known = list(outs)
    selected: dict[tuple[str, str], Out] = {}
    for target in targets:
        found = _named(known, target, recursive=recursive, glob=glob) or _parts(known, target, read)
        if not found:
            raise NotFoundError(
                f"{target} is not under version", hint=f"ever add {target}, or see what is: ever status"
            )
        selected |= {(out.path, out.content.md5 if out.content else ""): out for out in found}
    return list(selected.values())


def of_kinds(workspace: Workspace, outs: Iterable[Out], kinds: Collection[str]) -> list[Out]:
    """The outs that are metrics or plots, or hold a file that is, or lie in a folder that is.

    Args:
        workspace: Whose `dvc.yaml` files declare some beside their stages.
        outs: Of which.
        kinds: `metrics`, `plots` or both.
    """
    declared = records.measures_on_disk(workspace.root, workspace.described_files())
    paths = set().union(*(declared[kind] for kind in kinds))
    return [
        out
        for out in outs
        if out.kind in kinds
        or any(f"{path}/".startswith(f"{out.path}/") or f"{out.path}/".startswith(f"{path}/") for path in paths)
    ]


def _named(known: list[Out], target: str, *, recursive: bool, glob: bool) -> list[Out]:
    plain = target.removesuffix(DVC_SUFFIX)
    return [
        out
        for out in known
        if out.path in (target, plain)
        or (recursive and (target == "." or out.path.startswith(target + "/")))
        or (glob and fnmatchcase(out.path, plain))
    ]


def _parts(known: list[Out], target: str, read: ReadDirectory) -> list[Out]:
    parts: list[Out] = []
    for out in known:
        if not target.startswith(out.path + "/") or out.content is None or not out.content.is_directory:
            continue
        inner = target.removeprefix(out.path + "/")
        if out.versions:
            parts += versions.parts(out, inner)
            continue
        files = read(out)
        executable = (out.traits or NONE).executables(files)
        parts += [
            Out(
                path=f"{out.path}/{path}",
                content=Content(md5=md5, size_bytes=0, is_executable=path in executable),
                is_cached=out.is_cached,
                is_pushed=out.is_pushed,
                remote=out.remote,
                imported=_part_of(out.imported, path),
            )
            for path, md5 in files.items()
            if path == inner or path.startswith(inner + "/")
        ]
    return parts


def _part_of(imported: Imported | None, path: str) -> Imported | None:
    """Where a file of an imported directory comes from."""
    if imported is None:
        return None
    if imported.is_repository:
        return msgspec.structs.replace(imported, path=f"{imported.path}/{path}".lstrip("/"))
    pins = None if imported.pins is None else tuple(("", version) for name, version in imported.pins if name == path)
    return msgspec.structs.replace(imported, address=f"{imported.address.rstrip('/')}/{path}", mark=None, pins=pins)
