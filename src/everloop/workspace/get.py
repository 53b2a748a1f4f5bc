"""Bring files and folders here, out of a repository or from an address, whole or not at all.

Leaves records of where they came from to `imports.py`.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

from everloop import progress
from everloop.errors import ConflictError, NotFoundError
from everloop.workspace import durable, parallel
from everloop.workspace.configuration import Configuration
from everloop.workspace.origin import Origin, OriginFile, is_local, local_path, open_origin
from everloop.workspace.source import Source
from everloop.workspace.values import Entry

_JOBS = 8


def get(source: Source, path: str, target: Path, *, force: bool = False, jobs: int = _JOBS) -> int:
    """Bring a file or folder of a repository to a path of this machine.

    Args:
        source: The repository.
        path: What, relative to it.
        target: Where to; nothing is there before all of it has come.
        force: Replace what lies there.
        jobs: How many files to bring at a time.

    Returns:
        The number of files.

    Raises:
        NotFoundError: Nothing is there, or its bytes are nowhere.
        ConflictError: Something lies at the target.
    """
    _refuse_existing(target, force)
    top = source.entry(path)
    files = list(source.files(path))
    aside = _aside(target)
    try:
        if top.is_directory:
            aside.mkdir()
        _fetch_all(source, path, files, aside, jobs)
        _put_in_place(aside, target)
    finally:
        _discard(aside)
    return len(files)


def get_address(
    address: str,
    target: Path,
    *,
    force: bool = False,
    jobs: int | None = None,
    origin: Origin | None = None,
) -> dict[str, Any] | None:
    """Bring what lies at an address to a path: see `open_origin` for the kinds.

    Args:
        address: Where from.
        target: Where to; nothing is there before all of it has come.
        force: Replace what lies there.
        jobs: How many files to bring at a time; None means what suits the kind.
        origin: What lies at the address, when it was opened already; None means that the user's remotes are known.

    Returns:
        The origin's mark, for a record; None when it has none.

    Raises:
        NotFoundError: Nothing is there.
        ConflictError: Something lies at the target.
        InvalidError: It is an address of another kind.
        UnavailableError: The server does not answer, or what came is not whole.
    """
    _refuse_existing(target, force)
    aside = _aside(target)
    try:
        mark = None
        if is_local(address):
            _copy(local_path(address), aside)
        else:
            origin = origin or open_origin(address, Configuration(None))
            _bring_all(origin, aside, jobs or _JOBS)
            mark = origin.mark()
        _put_in_place(aside, target)
    finally:
        _discard(aside)
    return mark


def _bring_all(origin: Origin, aside: Path, jobs: int) -> None:
    """Bring all files of an origin to new places."""

    def bring(file: OriginFile) -> None:
        target = aside / file.name if file.name else aside
        target.parent.mkdir(parents=True, exist_ok=True)
        # Written anew by each try.
        with target.open("wb") as sink:
            origin.read(file.name, sink.write)

    files = origin.files()
    sizes = [file.size_bytes for file in files]
    with progress.phase("bringing", len(files), None if None in sizes else sum(map(int, filter(None, sizes)))) as phase:
        for answer in parallel.each(bring, files, jobs=jobs, patience=origin.patience):
            if answer.error is not None:
                raise answer.error
            if phase is not None:
                phase.did(1, answer.item.size_bytes or 0)


def _fetch_all(source: Source, path: str, files: list[Entry], aside: Path, jobs: int) -> None:
    def bring(entry: Entry) -> None:
        inner = entry.path[len(path) :].lstrip("/")
        target = aside / inner if inner else aside
        target.parent.mkdir(parents=True, exist_ok=True)
        source.fetch(entry, target)

    # Git's own files come through one process, one after the other.
    for entry in files:
        if entry.md5 is None:
            bring(entry)
    data = (entry for entry in files if entry.md5 is not None)
    with progress.phase("bringing", len(files)) as phase:
        for answer in parallel.each(bring, data, jobs=jobs):
            if answer.error is not None:
                raise answer.error
            if phase is not None:
                phase.did(1, answer.item.size_bytes or 0)


def _refuse_existing(target: Path, force: bool) -> None:
    if os.path.lexists(target) and not force:
        raise ConflictError(f"{target} exists already", hint="name another path, or replace it: --force")


def _aside(target: Path) -> Path:
    target.parent.mkdir(parents=True, exist_ok=True)
    return target.with_name(f".{os.urandom(8).hex()}.tmp")


def _put_in_place(aside: Path, target: Path) -> None:
    durable.sync_all(aside.parent, [path for path in (aside, *aside.rglob("*")) if path.is_file()])
    if not os.path.lexists(target):
        aside.replace(target)
        return
    old = _aside(target)
    target.replace(old)
    aside.replace(target)
    _discard(old)


def _discard(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _copy(source: Path, aside: Path) -> None:
    if not source.exists():
        raise NotFoundError(f"{source} does not exist")
    if source.is_dir():
        shutil.copytree(source, aside)
    else:
        shutil.copy2(source, aside)
