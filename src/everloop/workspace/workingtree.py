"""The folder of a workspace itself: where things lie, who excludes whom, what its files record, what its paths hold.

Leaves what can be done with it to `workspace.py`.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import cached_property
from pathlib import Path
from typing import Self, Unpack

from everloop.errors import InvalidError, NotFoundError, OutsideError
from everloop.workspace import dvcfile, gitignore, locks, records, revisions, walk
from everloop.workspace.cache import Cache
from everloop.workspace.claims import Claims
from everloop.workspace.config import WorkspaceConfig, read_config
from everloop.workspace.contents import Contents
from everloop.workspace.git import Git
from everloop.workspace.ignore import IgnoreRules
from everloop.workspace.legacycontents import LegacyContents
from everloop.workspace.locks import WorkspaceLock
from everloop.workspace.revisions import RevisionWords
from everloop.workspace.state import State
from everloop.workspace.trash import Trash
from everloop.workspace.values import Content, DvcFile, Layout, Out, Revision, Snapshot


class WorkingTree:
    """A folder that holds `.dvc`. Paths, threads and processes: as `Workspace` says.

    Args:
        root: The folder, absolute.
    """

    def __init__(self, root: Path) -> None:
        self.layout = Layout(root=root)

    @classmethod
    def open(cls, path: str | os.PathLike[str] = ".") -> Self:
        """Open the workspace that holds the path: the nearest folder, from there upwards, with a `.dvc` folder in it.

        Raises:
            OutsideError: There is none.
        """
        start = Path(path).absolute()
        for folder in (start, *start.parents):
            if (folder / ".dvc").is_dir():
                return cls(folder)
        raise OutsideError(f"{start} is not inside a workspace: no .dvc folder there or above it", hint="ever init")

    @property
    def root(self) -> Path:
        """Absolute path of the folder."""
        return self.layout.root

    @cached_property
    def git(self) -> Git:
        """The Git repository that the workspace is, or lies in."""
        return Git(self.root)

    @cached_property
    def config(self) -> WorkspaceConfig:
        """What the configuration says."""
        return read_config(self.layout.dvc_dir)

    @cached_property
    def cache(self) -> Cache:
        """The cache that the configuration names."""
        return Cache(self.config.cache_dir, self.config.link_types, is_shared=self.config.is_shared)

    @cached_property
    def contents(self) -> Contents:
        """What the paths hold now."""
        scratch = self.layout.scratch_dir
        return Contents(
            self.root,
            self.cache,
            State(scratch / "state"),
            self.dvcignore,
            legacy=lambda: LegacyContents(self.root, self.cache, State(scratch / "legacy-state"), self.dvcignore),
        )

    @cached_property
    def trash(self) -> Trash:
        """What commands have replaced or removed lately."""
        return Trash(self.root, self.layout.scratch_dir / "trash", self.cache, self.contents)

    @cached_property
    def dvcignore(self) -> IgnoreRules:
        """What `.dvcignore` files exclude."""
        return IgnoreRules(self.root, ".dvcignore")

    @cached_property
    def gitignore(self) -> IgnoreRules:
        """What `.gitignore` files exclude."""
        return IgnoreRules(self.root, ".gitignore")

    @cached_property
    def _lock(self) -> WorkspaceLock:
        return WorkspaceLock(self.layout.lock_dir, hardlink=self.config.locks_by_hardlink)

    def relative(self, target: str | os.PathLike[str]) -> str:
        """A target as a path relative to the root; `.` is the root itself.

        Raises:
            InvalidError: It lies outside of the workspace.
        """
        absolute = Path(os.path.normpath(self.root / target))
        if not absolute.is_relative_to(self.root):
            raise InvalidError(f"{target} lies outside of the workspace {self.root}")
        return absolute.relative_to(self.root).as_posix()

    def locked(self) -> AbstractContextManager[None]:
        """Exclude all other changes of the workspace, DVC's too; may be taken again inside."""
        return self._lock.held()

    def lock_lent(self) -> AbstractContextManager[None]:
        """Let others change the workspace while a stage's command runs."""
        return self._lock.lent()

    @contextmanager
    def claimed(self, *, reads: Iterable[str] = (), writes: Iterable[str] = ()) -> Iterator[None]:
        """Keep others from changing (`reads`) or using (`writes`) paths while the lock is lent."""
        to_read, to_write = ([self.root / path for path in paths] for paths in (reads, writes))
        hardlink = self.config.locks_by_hardlink
        with locks.claimed(self.layout.lock_dir, reads=to_read, writes=to_write, hardlink=hardlink):
            yield

    def claims(self) -> Claims:
        """Claims for one who waits for those of others, and holds many."""
        return Claims(self.root, self.layout.lock_dir, hardlink=self.config.locks_by_hardlink)

    def described_files(self) -> list[str]:
        """All `*.dvc` and `dvc.yaml` files, sorted."""
        return walk.described_files(self.root, self.dvcignore, self.gitignore)

    def dvc_files(self) -> dict[str, DvcFile]:
        """All `.dvc` files, by their path.

        Raises:
            InvalidError: One is malformed or uses something that is not supported.
        """
        paths = (path for path in self.described_files() if path.endswith(walk.DVC_SUFFIX))
        return {path: dvcfile.read(self.root, path) for path in paths}

    def outs(self, rev: str | None = None) -> list[Out]:
        """All data under version, of `.dvc` files and of pipelines, as recorded now or in a Git revision.

        Args:
            rev: A branch, tag or commit; None means the files as they are on disk.

        Raises:
            NotFoundError: There is no such revision.
            InvalidError: A file is malformed or uses something that is not supported.
        """
        if rev is None:
            return records.outs_on_disk(self.root, self.described_files())
        (snapshot,) = self.snapshots(self.revisions([rev]))
        for message in snapshot.unreadable.values():
            raise InvalidError(message)
        return list(snapshot.outs)

    def revisions(self, revs: Iterable[str] = (), **words: Unpack[RevisionWords]) -> list[Revision]:
        """The commits that are meant, each once.

        Args:
            revs: Branches, tags, hashes, ...
            words: See `RevisionWords`.

        Raises:
            NotFoundError: A rev is no commit, or the workspace lies in no repository.
        """
        return revisions.select(self.git, revs, **words)

    def snapshots(self, of: Iterable[Revision]) -> Iterator[Snapshot]:
        """What revisions record as data, one by one, without checking them out.

        Raises:
            NotFoundError: There is no such commit.
        """
        return revisions.snapshots(self.root, of)

    def select(self, outs: Iterable[Out], targets: Iterable[str | os.PathLike[str]] | None) -> list[Out]:
        """The outs that the targets name, by their path or their `.dvc` file; None means all.

        Raises:
            NotFoundError: A target names none.
        """
        by_path = {out.path: out for out in outs}
        if targets is None:
            return list(by_path.values())
        selected = []
        for target in targets:
            path = self.relative(target)
            out = by_path.get(path) or by_path.get(path.removesuffix(walk.DVC_SUFFIX))
            if out is None:
                raise NotFoundError(f"{path} is not under version in {self.root}", hint=f"ever add {path}")
            selected.append(out)
        return selected

    def measure(self, path: str) -> Content | None:
        """What a path holds now; None when nothing is there."""
        return self.contents.measure(path)

    def keep_out_of_git(self, path: str) -> None:
        """Add the path to the `.gitignore` beside it, unless Git ignores it already."""
        gitignore.ignore_out(self.root, path, self.gitignore)
