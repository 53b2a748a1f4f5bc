"""A project's folder on disk, with its data under version: the room's front, one method a verb.

Each verb's module is loaded when it is called: all of them together take as long as a small command. Leaves stages,
params and metrics to the pipelines, Git itself to `git.py`, and the folder itself to `workingtree.py`.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Sequence
from contextlib import AbstractContextManager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import msgspec

from everloop.errors import ConflictError, InvalidError
from everloop.workspace import status as status_verb
from everloop.workspace.git import Git
from everloop.workspace.values import (
    AddReport,
    Change,
    CheckoutReport,
    Content,
    DvcFile,
    Entry,
    Layout,
    Out,
)
from everloop.workspace.workingtree import WorkingTree

if TYPE_CHECKING:
    from everloop.workspace.checkignore import IgnoreMatch
    from everloop.workspace.configuration import Configuration
    from everloop.workspace.datastatus import DataStatus
    from everloop.workspace.destroy import Destruction
    from everloop.workspace.doctor import Finding
    from everloop.workspace.gc import Cloud, GcReport, Scope
    from everloop.workspace.importing import Imports
    from everloop.workspace.install import InstallReport
    from everloop.workspace.migrate import MigrateReport
    from everloop.workspace.rowreport import FileRows
    from everloop.workspace.source import Source
    from everloop.workspace.transfers import Transfers
    from everloop.workspace.undo import UndoReport
    from everloop.workspace.verify import VerifyReport


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
        from everloop.workspace import initialise

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
        from everloop.workspace.transfers import Transfers

        return Transfers(self)

    @property
    def configuration(self) -> Configuration:
        """DVC's configuration, all levels: `settings`, `get`, `set`, `unset`; `everloop.workspace.remotes` takes it."""
        from everloop.workspace.configuration import Configuration

        return Configuration(self.layout.dvc_dir)

    @property
    def imports(self) -> Imports:
        """Data that come from elsewhere: `repository`, `address`, `update`."""
        from everloop.workspace.importing import Imports

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
        relink: bool = True,
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
            relink: Link the files to the cache where `cache.type` says hardlink or symlink.

        Raises:
            NotFoundError: A target does not exist, or a pattern matches nothing.
            InvalidError: A target cannot be kept, overlaps another one, or is made by a stage.
            ConflictError: Git tracks it, it changed while it was read, or another process changes the workspace.
        """
        from everloop.workspace import targets as targets_of
        from everloop.workspace.add import add

        if out is not None:
            (source,) = targets
            paths = [targets_of.bring(self, self.root / source, self.relative(out), force=force)]
        else:
            paths = [self.relative(target) for target in targets]
        if glob and out is None:
            paths = targets_of.matching(self, paths)
        if recursive:
            paths = targets_of.taken_apart(self, paths)
        return add(self, paths, commit=commit, relink=relink)

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
        from everloop.workspace import routes, toremote
        from everloop.workspace.take import origin_of

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
        from everloop.workspace import remove as remove_verb

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
        from everloop.workspace import move as move_verb

        return move_verb.move(self, self.relative(source), self.relative(target))

    def gc(
        self,
        scope: Scope,
        *,
        cloud: Cloud | None = None,
        dry: bool = False,
        allow_missing: bool = False,
        skip_failed: bool = False,
    ) -> GcReport:
        """Remove from the cache what nothing in the scope needs; it goes into the trash for a while.

        Args:
            scope: What to keep; the files on disk always are.
            cloud: Whether to collect a remote as well, or to keep only what a remote lacks.
            dry: Only tell.
            allow_missing: Go on where a directory's listing is not in the cache, and nobody knows its files.
            skip_failed: Go on where a record of a revision cannot be read, and nobody knows what it needs.

        Raises:
            InvalidError: The scope names nothing, or a record in it cannot be read.
            ConflictError: A listing is missing.
        """
        from everloop.workspace import gc as gc_verb

        return gc_verb.gc(self, scope, cloud=cloud, dry=dry, allow_missing=allow_missing, skip_failed=skip_failed)

    def migrate(self, *, records: bool = False, dry: bool = False) -> MigrateReport:
        """Give the objects of DVC 2 in the cache the names of DVC 3, too. Leaves `dvc.lock` files to the pipelines.

        Args:
            records: Also rewrite the `.dvc` files that name them, where the data did not change.
            dry: Only tell.

        Raises:
            InvalidError: A file is malformed.
        """
        from everloop.workspace import migrate as migrate_verb

        return migrate_verb.migrate(self, records=records, dry=dry)

    def destroy(self) -> Destruction:
        """Make the folder no workspace any more: records, settings and the cache below `.dvc` go, data on disk stay.

        What goes for good is told by `everloop.workspace.destroy.plan`, before.

        Raises:
            FailedError: Data lead into the cache by symbolic links; nothing was removed.
            ConflictError: Another process changes the workspace.
        """
        from everloop.workspace.destroy import destroy

        return destroy(self)

    def undo(self) -> UndoReport:
        """Bring back what the newest operation in the trash replaced or removed.

        Raises:
            NotFoundError: The trash is empty, or bytes are gone from the cache.
            ConflictError: A file was changed since.
        """
        from everloop.workspace import undo as undo_verb

        return undo_verb.undo(self)

    def verify(
        self,
        *,
        cloud: bool = False,
        fetch: bool = False,
        remote: str | None = None,
        jobs: int | None = None,
    ) -> VerifyReport:
        """Hash the objects of the cache, or of a remote, again, and move damaged ones aside.

        Args:
            cloud: Check a remote; a damaged object is replaced out of the cache, when that has it whole.
            fetch: Replace what is damaged in the cache out of a remote.
            remote: Its name; None means the default one.
            jobs: Threads; None means what suits processors or remote.

        Raises:
            NotFoundError: There is no such remote.
        """
        from everloop.workspace import routes
        from everloop.workspace import verify as verify_verb

        store = routes.open_store(self, remote, jobs=jobs) if cloud or fetch else None
        if cloud and store is not None:
            return verify_verb.verify_remote(self, store)
        return verify_verb.verify(self, jobs=jobs, fetch_from=store)

    def install(self, *, hooks: tuple[str, ...], use_pre_commit_tool: bool = False) -> InstallReport:
        """Let Git call Everloop: hooks, and the merge driver for `.dvc` files and `dvc.lock`.

        Args:
            hooks: Their names.
            use_pre_commit_tool: Leave them to the pre-commit tool: they are named in its `.pre-commit-config.yaml`.

        Raises:
            InvalidError: There is no Git repository.
            ConflictError: Somebody else's hook is there.
        """
        from everloop.workspace import install as install_verb

        return install_verb.install(self, hooks=hooks, use_pre_commit_tool=use_pre_commit_tool)

    def status(self, paths: Collection[str] | None = None) -> dict[str, dict[str, Change]]:
        """How data differ from their `.dvc` files: `{.dvc file: {path: change}}`, empty when nothing does.

        Args:
            paths: The data to look at, relative to the root; None means all.
        """
        return status_verb.status(self, paths)

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
        from everloop.workspace import diff as diff_verb

        wanted = None if targets is None else [self.relative(target) for target in targets]
        return diff_verb.diff(self, before, after, wanted)

    def row_diff(
        self,
        before: str = "HEAD",
        after: str | None = None,
        targets: Iterable[str | os.PathLike[str]] | None = None,
        *,
        key: Sequence[str] = (),
        samples: int = 5,
        memory: str = "512MB",
        remote: str | None = None,
    ) -> list[FileRows]:
        """How the rows of tables (CSV, Parquet) under version differ; both sides without a checkout.

        Args:
            before, after, targets: As in `diff`. Tables whose bytes are the same are not looked into.
            key: The columns that tell one row from another; none compares whole rows as multisets.
            samples: How many rows to show of each kind.
            memory: How much of it may be taken; what does not fit goes to the disk.
            remote: The name of the remote that has what the cache lacks; None means the default one.

        Returns:
            One for each table, sorted by path; one that cannot be read says why.

        Raises:
            NotInstalledError: duckdb is not installed.
            NotFoundError, InvalidError: As `diff`.
        """
        from everloop.workspace.rowdiff import row_diff

        wanted = None if targets is None else [self.relative(target) for target in targets]
        return row_diff(self, before, after, wanted, key=key, samples=samples, memory=memory, remote=remote)

    def data_status(
        self,
        targets: Iterable[str | os.PathLike[str]] = (),
        *,
        granular: bool = False,
        unchanged: bool = False,
        not_in_remote: bool = False,
        remote: str | None = None,
        remote_refresh: bool = True,
    ) -> DataStatus:
        """How the last commit, the records and the data differ from each other.

        Args:
            targets: Paths to look at; none means all.
            granular: Look into directories.
            unchanged: Also tell what did not change.
            not_in_remote: Also ask the remote what it does not have.
            remote: Its name; None means the default one.
            remote_refresh: False asks nothing, and answers with what was seen there by earlier commands.

        Raises:
            InvalidError: A file is malformed or uses something that is not supported.
            NotFoundError: The remote is asked for, and there is none.
        """
        from everloop.workspace import datastatus

        wanted = [self.relative(target) for target in targets]
        return datastatus.data_status(
            self,
            wanted,
            granular=granular,
            unchanged=unchanged,
            not_in_remote=not_in_remote,
            remote=remote,
            remote_refresh=remote_refresh,
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
        recursive: bool = False,
        relink: bool = False,
    ) -> CheckoutReport:
        """Restore data out of the cache: those of `.dvc` files, and what stages have made.

        Args:
            targets: Data, their `.dvc` files, or paths inside of tracked directories; None means all.
            force: Overwrite changes that are nowhere else.
            rev: Restore what this revision records. Only the data change, not their records; without it they come back.
            allow_missing: Pass over data that are not whole in the cache.
            recursive: A target may be a folder, and means all data below it.
            relink: Also link files to the cache as `cache.type` says now, where they are linked otherwise.

        Raises:
            NotFoundError: A target is not under version, its bytes are not in the cache, or there is no such revision.
            ConflictError: Changes would be lost; nothing was touched.
            FailedError: A cache object is damaged.
        """
        selected = self._meant(rev, targets, recursive=recursive)
        missing = [out for out in selected if allow_missing and self._is_missing(out)]
        whole = [out for out in selected if out not in missing]
        report = self.restore(whole, force=force)
        if relink:
            report = msgspec.structs.replace(report, relinked=tuple(self._relink(whole)))
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
        from everloop.workspace.source import open_source

        relative = self.relative(path)
        if rev is None and (self.root / relative).is_file():
            return (self.root / relative).open("rb")
        with open_source(str(self.root), rev, caches=[self.cache]) as source:
            return source.open(relative)

    def entries(
        self,
        path: str | os.PathLike[str] = ".",
        rev: str | None = None,
        *,
        recursive: bool = False,
        dvc_only: bool = False,
        max_depth: int | None = None,
    ) -> list[Entry]:
        """What lies in a folder, files of Git and data alike, with paths relative to it; see `listing.list_entries`.

        Raises:
            NotFoundError: Nothing is there, or there is no such revision.
        """
        from everloop.workspace import listing

        with self.source(rev) as source:
            return listing.list_entries(
                source, self._inner(path), recursive=recursive, dvc_only=dvc_only, max_depth=max_depth
            )

    def usage(
        self, path: str | os.PathLike[str] = ".", rev: str | None = None, *, summarise: bool = False
    ) -> list[tuple[str, int]]:
        """The bytes of what lies in a folder, and last those of the whole, as (path, bytes).

        Raises: as `entries`.
        """
        from everloop.workspace import listing

        with self.source(rev) as source:
            return listing.usage(source, self._inner(path), summarise=summarise)

    def source(self, rev: str | None = None) -> AbstractContextManager[Source]:
        """The workspace as one tree of files, whoever keeps them; None means as they are now. Valid inside its `with`.

        Raises: from its `with`, as `open_source`.
        """
        from everloop.workspace.source import open_source

        return open_source(str(self.root), rev, caches=[self.cache])

    def check_ignore(self, path: str | os.PathLike[str]) -> tuple[IgnoreMatch, ...]:
        """The patterns of `.dvcignore` files that match a path; the last one decides, see its `is_excluding`."""
        from everloop.workspace import checkignore

        return tuple(checkignore.matches(self.root, self.relative(path)))

    def doctor(self) -> tuple[Finding, ...]:
        """What all that the workspace stands on is like: cache, links, space, records, Git, trash."""
        from everloop.workspace.doctor import examine

        return tuple(examine(self))

    def restore(self, outs: Iterable[Out], *, force: bool = False) -> CheckoutReport:
        """Make the outs hold what they record. Outs without a record or without cached bytes are passed over.

        Raises: as `checkout`.
        """
        from everloop.workspace.checkout import restore

        listed = list(outs)
        with self.locked(), self.claimed(writes=[out.path for out in listed]):
            return restore(self, listed, force=force)

    def _meant(
        self, rev: str | None, targets: Iterable[str | os.PathLike[str]] | None, *, recursive: bool
    ) -> list[Out]:
        from everloop.workspace import selection

        def read(out: Out) -> dict[str, str]:
            assert out.content is not None
            return self.cache.read_directory(out.content.md5)

        # Of a path with several records the last one counts.
        outs = list({out.path: out for out in self.outs(rev)}.values())
        if targets is None:
            return outs
        paths = selection.without_records(self, (self.relative(target) for target in targets))
        return selection.select(outs, paths, read, recursive=recursive)

    def _relink(self, outs: Iterable[Out]) -> list[str]:
        from everloop.workspace import relink as relink_verb

        data = {out.path: out.content for out in outs if out.content is not None and out.is_cached}
        with self.locked(), self.claimed(writes=data):
            changed = relink_verb.relink(self, data)
            self.contents.save()
        return changed

    def _inner(self, path: str | os.PathLike[str]) -> str:
        """A path as a source has it, where the top is ""."""
        relative = self.relative(path)
        return "" if relative == "." else relative

    def _is_missing(self, out: Out) -> bool:
        """Whether the cache cannot restore the out, and it is not in place either."""
        return (
            out.is_cached
            and out.content is not None
            and bool(self.cache.missing(out.content.md5))
            and self.contents.like(out.content.md5).measure(out.path) != out.content
        )

    def unprotect(self, path: str) -> None:
        """Turn links to cache objects (`cache.type` hardlink, symlink) into files of their own that can be written."""
        from everloop.workspace.protect import unprotect

        unprotect(self.root / path, self.layout.scratch_dir, self.cache)

    def commit(self, paths: Iterable[str], *, relink: bool = True) -> dict[str, Content]:
        """Take the bytes of paths into the cache, durably, without writing any record of it.

        Args:
            paths: Relative to the root.
            relink: Link the files to the cache where `cache.type` says hardlink or symlink.

        Raises: as `add`.
        """
        from everloop.workspace import relink as relink_verb

        with self.locked():
            with self.cache.incoming(may_link=relink) as incoming:
                kept = {path: self.contents.keep(path, incoming) for path in paths}
            if relink and "symlink" in self.cache.link_types:
                relink_verb.relink(self, kept)
            # Only now: the memory must not promise objects that a crash has kept from their final names.
            self.contents.save()
        return kept
