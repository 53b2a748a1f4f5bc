"""The files of a workspace at one moment, read by their path: as they lie on the disk, or as a Git commit has them.

What pipelines, parameters, metrics and plots are read through, so that a revision is read as the workspace is. Of a
commit, data under version come from the cache. Leaves what the files mean to `definition.py` and `params.py`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Protocol

from everloop.errors import InvalidError, NotFoundError
from everloop.workspace import Out, Revision, Workspace
from everloop.workspace.records import LOCK_FILE
from everloop.workspace.revisions import History
from everloop.workspace.templating import OptionStyle
from everloop.workspace.walk import PIPELINE_FILE


class Tree(Protocol):
    """Files by their path, posix, relative to the workspace's root. Not thread-safe.

    Attributes:
        name: What a person calls it: "" is the disk, else the revision as it was asked for.
    """

    name: str

    @property
    def root(self) -> str:
        """The workspace's folder, absolute, whether its files are meant or those of a commit."""
        ...

    @property
    def options(self) -> OptionStyle:
        """How mappings are written into commands."""
        ...

    def described(self) -> list[str]:
        """All `dvc.yaml` and `.dvc` files that are not ignored, sorted."""
        ...

    def read(self, path: str) -> bytes | None:
        """The bytes of a file; None when there is none, or when they are data that the cache does not have."""
        ...

    def below(self, path: str) -> list[str]:
        """The paths of all files in a folder, sorted; of a file itself; none when nothing is there."""
        ...


class FolderTree:
    """The files as they are now."""

    name = ""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace

    @property
    def root(self) -> str:
        return str(self._workspace.root)

    @property
    def options(self) -> OptionStyle:
        return self._workspace.config.options

    def described(self) -> list[str]:
        return self._workspace.described_files()

    def read(self, path: str) -> bytes | None:
        try:
            return (self._workspace.root / path).read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return None
        except IsADirectoryError as error:
            raise InvalidError(f"{path} is a folder, where a file is wanted") from error

    def below(self, path: str) -> list[str]:
        place = self._workspace.root / path
        if place.is_dir():
            files = (file for file in place.rglob("*") if file.is_file())
            return sorted(file.relative_to(self._workspace.root).as_posix() for file in files)
        return [path] if place.exists() else []


class CommitTree:
    """The files of a commit; made by `commit_trees`."""

    def __init__(self, workspace: Workspace, history: History, revision: Revision, name: str) -> None:
        self.name = name
        self._workspace = workspace
        self._history = history
        self._revision = revision
        self._data: dict[str, Out] | None = None

    @property
    def root(self) -> str:
        return str(self._workspace.root)

    @property
    def options(self) -> OptionStyle:
        return self._workspace.config.options

    @property
    def commit(self) -> str:
        """The full hash."""
        return self._revision.commit

    def described(self) -> list[str]:
        return [path for path in self._history.records(self.commit) if path.rpartition("/")[2] != LOCK_FILE]

    def read(self, path: str) -> bytes | None:
        try:
            entry = self._history.entry(self.commit, path)
        except NotFoundError:
            md5 = self._objects_below(path).get(path)
            return None if md5 is None else self._cached(md5)
        if entry.is_folder:
            raise InvalidError(f"{self.name}: {path} is a folder, where a file is wanted")
        return self._history.blob(entry)

    def below(self, path: str) -> list[str]:
        try:
            entry = self._history.entry(self.commit, path)
        except NotFoundError:
            return sorted(self._objects_below(path))
        if not entry.is_folder:
            return [path]
        found = {f"{path}/{child.name}": child for child in self._history.children(entry)}
        plain = [name for name, child in found.items() if not child.is_folder]
        deeper = [inner for name, child in found.items() if child.is_folder for inner in self.below(name)]
        return sorted({*plain, *deeper, *self._objects_below(path)})

    def _objects_below(self, path: str) -> dict[str, str]:
        """The data under version at or below a path, `{path: md5}`, as far as their listings are in the cache."""
        found: dict[str, str] = {}
        for name, out in self._outs().items():
            if out.content is None or not (is_same_or_below(name, path) or is_same_or_below(path, name)):
                continue
            files = {name: out.content.md5}
            if out.content.is_directory:
                files = {f"{name}/{inner}": md5 for inner, md5 in self._listing(out.content.md5).items()}
            found |= {inner: md5 for inner, md5 in files.items() if is_same_or_below(inner, path)}
        return found

    def _outs(self) -> dict[str, Out]:
        if self._data is None:
            snapshot = self._history.snapshot(self._revision)
            self._data = {out.path: out for out in snapshot.outs}
        return self._data

    def _listing(self, md5: str) -> dict[str, str]:
        # Not fetched: as if nothing were there.
        return self._workspace.cache.read_directory(md5) if self._workspace.cache.has(md5) else {}

    def _cached(self, md5: str) -> bytes | None:
        try:
            return self._workspace.cache.path(md5).read_bytes()
        except FileNotFoundError:
            return None


def is_same_or_below(path: str, folder: str) -> bool:
    """Whether a path is the folder, or lies in it; "" is the root."""
    return path == folder or not folder or path.startswith(folder + "/")


@contextmanager
def commit_trees(workspace: Workspace) -> Iterator[TreeReader]:
    """Read commits, all of them through one `git` process."""
    with History(workspace.root) as history:
        yield TreeReader(workspace, history)


class TreeReader:
    """Gives the trees of commits; what they share is read once. Valid inside of `commit_trees`."""

    def __init__(self, workspace: Workspace, history: History) -> None:
        self._workspace = workspace
        self._history = history

    def read_ahead(self, commits: Iterable[str], paths: Iterable[str]) -> None:
        """Prepare to read these files of many commits, which the trees do fast then."""
        self._history.read_ahead(commits, paths)

    def at(self, revision: Revision | str, name: str | None = None) -> CommitTree:
        """The tree of a commit.

        Args:
            revision: As `Workspace.revisions` gives it, or what Git understands.
            name: What to call it; None means the first name that the revision has, or its short hash.

        Raises:
            NotFoundError: There is no such commit.
        """
        if isinstance(revision, str):
            name = name or revision
            (revision,) = self._workspace.revisions([revision])
        called = name or next(iter(revision.names), revision.commit[:7])
        return CommitTree(self._workspace, self._history, revision, called)


def pipeline_files(tree: Tree) -> list[str]:
    """The `dvc.yaml` files, the root's first: in the order in which a person reads them."""
    files = [path for path in tree.described() if path.rpartition("/")[2] == PIPELINE_FILE]
    return sorted(files, key=lambda path: (path.count("/"), path))


def text_of(tree: Tree, path: str) -> str | None:
    """A UTF-8 file as text; None as `Tree.read`.

    Raises:
        InvalidError: It is a folder, or not UTF-8.
    """
    data = tree.read(path)
    try:
        return None if data is None else data.decode()
    except UnicodeDecodeError as error:
        raise InvalidError(f"{where(tree, path)} is not UTF-8 text: byte {error.start} is wrong") from error


def where(tree: Tree, path: str) -> str:
    """A path as errors name it: with the revision before it."""
    return f"{tree.name}:{path}" if tree.name else path
