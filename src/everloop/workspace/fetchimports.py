"""Bring imported data from where they were imported: the same bytes, or none.

What was imported from another repository comes from there, at the commit that the record names; it is never pushed, as
with DVC. What was imported from an address comes from there only when no remote has it, or when the record pins it to a
version. Leaves records as they are.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from everloop import progress
from everloop.errors import EverloopError, FailedError
from everloop.workspace import hashing, importrecord, parallel
from everloop.workspace.incoming import Incoming
from everloop.workspace.origin import Origin, Pins
from everloop.workspace.routes import Journal
from everloop.workspace.source import Source
from everloop.workspace.take import open_repository, origin_of, take_address, take_from
from everloop.workspace.toremote import measure
from everloop.workspace.values import Entry, Imported, Out, Reach

if TYPE_CHECKING:
    from everloop.workspace.workspace import Workspace

_JOBS = 8


def fetch_imports(workspace: Workspace, outs: Iterable[Out], journal: Journal, *, jobs: int | None = None) -> None:
    """Bring what the cache lacks of imported outs; what does not come is told to the journal, object by object.

    Args:
        workspace: Whose cache.
        outs: All with an import and a record of their content.
        journal: Told of each object.
        jobs: How many files to bring at a time.
    """
    by_source: dict[tuple[str, str | None, Reach], list[Out]] = {}
    for out in outs:
        assert out.imported is not None
        key = (out.imported.address, out.imported.commit, out.imported.reach)
        if out.imported.is_repository:
            by_source.setdefault(key, []).append(out)
        else:
            _fetch_address(workspace, out, out.imported, journal, jobs)
    for (url, commit, reach), found in by_source.items():
        waiting = list(found)
        try:
            with open_repository(workspace, _place(workspace, url), commit, reach) as source:
                while waiting:
                    out = waiting.pop()
                    try:
                        _fetch_from(workspace, source, out, journal, jobs or _JOBS)
                    except EverloopError as error:
                        _fail(journal, out, error)
        except EverloopError as error:
            for out in waiting:
                _fail(journal, out, error)


def bring_unrecorded(workspace: Workspace, out: Out, *, jobs: int | None = None) -> Out:
    """Bring an import into the cache whose content nobody has recorded yet (`--no-download`); the out with it.

    Raises:
        FailedError: The source is no longer what the record says.
        EverloopError: It does not come.
    """
    imported = out.imported
    assert imported is not None
    if imported.is_repository:
        url = _place(workspace, imported.address)
        with open_repository(workspace, url, imported.commit, imported.reach) as source:
            content = take_from(workspace, source, imported.path, jobs=jobs)
    else:
        origin = _origin(workspace, imported)
        found, mark = take_address(workspace, origin, download=True, jobs=jobs)
        assert found is not None
        if imported.mark and imported.pins is None and not importrecord.is_same({"md5": imported.mark}, mark):
            raise FailedError(
                f"{imported.address} has changed since {out.path} was recorded", hint=f"ever update {out.path}"
            )
        content = found
    return msgspec.structs.replace(out, content=content)


def files_of(workspace: Workspace, out: Out) -> dict[str, str]:
    """The files of an imported directory whose listing is not here, as its source has them: `{path below: md5}`.

    Raises:
        NotFoundError: The source does not have it.
        FailedError: It has other files than the record says.
    """
    assert out.imported is not None
    assert out.content is not None
    if out.imported.is_repository:
        imported = out.imported
        url = _place(workspace, imported.address)
        with open_repository(workspace, url, imported.commit, imported.reach) as source:
            start = len(imported.path) + 1 if imported.path else 0
            listing = {entry.path[start:]: entry.md5 or "" for entry in source.files(imported.path)}
    else:
        origin = _origin(workspace, out.imported)
        found: dict[str, str] = {}
        measure(origin, jobs=_JOBS, hashes=found)
        listing = found
    if hashing.directory_md5_of(listing) != out.content.md5:
        raise _other_bytes(out)
    return listing


def _fetch_address(workspace: Workspace, out: Out, imported: Imported, journal: Journal, jobs: int | None) -> None:
    assert out.content is not None
    try:
        origin = _origin(workspace, imported)
        content, _ = take_address(workspace, origin, download=True, jobs=jobs)
        if content is None or content.md5 != out.content.md5:
            raise _other_bytes(out)
    except EverloopError as error:
        _fail(journal, out, error)
    else:
        journal.arrived(out.content.md5, out.path)


def _origin(workspace: Workspace, imported: Imported) -> Origin:
    """What lies at the address of an import; of a version-aware one, in the versions that the record names."""
    return origin_of(
        workspace,
        _place(workspace, imported.address),
        dict(imported.options),
        pins=None if imported.pins is None else Pins(wanted=dict(imported.pins) or None),
    )


def _fetch_from(workspace: Workspace, source: Source, out: Out, journal: Journal, jobs: int) -> None:
    """Bring one import out of its opened repository."""
    imported, content = out.imported, out.content
    assert imported is not None
    assert content is not None
    top = source.entry(imported.path)
    entries = list(source.files(imported.path))
    with workspace.cache.incoming() as incoming:
        hashes = _bring_files(workspace, source, out, entries, incoming, journal, jobs)
        if len(hashes) < len(entries):
            return
        start = len(imported.path) + 1 if imported.path else 0
        names = {path[start:]: md5 for path, md5 in hashes.items()}
        md5 = hashing.directory_md5_of(names) if top.is_directory else hashes[imported.path]
        if md5 != content.md5:
            raise _other_bytes(out)
        if top.is_directory and not workspace.cache.has(md5):
            incoming.add_directory(names)
            journal.arrived(md5, out.path)


def _bring_files(
    workspace: Workspace,
    source: Source,
    out: Out,
    entries: list[Entry],
    incoming: Incoming,
    journal: Journal,
    jobs: int,
) -> dict[str, str]:
    """The hashes of the files that are in the cache afterwards."""
    assert out.imported is not None
    hashes: dict[str, str] = {}
    wanted: dict[str, tuple[str, Path]] = {}
    for entry in entries:
        if entry.md5 is None:
            # Git's own files come through one process, one after the other.
            aside = incoming.reserve()
            source.fetch(entry, aside)
            hashes[entry.path] = incoming.add_file(aside, aside.stat())
            aside.unlink()
            continue
        hashes[entry.path] = entry.md5
        if entry.md5 not in wanted and not workspace.cache.has(entry.md5):
            wanted[entry.md5] = (entry.path, incoming.reserve())
    lost: set[str] = set()
    with progress.phase("fetching", len(wanted)) as phase:
        for done in parallel.each(lambda md5: source.fetch_object(md5, wanted[md5][1]), list(wanted), jobs=jobs):
            name, aside = wanted[done.item]
            path = out.path + name[len(out.imported.path) :]
            if phase is not None:
                phase.did(1)
            if done.error is None:
                incoming.adopt(aside, done.item, aside.stat().st_size)
                journal.arrived(done.item, path)
            else:
                lost.add(done.item)
                journal.lost(out.imported.address, done.item, path, done.error.message)
                with suppress(FileNotFoundError):
                    aside.unlink()
    return {path: md5 for path, md5 in hashes.items() if md5 not in lost}


def _fail(journal: Journal, out: Out, error: EverloopError) -> None:
    assert out.imported is not None
    assert out.content is not None
    journal.lost(out.imported.address, out.content.md5, out.path, error.message)


def _other_bytes(out: Out) -> FailedError:
    assert out.imported is not None
    return FailedError(
        f"{out.imported.address} has other bytes than {out.path} records",
        hint=f"take what is there now: ever update {out.path}",
    )


def _place(workspace: Workspace, address: str) -> str:
    """An address as it is found from anywhere; a relative path is meant from the workspace."""
    there = workspace.root / address
    return str(there) if "://" not in address and there.exists() else address


def needs_source(out: Out) -> bool:
    """Whether an out comes from where it was imported from, and from no remote."""
    if out.imported is None:
        return False
    return out.imported.is_repository or (out.imported.pins is not None and not out.is_pushed)
