"""Remember the hashes of files, so that what did not change is not read again.

The memory is one file that can be deleted at any time. An entry counts only while inode, modification time and size are
what they were.
"""

from __future__ import annotations

import os
import time
from collections.abc import Container
from pathlib import Path

import msgspec

from everloop.workspace import durable

_Entry = tuple[int, int, int, str]
_DECODER = msgspec.msgpack.Decoder(dict[str, _Entry])

# A second write within one tick of the filesystem's clock leaves the modification time as it was, so a hash taken
# that soon proves nothing. Linux kernels tick at 100 Hz or more; filesystems that only know whole seconds (FAT even
# two) show it in the time itself.
CLOCK_TICK_NS = 50_000_000
_COARSE_TICK_NS = 2_000_000_000
_SECOND_NS = 1_000_000_000


class State:
    """Hashes by path. Not thread-safe; of two processes that save, the last one wins, at the price of hashing again."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._entries = _load(path)
        self._changed = False

    def get(self, path: str, stat: os.stat_result) -> str | None:
        """The MD5 of the file when it is known and the file unchanged."""
        entry = self._entries.get(path)
        if entry is None or entry[:3] != (stat.st_ino, stat.st_mtime_ns, stat.st_size):
            return None
        return entry[3]

    def put(
        self,
        path: str,
        stat: os.stat_result,
        md5: str,
        *,
        hashed_at_ns: int | None = None,
    ) -> None:
        """Remember the hash of the bytes that the file had at `stat`.

        Args:
            path: Relative to the workspace root.
            stat: Taken before the bytes were read.
            md5: Their hash.
            hashed_at_ns: Wall clock at the start of the reading; None means now.
        """
        age_ns = (time.time_ns() if hashed_at_ns is None else hashed_at_ns) - stat.st_mtime_ns
        if age_ns < (_COARSE_TICK_NS if stat.st_mtime_ns % _SECOND_NS == 0 else CLOCK_TICK_NS):
            return
        self._entries[path] = (stat.st_ino, stat.st_mtime_ns, stat.st_size, md5)
        self._changed = True

    def keep_only(self, directory: str, seen: Container[str]) -> None:
        """Forget the files of a directory that are there no more; `seen` holds paths relative to the workspace root."""
        prefix = directory + "/"
        gone = [path for path in self._entries if path.startswith(prefix) and path not in seen]
        for path in gone:
            del self._entries[path]
        self._changed |= bool(gone)

    def save(self) -> None:
        """Write the memory when it changed."""
        if self._changed:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            durable.write_atomically(self._path, msgspec.msgpack.encode(self._entries), flush=False)
            self._changed = False


def _load(path: Path) -> dict[str, _Entry]:
    try:
        return _DECODER.decode(path.read_bytes())
    except FileNotFoundError:
        return {}
    except msgspec.MsgspecError:
        # Written by another release, or damaged: it only costs to hash again.
        return {}
