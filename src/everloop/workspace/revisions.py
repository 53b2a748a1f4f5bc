"""Read what Git revisions record as data, without checking them out.

One `git` process serves a whole history; folders and files that commits share are read once.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Self, TypedDict, Unpack

from everloop.errors import InvalidError, NotFoundError
from everloop.workspace import records
from everloop.workspace.git import Git
from everloop.workspace.gitobjects import GitObjects, TreeEntry
from everloop.workspace.ignore import IgnoreRules
from everloop.workspace.values import Out, Revision, Snapshot

_DVCIGNORE = ".dvcignore"


class RevisionWords(TypedDict, total=False):
    """The words of a command that mean revisions, besides those that it names.

    Attributes:
        n: How many commits of each rev that is named and of each branch, going back along first parents; 1 unless said
            otherwise, below 1 means all.
        all_branches: The tips of all local branches.
        all_tags: All tags.
        all_commits: All that branches, tags and remote branches reach.
    """

    n: int
    all_branches: bool
    all_tags: bool
    all_commits: bool


def select(git: Git, revs: Iterable[str] = (), **words: Unpack[RevisionWords]) -> list[Revision]:
    """The commits that the words of a command mean, each once, in the order of the words.

    Args:
        git: The repository.
        revs: Branches, tags, hashes, ...
        words: See `RevisionWords`.

    Raises:
        NotFoundError: A rev is no commit, or there is no repository.
    """
    names: dict[str, list[str]] = {}
    n = words.get("n", 1)
    for rev in dict.fromkeys(revs):
        _note_back(git, rev, git.resolve(rev), n, names)
    if words.get("all_commits"):
        for commit in git.ask("rev-list", "--branches", "--tags", "--remotes", *_head(git)).split():
            names.setdefault(commit, [])
    if words.get("all_branches"):
        for name, commit in _tips(git, "refs/heads/"):
            _note_back(git, name, commit, n, names)
    if words.get("all_tags"):
        for name, commit in _tips(git, "refs/tags/"):
            names.setdefault(commit, []).append(name)
    return [Revision(commit=commit, names=tuple(dict.fromkeys(found))) for commit, found in names.items()]


class History:
    """Reads revisions of one workspace. A context manager; not thread-safe."""

    def __init__(self, root: Path) -> None:
        """Prepare to read.

        Args:
            root: The workspace: the top folder of its Git repository, a folder in it, or a bare repository.
        """
        self._root = root
        self._objects = GitObjects(root)
        self._described: dict[str, tuple[tuple[str, str], ...]] = {}
        # By the file: the objects that were read for it, and what came of them.
        self._outs: dict[str, list[tuple[dict[str, str | None], list[Out] | str]]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._objects.__exit__(kind, error, trace)

    @cached_property
    def _prefix(self) -> str:
        # Of a bare repository it is empty.
        return Git(self._root).prefix().strip("/")

    def snapshot(self, revision: Revision) -> Snapshot:
        """All data that a commit records; what cannot be read is told beside it.

        A commit from before the workspace came into the repository records nothing.

        Raises:
            NotFoundError: There is no such commit.
        """
        files = self.records(revision.commit)
        outs: list[Out] = []
        unreadable: dict[str, str] = {}
        where = f"{revision.names[0] if revision.names else revision.commit[:12]}: "
        for path in files:
            if path.rpartition("/")[2] == records.LOCK_FILE:
                continue
            found = self._outs_of(path, files, revision.commit)
            if isinstance(found, str):
                unreadable[path] = where + found
            else:
                outs += found
        return Snapshot(revision=revision, outs=tuple(outs), unreadable=unreadable)

    def records(self, commit: str) -> dict[str, str]:
        """The files of a commit that record data, `{path: object}`, without those that `.dvcignore` excludes.

        Raises:
            NotFoundError: There is no such commit.
        """
        try:
            top = self._objects.find(commit, self._prefix).oid
        except NotFoundError:
            # Only the folder may be missing.
            self._objects.tree(commit)
            return {}
        return self._files(top)

    def entry(self, commit: str, path: str) -> TreeEntry:
        """The Git entry of a path of the workspace.

        Raises:
            NotFoundError: The commit has no such path.
        """
        return self._objects.find(commit, f"{self._prefix}/{path}".strip("/"))

    def read_ahead(self, commits: Iterable[str], paths: Iterable[str]) -> None:
        """Read files of many commits, each distinct one once and many with one question; `blob` has them then.

        Args:
            commits: Whose.
            paths: Of the workspace; a commit need not have them.

        Raises:
            NotFoundError: There is no such commit.
        """
        wanted, named = list(commits), list(paths)
        self._objects.trees_ahead(wanted)
        found: dict[str, None] = {}
        for commit in wanted:
            for path in named:
                try:
                    entry = self.entry(commit, path)
                except NotFoundError:
                    continue
                if not entry.is_folder:
                    found[entry.oid] = None
        self._objects.blobs_ahead(found)

    def children(self, entry: TreeEntry) -> tuple[TreeEntry, ...]:
        """What lies in a folder."""
        return self._objects.tree(entry.oid)

    def blob(self, entry: TreeEntry) -> bytes:
        """The bytes of a file that Git has."""
        return self._objects.blob(entry.oid)

    def size(self, entry: TreeEntry) -> int:
        """The length in bytes of a file that Git has."""
        return self._objects.size_bytes(entry.oid)

    def _outs_of(self, path: str, files: dict[str, str], commit: str) -> list[Out] | str:
        """The outs of one file, or why it cannot be read; the same texts are read once, whatever commits have them."""
        for texts, outs in self._outs.get(path, ()):
            if all(self._oid(files, name, commit) == oid for name, oid in texts.items()):
                return outs
        texts = {}

        def read(name: str) -> str | None:
            texts[name] = self._oid(files, name, commit)
            return self._text(texts, name)

        found: list[Out] | str
        try:
            found = records.outs_of(path, read)
        except InvalidError as error:
            found = error.message
        self._outs.setdefault(path, []).append((texts, found))
        return found

    def _oid(self, files: Mapping[str, str], path: str, commit: str) -> str | None:
        if path in files or records.is_record(path.rpartition("/")[2]):
            return files.get(path)
        try:
            return self.entry(commit, path).oid
        except NotFoundError:
            return None

    def _text(self, files: Mapping[str, str | None], path: str) -> str | None:
        oid = files.get(path)
        if oid is None:
            return None
        try:
            return self._objects.blob(oid).decode()
        except UnicodeDecodeError as error:
            raise InvalidError(f"{path} is not UTF-8 text: byte {error.start}") from error

    def _files(self, top: str) -> dict[str, str]:
        """The files that record data, `{path: object}`, without those that `.dvcignore` excludes."""
        found = dict(self._walk(top, is_top=True))
        specs = {path: oid for path, oid in found.items() if path.rpartition("/")[2] == _DVCIGNORE}
        for path in specs:
            del found[path]
        texts = {path: self._text(specs, path) or "" for path in specs}
        if not any(line.strip() and not line.startswith("#") for text in texts.values() for line in text.splitlines()):
            return dict(sorted(found.items()))
        rules = IgnoreRules(self._root, _DVCIGNORE, {path.rpartition("/")[0]: text for path, text in texts.items()})
        return {
            path: oid for path, oid in sorted(found.items()) if not rules.ignores_or_parent(path, is_directory=False)
        }

    def _walk(self, oid: str, *, is_top: bool = False) -> tuple[tuple[str, str], ...]:
        if oid in self._described and not is_top:
            return self._described[oid]
        found: list[tuple[str, str]] = []
        entries = self._objects.tree(oid)
        if is_top or not any(entry.name == ".dvc" and entry.is_folder for entry in entries):
            for entry in entries:
                if entry.is_file and (entry.name == _DVCIGNORE or records.is_record(entry.name)):
                    found.append((entry.name, entry.oid))
                elif entry.is_folder and entry.name != ".dvc":
                    found += ((f"{entry.name}/{path}", inner) for path, inner in self._walk(entry.oid))
        if not is_top:
            self._described[oid] = tuple(found)
        return tuple(found)


def snapshots(root: Path, revisions: Iterable[Revision]) -> Iterator[Snapshot]:
    """What each revision records; see `History.snapshot`."""
    with History(root) as history:
        for revision in revisions:
            yield history.snapshot(revision)


def _note_back(git: Git, name: str, commit: str, n: int, names: dict[str, list[str]]) -> None:
    names.setdefault(commit, []).append(name)
    if n != 1:
        limit = (f"--max-count={n}",) if n > 0 else ()
        for older in git.ask("rev-list", "--first-parent", *limit, commit).split()[1:]:
            names.setdefault(older, [])


def _tips(git: Git, where: str) -> Iterator[tuple[str, str]]:
    """Names and commits of the references below a place; a tag of something else than a commit is passed over."""
    wanted = "%(objecttype) %(objectname) %(*objecttype) %(*objectname) %(refname)"
    for line in git.ask("for-each-ref", f"--format={wanted}", where).splitlines():
        kind, oid, peeled_kind, peeled, name = line.split(" ", 4)
        if "commit" in (kind, peeled_kind):
            yield name.removeprefix(where), oid if kind == "commit" else peeled


def _head(git: Git) -> tuple[str, ...]:
    """The commit that is checked out, which may be on no branch; nothing before the first one."""
    try:
        return (git.head(),)
    except NotFoundError:
        return ()
