"""Bring objects of remotes into the cache: verified, the files of a directory first, its listing last.

What the cache has is not asked for. What arrives is kept also when other objects fail, so to fetch again goes on where
it ended.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from everloop import progress
from everloop.errors import EverloopError, NotFoundError
from everloop.workspace import hashing, parallel, versions
from everloop.workspace.fetchimports import fetch_imports, files_of, needs_source
from everloop.workspace.incoming import Incoming
from everloop.workspace.parallel import Patience
from everloop.workspace.remote_store import RemoteStore
from everloop.workspace.routes import Journal, Route, Transfer, present_in_cache, routes
from everloop.workspace.values import Out

if TYPE_CHECKING:
    from everloop.workspace.workspace import Workspace


class _Arrived(msgspec.Struct, frozen=True):
    """A verified file beside the cache."""

    aside: Path
    size_bytes: int


def fetch(
    workspace: Workspace,
    outs: Iterable[Out],
    *,
    remote: str | None = None,
    jobs: int | None = None,
    patience: Patience | None = None,
) -> Transfer:
    """Fetch the outs; see `Workspace.fetch`."""
    journal = Journal()
    plain, versioned = versions.split(workspace, _incomplete(workspace, outs), remote)
    for group in versioned:
        versions.fetch(workspace, group, journal, jobs=jobs, patience=patience)
    named = None if any(group.is_asked for group in versioned) else remote
    imported = [out for out in plain if needs_source(out)]
    others = [out for out in plain if not needs_source(out)]
    with_address = [out for out in others if out.imported is not None]
    try:
        ways = routes(workspace, others, remote=named, jobs=jobs, patience=patience)
    except NotFoundError:
        # Without any remote what was imported still comes from its address.
        if remote is not None or len(with_address) < len(others):
            raise
        ways, imported = [], imported + with_address
    for route in ways:
        _fetch(workspace, route, journal)
    imported += [out for out in with_address if journal.forgive(out)]
    fetch_imports(workspace, imported, journal, jobs=jobs)
    return journal.report()


def fetch_listings(
    workspace: Workspace, outs: Iterable[Out], *, remote: str | None = None, patience: Patience | None = None
) -> Transfer:
    """Fetch only the listings of directories, so that parts of them can be told."""
    journal = Journal()
    lacking = [out for out in outs if out.content is not None and not workspace.cache.has(out.content.md5)]
    for out in filter(needs_source, lacking):
        with workspace.cache.incoming() as incoming:
            incoming.add_directory(files_of(workspace, out))
    lacking = [out for out in lacking if not needs_source(out)]
    for route in routes(workspace, lacking, remote=remote, jobs=None, patience=patience):
        with workspace.cache.incoming() as incoming:
            _take(route.store, {md5: out.path for md5, out in route.directories.items()}, incoming, journal)
    return journal.report()


def _incomplete(workspace: Workspace, outs: Iterable[Out]) -> list[Out]:
    """The outs of which the cache lacks something: a remote is not needed, not even named, for the others."""
    lacking = [
        out for out in outs if out.content is not None and out.is_cached and workspace.contents.missing(out.content.md5)
    ]
    # So that the next fetch need not look at each object either.
    workspace.contents.save()
    return lacking


def _fetch(workspace: Workspace, route: Route, journal: Journal) -> None:
    store, cache = route.store, workspace.cache
    n_failed = len(journal.failed)
    # Data that are never pushed may still be there, from before; that they are not is no failure.
    optional = {out.content.md5 for out in route.outs if out.content is not None and not out.is_pushed}
    with cache.incoming() as incoming:
        names = route.files
        directories = route.directories
        listings: dict[str, dict[str, str]] = {}
        waiting: dict[str, _Arrived] = {}
        for md5, out in directories.items():
            try:
                listings[md5], arrived = _listing(workspace, store, md5, incoming)
            except EverloopError as error:
                if not (md5 in optional and isinstance(error, NotFoundError)):
                    journal.fail(store.name, md5, out.path, error.message)
                continue
            if arrived is not None:
                waiting[md5] = arrived
            files = {file_md5: f"{out.path}/{path}" for path, file_md5 in listings[md5].items()}
            names |= files
            if not out.is_pushed:
                optional |= files.keys()
        here = present_in_cache(workspace, names)
        failed = _take(
            store, {md5: path for md5, path in names.items() if md5 not in here}, incoming, journal, optional
        )
        incoming.flush()
        for md5, arrived in waiting.items():
            if failed.isdisjoint(listings[md5].values()):
                incoming.adopt(arrived.aside, md5, arrived.size_bytes)
                journal.arrived(md5, directories[md5].path)
    if len(journal.failed) > n_failed:
        store.forget()


def _listing(
    workspace: Workspace, store: RemoteStore, md5: str, incoming: Incoming
) -> tuple[dict[str, str], _Arrived | None]:
    if workspace.cache.has(md5):
        return workspace.cache.read_directory(md5), None
    aside = incoming.reserve()
    size_bytes = parallel.insist(lambda: store.fetch(md5, os.fspath(aside)), store.patience)
    return hashing.decode_directory(aside.read_bytes(), f"{store.url}: {md5}", md5), _Arrived(aside, size_bytes)


def _take(
    store: RemoteStore,
    names: dict[str, str],
    incoming: Incoming,
    journal: Journal,
    optional: Iterable[str] = (),
) -> set[str]:
    """Fetch objects; returns the ids of those that did not come."""
    forgiven = set(optional)
    failed: set[str] = set()

    def get(md5: str) -> _Arrived:
        aside = incoming.reserve()
        return _Arrived(aside, store.fetch(md5, os.fspath(aside)))

    wanted = list(names)
    with progress.phase("fetching", len(wanted)) as phase:
        if store.bucket.is_near:
            # Here, because it loads the room of the buckets, which most commands do without.
            from everloop.workspace import near

            told = progress.batches(phase)
            wanted = near.fetch(incoming, store.bucket, wanted, lambda md5: journal.arrived(md5, names[md5]), told)
        for done in parallel.each(get, wanted, jobs=store.jobs, batch=store.batch, patience=store.patience):
            if phase is not None:
                phase.did(1, done.result.size_bytes if done.result is not None else 0)
            if done.result is not None:
                incoming.adopt(done.result.aside, done.item, done.result.size_bytes)
                journal.arrived(done.item, names[done.item])
                continue
            failed.add(done.item)
            if done.error is not None and not (done.item in forgiven and isinstance(done.error, NotFoundError)):
                journal.fail(store.name, done.item, names[done.item], done.error.message)
    return failed
