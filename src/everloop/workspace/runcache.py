"""The run cache over remotes: which stage has made what out of what, an entry of `dvc.lock` for each run.

Source: dvc 3.67 (`stage/cache.py`). An entry lies at `runs/ab/KEY/VALUE` of a cache or a remote: VALUE is the SHA-256
of the entry, KEY that of the entry without what came out. What is no such entry is not moved. Leaves saving and
restoring runs to the pipelines, and their data to `push.py` and `fetch.py`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from everloop.errors import FailedError, InvalidError
from everloop.latepattern import LatePattern
from everloop.workspace import durable, yamlfile

if TYPE_CHECKING:
    from everloop.workspace.remote_store import RemoteStore
    from everloop.workspace.routes import Failure
    from everloop.workspace.workspace import Workspace

_FOLDER = "runs/"
_PLACE = LatePattern(r"runs/([0-9a-f]{2})/(\1[0-9a-f]{62})/([0-9a-f]{64})")
_NOT_HASHED = {"size", "nfiles"}
# An entry is a few lines for each file; this is a stranger.
_MOST_BYTES = 64 << 20

# The places of the entries that were moved, and those that were not.
Moved = tuple[list[str], list["Failure"]]


def push(workspace: Workspace, store: RemoteStore) -> Moved:
    """Bring the entries of the cache that a remote lacks there.

    Raises:
        EverloopError: The remote does not answer, cannot list, or refuses.
    """
    root = workspace.cache.root
    here = (path.relative_to(root).as_posix() for path in (root / _FOLDER).rglob("*") if path.is_file())
    wanted = _entries(here) - set(_remote_entries(store))

    def put(place: str) -> None:
        data = (root / place).read_bytes()
        check(place, data)
        store.bucket.put(place, data)

    moved = _moved(store, put, wanted)
    store.flush()
    return moved


def fetch(workspace: Workspace, store: RemoteStore) -> Moved:
    """Bring the entries of a remote that the cache lacks here.

    Raises: as `push`.
    """
    root = workspace.cache.root
    wanted = {place for place in _remote_entries(store) if not (root / place).exists()}

    def get(place: str) -> None:
        data = _read(store, place)
        check(place, data)
        (root / place).parent.mkdir(parents=True, exist_ok=True)
        durable.write_atomically(root / place, data)

    return _moved(store, get, wanted)


def check(place: str, data: bytes) -> None:
    """Refuse what is no entry, or not the one that its place promises.

    Raises:
        FailedError: It is so.
    """
    try:
        entry = yamlfile.parse_plain(data.decode(), place)
    except (InvalidError, UnicodeDecodeError) as error:
        raise FailedError(f"{place} is no entry of a run cache: {error}") from error
    if not isinstance(entry, dict) or not entry.get("cmd") or not _is_listing(entry.get("outs")):
        raise FailedError(f"{place} is no entry of a run cache: it has no cmd or no outs")
    if place != place_of(entry):
        raise FailedError(f"{place} is not the entry that its name promises: that would be at {place_of(entry)}")


def place_of(entry: dict[str, Any]) -> str:
    """Where the entry of a run lies in a cache or a remote.

    Args:
        entry: As in `dvc.lock`, with `cmd`, `deps`, `params` and `outs`.
    """
    return f"{folder_of(entry)}/{_digest(entry)}"


def folder_of(entry: dict[str, Any]) -> str:
    """Where the entries of all runs with the same inputs lie.

    Args:
        entry: As of `place_of`; of its outs only the paths count.
    """
    key = _digest({**entry, "outs": [out["path"] for out in entry["outs"]]})
    return f"{_FOLDER}{key[:2]}/{key}"


def _digest(entry: Any) -> str:
    return hashlib.sha256(json.dumps(_pruned(entry), sort_keys=True).encode()).hexdigest()


def _pruned(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _pruned(item) for key, item in value.items() if key not in _NOT_HASHED}
    return [_pruned(item) for item in value] if isinstance(value, list) else value


def _is_listing(outs: Any) -> bool:
    return isinstance(outs, list) and all(isinstance(out, dict) and isinstance(out.get("path"), str) for out in outs)


def _entries(places: Iterable[str]) -> set[str]:
    return {place for place in places if _PLACE.fullmatch(place)}


def _remote_entries(store: RemoteStore) -> Iterator[str]:
    # Here, because every stage asks for the place of its run, and few commands move runs.
    from everloop.workspace import parallel

    yield from _entries(parallel.insist(lambda: list(store.bucket.keys(_FOLDER)), store.patience))


def _read(store: RemoteStore, place: str) -> bytes:
    data = bytearray()

    def sink(chunk: bytes) -> None:
        data.extend(chunk)
        if len(data) > _MOST_BYTES:
            raise FailedError(f"{place} in {store.url} is no entry of a run cache: it is far too large")

    store.bucket.get(place, sink)
    return bytes(data)


def _moved(store: RemoteStore, move: Callable[[str], None], places: Iterable[str]) -> Moved:
    from everloop.workspace import parallel
    from everloop.workspace.routes import Failure

    moved: list[str] = []
    failed: list[Failure] = []
    for done in parallel.each(move, sorted(places), jobs=store.jobs, batch=store.batch, patience=store.patience):
        if done.error is None:
            moved.append(done.item)
        else:
            value = Path(done.item).name
            failed.append(Failure(path=done.item, md5=value, remote=store.name, reason=done.error.message))
    return sorted(moved), failed
