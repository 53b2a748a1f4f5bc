"""Objects between the cache and a remote that is a folder of this machine: many at once, without a request for each.

What does not arrive this way, for whatever reason, is left to the usual way, which tries it again and tells why. Loaded
when such a remote is used, with the room of the buckets.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from everloop.storage.bucket import Bucket
from everloop.storage.folder import Folder
from everloop.workspace.cache import Cache
from everloop.workspace.incoming import Incoming

Told = Callable[[Sequence[str]], object]

# What arrived is told after so many objects.
_TOLD_OBJECTS = 1 << 13


def push(
    cache: Cache, remote: Bucket, ids: Sequence[str], arrived: Callable[[str], None], told: Told | None
) -> list[str]:
    """Bring objects of the cache to a remote; they are there, and durable, when this returns.

    Args:
        cache: Where from.
        remote: Where to.
        ids: Of the objects.
        arrived: Told of each that will be there.
        told: Gets the ids of those that were looked at, batch by batch.

    Returns:
        The ids of the others.
    """
    here: list[str] = []
    if not isinstance(remote, Folder):
        return list(ids)
    try:
        with _incoming(remote) as incoming:
            left = _bring(incoming, ids, cache.place, here.append, told)
    except OSError:
        # The remote is full, read-only or gone: the usual way tells it with its name.
        return list(ids)
    for md5 in here:
        arrived(md5)
    return left


def fetch(
    incoming: Incoming, remote: Bucket, ids: Sequence[str], arrived: Callable[[str], None], told: Told | None
) -> list[str]:
    """Take objects of a remote into the cache.

    Args:
        incoming: Of the cache.
        remote: Where from.
        ids: Of the objects.
        arrived: Told of each that came whole.
        told: As with `push`.

    Returns:
        The ids of the others.
    """
    if not isinstance(remote, Folder):
        return list(ids)
    return _bring(incoming, ids, _objects_of(remote).place, arrived, told)


def _bring(
    incoming: Incoming,
    ids: Sequence[str],
    place: Callable[[str], str],
    arrived: Callable[[str], None],
    told: Told | None,
) -> list[str]:
    left: list[str] = []
    for start in range(0, len(ids), _TOLD_OBJECTS):
        some = ids[start : start + _TOLD_OBJECTS]
        for md5, has_come in zip(some, incoming.add_objects(some, place, told), strict=True):
            if has_come:
                arrived(md5)
            else:
                left.append(md5)
    return left


def _objects_of(folder: Folder) -> Cache:
    """A remote's objects, which lie as those of a cache do."""
    return Cache(folder.root, ("copy",))


@contextmanager
def _incoming(folder: Folder) -> Iterator[Incoming]:
    own = folder.new_aside()
    try:
        incoming = Incoming(_objects_of(folder), own)
        yield incoming
        incoming.finish()
    finally:
        shutil.rmtree(own, ignore_errors=True)
