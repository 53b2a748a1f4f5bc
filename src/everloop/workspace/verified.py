"""Read a cache object as a stream that checks itself: whoever has read all of it has read the right bytes.

What was read out of order is checked as far as it was read from the beginning without a gap.
"""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, cast

from everloop.workspace import hashing
from everloop.workspace.cache import corrupt

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

_BUFFER_BYTES = 1 << 20


class _Verified(io.RawIOBase):
    """The bytes of an object; reading the last of them raises FailedError when they are not what its id promises."""

    def __init__(self, path: Path, md5: str) -> None:
        super().__init__()
        self._path = path
        self._md5 = md5.removesuffix(".dir")
        self._digest = hashing.digest(md5)
        self._n_hashed = 0
        self._descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        self._size = os.fstat(self._descriptor).st_size

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._descriptor

    def readinto(self, buffer: WriteableBuffer) -> int:
        view = memoryview(buffer).cast("B")
        position = self.tell()
        n_read = os.readv(self._descriptor, [view])
        fresh = self._n_hashed - position
        if 0 <= fresh < n_read or self._size == 0:
            self._digest.update(view[fresh:n_read])
            self._n_hashed = position + n_read
            if self._n_hashed == self._size and self._digest.hexdigest() != self._md5:
                raise corrupt(self._path)
        return n_read

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        return os.lseek(self._descriptor, offset, whence)

    def tell(self) -> int:
        return os.lseek(self._descriptor, 0, os.SEEK_CUR)

    def close(self) -> None:
        if not self.closed:
            os.close(self._descriptor)
            super().close()


def open_verified(path: Path, md5: str) -> BinaryIO:
    """Open an object of a cache.

    Raises:
        FailedError: Also from reading, at the latest with the last byte: the object is damaged.
    """
    return cast("BinaryIO", io.BufferedReader(_Verified(path, md5), _BUFFER_BYTES))
