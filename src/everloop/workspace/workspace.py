"""A project's folder on disk, with its data under version: the room's front, one method a verb.

Leaves stages, params and metrics to the pipelines, Git itself to `git.py`, and the folder itself to `workingtree.py`.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO

import msgspec

from everloop.errors import ConflictError, InvalidError
from everloop.workspace import datastatus, initialise, routes, toremote
from everloop.workspace import diff as diff_verb
from everloop.workspace import gc as gc_verb
from everloop.workspace import install as install_verb
from everloop.workspace import move as move_verb
from everloop.workspace import remove as remove_verb
from everloop.workspace import status as status_verb
from everloop.workspace import targets as targets_of
from everloop.workspace import undo as undo_verb
from everloop.workspace import verify as verify_verb
from everloop.workspace.add import add
from everloop.workspace.checkout import restore
from everloop.workspace.datastatus import DataStatus
from everloop.workspace.gc import Cloud, GcReport, Scope
from everloop.workspace.git import Git
from everloop.workspace.importing import Imports
from everloop.workspace.install import InstallReport
from everloop.workspace.protect import unprotect
from everloop.workspace.source import open_source
from everloop.workspace.take import origin_of
from everloop.workspace.transfers import Transfers
from everloop.workspace.undo import UndoReport
from everloop.workspace.values import (
    AddReport,
    Change,
    CheckoutReport,
    Content,
    DvcFile,
    Layout,
    Out,
)
from everloop.workspace.verify import Progress, VerifyReport
from everloop.workspace.workingtree import WorkingTree


class Workspace(WorkingTree):
    """A folder that holds `.dvc`.

    Paths are strings relative to the root, posix; where targets are accepted, absolute paths do as well. Not
    thread-safe: each thread opens its own; those, other processes and DVC itself exclude each other while they change
    something.
    """

    @classmethod
    def init(
        cls, path: str | os.PathLike[str] = ".", *, scm: bool = True, subdir: bool = False, force: bool = False
    ) -> Workspace:
        """Make a folder a workspace, and a Git repository unless it lies in one already.

        Args:
            path: The folder; made when it is missing.
            scm: False writes `core.no_scm`, for a workspace without Git.
            subdir: The folder must lie in a Git repository, anywhere in it.
            force: Begin anew: settings and `.dvc/tmp` of a workspace that is there already go, its cache stays.

        Raises:
            ConflictError: It is a workspace already.
            InvalidError: `subdir` without a Git repository, or together with `scm=False`.
        """
        root = Path(path).absolute()
        layout = Layout(root=root)
        there = next(folder for folder in (root, *root.parents) if folder.is_dir())
        if subdir and not (scm and Git(there).is_repository()):
            raise InvalidError(f"{root} does not lie in a Git repository, so it is no part of one", hint="ever init")
        if layout.dvc_dir.exists():
            if not force:
                raise ConflictError(
                    f"{root} is a workspace already: it has a .dvc folder", hint="begin anew: ever init --force"
                )
            initialise.forget_settings(layout)
        initialise.write(layout, scm=scm)
        return cls(root)

    @cached_property
    def transfers(self) -> Transfers:
        """The way to the remotes: `push`, `fetch`, `pull`, `status`."""
        return Transfers(self)

    @property
    def imports(self) -> Imports:
        """Data that come from elsewhere: `repository`, `address`, `update`."""
        return Imports(self)

    def add(
        self,
        targets: Iterable[str | os.PathLike[str]],
        *,
        glob: bool = False,
        out: str | None = None,
        commit: bool = True,
        force: bool = False,
        recursive: bool = False,
    ) -> AddReport:
        """Put files and directories under version; a path inside a tracked directory changes that entry alone.

        Safe to repeat, also after a crash at any line: the data are never moved, and a `.dvc` file is written only
        after the cache has all bytes durably.

        Args:
            targets: Relative to the root, or absolute.
            glob: Targets are patterns of the shell; `**` is any depth.
            out: Copy the one target, from anywhere, to this path first.
            commit: False records the hashes only; the cache gets the bytes with a later commit.
            force: Replace what lies at `out`; it goes into the trash.
            recursive: Each file of a directory gets a record of its own.

        Raises:
            NotFoundError: A target does not exist, or a pattern matches nothing.
            InvalidError: A target cannot be kept, overlaps another one, or is made by a stage.
            ConflictError: Git tracks it, it changed while it was read, or another process changes the workspace.
        """
        if out is not None:
            (source,) = targets
            paths = [targets_of.bring(self, self.root / source, self.relative(out), force=force)]
        else:
            paths = [self.relative(target) for target in targets]
        if glob and out is None:
            paths = targets_of.matching(self, paths)
        if recursive:
            paths = targets_of.taken_apart(self, paths)
        return add(self, paths, commit=commit)

    def add_to_remote(
        self,
        source: str,
        path: str | os.PathLike[str],
        *,
        remote: str | None = None,
        jobs: int | None = None,
        force: bool = False,
    ) -> AddReport:
        """Put data under version whose bytes go straight to a remote, past the cache; what lies at `path` stays.

        Args:
            source: A path, or an address: see `open_origin`.
            path: Where the data belong; `pull` puts them there.
            remote: Its name; None means the default one.
            jobs: How many files to bring at a time.
            force: Also when something else than the source lies at `path`.

        Raises:
            NotFoundError: Nothing is at the source, or there is no such remote.
            InvalidError: The path cannot be data, or overlaps other data.
            ConflictError: Git tracks it, or something lies there.
        """
        place = self.relative(path)
        target = self.root / place
        if not force and os.path.lexists(target) and not (Path(source).exists() and target.samefile(source)):
            raise ConflictError(f"{place} exists already", hint="name another path, or record it all the same: --force")
        store = routes.open_store(self, remote, jobs=jobs)
        return toremote.add(self, origin_of(self, source), place, store, jobs=jobs)

    def remove(self, targets: Iterable[str | os.PathLike[str]], *, outs: bool = False) -> list[DvcFile]:
        """Take data out of version: remove their `.dvc` files and `.gitignore` entries.

        Args:
            targets: `.dvc` files, or the data that one has.
            outs: Remove the data as well; `undo` brings data and record back.

        Raises:
            NotFoundError: A target is not under version by a `.dvc` file.
        """
        return remove_verb.remove(self, [self.relative(target) for target in targets], outs=outs)

    def move(self, source: str | os.PathLike[str], target: str | os.PathLike[str]) -> DvcFile:
        """Rename data with their record, which keeps everything else that is written in it.

        Args:
            source: Data that a `.dvc` file has under version.
            target: The new path, or a folder that is there already.

        Raises:
            NotFoundError: The source is not under version.
            InvalidError: It is made by a stage, or the target would overlap other data.
            ConflictError: Something lies at the target.
        """
        return move_verb.move(self, self.relative(source), self.relative(target))

    def gc(
        self, scope: Scope, *, cloud: Cloud | None = None, dry: bool = False, allow_missing: bool = False
    ) -> GcReport:
        """Remove from the cache what nothing in the scope needs; it goes into the trash for a while.

        Args:
            scope: What to keep; the files on disk always are.
            cloud: Whether to collect a remote as well, or to keep only what a remote lacks.
            dry: Only tell.
            allow_missing: Go on where a directory's listing is not in the cache, and nobody knows its files.

        Raises:
            InvalidError: The scope names nothing, or a record in it cannot be read.
            ConflictError: A listing is missing.
        """
        return gc_verb.gc(self, scope, cloud=cloud, dry=dry, allow_missing=allow_missing)

    def undo(self) -> UndoReport:
        """Bring back what the newest operation in the trash replaced or removed.

        Raises:
            NotFoundError: The trash is empty, or bytes are gone from the cache.
            ConflictError: A file was changed since.
        """
        return undo_verb.undo(self)

    def verify(
        self,
        *,
        cloud: bool = False,
        fetch: bool = False,
        remote: str | None = None,
        jobs: int | None = None,
        progress: Progress | None = None,
    ) -> VerifyReport:
        """Hash the objects of the cache, or of a remote, again, and move damaged ones aside.

        Args:
            cloud: Check a remote; a damaged object is replaced out of the cache, when that has it whole.
            fetch: Replace what is damaged in the cache out of a remote.
            remote: Its name; None means the default one.
            jobs: Threads; None means what suits processors or remote.
            progress: Hears the objects and bytes that are done.

        Raises:
            NotFoundError: There is no such remote.
        """
        store = routes.open_store(self, remote, jobs=jobs) if cloud or fetch else None
        if cloud and store is not None:
            return verify_verb.verify_remote(self, store, progress=progress)
        return verify_verb.verify(self, jobs=jobs, fetch_from=store, progress=progress)

    def install(self, *, hooks: tuple[str, ...]) -> InstallReport:
        """Let Git call Everloop: hooks, and the merge driver for `.dvc` files and `dvc.lock`.

        Raises:
            InvalidError: There is no Git repository.
            ConflictError: Somebody else's hook is there.
        """
        return install_verb.install(self, hooks=hooks)

    def status(self) -> dict[str, dict[str, Change]]:
        """How data differ from their `.dvc` files: `{.dvc file: {path: change}}`, empty when nothing does."""
        return status_verb.status(self)

    def diff(
        self, before: str = "HEAD", after: str | None = None, targets: Iterable[str | os.PathLike[str]] | None = None
    ) -> dict[str, list[dict[str, Any]]]:
        """How data differ between two revisions, down to the files of directories.

        Args:
            before: A branch, tag or commit.
            after: Another one; None means the data as they are in the workspace.
            targets: Data, `.dvc` files, or paths inside of tracked directories; None means all.

        Returns:
            `{"added": [{"path": "a", "hash": md5}], "deleted": [...], "modified": [{"path": "d/", "hash": {"old": md5,
            "new": md5}}], "renamed": [{"path": {"old": "b", "new": "c"}, "hash": md5}], "not in cache": [...]}`, a
            directory with a slash at its end; empty when nothing differs.

        Raises:
            NotFoundError: There is no such revision, or a target is under version on neither side.
            InvalidError: A file is malformed or uses something that is not supported.
        """
        wanted = None if targets is None else [self.relative(target) for target in targets]
        return diff_verb.diff(self, before, after, wanted)

    def data_status(
        self,
        targets: Iterable[str | os.PathLike[str]] = (),
        *,
        granular: bool = False,
        unchanged: bool = False,
        not_in_remote: bool = False,
        remote: str | None = None,
    ) -> DataStatus:
        """How the last commit, the records and the data differ from each other.

        Args:
            targets: Paths to look at; none means all.
            granular: Look into directories.
            unchanged: Also tell what did not change.
            not_in_remote: Also ask the remote what it does not have.
            remote: Its name; None means the default one.

        Raises:
            InvalidError: A file is malformed or uses something that is not supported.
            NotFoundError: The remote is asked for, and there is none.
        """
        wanted = [self.relative(target) for target in targets]
        return datastatus.data_status(
            self, wanted, granular=granular, unchanged=unchanged, not_in_remote=not_in_remote, remote=remote
        )

    def change_of(self, out: Out) -> Change | None:
        """How one out differs from its record; None when it does not."""
        return status_verb.change_of(self, out)

    def checkout(
        self,
        targets: Iterable[str | os.PathLike[str]] | None = None,
        *,
        force: bool = False,
        rev: str | None = None,
        allow_missing: bool = False,
    ) -> CheckoutReport:
        """Restore data out of the cache: those of `.dvc` files, and what stages have made.

        Args:
            targets: Data or their `.dvc` files; None means all.
            force: Overwrite changes that are nowhere else.
            rev: Restore what this revision records. Only the data change, not their records; without it they come back.
            allow_missing: Pass over data that are not whole in the cache.

        Raises:
            NotFoundError: A target is not under version, its bytes are not in the cache, or there is no such revision.
            ConflictError: Changes would be lost; nothing was touched.
            FailedError: A cache object is damaged.
        """
        selected = self.select(self.outs(rev), targets)
        missing = [out for out in selected if allow_missing and self._is_missing(out)]
        report = self.restore([out for out in selected if out not in missing], force=force)
        if rev is not None:
            for path in report.restored:
                # It may not be under version any more, and the data do not belong into Git.
                self.keep_out_of_git(path)
        return msgspec.structs.replace(report, missing=tuple(out.path for out in missing))

    def open_file(self, path: str | os.PathLike[str], rev: str | None = None) -> BinaryIO:
        """A file's bytes, without a checkout: of data under version, of a file in Git, or of one inside a directory.

        Args:
            path: Relative to the root, or absolute.
            rev: A branch, tag or commit. None means the file that is there now, or else what its record says.

        Raises:
            NotFoundError: The revision has no such file, or the bytes are neither in the cache nor in the remote.
            InvalidError: It is a folder.
        """
        relative = self.relative(path)
        if rev is None and (self.root / relative).is_file():
            return (self.root / relative).open("rb")
        with open_source(str(self.root), rev, caches=[self.cache]) as source:
            return source.open(relative)

    def restore(self, outs: Iterable[Out], *, force: bool = False) -> CheckoutReport:
        """Make the outs hold what they record. Outs without a record or without cached bytes are passed over.

        Raises: as `checkout`.
        """
        listed = list(outs)
        with self.locked(), self.claimed(writes=[out.path for out in listed]):
            return restore(self, listed, force=force)

    def _is_missing(self, out: Out) -> bool:
        """Whether the cache cannot restore the out, and it is not in place either."""
        return (
            out.is_cached
            and out.content is not None
            and bool(self.cache.missing(out.content.md5))
            and self.measure(out.path) != out.content
        )

    def unprotect(self, path: str) -> None:
        """Turn second names of cache objects (`cache.type` hardlink) into files of their own, which can be written."""
        unprotect(self.root / path, self.layout.scratch_dir)

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
