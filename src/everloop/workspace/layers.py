"""The plain files of a repository, as they lie on the disk or in a commit, without what is under version elsewhere.

Leaves data and how both fit together to `source.py`.
"""

from __future__ import annotations

import io
import posixpath
import stat
from pathlib import Path
from typing import BinaryIO, Protocol

from everloop.errors import InvalidError, NotFoundError
from everloop.workspace.gitobjects import TreeEntry
from everloop.workspace.ignore import IgnoreRules
from everloop.workspace.revisions import History
from everloop.workspace.values import Entry, Out

_HIDDEN = frozenset({".git", ".dvc", ".hg"})
_LONGEST_CHAIN = 10


class Layer(Protocol):
    """Files and folders by their path, relative to the workspace, posix; "" is the workspace itself."""

    def outs(self) -> list[Out]:
        """All data that the files record."""
        ...

    def entry(self, path: str) -> Entry | None:
        """What lies at a path; None when nothing does."""
        ...

    def children(self, path: str) -> list[Entry]:
        """What lies in a folder, in no order; nothing in what is no folder."""
        ...

    def open(self, path: str) -> BinaryIO:
        """A file's bytes."""
        ...


class DiskLayer:
    """The files as they are now, without what `.dvcignore` excludes."""

    def __init__(self, root: Path, outs: list[Out]) -> None:
        self._root = root
        self._outs = outs
        self._rules = IgnoreRules(root, ".dvcignore")

    def outs(self) -> list[Out]:
        return self._outs

    def entry(self, path: str) -> Entry | None:
        if any(part in _HIDDEN for part in path.split("/")):
            return None
        try:
            found = (self._root / path).stat()
        except (FileNotFoundError, NotADirectoryError):
            return None
        is_folder = stat.S_ISDIR(found.st_mode)
        return Entry(
            path=path,
            is_directory=is_folder,
            is_executable=not is_folder and bool(found.st_mode & 0o111),
            size_bytes=None if is_folder else found.st_size,
        )

    def children(self, path: str) -> list[Entry]:
        folder = self._root / path
        if not folder.is_dir():
            return []
        paths = (f"{path}/{child.name}" if path else child.name for child in folder.iterdir())
        entries = (entry for child in paths if (entry := self.entry(child)) is not None)
        return [entry for entry in entries if not self._rules.ignores(entry.path, is_directory=entry.is_directory)]

    def open(self, path: str) -> BinaryIO:
        return (self._root / path).open("rb")


class CommitLayer:
    """The files of a commit."""

    def __init__(self, history: History, commit: str, outs: list[Out]) -> None:
        self._history = history
        self._commit = commit
        self._outs = outs

    def outs(self) -> list[Out]:
        return self._outs

    def entry(self, path: str) -> Entry | None:
        try:
            return self._described(path, self._resolved(path))
        except NotFoundError:
            return None

    def children(self, path: str) -> list[Entry]:
        try:
            found = self._resolved(path)
        except NotFoundError:
            return []
        if not found.is_folder:
            return []
        inside = (entry for entry in self._history.children(found) if entry.name not in _HIDDEN)
        return [self._described(f"{path}/{entry.name}" if path else entry.name, entry) for entry in inside]

    def open(self, path: str) -> BinaryIO:
        return io.BytesIO(self._history.blob(self._resolved(path)))

    def _resolved(self, path: str) -> TreeEntry:
        """The entry, after symbolic links; one that leaves the repository is refused."""
        for _ in range(_LONGEST_CHAIN):
            entry = self._history.entry(self._commit, path)
            if not stat.S_ISLNK(entry.mode):
                return entry
            target = self._history.blob(entry).decode("utf-8", "surrogateescape")
            path = posixpath.normpath(posixpath.join(posixpath.dirname(path), target))
            if path.startswith(("/", "../")) or path == "..":
                raise InvalidError(f"the symbolic link {path} leads out of the repository")
        raise InvalidError(f"the symbolic links at {path} lead around in a circle")

    def _described(self, path: str, entry: TreeEntry) -> Entry:
        is_folder = not (entry.is_file or stat.S_ISLNK(entry.mode))
        return Entry(
            path=path,
            is_directory=is_folder,
            is_executable=entry.is_file and bool(entry.mode & 0o111),
            size_bytes=None if is_folder else self._history.size(entry),
        )
