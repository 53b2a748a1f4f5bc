"""Claims on many paths that one process holds for long and gives back together, in DVC's `rwlock`.

`locks.claimed` refuses what somebody else has claimed; here one asks first who that is, and waits. Leaves the lock on
the workspace, under which to ask and to take, to `locks.py`.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from everloop.errors import ConflictError
from everloop.workspace import locks
from everloop.workspace.state import Identity, identity


class Holder(msgspec.Struct, frozen=True, kw_only=True):
    """Who has claimed what one wants.

    Attributes:
        path: That is claimed; absolute.
        pid: Of the process.
        command: What it was called with.
    """

    path: str
    pid: int
    command: str

    @property
    def is_above(self) -> bool:
        """Whether it waits for this very process, so that to wait for it would be for ever."""
        pid = os.getppid()
        while pid > 1:
            if pid == self.pid:
                return True
            pid = _parent(pid)
        return False


class Claims:
    """The claims of this process. Use it while the workspace is locked. Paths are relative to the root, posix.

    Args:
        root: Of the workspace.
        folder: `.dvc/tmp`.
        hardlink: As in `locks.WorkspaceLock`.
    """

    def __init__(self, root: Path, folder: Path, *, hardlink: bool = False) -> None:
        self._root = f"{root}/"
        self._folder = folder
        self._hardlink = hardlink
        self._me = {"pid": os.getpid(), "cmd": " ".join(sys.argv) or "ever"}
        self._seen: Identity | None = None
        self._others: dict[str, dict[str, Any]] = {"read": {}, "write": {}}

    def holder(self, reads: Sequence[str] = (), writes: Sequence[str] = ()) -> Holder | None:
        """Who writes to what shall be read, or uses what shall be written; None when nobody does.

        Raises:
            ConflictError: The file of claims is damaged.
        """
        self._look()
        for kind, wanted in (("write", (*reads, *writes)), ("read", writes)):
            for claimed, who in self._others[kind].items():
                if any(_overlap(claimed, self._root + path) for path in wanted):
                    return Holder(path=claimed, pid=int(who["pid"]), command=str(who.get("cmd", "")))
        return None

    def take(self, reads: Iterable[str] = (), writes: Iterable[str] = ()) -> None:
        """Claim paths; more than once, if need be: each is to be given back as often.

        Raises:
            ConflictError: Somebody else has one of them.
        """
        listed = (list(reads), list(writes))
        holder = self.holder(*listed)
        if holder is not None:
            raise ConflictError(
                f"{holder.path} is in use by another process (pid {holder.pid}: {holder.command})",
                hint="wait until that command has ended",
            )
        with locks.edited_claims(self._folder, hardlink=self._hardlink) as table:
            for path in listed[0]:
                table["read"].setdefault(self._root + path, []).append(self._me)
            for path in listed[1]:
                table["write"][self._root + path] = self._me
        self._note(table)

    def release(self, reads: Iterable[str] = (), writes: Iterable[str] = ()) -> None:
        """Give paths back."""
        with locks.edited_claims(self._folder, hardlink=self._hardlink) as table:
            for path in reads:
                holders = table["read"].get(self._root + path, [])
                if self._me in holders:
                    holders.remove(self._me)
                if not holders:
                    table["read"].pop(self._root + path, None)
            for path in writes:
                table["write"].pop(self._root + path, None)
        self._note(table)

    def _look(self) -> None:
        """Read the claims of others, unless there were none and the file is what it was."""
        path = self._folder / "rwlock"
        try:
            found = path.stat()
        except FileNotFoundError:
            self._others = {"read": {}, "write": {}}
            return
        if identity(found) != self._seen or any(self._others.values()):
            self._note(locks.read_claims(path))

    def _note(self, table: dict[str, Any]) -> None:
        """Know what the file says; only who has the workspace's lock changes it."""
        reads = {name: [who for who in holders if who != self._me] for name, holders in table["read"].items()}
        self._others = {
            "read": {name: holders[0] for name, holders in reads.items() if holders},
            "write": {name: who for name, who in table["write"].items() if who != self._me},
        }
        self._seen = identity((self._folder / "rwlock").stat())


def _overlap(one: str, other: str) -> bool:
    return one == other or one.startswith(other + "/") or other.startswith(one + "/")


def _parent(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except (OSError, ValueError):
        # Gone, or a system without /proc: nobody knows.
        return 0
