"""Give files that share their bytes with the cache bytes of their own, before something writes to them."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path

_SUFFIX = ".part"
_LEFT_BEHIND_S = 24 * 3600.0


def unprotect(path: Path, scratch_dir: Path) -> None:
    """Make a file, or each file of a directory, writable and independent of the cache, if it is not already.

    Args:
        path: What to unprotect; links are followed.
        scratch_dir: Where copies are made before they get their name; not among the data, where a crash would leave
            them.
    """
    scratch_dir.mkdir(parents=True, exist_ok=True)
    for leftover in scratch_dir.glob(f"*{_SUFFIX}"):
        # A younger one may be in use: a stage's outputs are unprotected while the workspace's lock is lent.
        if time.time() - leftover.stat().st_mtime > _LEFT_BEHIND_S:
            leftover.unlink(missing_ok=True)
    _unprotect(path, scratch_dir)


def _unprotect(path: Path, scratch_dir: Path) -> None:
    if path.is_dir():
        for child in path.iterdir():
            _unprotect(child, scratch_dir)
        return
    found = path.stat()
    if found.st_nlink > 1:
        is_near = scratch_dir.stat().st_dev == path.parent.stat().st_dev
        aside = (scratch_dir if is_near else path.parent) / f".{os.urandom(8).hex()}{_SUFFIX}"
        try:
            shutil.copy(path, aside)
            aside.chmod(found.st_mode | 0o200)
            aside.replace(path)
        finally:
            aside.unlink(missing_ok=True)
    elif not found.st_mode & 0o200:
        path.chmod(found.st_mode | 0o200)
