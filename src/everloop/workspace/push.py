"""Bring objects of the cache to remotes: the files of a directory first, its listing last.

So a listing in a remote promises that its files are there too, which DVC relies on. To push again after anything went
wrong goes on where it ended.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from everloop import progress
from everloop.errors import EverloopError, NotFoundError
from everloop.workspace import parallel, versions
from everloop.workspace.parallel import Patience
from everloop.workspace.routes import Journal, Route, Transfer, open_store, present_in_cache, routes
from everloop.workspace.values import Out
from everloop.workspace.versions import Versioned

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
) -> Transfer:
    """Push the outs; see `Workspace.push`."""
    journal = Journal()
    # What belongs to another repository is there, as with DVC.
    wanted = [out for out in outs if out.is_pushed and not (out.imported and out.imported.is_repository)]
    plain, versioned = versions.split(workspace, wanted, remote)
    for group in versioned:
        _refuse_versioned(workspace, group, journal)
    named = None if any(group.is_asked for group in versioned) else remote
    for route in routes(workspace, plain, remote=named, jobs=jobs, patience=patience):
        _push(workspace, route, journal, recheck=recheck)
    return journal.report()


def _refuse_versioned(workspace: Workspace, versioned: Versioned, journal: Journal) -> None:
    """What is not in a cloud-versioned remote stays out of it, and its record as it is."""
    if versioned.is_asked and versioned.unpushed:
        open_store(workspace, versioned.remote.name)
    for out in versioned.unpushed:
        assert out.content is not None
        reason = f"{versioned.remote.name} keeps versions, where nothing is pushed to; use dvc push"
        journal.fail(versioned.remote.name, out.content.md5, out.path, reason)


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
                journal.fail(store.name, md5, out.path, error.message)
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
            journal.fail(store.name, md5, directories[md5].path, "not pushed, because some of its files were not")
    if len(journal.failed) > n_failed:
        store.forget()
    else:
        store.remember_whole({*listings, *route.files})


def _size_of(path: str) -> int:
    try:
        return os.stat(path).st_size  # noqa: PTH116  a Path for each file costs more than its stat
    except OSError:
        return 0


def _move(workspace: Workspace, route: Route, names: dict[str, str], journal: Journal) -> set[str]:
    """Push objects and wait until they are there; returns the ids of those that failed."""
    store = route.store
    here = present_in_cache(workspace, names)
    failed: set[str] = set()
    moved: dict[str, str] = {}

    def arrived(md5: str) -> None:
        moved[md5] = names[md5]
        journal.arrived(md5, names[md5])

    wanted = [md5 for md5 in names if md5 in here]
    with progress.phase("pushing", len(wanted)) as phase:
        if store.bucket.is_near:
            # Here, because it loads the room of the buckets, which most commands do without.
            from everloop.workspace import near

            told = progress.batches(phase)
            wanted = near.push(workspace.cache, store.bucket, wanted, arrived, told)
        for done in parallel.each(
            lambda md5: store.put(md5, workspace.cache.place(md5)),
            wanted,
            jobs=store.jobs,
            batch=store.batch,
            patience=store.patience,
        ):
            if phase is not None:
                phase.did(1, _size_of(workspace.cache.place(done.item)))
            if done.error is None:
                arrived(done.item)
            else:
                failed.add(done.item)
                journal.fail(store.name, done.item, names[done.item], done.error.message)
    for md5 in names.keys() - here:
        failed.add(md5)
        reason = f"neither the cache {workspace.cache.root} nor the remote has it"
        journal.fail(store.name, md5, names[md5], reason)
    try:
        store.flush()
    except EverloopError as error:
        for md5, path in moved.items():
            journal.undo(md5)
            journal.fail(store.name, md5, path, error.message)
        failed |= moved.keys()
    return failed
