"""Bring objects of the cache to remotes: the files of a directory first, its listing last.

So a listing in a remote promises that its files are there too, which DVC relies on. To push again after anything went
wrong goes on where it ended.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from everloop.errors import EverloopError, NotFoundError
from everloop.workspace import parallel
from everloop.workspace.parallel import Patience
from everloop.workspace.routes import Journal, Progress, Route, Transfer, present_in_cache, routes
from everloop.workspace.values import Out

if TYPE_CHECKING:
    from everloop.workspace.workspace import Workspace


def push(
    workspace: Workspace,
    outs: Iterable[Out],
    *,
    remote: str | None = None,
    jobs: int | None = None,
    recheck: bool = False,
    patience: Patience | None = None,
    progress: Progress | None = None,
) -> Transfer:
    """Push the outs; see `Workspace.push`."""
    journal = Journal(progress)
    # What belongs to another repository is there, as with DVC.
    wanted = [out for out in outs if out.is_pushed and not (out.imported and out.imported.is_repository)]
    for route in routes(workspace, wanted, remote=remote, jobs=jobs, patience=patience):
        _push(workspace, route, journal, recheck=recheck)
    return journal.report()


def _push(workspace: Workspace, route: Route, journal: Journal, *, recheck: bool) -> None:
    store = route.store
    if recheck:
        store.forget()
    n_failed = len(journal.failed)
    listings: dict[str, Mapping[str, str]] = {}
    names = route.files
    directories = route.directories
    for md5 in store.whole(directories):
        del directories[md5]
    for md5, out in directories.items():
        try:
            listings[md5] = workspace.cache.read_directory(md5)
        except NotFoundError as error:
            if not store.has(md5):
                journal.fail(store, md5, out.path, error.message)
            continue
        names |= {file_md5: f"{out.path}/{path}" for path, file_md5 in listings[md5].items()}
    there = store.present({*names, *listings})
    missing = {md5: path for md5, path in names.items() if md5 not in there}
    failed = _move(workspace, route, missing, journal)
    whole = [md5 for md5, listing in listings.items() if failed.isdisjoint(listing.values())]
    labels = {md5: directories[md5].path for md5 in whole if md5 not in there}
    failed |= _move(workspace, route, labels, journal)
    for md5 in listings.keys() - set(whole):
        if md5 not in there:
            journal.fail(store, md5, directories[md5].path, "not pushed, because some of its files were not")
    if len(journal.failed) > n_failed:
        store.forget()
    else:
        store.remember_whole(listings)


def _move(workspace: Workspace, route: Route, names: dict[str, str], journal: Journal) -> set[str]:
    """Push objects and wait until they are there; returns the ids of those that failed."""
    store = route.store
    here = present_in_cache(workspace, names)
    journal.expect(len(names))
    failed: set[str] = set()
    moved: dict[str, str] = {}

    # The cache has the same layout as a remote.
    objects = os.fspath(workspace.cache.root)

    def put(md5: str) -> None:
        store.put(md5, f"{objects}/{store.key(md5)}")

    for done in parallel.each(
        put, (md5 for md5 in names if md5 in here), jobs=store.jobs, batch=store.batch, patience=store.patience
    ):
        if done.error is None:
            moved[done.item] = names[done.item]
            journal.arrived(done.item, names[done.item])
        else:
            failed.add(done.item)
            journal.fail(store, done.item, names[done.item], done.error.message)
    for md5 in names.keys() - here:
        failed.add(md5)
        reason = f"neither the cache {workspace.cache.root} nor the remote has it"
        journal.fail(store, md5, names[md5], reason)
    try:
        store.flush()
    except EverloopError as error:
        for md5, path in moved.items():
            journal.undo(md5)
            journal.fail(store, md5, path, error.message)
        failed |= moved.keys()
    return failed
