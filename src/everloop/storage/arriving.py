"""Read bytes that are still on their way: at once from the beginning, and from anywhere as soon as they are there.

A thread brings them into a file without a name; whoever reads waits for what has not come yet. So memory is bounded,
seeking works, and to read the first lines of a large object does not wait for its last ones. Leaves where the bytes
come from, and whether they are the right ones, to the callers.
"""

from __future__ import annotations

import io
import os
import tempfile
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, BinaryIO, cast

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

Fetch = Callable[[Callable[[bytes], object]], object]
_BUFFER_BYTES = 1 << 20


class _StoppedError(Exception):
    """Nobody wants the rest."""


class Arriving(io.RawIOBase):
    """A file whose bytes are brought by a function. Not thread-safe for readers.

    The newest chunk is held back until the next one has come or all have: what the function raises at the end, as when
    the bytes were not the right ones, is raised before the last of them is given.

    Args:
        fetch: Hands all bytes to the sink that it gets, chunk by chunk, in a thread of its own.

    Raises: what `fetch` raises, here when it is before the first byte, else from reading.
    """

    def __init__(self, fetch: Fetch) -> None:
        super().__init__()
        self._file = tempfile.TemporaryFile(prefix="everloop-", buffering=0)  # noqa: SIM115  closed by close
        self._changed = threading.Condition()
        self._n_arrived = 0
        self._n_readable = 0
        self._is_whole = False
        self._error: Exception | None = None
        self._position = 0
        threading.Thread(target=self._bring, args=(fetch,), name="everloop-arriving", daemon=True).start()
        try:
            self._await(1)
        except BaseException:
            self.close()
            raise

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        view = memoryview(buffer).cast("B")
        n_readable = self._await(self._position + 1) if view else self._position
        wanted = min(len(view), max(n_readable - self._position, 0))
        data = os.pread(self._file.fileno(), wanted, self._position)
        view[: len(data)] = data
        self._position += len(data)
        return len(data)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._position}.get(whence)
        if base is None:
            base = self._await(None)
        if base + offset < 0:
            raise ValueError(f"there is nothing before the beginning: {base + offset}")
        self._position = base + offset
        return self._position

    def tell(self) -> int:
        return self._position

    def close(self) -> None:
        if not self.closed:
            with self._changed:
                super().close()
                self._file.close()

    def _await(self, n_bytes: int | None) -> int:
        """Wait for so many bytes (None: for all); how many can be read then."""
        if self.closed:
            raise ValueError("the file is closed")
        with self._changed:
            while not (self._is_whole or self._error or (n_bytes is not None and self._n_readable >= n_bytes)):
                self._changed.wait()
            if self._error is not None and (n_bytes is None or self._n_readable < n_bytes):
                raise self._error
            return self._n_readable

    def _bring(self, fetch: Fetch) -> None:
        error: Exception | None = None
        try:
            fetch(self._take)
        except _StoppedError:
            return
        except Exception as raised:  # noqa: BLE001  it is raised again, in the thread that reads
            error = raised
        with self._changed:
            self._error = error
            self._is_whole = error is None
            if error is None:
                self._n_readable = self._n_arrived
            self._changed.notify_all()

    def _take(self, chunk: bytes) -> None:
        with self._changed:
            if self.closed:
                raise _StoppedError
            rest = memoryview(chunk)
            while rest:
                rest = rest[self._file.write(rest) :]
            self._n_readable = self._n_arrived
            self._n_arrived += len(chunk)
            self._changed.notify_all()


def arriving(fetch: Fetch) -> BinaryIO:
    """The same, with a buffer: what `open` would give."""
    return cast("BinaryIO", io.BufferedReader(Arriving(fetch), _BUFFER_BYTES))
