"""Give files that share their bytes with the cache bytes of their own, before something writes to them."""

from __future__ import annotations

import os
import shutil
import time
from contextlib import suppress
from pathlib import Path

from everloop.workspace.cache import Cache

_SUFFIX = ".part"
_LEFT_BEHIND_S = 24 * 3600.0
_WRITABLE = 0o200
_PLAIN = 0o666
_SHARED = 0o664


def unprotect(path: Path, scratch_dir: Path, cache: Cache) -> None:
    """Make a file, or each file of a directory, writable and independent of the cache, if it is not already.

    Args:
        path: What to unprotect; it may be a link itself, and links below it are followed into the cache only.
        scratch_dir: Where copies are made before they get their name; not among the data, where a crash would leave
            them.
        cache: Whose objects they share.
    """
    scratch_dir.mkdir(parents=True, exist_ok=True)
    for leftover in scratch_dir.glob(f"*{_SUFFIX}"):
        # A younger one may be in use: a stage's outputs are unprotected while the workspace's lock is lent.
        with suppress(FileNotFoundError):
            if time.time() - leftover.stat().st_mtime > _LEFT_BEHIND_S:
                leftover.unlink()
    _unprotect(path, scratch_dir, cache, is_top=True)


def _unprotect(path: Path, scratch_dir: Path, cache: Cache, *, is_top: bool = False) -> None:
    is_link = path.is_symlink()
    is_linked = is_link and cache.object_of(os.readlink(path)) is not None  # noqa: PTH115  a Path would tidy it up
    if is_link and not is_linked and not is_top:
        # The user's own: what it leads to is unprotected where it lies, if it lies here.
        return
    if path.is_dir():
        for child in path.iterdir():
            _unprotect(child, scratch_dir, cache)
        return
    found = path.stat()
    # What only the cache's own name had is a file of the user's from now on.
    mode = (_SHARED if cache.is_shared else _PLAIN & ~_umask()) if is_linked else found.st_mode | _WRITABLE
    if is_linked or found.st_nlink > 1:
        is_near = scratch_dir.stat().st_dev == path.parent.stat().st_dev
        aside = (scratch_dir if is_near else path.parent) / f".{os.urandom(8).hex()}{_SUFFIX}"
        try:
            shutil.copy(path, aside)
            aside.chmod(mode)
            aside.replace(path)
        finally:
            aside.unlink(missing_ok=True)
    elif not found.st_mode & _WRITABLE:
        path.chmod(mode)


def _umask() -> int:
    """The process's: read where the system tells it, since setting it is felt by every thread."""
    with suppress(OSError):
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("Umask:"):
                return int(line.split()[1], 8)
    mask = os.umask(0o077)
    os.umask(mask)
    return mask
