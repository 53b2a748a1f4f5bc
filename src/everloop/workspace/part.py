"""Add a part of a tracked directory: only that entry of its listing changes, and the rest need not be there.

Source: dvc 3.67 (`output.py`, `apply` and `unstage`), where this is called a virtual directory.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from everloop.errors import InvalidError, NotFoundError
from everloop.workspace import dvcfile
from everloop.workspace.values import Content, DvcFile, Out

if TYPE_CHECKING:
    from everloop.workspace.cache import Cache
    from everloop.workspace.workspace import Workspace


def update(
    workspace: Workspace, file: DvcFile, directory: str, paths: Sequence[str], *, commit: bool = True
) -> tuple[DvcFile, bool]:
    """Take what lies at the paths now into the directory's record.

    Args:
        workspace: Locked by the caller.
        file: The `.dvc` file that has the directory.
        directory: The tracked directory.
        paths: Below it; one that is gone from the disk goes from the record.
        commit: Must be True: without its objects nobody could tell what the rest of the directory holds.

    Returns:
        The record, and whether it changed.

    Raises:
        NotFoundError: The directory's listing is not in the cache, or it has nothing of that name either.
        InvalidError: It is recorded as a file, or the bytes should not be kept.
    """
    recorded = next(out.content for out in file.outs if out.path == directory)
    if not commit:
        raise InvalidError(
            f"{paths[0]} lies inside {directory}: a part is always committed, as its listing would be nowhere else",
            hint=f"leave --no-commit out, or add the whole of it: ever add --no-commit {directory}",
        )
    if file.is_import:
        raise InvalidError(f"{directory} was imported by {file.path}; its parts come from its source")
    before = _listing(workspace, directory, recorded)
    after = dict(before)
    present = [path for path in paths if (workspace.root / path).exists()]
    workspace.commit(present)
    for path in paths:
        _apply(workspace, after, path.removeprefix(directory + "/"), path)
    with workspace.cache.incoming() as incoming:
        md5 = incoming.add_directory(after)
    size_bytes = _size(workspace.cache, recorded, before, after)
    content = Content(md5=md5, size_bytes=size_bytes or 0, n_files=len(after))
    updated = DvcFile(path=file.path, outs=(Out(path=directory, content=content),))
    workspace.keep_out_of_git(directory)
    if recorded is not None and recorded.md5 == md5:
        return DvcFile(path=file.path, outs=(Out(path=directory, content=recorded),)), False
    dvcfile.write(workspace.root, updated, has_size=size_bytes is not None)
    return updated, True


def _listing(workspace: Workspace, directory: str, recorded: Content | None) -> dict[str, str]:
    if recorded is None:
        return {}
    if not recorded.is_directory:
        raise InvalidError(f"{directory} is under version as a file, so nothing can lie inside of it")
    try:
        return workspace.cache.read_directory(recorded.md5)
    except NotFoundError as error:
        raise NotFoundError(
            f"the listing of {directory} ({recorded.md5}) is not in the cache, so no part of it can be changed alone",
            hint="bring it there (ever pull, dvc pull), or add the whole directory",
        ) from error


def _apply(workspace: Workspace, listing: dict[str, str], name: str, path: str) -> None:
    old = [entry for entry in listing if entry == name or entry.startswith(name + "/")]
    new = {f"{name}/{inner}" if inner else name: md5 for inner, md5 in workspace.contents.files(path).items()}
    if not old and not new:
        raise NotFoundError(f"{path} is neither on the disk nor in the record of its directory")
    for entry in old:
        del listing[entry]
    # A file in the place of a folder above, as d/a where d/a/b is added now.
    for entry in [entry for entry in listing if name.startswith(entry + "/")]:
        del listing[entry]
    listing.update(new)


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
