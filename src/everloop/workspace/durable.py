"""Make bytes survive a crash: write aside, flush, rename.

Leaves what is written, and where, to the callers.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from everloop.workspace import slices

# Up to this number of files one fsync each, several at once, is cheaper than flushing the whole filesystem: that waits
# for what other processes have written as well.
_FEW_FILES = 512
_SYNC_COSTS_AS_BYTES = 1 << 17


def write_atomically(path: Path, data: bytes, *, flush: bool = True) -> None:
    """Replace the file's content so that a reader, or a crash at any line, sees the old bytes or the new ones.

    A symbolic link is followed, and the mode of an existing file is kept.

    Args:
        path: The file; its folder must be there.
        data: All of its bytes.
        flush: Wait until the disk has them. False is for files that can be made again, when the power fails too.

    Raises:
        OSError: The folder is missing, full or not writable; the old file is untouched.
    """
    target = path.resolve() if path.is_symlink() else path
    aside = target.with_name(f".{target.name}.{os.urandom(4).hex()}.tmp")
    try:
        with aside.open("xb") as file:
            file.write(data)
            file.flush()
            if target.exists():
                os.fchmod(file.fileno(), target.stat().st_mode & 0o7777)
            if flush:
                os.fsync(file.fileno())
        aside.replace(target)
    except BaseException:
        aside.unlink(missing_ok=True)
        raise
    if flush:
        sync_path(target.parent)


def sync_path(path: str | os.PathLike[str]) -> None:
    """Flush one file or folder to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_all(folder: str | os.PathLike[str], paths: Iterable[str | os.PathLike[str]]) -> None:
    """Flush all paths, which lie on the filesystem of `folder`; many of them with one flush of that filesystem."""
    listed = list(paths)
    if len(listed) > _FEW_FILES and _sync_filesystem(folder):
        return
    # The disk writes what several threads wait for in one go.
    slices.each(_sync_paths, listed, item_bytes=_SYNC_COSTS_AS_BYTES)


def _sync_paths(paths: Sequence[str | os.PathLike[str]]) -> list[None]:
    for path in paths:
        sync_path(path)
    return [None] * len(paths)


def _sync_filesystem(folder: str | os.PathLike[str]) -> bool:
    """Flush the whole filesystem with Linux's syncfs(2); False where the system has no such call."""
    if not sys.platform.startswith("linux"):
        return False
    # Here, because most commands have nothing to flush, or only a little.
    import ctypes

    libc = ctypes.CDLL(None, use_errno=True)
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        if libc.syncfs(descriptor) != 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number), os.fspath(folder))
    finally:
        os.close(descriptor)
    return True
