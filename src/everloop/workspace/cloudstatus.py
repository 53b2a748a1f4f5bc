"""How the cache and a remote differ, object by object. Changes nothing."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from typing import TYPE_CHECKING

from everloop.errors import NotFoundError
from everloop.workspace import versions
from everloop.workspace.parallel import Patience
from everloop.workspace.routes import Route, listing, present_in_cache, routes
from everloop.workspace.values import Out

if TYPE_CHECKING:
    from everloop.workspace.workspace import Workspace


class CloudChange(StrEnum):
    """Who has an object; the words are those of `dvc status --cloud`."""

    NEW = "new"
    DELETED = "deleted"
    MISSING = "missing"


def cloud_status(
    workspace: Workspace,
    outs: Iterable[Out],
    *,
    remote: str | None = None,
    jobs: int | None = None,
    patience: Patience | None = None,
) -> dict[str, CloudChange]:
    """See `Workspace.cloud_status`."""
    found: dict[str, CloudChange] = {}
    # What belongs to another repository is there, as with DVC.
    pushed = [out for out in outs if out.is_pushed and not (out.imported and out.imported.is_repository)]
    wanted = versions.without_others(workspace, pushed, remote)
    for route in routes(workspace, wanted, remote=remote, jobs=jobs, patience=patience):
        found |= _compare(workspace, route)
    return found


def _compare(workspace: Workspace, route: Route) -> dict[str, CloudChange]:
    ids: dict[str, list[str]] = {}
    for out in route.outs:
        assert out.content is not None
        ids.setdefault(out.content.md5, []).append(out.path)
    for md5, out in route.directories.items():
        try:
            files = listing(workspace, route.store, md5)
        except NotFoundError:
            # Neither side can tell what it holds.
            continue
        for path, file_md5 in files.items():
            ids.setdefault(file_md5, []).append(f"{out.path}/{path}")
    there, here = route.store.present(ids), present_in_cache(workspace, ids)
    words = {
        (True, False): CloudChange.NEW,
        (False, True): CloudChange.DELETED,
        (False, False): CloudChange.MISSING,
    }
    differing = {md5: words[md5 in here, md5 in there] for md5 in ids if not (md5 in here and md5 in there)}
    return {path: word for md5, word in differing.items() for path in sorted(ids[md5])}
