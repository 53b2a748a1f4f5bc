"""A private place to make a file whole before it gets its name: never among the data, where a crash would leave it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def beside(scratch_dir: Path, target: Path) -> Iterator[Path]:
    """A folder on the filesystem of the target, from which a rename can put things in place.

    Whoever calls holds the workspace's lock: what a crash has left there is removed first.

    Args:
        scratch_dir: The workspace's own; a target on another filesystem gets a hidden folder beside it.
        target: Absolute; its folder is made when it is missing.
    """
    scratch_dir.mkdir(parents=True, exist_ok=True)
    target.parent.mkdir(parents=True, exist_ok=True)
    for leftover in scratch_dir.glob(".*.tmp"):
        if leftover.is_dir():
            shutil.rmtree(leftover)
    same = scratch_dir.stat().st_dev == target.parent.stat().st_dev
    folder = (scratch_dir if same else target.parent) / f".{os.urandom(8).hex()}.tmp"
    folder.mkdir()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
