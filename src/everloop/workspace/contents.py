"""Find out what a path of the workspace holds, with or without keeping the bytes in the cache.

Each file is read at most once, and not at all when the state knows it. Leaves records of the result to `add.py` and to
the pipelines.
"""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Callable
from pathlib import Path

from everloop.errors import InvalidError, NotFoundError
from everloop.workspace import hashing, walk
from everloop.workspace.cache import Cache, Incoming
from everloop.workspace.ignore import IgnoreRules
from everloop.workspace.state import State
from everloop.workspace.values import Content

# Reads the file that had this stat and gives its MD5; one kind only hashes, the other also keeps the bytes.
Reader = Callable[[Path, os.stat_result], str]


class Contents:
    """What the paths of one workspace hold now. Paths are relative to its root, posix."""

    def __init__(self, root: Path, cache: Cache, state: State, dvcignore: IgnoreRules) -> None:
        self._root = root
        self._cache = cache
        self._state = state
        self._dvcignore = dvcignore

    def measure(self, path: str) -> Content | None:
        """The content of a file or directory; None when nothing is there.

        Raises:
            InvalidError: It is neither, or holds something that is neither.
        """
        found = self._stat(path)
        if found is None:
            return None
        return self._content(path, found, self._hash_file, None)

    def files(self, path: str) -> dict[str, str]:
        """The files at a path as `{relative path: md5}`: a file is `{"": md5}`, nothing is `{}`."""
        found = self._stat(path)
        if found is None:
            return {}
        if not stat.S_ISDIR(found.st_mode):
            return {"": self._md5(path, found, self._hash_file)}
        return self._listing(path, self._hash_file)[0]

    def keep(self, path: str, incoming: Incoming) -> Content:
        """Take the bytes of a file or directory into the cache.

        Raises:
            NotFoundError: Nothing is there.
            InvalidError: as `measure`.
            ConflictError: A file changed while it was read.
        """
        found = self._stat(path)
        if found is None:
            raise NotFoundError(f"{path} does not exist in {self._root}")
        return self._content(path, found, incoming.add_file, incoming)

    def remember(self, path: str, found: os.stat_result, md5: str) -> None:
        """Note the hash of a file that was just written from the cache."""
        self._state.put(path, found, md5)

    def save(self) -> None:
        """Keep what was learned for the next command."""
        self._state.save()

    def _stat(self, path: str) -> os.stat_result | None:
        try:
            return (self._root / path).stat()
        except (FileNotFoundError, NotADirectoryError):
            return None

    def _content(self, path: str, found: os.stat_result, reader: Reader, incoming: Incoming | None) -> Content:
        if stat.S_ISDIR(found.st_mode):
            files, size_bytes = self._listing(path, reader, keep=incoming is not None)
            if incoming is not None:
                md5 = incoming.add_directory(files)
            else:
                md5 = hashing.directory_md5(hashing.encode_directory(files))
            return Content(md5=md5, size_bytes=size_bytes, n_files=len(files))
        if not stat.S_ISREG(found.st_mode):
            raise InvalidError(f"{path} is neither a file nor a directory")
        return Content(
            md5=self._md5(path, found, reader, keep=incoming is not None),
            size_bytes=found.st_size,
            is_executable=bool(found.st_mode & 0o111),
        )

    def _listing(self, path: str, reader: Reader, *, keep: bool = False) -> tuple[dict[str, str], int]:
        files: dict[str, str] = {}
        seen: set[str] = set()
        size_bytes = 0
        for relative, found in walk.data_files(self._root, path, self._dvcignore):
            whole = f"{path}/{relative}"
            seen.add(whole)
            files[relative] = self._md5(whole, found, reader, keep=keep)
            size_bytes += found.st_size
        self._state.keep_only(path, seen)
        return files, size_bytes

    def _md5(self, path: str, found: os.stat_result, reader: Reader, *, keep: bool = False) -> str:
        known = self._state.get(path, found)
        if known is not None and not (keep and not self._cache.has(known)):
            return known
        started_ns = time.time_ns()
        md5 = reader(self._root / path, found)
        self._state.put(path, found, md5, hashed_at_ns=started_ns)
        return md5

    @staticmethod
    def _hash_file(path: Path, _: os.stat_result) -> str:
        return hashing.md5_of_file(path)
