"""Hash the objects of the cache or of a remote again, and move those aside whose bytes are not what their names say.

Nothing is deleted: a damaged object goes where nobody takes it for whole, and a good copy from the other side takes its
place when it is asked for. A directory's listing that names objects which are not there is told, and stays.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from everloop import progress
from everloop.errors import EverloopError, InvalidError, NotFoundError
from everloop.workspace import hashing, inventory, objectid, parallel
from everloop.workspace.cache import Cache
from everloop.workspace.values import Out

if TYPE_CHECKING:
    from everloop.workspace.remote_store import RemoteStore
    from everloop.workspace.workspace import Workspace

QUARANTINE = "everloop-quarantine"
# What one thread takes at a time: handing an object over costs as much as hashing a small one.
_BATCH = 64

# Hears the number of objects and of bytes that are done.


class CorruptObject(msgspec.Struct, frozen=True, kw_only=True):
    """An object whose bytes are not what its name promises.

    Attributes:
        md5: Its name.
        found: What its bytes hash to; None when they could not be read.
        moved_to: Where they lie now.
        paths: Tracked paths that need the object.
        is_healed: A good copy is in its place.
    """

    md5: str
    found: str | None
    moved_to: str
    paths: tuple[str, ...]
    is_healed: bool = False


class VerifyReport(msgspec.Struct, frozen=True, kw_only=True):
    """What `verify` found.

    Attributes:
        n_objects: How many were hashed.
        size_bytes: Their sum.
        corrupt: Those that are damaged, by name.
        missing: `{tracked path: ids}` that the cache does not have, the damaged ones among them; empty for a remote.
    """

    n_objects: int
    size_bytes: int
    corrupt: tuple[CorruptObject, ...]
    missing: dict[str, tuple[str, ...]]


class _Checked(NamedTuple):
    md5: str
    size_bytes: int
    found: str | None


def verify(workspace: Workspace, *, jobs: int | None = None, fetch_from: RemoteStore | None = None) -> VerifyReport:
    """Check the cache; see `Workspace.verify`."""
    cache = workspace.cache
    needs = _needs(cache, workspace.outs())
    ids = (md5 for md5, _ in inventory.objects(cache))
    checking = parallel.each(
        lambda md5: _checked(cache.path(md5), md5), ids, jobs=jobs or min(os.cpu_count() or 1, 16), batch=_BATCH
    )
    damaged, n_objects, size_bytes = _sifted(done.result for done in checking)
    corrupt: list[CorruptObject] = []
    if damaged:
        with workspace.locked():
            corrupt = [_moved_aside(cache, checked, needs.get(checked.md5, ())) for checked in damaged]
        if fetch_from is not None:
            corrupt = _fetched(cache, fetch_from, corrupt)
    return VerifyReport(
        n_objects=n_objects,
        size_bytes=size_bytes,
        corrupt=tuple(sorted(corrupt, key=lambda item: item.md5)),
        missing=_missing(cache, needs),
    )


def verify_remote(workspace: Workspace, store: RemoteStore) -> VerifyReport:
    """Check all objects of a remote; damaged ones are replaced out of the cache where it has them whole.

    Raises:
        EverloopError: The remote does not answer, cannot list, or refuses.
    """
    needs = _needs(workspace.cache, workspace.outs())
    checking = parallel.each(
        lambda md5: _checked_there(store, md5), store.ids(), jobs=store.jobs, batch=store.batch, patience=store.patience
    )
    damaged, n_objects, size_bytes = _sifted(_required(done) for done in checking)
    corrupt = [_replaced(workspace, store, checked, needs.get(checked.md5, ())) for checked in damaged]
    if corrupt:
        store.flush()
    return VerifyReport(
        n_objects=n_objects,
        size_bytes=size_bytes,
        corrupt=tuple(sorted(corrupt, key=lambda item: item.md5)),
        missing={},
    )


def _sifted(results: Iterable[_Checked | None]) -> tuple[list[_Checked], int, int]:
    """The damaged ones, and how many objects and bytes there were."""
    damaged: list[_Checked] = []
    n_objects = size_bytes = 0
    with progress.phase("verifying", None, unit="objects") as phase:
        for checked in results:
            if checked is None:
                # Collected meanwhile.
                continue
            n_objects += 1
            size_bytes += checked.size_bytes
            if checked.found != checked.md5:
                damaged.append(checked)
            if phase is not None:
                phase.did(1, checked.size_bytes)
    return damaged, n_objects, size_bytes


def _checked(path: Path, md5: str) -> _Checked | None:
    try:
        size_bytes = path.stat().st_size
        found = hashing.md5_of_file(path, md5) + (".dir" if md5.endswith(".dir") else "")
    except FileNotFoundError:
        return None
    except OSError:
        # The disk cannot give the bytes: as good as damaged.
        return _Checked(md5, 0, None)
    return _Checked(md5, size_bytes, found)


def _checked_there(store: RemoteStore, md5: str) -> _Checked | None:
    try:
        checked = _read_there(store, md5)
        # Once more: the way here may have done the damage.
        return checked if checked.found == md5 else _read_there(store, md5)
    except NotFoundError:
        return None


def _read_there(store: RemoteStore, md5: str) -> _Checked:
    digest = hashing.digest(md5)
    size_bytes = 0

    def sink(chunk: bytes) -> None:
        nonlocal size_bytes
        digest.update(chunk)
        size_bytes += len(chunk)

    store.bucket.get(store.key(md5), sink)
    return _Checked(md5, size_bytes, digest.hexdigest() + (".dir" if md5.endswith(".dir") else ""))


def _required(done: parallel.Done[str, _Checked | None]) -> _Checked | None:
    if done.error is not None:
        raise done.error
    return done.result


def _moved_aside(cache: Cache, checked: _Checked, paths: Iterable[str]) -> CorruptObject:
    folder = cache.root / QUARANTINE
    cache.make_folder(folder)
    target = folder / f"{objectid.digits(checked.md5)}-{time.time_ns()}"
    cache.path(checked.md5).replace(target)
    return CorruptObject(md5=checked.md5, found=checked.found, moved_to=str(target), paths=tuple(paths))


def _fetched(cache: Cache, store: RemoteStore, corrupt: Iterable[CorruptObject]) -> list[CorruptObject]:
    healed: list[CorruptObject] = []
    with cache.incoming() as incoming:
        for item in corrupt:
            aside = incoming.reserve()
            try:
                size_bytes = store.fetch(item.md5, os.fspath(aside))
            except EverloopError:
                # Not there either, or damaged there, too: it stays told as damaged.
                healed.append(item)
                continue
            incoming.adopt(aside, item.md5, size_bytes)
            healed.append(msgspec.structs.replace(item, is_healed=True))
    return healed


def _replaced(workspace: Workspace, store: RemoteStore, checked: _Checked, paths: Iterable[str]) -> CorruptObject:
    key = f"{QUARANTINE}/{objectid.digits(checked.md5)}-{time.time_ns()}"
    chunks: list[bytes] = []
    store.bucket.get(store.key(checked.md5), chunks.append)
    store.bucket.put(key, chunks)
    store.bucket.flush()
    store.delete([checked.md5])
    is_healed = False
    good = workspace.cache.path(checked.md5)
    copy = _checked(good, checked.md5)
    if copy is not None and copy.found == checked.md5:
        store.put(checked.md5, os.fspath(good))
        is_healed = True
    return CorruptObject(
        md5=checked.md5,
        found=checked.found,
        moved_to=f"{store.url}/{key}",
        paths=tuple(paths),
        is_healed=is_healed,
    )


def _needs(cache: Cache, outs: Iterable[Out]) -> dict[str, list[str]]:
    """Which tracked paths need an object."""
    needs: dict[str, list[str]] = {}
    for out in outs:
        if out.content is None or not out.is_cached:
            continue
        needs.setdefault(out.content.md5, []).append(out.path)
        if out.content.is_directory and cache.has(out.content.md5):
            for name, md5 in _listing(cache, out.content.md5).items():
                needs.setdefault(md5, []).append(f"{out.path}/{name}")
    return needs


def _listing(cache: Cache, md5: str) -> dict[str, str]:
    try:
        return hashing.decode_directory(cache.path(md5).read_bytes(), md5, md5)
    except InvalidError:
        # Damaged beyond reading: it is found and reported with its hash.
        return {}


def _missing(cache: Cache, needs: dict[str, list[str]]) -> dict[str, tuple[str, ...]]:
    missing: dict[str, list[str]] = {}
    for md5, paths in needs.items():
        if not cache.has(md5):
            for path in paths:
                missing.setdefault(path, []).append(md5)
    return {path: tuple(ids) for path, ids in sorted(missing.items())}
