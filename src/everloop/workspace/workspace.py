"""A project's folder on disk, with its data under version: the room's front.

Leaves stages, params and metrics to the pipelines, and Git itself to `git.py`.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import cached_property
from pathlib import Path

from everloop.errors import ConflictError, InvalidError, NotFoundError
from everloop.workspace import durable, dvcfile, gitignore, locks, walk
from everloop.workspace import status as status_verb
from everloop.workspace.add import add
from everloop.workspace.cache import Cache
from everloop.workspace.checkout import restore
from everloop.workspace.config import read_config
from everloop.workspace.contents import Contents
from everloop.workspace.git import Git
from everloop.workspace.ignore import IgnoreRules
from everloop.workspace.locks import WorkspaceLock
from everloop.workspace.protect import unprotect
from everloop.workspace.state import State
from everloop.workspace.values import AddReport, Change, CheckoutReport, Content, DvcFile, Layout, Out

_DVC_GITIGNORE = "/config.local\n/tmp\n/cache\n"
_DVCIGNORE = """\
# Add patterns of files dvc should ignore, which could improve
# the performance. Learn more at
# https://dvc.org/doc/user-guide/dvcignore
"""


class Workspace:
    """A folder that holds `.dvc`.

    Paths are strings relative to the root, posix; where targets are accepted, absolute paths do as well. Not
    thread-safe: each thread opens its own; those, other processes and DVC itself exclude each other while they change
    something.
    """

    def __init__(self, root: Path) -> None:
        self.layout = Layout(root=root)
        self._lock = WorkspaceLock(self.layout.lock_dir)

    @classmethod
    def init(cls, path: str | os.PathLike[str] = ".", *, scm: bool = True) -> Workspace:
        """Make a folder a workspace, and a Git repository unless it lies in one already.

        Args:
            path: The folder; made when it is missing.
            scm: False writes `core.no_scm`, for a workspace without Git.

        Raises:
            ConflictError: It is a workspace already.
        """
        root = Path(path).absolute()
        layout = Layout(root=root)
        if layout.dvc_dir.exists():
            raise ConflictError(f"{root} is a workspace already: it has a .dvc folder")
        root.mkdir(parents=True, exist_ok=True)
        if scm and not Git(root).is_repository():
            Git(root).init()
        layout.lock_dir.mkdir(parents=True)
        # DVC's place for its own memory of hashes depends on the modification time of this file.
        (layout.lock_dir / "btime").touch()
        durable.write_atomically(layout.dvc_dir / "config", b"" if scm else b"[core]\n    no_scm = True\n")
        durable.write_atomically(layout.dvc_dir / ".gitignore", _DVC_GITIGNORE.encode())
        if not (root / ".dvcignore").exists():
            durable.write_atomically(root / ".dvcignore", _DVCIGNORE.encode())
        return cls(root)

    @classmethod
    def open(cls, path: str | os.PathLike[str] = ".") -> Workspace:
        """Open the workspace that holds the path: the nearest folder, from there upwards, with a `.dvc` folder in it.

        Raises:
            NotFoundError: There is none.
        """
        start = Path(path).absolute()
        for folder in (start, *start.parents):
            if (folder / ".dvc").is_dir():
                return cls(folder)
        raise NotFoundError(f"{start} is not inside a workspace: no .dvc folder there or above it", hint="ever init")

    @property
    def root(self) -> Path:
        """Absolute path of the folder."""
        return self.layout.root

    @property
    def git(self) -> Git:
        """The Git repository that the workspace is, or lies in."""
        return Git(self.root)

    @cached_property
    def cache(self) -> Cache:
        """The cache that the configuration names."""
        config = read_config(self.layout.dvc_dir)
        return Cache(config.cache_dir, config.link_types)

    @cached_property
    def dvcignore(self) -> IgnoreRules:
        """What `.dvcignore` files exclude."""
        return IgnoreRules(self.root, ".dvcignore")

    @cached_property
    def gitignore(self) -> IgnoreRules:
        """What `.gitignore` files exclude."""
        return IgnoreRules(self.root, ".gitignore")

    @cached_property
    def contents(self) -> Contents:
        """What the paths hold now."""
        return Contents(self.root, self.cache, State(self.layout.scratch_dir / "state"), self.dvcignore)

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
        with locks.claimed(self.layout.lock_dir, reads=to_read, writes=to_write):
            yield

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

    def add(self, targets: Iterable[str | os.PathLike[str]]) -> AddReport:
        """Put files and directories under version.

        Safe to repeat, also after a crash at any line: the data are never moved, and a `.dvc` file is written only
        after the cache has all bytes durably.

        Args:
            targets: Relative to the root, or absolute.

        Raises:
            NotFoundError: A target does not exist.
            InvalidError: A target cannot be kept, or overlaps another one.
            ConflictError: Git tracks it, it changed while it was read, or another process changes the workspace.
        """
        return add(self, [self.relative(target) for target in targets])

    def status(self) -> dict[str, dict[str, Change]]:
        """How data differ from their `.dvc` files: `{.dvc file: {path: change}}`, empty when nothing does."""
        return status_verb.status(self)

    def change_of(self, out: Out) -> Change | None:
        """How one out differs from its record; None when it does not."""
        return status_verb.change_of(self, out)

    def checkout(
        self, targets: Iterable[str | os.PathLike[str]] | None = None, *, force: bool = False
    ) -> CheckoutReport:
        """Restore the data of the `.dvc` files out of the cache.

        Args:
            targets: Data or their `.dvc` files; None means all.
            force: Overwrite changes that are nowhere else.

        Raises:
            NotFoundError: A target has no `.dvc` file, or its bytes are not in the cache.
            ConflictError: Changes would be lost; nothing was touched.
            FailedError: A cache object is damaged.
        """
        outs = [out for file in self.dvc_files().values() for out in file.outs]
        return self.restore(self.select(outs, targets), force=force)

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

    def restore(self, outs: Iterable[Out], *, force: bool = False) -> CheckoutReport:
        """Make the outs hold what they record. Outs without a record or without cached bytes are passed over.

        Raises: as `checkout`.
        """
        listed = list(outs)
        with self.locked(), self.claimed(writes=[out.path for out in listed]):
            return restore(self, listed, force=force)

    def unprotect(self, path: str) -> None:
        """Turn second names of cache objects (`cache.type` hardlink) into files of their own, which can be written."""
        unprotect(self.root / path)

    def keep_out_of_git(self, path: str) -> None:
        """Add the path to the `.gitignore` beside it, unless Git ignores it already."""
        gitignore.ignore_out(self.root, path, self.gitignore)

    def measure(self, path: str) -> Content | None:
        """What a path holds now; None when nothing is there."""
        return self.contents.measure(path)

    def commit(self, paths: Iterable[str]) -> dict[str, Content]:
        """Take the bytes of paths into the cache, durably, without writing any record of it.

        Raises: as `add`.
        """
        with self.locked():
            with self.cache.incoming() as incoming:
                kept = {path: self.contents.keep(path, incoming) for path in paths}
            # Only now: the memory must not promise objects that a crash has kept from their final names.
            self.contents.save()
        return kept
