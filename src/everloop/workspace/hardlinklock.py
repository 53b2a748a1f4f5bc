"""DVC's other lock, `core.hardlink_lock`: for filesystems without `flock`, such as some that lie on servers.

Source: flufl.lock and dvc 3.67 (`lock.py`). Who makes a hard link from a claim file of its own to the lock file has the
lock; the lock file's modification time, a year ahead, says until when. Different from DVC, a lock of a process of this
machine that is dead counts no more.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from everloop.errors import ConflictError

_LIFETIME_S = 365 * 24 * 3600.0
_POLL_S = 0.05
_SEPARATOR = "|"


class HardlinkLock:
    """A lock that is held. Made by `acquire`."""

    def __init__(self, path: Path, claim: Path, said: str) -> None:
        self._path = path
        self._claim = claim
        self._said = said

    def close(self) -> None:
        """Give it away."""
        with suppress(FileNotFoundError):
            if _read(self._path) == self._said:
                self._path.unlink()
        self._claim.unlink(missing_ok=True)


def acquire(path: Path, *, patience_s: float) -> HardlinkLock:
    """Take the lock.

    Args:
        path: The lock file.
        patience_s: How long to wait for another holder.

    Raises:
        ConflictError: Another process held it for that long.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    number = int.from_bytes(os.urandom(16))
    claim = _claim_of(path, number)
    said = _SEPARATOR.join((str(path), os.uname().nodename, str(os.getpid()), str(number)))
    claim.write_text(said)
    until = time.time() + _LIFETIME_S
    os.utime(claim, (until, until))
    deadline = time.monotonic() + patience_s
    try:
        while not _link(claim, path):
            if _break_if_stale(path):
                continue
            if time.monotonic() > deadline:
                raise ConflictError(
                    f"{path} is held by another process ({_holder(path)}) for more than {patience_s:g} s",
                    hint="wait until that `ever` or `dvc` command has ended; if it has crashed on another machine, or "
                    f"was `dvc`, remove the file: rm {path}",
                )
            time.sleep(_POLL_S)
    except BaseException:
        claim.unlink(missing_ok=True)
        raise
    return HardlinkLock(path, claim, said)


def _claim_of(path: Path, number: int) -> Path:
    return path.with_name(f"{number:032x}.lock")


def _link(claim: Path, path: Path) -> bool:
    with suppress(FileExistsError):
        os.link(claim, path)
    # A file server may have done it and yet have answered with an error.
    return claim.stat().st_nlink == 2


def _read(path: Path) -> str:
    return path.read_text(errors="replace")


def _break_if_stale(path: Path) -> bool:
    """Remove the lock of a dead process, or what the usual lock has left behind; whether it is gone now."""
    try:
        said = _read(path)
        is_old = path.stat().st_mtime < time.time()
    except FileNotFoundError:
        return True
    # The usual lock leaves its file, with a process id or nothing in it; DVC would wait for it forever.
    is_left = is_old and (not said.strip() or _is_dead(said.strip()))
    parts = said.split(_SEPARATOR)
    is_ours = len(parts) == 4 and parts[1] == os.uname().nodename and parts[3].isdecimal()
    is_stale = is_ours and _is_dead(parts[2])
    if not (is_left or is_stale):
        return False
    with _alone(path) as is_alone:
        # Another one may have broken it meanwhile, and taken it.
        if not is_alone or not path.exists() or _read(path) != said:
            return False
        path.unlink()
        if is_stale:
            _claim_of(path, int(parts[3])).unlink(missing_ok=True)
        return True


@contextmanager
def _alone(path: Path) -> Iterator[bool]:
    guard = path.with_name(f"{path.name}.breaking")
    try:
        guard.mkdir()
    except FileExistsError:
        yield False
        return
    try:
        yield True
    finally:
        guard.rmdir()


def _is_dead(pid: str) -> bool:
    if not pid.isdecimal():
        return False
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return False


def _holder(path: Path) -> str:
    try:
        parts = _read(path).split(_SEPARATOR)
    except FileNotFoundError:
        return "it is just gone"
    return f"pid {parts[2]} on {parts[1]}" if len(parts) == 4 else "dvc does not say which"
