"""Tell what differs between the last commit, the records and the data, all three at once.

The shape is that of `dvc data status --json`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from everloop.errors import NotFoundError
from everloop.workspace import versions
from everloop.workspace.compare import Difference, Kind, Present, Recorded, compare
from everloop.workspace.routes import Route, listing, recorded, routes
from everloop.workspace.values import Out

if TYPE_CHECKING:
    from everloop.workspace.workspace import Workspace

Changes = dict[str, list[Any]]


class DataStatus(msgspec.Struct, frozen=True, kw_only=True):
    """What differs. Directories end in a slash; all lists are sorted.

    Attributes:
        not_in_cache: Recorded, but the cache does not have the bytes.
        not_in_remote: Recorded to be pushed, but the remote does not have the bytes; empty when this was not asked.
        committed: From the last commit to the records, `{kind: paths}`; a rename is `{"old": ..., "new": ...}`.
        uncommitted: From the records to the data.
        untracked: Files that neither Git nor a record knows.
        unchanged: Data that are in the last commit as they are now.
        is_git_dirty: Git has changes of its own to tell.
    """

    not_in_cache: list[str] = []
    not_in_remote: list[str] = []
    committed: Changes = {}
    uncommitted: Changes = {}
    untracked: list[str] = []
    unchanged: list[str] = []
    is_git_dirty: bool = False


def data_status(
    workspace: Workspace,
    targets: Sequence[str] = (),
    *,
    granular: bool = False,
    unchanged: bool = False,
    not_in_remote: bool = False,
    remote: str | None = None,
    remote_refresh: bool = True,
) -> DataStatus:
    """Compare the three states; see `Workspace.data_status`."""
    outs = [out for out in workspace.outs() if _may_hold(out, targets)]
    records = Recorded(outs, workspace.cache)
    present = Present(outs, workspace.contents)
    uncommitted = _at(targets, compare(records, present, granular=granular, with_unchanged=unchanged))
    committed, same = _committed(workspace, targets, records, granular=granular, unchanged=unchanged)
    missing = _missing(workspace, outs, granular=granular)
    far = []
    if not_in_remote:
        far = _not_in_remote(workspace, outs, remote, granular=granular, refresh=remote_refresh)
    workspace.contents.save()
    has_git = workspace.git.is_repository()
    return DataStatus(
        not_in_cache=sorted(path for path in missing if _is_at(path.rstrip("/"), targets)),
        not_in_remote=sorted(path for path in far if _is_at(path.rstrip("/"), targets)),
        committed=_by_kind(committed),
        uncommitted=_by_kind(uncommitted),
        untracked=[path for path in workspace.git.untracked() if _is_at(path, targets)] if has_git else [],
        unchanged=sorted(_unchanged(uncommitted) & same if same is not None else _unchanged(uncommitted)),
        is_git_dirty=has_git and workspace.git.is_dirty(untracked=True),
    )


def _committed(
    workspace: Workspace, targets: Sequence[str], records: Recorded, *, granular: bool, unchanged: bool
) -> tuple[list[Difference], set[str] | None]:
    """From the last commit to the records; the second is what is equal in both, None when there is no Git."""
    if not workspace.git.is_repository():
        return [], None
    outs = workspace.outs("HEAD") if workspace.git.has_commits() else []
    head = Recorded((out for out in outs if _may_hold(out, targets)), workspace.cache)
    found = _at(targets, compare(head, records, granular=granular, with_unchanged=unchanged))
    return found, _unchanged(found)


def _missing(workspace: Workspace, outs: Iterable[Out], *, granular: bool) -> list[str]:
    found: list[str] = []
    for out in outs:
        if out.content is None or not out.is_cached:
            continue
        md5 = out.content.md5
        if not workspace.cache.has(md5):
            found.append(f"{out.path}/" if out.content.is_directory else out.path)
        elif granular and out.content.is_directory:
            gone = set(workspace.cache.missing(md5))
            files = workspace.cache.read_directory(md5) if gone else {}
            found += (f"{out.path}/{name}" for name, file_md5 in files.items() if file_md5 in gone)
    return found


def _not_in_remote(
    workspace: Workspace, outs: Iterable[Out], remote: str | None, *, granular: bool, refresh: bool
) -> list[str]:
    found: list[str] = []
    wanted = versions.without_others(workspace, [out for out in outs if out.is_pushed], remote)
    for route in routes(workspace, wanted, remote=remote, jobs=None):
        paths: dict[str, list[str]] = {}
        inner: dict[str, Mapping[str, str]] = {}
        for out, content in recorded(route.outs):
            paths.setdefault(content.md5, []).append(f"{out.path}/" if content.is_directory else out.path)
            if granular and content.is_directory:
                inner[content.md5] = _listing(workspace, route, content.md5, refresh=refresh)
                for name, md5 in inner[content.md5].items():
                    paths.setdefault(md5, []).append(f"{out.path}/{name}")
        if refresh:
            there = route.store.present(paths)
            whole = {md5 for md5, files in inner.items() if md5 in there and there.issuperset(files.values())}
            route.store.remember_whole(whole.union(there.intersection(route.files)))
        else:
            there = route.store.seen(paths)
            there |= {md5 for directory in there.intersection(inner) for md5 in inner[directory].values()}
        found += (path for md5, named in paths.items() if md5 not in there for path in named)
    return found


def _listing(workspace: Workspace, route: Route, md5: str, *, refresh: bool) -> Mapping[str, str]:
    try:
        return listing(workspace, route.store, md5) if refresh else workspace.cache.read_directory(md5)
    except NotFoundError:
        # Nobody can tell what it holds; that it is missing itself is told.
        return {}


def _by_kind(found: Iterable[Difference]) -> Changes:
    changes: Changes = {}
    for entry in found:
        if entry.kind is Kind.RENAMED:
            assert entry.old is not None
            assert entry.new is not None
            changes.setdefault(entry.kind.value, []).append({"old": entry.old.shown, "new": entry.new.shown})
        elif entry.kind is not Kind.UNCHANGED:
            node = entry.new or entry.old
            assert node is not None
            changes.setdefault(entry.kind.value, []).append(node.shown)
    return changes


def _unchanged(found: Iterable[Difference]) -> set[str]:
    return {entry.key for entry in found if entry.kind is Kind.UNCHANGED}


def _at(targets: Sequence[str], found: Iterable[Difference]) -> list[Difference]:
    # Of a rename the new path decides, as in DVC.
    return [entry for entry in found if (node := entry.new or entry.old) and _is_at(node.path, targets)]


def _is_at(path: str, targets: Sequence[str]) -> bool:
    return not targets or any(target in {".", path} or path.startswith(f"{target}/") for target in targets)


def _may_hold(out: Out, targets: Sequence[str]) -> bool:
    return _is_at(out.path, targets) or any(target.startswith(f"{out.path}/") for target in targets)
