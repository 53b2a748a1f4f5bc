"""Private places to make files whole before they get their names: never among the data, where a crash would leave them.

Each is held by a lock of its own as long as its maker lives, so that several threads and processes can work beside each
other and what a crash has left is known for certain.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_SUFFIX = ".tmp"


@contextmanager
def beside(scratch_dir: Path, target: Path) -> Iterator[Path]:
    """A private folder on the filesystem of the target, from which a rename can put things in place.

    Args:
        scratch_dir: The workspace's own; a target on another filesystem gets a hidden folder beside it.
        target: Absolute; its folder is made when it is missing.
    """
    scratch_dir.mkdir(parents=True, exist_ok=True)
    target.parent.mkdir(parents=True, exist_ok=True)
    remove_leftovers(scratch_dir, f".*{_SUFFIX}")
    same = scratch_dir.stat().st_dev == target.parent.stat().st_dev
    with private(scratch_dir if same else target.parent, f".{{}}{_SUFFIX}") as folder:
        yield folder


@contextmanager
def private(folder: Path, pattern: str = "{}") -> Iterator[Path]:
    """A new folder in another one, held while the block lasts and gone after it.

    Args:
        folder: Which is there.
        pattern: Of the name; `{}` becomes something that nobody else has.
    """
    while True:
        own = folder / pattern.format(os.urandom(8).hex())
        own.mkdir()
        descriptor = _hold(own)
        if descriptor is not None:
            break
    try:
        yield own
    finally:
        _remove(own)
        os.close(descriptor)


def remove_leftovers(folder: Path, pattern: str = "*") -> None:
    """Remove what is there of those who have died.

    Args:
        folder: Where `private` made its own.
        pattern: Of their names, as in a shell.
    """
    for child in folder.glob(pattern):
        try:
            descriptor = os.open(child, os.O_RDONLY | os.O_CLOEXEC | os.O_DIRECTORY | os.O_NOFOLLOW)
        except OSError:
            # Gone already, or no folder of ours.
            continue
        try:
            # Only the dead let go of theirs.
            with suppress(BlockingIOError):
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                _remove(child)
        finally:
            os.close(descriptor)


def _hold(own: Path) -> int | None:
    """Hold a folder of our own; None when it looked left behind to somebody, and went, before it could be held."""
    try:
        descriptor = os.open(own, os.O_RDONLY | os.O_CLOEXEC | os.O_DIRECTORY | os.O_NOFOLLOW)
    except FileNotFoundError:
        return None
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    # A folder that was removed has no name left.
    if os.fstat(descriptor).st_nlink and own.exists():
        return descriptor
    os.close(descriptor)
    return None


def _remove(folder: Path) -> None:
    # Here, because it loads the compressors of archives as well.
    from shutil import rmtree

    rmtree(folder, ignore_errors=True)
