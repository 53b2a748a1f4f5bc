"""Exclude other processes that change the same workspace, Everloop's and DVC's alike.

DVC takes `.dvc/tmp/lock` (flock, through zc.lockfile) for every command that changes something, and while a stage's
command runs it holds claims on paths in `.dvc/tmp/rwlock` instead. Both are honoured and taken here.
"""

from __future__ import annotations

import fcntl
import os
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import msgspec

from everloop.errors import ConflictError
from everloop.workspace import durable, hardlinklock

# DVC tries for three seconds as well. Changed only by `waiting`.
PATIENCE_S = 3.0
_POLL_S = 0.05


class WorkspaceLock:
    """DVC's lock on a workspace; can be taken again by its holder, and lent while a stage's command runs.

    Not thread-safe: each thread opens a workspace of its own, and those exclude each other.
    """

    def __init__(self, folder: Path, *, hardlink: bool = False) -> None:
        """Nothing is taken yet.

        Args:
            folder: `.dvc/tmp`.
            hardlink: Lock by hard links (`core.hardlink_lock`).
        """
        self._path = folder / "lock"
        self._hardlink = hardlink
        self._file: _Held | None = None
        self._depth = 0

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold the lock.

        Raises:
            ConflictError: Another process held it for three seconds.
        """
        if self._depth == 0:
            self._file = _acquire(self._path, hardlink=self._hardlink)
        self._depth += 1
        try:
            yield
        finally:
            self._depth -= 1
            if self._depth == 0 and self._file is not None:
                self._file.close()
                self._file = None

    @contextmanager
    def lent(self) -> Iterator[None]:
        """Give the lock away, and take it back at the end, however long that takes; nothing when it is not held."""
        if self._file is None:
            yield
            return
        self._file.close()
        self._file = None
        try:
            yield
        finally:
            # What was done meanwhile would be lost by giving up.
            self._file = _acquire(self._path, hardlink=self._hardlink, patience_s=float("inf"))


@contextmanager
def waiting() -> Iterator[None]:
    """Within it, the whole process waits for whoever holds a lock, however long that takes."""
    global PATIENCE_S  # noqa: PLW0603  it is a word of the command line, and no argument of every verb
    before, PATIENCE_S = PATIENCE_S, float("inf")
    try:
        yield
    finally:
        PATIENCE_S = before


@contextmanager
def claimed(
    folder: Path, *, reads: Sequence[Path] = (), writes: Sequence[Path] = (), hardlink: bool = False
) -> Iterator[None]:
    """Claim absolute paths for reading and writing, in DVC's `rwlock`, which `hardlink` guards as in `WorkspaceLock`.

    Raises:
        ConflictError: A living process has claimed a path above, below or at one of these.
    """
    me = {"pid": os.getpid(), "cmd": " ".join(sys.argv) or "ever"}
    with edited_claims(folder, hardlink=hardlink) as table:
        for path in writes:
            _refuse_if_claimed(table["read"], path, me)
        for path in (*reads, *writes):
            _refuse_if_claimed(table["write"], path, me)
        for path in reads:
            table["read"].setdefault(str(path), []).append(me)
        for path in writes:
            table["write"][str(path)] = me
    try:
        yield
    finally:
        with edited_claims(folder, hardlink=hardlink) as table:
            for path in reads:
                _release_read(table["read"], str(path), me)
            for path in writes:
                table["write"].pop(str(path), None)


class _Held(Protocol):
    def close(self) -> None: ...


def _acquire(path: Path, *, hardlink: bool, patience_s: float | None = None) -> _Held:
    patience_s = PATIENCE_S if patience_s is None else patience_s
    if hardlink:
        return hardlinklock.acquire(path, patience_s=patience_s)
    try:
        file = _File(path)
    except FileNotFoundError:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = _File(path)
    deadline = time.monotonic() + patience_s
    while not file.lock():
        if time.monotonic() > deadline:
            holder = file.read() or "unknown"
            file.close()
            raise ConflictError(
                f"{path} is held by another process (pid {holder}) for more than {patience_s:g} s",
                hint="wait until that `ever` or `dvc` command has ended; a lock of a dead process holds nobody up",
            )
        time.sleep(_POLL_S)
    file.write(f" {os.getpid()}\n")
    return file


class _File:
    """A file to lock by `flock`; taken and given back around each command of a stage, so without Python's own files."""

    def __init__(self, path: Path) -> None:
        # Made when it is missing, and not emptied: another process may have just written its id.
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)

    def lock(self) -> bool:
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def read(self) -> str:
        return os.pread(self._descriptor, 64, 0).decode("utf-8", "replace").strip()

    def write(self, text: str) -> None:
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, text.encode(), 0)

    def close(self) -> None:
        os.close(self._descriptor)


@contextmanager
def edited_claims(folder: Path, *, hardlink: bool) -> Iterator[dict[str, Any]]:
    """The claims of living processes, `{"read": {path: [who]}, "write": {path: who}}`, written when the block ends."""
    guard = _acquire(folder / "rwlock.lock", hardlink=hardlink)
    path = folder / "rwlock"
    try:
        table = read_claims(path)
        yield table
        durable.write_atomically(path, msgspec.json.encode(table), flush=False)
    finally:
        guard.close()


def read_claims(path: Path) -> dict[str, Any]:
    """The claims of living processes in a `rwlock`, as `edited_claims` has them.

    Raises:
        ConflictError: It is damaged.
    """
    try:
        table = msgspec.json.decode(path.read_bytes() or b"{}")
        reads: dict[str, list[dict[str, Any]]] = table.get("read", {})
        writes: dict[str, dict[str, Any]] = table.get("write", {})
        # Most of them are of one process.
        pids = {info["pid"] for infos in reads.values() for info in infos}
        living = {pid for pid in pids | {info["pid"] for info in writes.values() if info} if _lives(pid)}
        alive = {key: [info for info in infos if info["pid"] in living] for key, infos in reads.items()}
        return {
            "read": {key: infos for key, infos in alive.items() if infos},
            "write": {key: info for key, info in writes.items() if info and info["pid"] in living},
        }
    except FileNotFoundError:
        return {"read": {}, "write": {}}
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise ConflictError(
            f"{path} is damaged ({error!r}), so it cannot tell who uses which file",
            hint=f"when no `ever` or `dvc` runs in this workspace, delete it: rm {path}",
        ) from error


def _lives(pid: int) -> bool:
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _refuse_if_claimed(claims: dict[str, Any], path: Path, me: dict[str, Any]) -> None:
    for claimed_path, infos in claims.items():
        other = Path(claimed_path)
        if not (other == path or other in path.parents or path in other.parents):
            continue
        for info in infos if isinstance(infos, list) else [infos]:
            if info != me:
                raise ConflictError(
                    f"{path} is in use by another process (pid {info['pid']}: {info['cmd']})",
                    hint="wait until that command has ended",
                )


def _release_read(claims: dict[str, Any], path: str, me: dict[str, Any]) -> None:
    infos = claims.get(path, [])
    if me in infos:
        infos.remove(me)
    if not infos:
        claims.pop(path, None)
