"""The experiment that runs in the workspace itself: only one at a time, since it changes parameters there."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from everloop.errors import ConflictError
from everloop.workspace import Workspace


class Here(msgspec.Struct, frozen=True, kw_only=True):
    """What runs.

    Attributes:
        baseline: The commit that it is derived from.
        pid: Of the process.
    """

    name: str
    baseline: str
    pid: int


@contextmanager
def claimed(workspace: Workspace, name: str, baseline: str) -> Iterator[None]:
    """Be the one experiment that runs in the workspace; the operating system takes that back when the process ends.

    Raises:
        ConflictError: Another one runs there.
    """
    path = _path(workspace)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+b") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            there = running(workspace)
            who = f"the experiment {there.name} (process {there.pid})" if there else "another experiment"
            raise ConflictError(
                f"{who} runs in this workspace", hint="run this one aside: --temp, or --queue"
            ) from error
        file.truncate(0)
        file.write(msgspec.json.encode(Here(name=name, baseline=baseline, pid=os.getpid())))
        file.flush()
        yield


def running(workspace: Workspace) -> Here | None:
    """What runs in the workspace now; None when nothing does."""
    try:
        with _path(workspace).open("rb") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return msgspec.json.decode(file.read(), type=Here)
    except (FileNotFoundError, msgspec.DecodeError):
        # Nothing ever ran, or what runs has not yet written who it is.
        return None
    return None


def _path(workspace: Workspace) -> Path:
    return workspace.layout.scratch_dir / "experiments" / "here"
