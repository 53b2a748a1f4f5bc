"""Add a part of a tracked directory: only that entry of its listing changes, and the rest need not be there.

Source: dvc 3.67 (`output.py`, `apply` and `unstage`), where this is called a virtual directory.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

import msgspec

from everloop.errors import InvalidError, NotFoundError
from everloop.workspace import dvcfile, objectid
from everloop.workspace.migrate import Migration
from everloop.workspace.traits import NONE, Seen, Traits, followed
from everloop.workspace.values import Content, DvcFile, Out

if TYPE_CHECKING:
    from everloop.workspace.cache import Cache
    from everloop.workspace.workspace import Workspace


def update(
    workspace: Workspace,
    file: DvcFile,
    directory: str,
    paths: Sequence[str],
    *,
    commit: bool = True,
    relink: bool = True,
) -> tuple[DvcFile, bool]:
    """Take what lies at the paths now into the directory's record.

    Args:
        workspace: Locked by the caller.
        file: The `.dvc` file that has the directory.
        directory: The tracked directory.
        paths: Below it; one that is gone from the disk goes from the record.
        relink: As in `Workspace.add`.
        commit: Must be True: without its objects nobody could tell what the rest of the directory holds.

    Returns:
        The record, and whether it changed.

    Raises:
        NotFoundError: The directory's listing is not in the cache, or it has nothing of that name either.
        InvalidError: It is recorded as a file, or the bytes should not be kept.
    """
    whole = next(out for out in file.outs if out.path == directory)
    recorded = whole.content
    if not commit:
        raise InvalidError(
            f"{paths[0]} lies inside {directory}: a part is always committed, as its listing would be nowhere else",
            hint=f"leave --no-commit out, or add the whole of it: ever add --no-commit {directory}",
        )
    if file.is_import:
        raise InvalidError(f"{directory} was imported by {file.path}; its parts come from its source")
    before = _listing(workspace, directory, recorded)
    after = dict(before)
    _refuse_behind_links(workspace, directory, paths)
    present = [path for path in paths if not _is_folder_link(workspace, path) and (workspace.root / path).exists()]
    workspace.commit(present, relink=relink)
    names = {path: path.removeprefix(directory + "/") for path in paths}
    for path, name in names.items():
        _apply(workspace, after, name, path, whole.traits or NONE)
    traits = _traits(workspace, whole.traits, before, after, names)
    followed(after, traits or NONE)
    with workspace.cache.incoming() as incoming:
        md5 = incoming.add_directory(after)
    size_bytes = _size(workspace.cache, recorded, before, after)
    content = Content(md5=md5, size_bytes=size_bytes or 0, n_files=len(after))
    updated = DvcFile(path=file.path, outs=(Out(path=directory, content=content, traits=traits),))
    workspace.keep_out_of_git(directory)
    if recorded is not None and recorded.md5 == md5 and whole.traits == traits:
        return DvcFile(path=file.path, outs=(msgspec.structs.replace(whole, content=recorded),)), False
    dvcfile.write(workspace.root, updated, has_size=size_bytes is not None)
    return updated, True


def _listing(workspace: Workspace, directory: str, recorded: Content | None) -> dict[str, str]:
    if recorded is None:
        return {}
    if not recorded.is_directory:
        raise InvalidError(f"{directory} is under version as a file, so nothing can lie inside of it")
    try:
        md5 = recorded.md5
        if objectid.is_legacy(md5):
            with workspace.cache.incoming() as incoming:
                md5 = Migration(workspace.cache, incoming).directory(md5)
        return workspace.cache.read_directory(md5)
    except NotFoundError as error:
        raise NotFoundError(
            f"the listing of {directory} ({recorded.md5}) is not in the cache, so no part of it can be changed alone",
            hint="bring it there (ever pull, dvc pull), or add the whole directory",
        ) from error


def _apply(workspace: Workspace, listing: dict[str, str], name: str, path: str, traits: Traits) -> None:
    old = [entry for entry in listing if entry == name or entry.startswith(name + "/")]
    is_link = _is_folder_link(workspace, path)
    files = {} if is_link else workspace.contents.files(path)
    new = {f"{name}/{inner}" if inner else name: md5 for inner, md5 in files.items()}
    is_known = name in traits.links or any(f"{folder}/".startswith(name + "/") for folder in traits.empty)
    if not old and not new and not is_known and not (workspace.root / path).is_dir():
        raise NotFoundError(f"{path} is neither on the disk nor in the record of its directory")
    for entry in old:
        del listing[entry]
    # A file in the place of a folder above, as d/a where d/a/b is added now.
    for entry in [entry for entry in listing if name.startswith(entry + "/")]:
        del listing[entry]
    listing.update(new)


def _traits(
    workspace: Workspace,
    recorded: Traits | None,
    before: Mapping[str, str],
    after: Mapping[str, str],
    names: Mapping[str, str],
) -> Traits | None:
    """The traits of the directory, of which those at the paths are new."""
    old = recorded or NONE

    def stays(path: str) -> bool:
        return not any(path == name or path.startswith(name + "/") for name in names.values())

    seen = Seen()
    seen.executable += filter(stays, old.executables(before))
    seen.links |= {path: target for path, target in old.links.items() if stays(path)}
    seen.folder_links |= {path for path in seen.links if path not in before}
    seen.empty += filter(stays, old.empty)
    for path, name in names.items():
        inner = workspace.contents.seen(path)
        seen.put(name, inner)
        is_bare = not inner.links and not inner.empty and not any(entry.startswith(name + "/") for entry in after)
        if is_bare and (workspace.root / path).is_dir():
            seen.empty.append(name)
    traits = seen.traits(after)
    return None if traits == NONE else traits


def _is_folder_link(workspace: Workspace, path: str) -> bool:
    place = workspace.root / path
    return place.is_symlink() and place.is_dir()


def _refuse_behind_links(workspace: Workspace, directory: str, paths: Sequence[str]) -> None:
    for path in paths:
        for parent in PurePosixPath(path).parents:
            if parent.is_relative_to(directory) and str(parent) != directory and (workspace.root / parent).is_symlink():
                raise InvalidError(
                    f"{path} lies behind the link {parent}, and links to folders are recorded as links",
                    hint="add it by the path that it has without the link",
                )


def _size(cache: Cache, recorded: Content | None, before: dict[str, str], after: dict[str, str]) -> int | None:
    """The bytes of all files; None when an entry has gone whose bytes are not in the cache to be counted."""
    size_bytes = recorded.size_bytes if recorded is not None else 0
    for listing, other, sign in ((before, after, -1), (after, before, 1)):
        for entry, md5 in listing.items():
            if other.get(entry) == md5:
                continue
            try:
                size_bytes += sign * cache.path(md5).stat().st_size
            except FileNotFoundError:
                return None
    return size_bytes
