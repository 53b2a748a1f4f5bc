"""Buckets that misbehave as real ones do now and then, around a folder that does not."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NoReturn

from everloop.errors import UnavailableError
from everloop.storage.bucket import Stored, chunks_of
from everloop.storage.folder import Folder


class Flaky:
    """Fails every n-th request; of the reads that it fails, it may hand out a part, or other bytes.

    Args:
        root: The folder below.
        every: 3 means each third request fails; 1 means all do.
        way: `refuse` raises, `cut` hands out half of the bytes and raises, `lie` hands out other bytes.
    """

    is_near = False

    def __init__(self, root: Path, *, every: int, way: str = "refuse") -> None:
        self.inner = Folder(root)
        self.every = every
        self.way = way
        self.n_requests = 0
        self._lock = threading.Lock()

    @property
    def url(self) -> str:
        return f"flaky:{self.inner.url}"

    def exists(self, key: str) -> bool:
        self._maybe_refuse(key)
        return self.inner.exists(key)

    def keys(self, prefix: str) -> Iterator[str]:
        self._maybe_refuse(prefix)
        return self.inner.keys(prefix)

    def find(self, key: str) -> Iterator[Stored]:
        self._maybe_refuse(key)
        return self.inner.find(key)

    def get(self, key: str, sink: Callable[[bytes], object]) -> None:
        if not self._is_bad():
            self.inner.get(key, sink)
            return
        if self.way == "refuse":
            self._refuse(key)
        chunks: list[bytes] = []
        self.inner.get(key, chunks.append)
        data = b"".join(chunks)
        if self.way == "lie":
            sink(data[::-1] + b"!")
            return
        sink(data[: len(data) // 2])
        self._refuse(key)

    def put(self, key: str, data: bytes | Iterable[bytes]) -> None:
        whole = b"".join(chunks_of(data))
        self._maybe_refuse(key)
        self.inner.put(key, whole)

    def flush(self) -> None:
        self.inner.flush()

    def delete(self, keys: Iterable[str]) -> None:
        self._maybe_refuse("delete")
        self.inner.delete(keys)

    def _is_bad(self) -> bool:
        with self._lock:
            self.n_requests += 1
            return self.n_requests % self.every == 0

    def _maybe_refuse(self, key: str) -> None:
        if self._is_bad():
            self._refuse(key)

    def _refuse(self, key: str) -> NoReturn:
        raise UnavailableError(f"{self.url}: {key}: 503")
