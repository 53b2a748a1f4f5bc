"""Bring the bytes of one file to another place: shared blocks (reflink), a second name (hardlink), a symbolic link.

Each kind either makes the whole file or none. Leaves verifying, modes and final names to the callers.
"""

from __future__ import annotations

import errno
import fcntl
import os
from pathlib import Path

# linux/fs.h: _IOW(0x94, 9, int). XFS, Btrfs, bcachefs, OCFS2, NFS 4.2; ext4 answers EOPNOTSUPP.
_FICLONE = 0x40049409
_CANNOT_SHARE = {errno.EOPNOTSUPP, errno.EXDEV, errno.EINVAL, errno.ENOTTY, errno.ENOSYS, errno.EPERM, errno.EMLINK}


def reflink(source: str | os.PathLike[str], target: str | os.PathLike[str]) -> bool:
    """Make `target` share the blocks of `source`; False, and no target, where the filesystem cannot."""
    with Path(source).open("rb") as origin, Path(target).open("xb") as clone:
        try:
            fcntl.ioctl(clone.fileno(), _FICLONE, origin.fileno())
        except OSError as error:
            os.unlink(target)  # noqa: PTH108  the path may be plain text
            if error.errno not in _CANNOT_SHARE:
                raise
            return False
    return True


def hardlink(source: str | os.PathLike[str], target: str | os.PathLike[str]) -> bool:
    """Make `target` a second name of `source`; False where the filesystem cannot, or they lie on different ones."""
    try:
        os.link(source, target)
    except OSError as error:
        if error.errno not in _CANNOT_SHARE:
            raise
        return False
    return True


def symlink(source: str | os.PathLike[str], target: str | os.PathLike[str]) -> bool:
    """Make `target` a symbolic link to `source`; False where the filesystem knows none."""
    try:
        os.symlink(source, target)  # noqa: PTH211  the paths may be plain text
    except OSError as error:
        if error.errno not in _CANNOT_SHARE:
            raise
        return False
    return True
