"""Move data between a workspace and its remotes: `push`, `fetch`, `pull`, and how both sides differ.

The words of a command become outs here; the moving is done by `push.py` and `fetch.py`. No lock is held while bytes
are on their way: objects are only ever added, under names that promise their content.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import TYPE_CHECKING

import msgspec

from everloop.errors import EverloopError, NotFoundError
from everloop.workspace import cloudstatus, runcache, selection
from everloop.workspace import fetch as fetch_verb
from everloop.workspace import push as push_verb
from everloop.workspace.cloudstatus import CloudChange
from everloop.workspace.fetchimports import bring_unrecorded
from everloop.workspace.parallel import Patience
from everloop.workspace.routes import Failure, Transfer, listing, open_store
from everloop.workspace.values import CheckoutReport, Out, Revision

if TYPE_CHECKING:
    from everloop.workspace.remote_store import RemoteStore
    from everloop.workspace.workspace import Workspace

Targets = Iterable[str | os.PathLike[str]] | None


class Pull(msgspec.Struct, frozen=True, kw_only=True):
    """What a pull did: objects that came, and data that were put in place."""

    fetched: Transfer
    checkout: CheckoutReport


class Transfers:
    """The way between a workspace and its remotes.

    All verbs take `targets` (data, `.dvc` files, paths inside of tracked directories, relative to the root or absolute;
    None means all), `remote` (a name; None means the default one, or the one that an out names for itself), `jobs`
    (requests at once; None means what suits the remote), `revisions` (whose data are meant besides the files on disk),
    `recursive` (a folder names all data below it) and `glob` (targets are patterns of the shell). They raise
    NotFoundError for a target or a remote that is not there, InvalidError for what is not supported, and report
    single objects that did not arrive.

    Args:
        workspace: Whose.
        patience: With requests that fail; None means the usual one.
    """

    def __init__(self, workspace: Workspace, *, patience: Patience | None = None) -> None:
        self._workspace = workspace
        self._patience = patience

    def push(
        self,
        targets: Targets = None,
        *,
        remote: str | None = None,
        jobs: int | None = None,
        revisions: Iterable[Revision] = (),
        recursive: bool = False,
        glob: bool = False,
        recheck: bool = False,
        run_cache: bool = False,
    ) -> Transfer:
        """Bring what the cache has to the remote; `push: false` stays.

        Args:
            run_cache: Also all entries of the run cache.
            recheck: Look for each object in the remote again, also of directories that were seen there whole.
        """

        def read(out: Out) -> Mapping[str, str]:
            assert out.content is not None
            return self._workspace.cache.read_directory(out.content.md5)

        outs, unreadable = self._meant(targets, read, revisions, recursive=recursive, glob=glob)
        runs = self._runs(runcache.push, remote, jobs) if run_cache else Transfer(done={})
        report = push_verb.push(
            self._workspace,
            outs,
            remote=remote,
            jobs=jobs,
            recheck=recheck,
            patience=self._patience,
        )
        return _with_runs(report, runs, unreadable)

    def fetch(
        self,
        targets: Targets = None,
        *,
        remote: str | None = None,
        jobs: int | None = None,
        revisions: Iterable[Revision] = (),
        recursive: bool = False,
        glob: bool = False,
        max_bytes: int | None = None,
        kinds: Collection[str] = (),
        run_cache: bool = False,
    ) -> Transfer:
        """Bring what the cache lacks from the remote.

        Args:
            kinds: Only `metrics`, `plots` or both, as `dvc.yaml` files declare them; none means everything.
            run_cache: Also all entries of the run cache.
            max_bytes: Leave out data that are larger, a directory as a whole; None means no limit.
        """
        read = self._fetched_listings(remote)
        outs, unreadable = self._meant(targets, read, revisions, recursive=recursive, glob=glob)
        if kinds:
            outs = selection.of_kinds(self._workspace, outs, kinds)
        if max_bytes is not None:
            outs = [out for out in outs if out.content is not None and out.content.size_bytes <= max_bytes]
        runs = self._runs(runcache.fetch, remote, jobs) if run_cache else Transfer(done={})
        return _with_runs(self._fetch(outs, remote, jobs), runs, unreadable)

    def pull(
        self,
        targets: Targets = None,
        *,
        remote: str | None = None,
        jobs: int | None = None,
        revisions: Iterable[Revision] = (),
        recursive: bool = False,
        glob: bool = False,
        force: bool = False,
        run_cache: bool = False,
    ) -> Pull:
        """Fetch, then put the data on disk in place as the files on disk record them.

        Data of which an object did not arrive stay as they are.

        Args:
            force: Overwrite changes that are nowhere else.
            run_cache: Also all entries of the run cache.

        Raises:
            ConflictError: Changes would be lost; nothing was put in place.
        """
        read = self._fetched_listings(remote)
        here, _ = self._meant(targets, read, (), recursive=recursive, glob=glob)
        report = self.fetch(
            targets,
            remote=remote,
            jobs=jobs,
            revisions=revisions,
            recursive=recursive,
            glob=glob,
            run_cache=run_cache,
        )
        here, failed = self._with_unrecorded(here, jobs)
        report = msgspec.structs.replace(report, failed=(*report.failed, *failed))
        complete = [out for out in here if not _touches(out, report.failed) and self._may_be_here(out)]
        return Pull(fetched=report, checkout=self._workspace.restore(complete, force=force))

    def status(
        self,
        targets: Targets = None,
        *,
        remote: str | None = None,
        jobs: int | None = None,
        revisions: Iterable[Revision] = (),
        recursive: bool = False,
        glob: bool = False,
    ) -> dict[str, CloudChange]:
        """How cache and remote differ: `{path: change}`, empty when both have everything."""

        def read(out: Out) -> Mapping[str, str]:
            assert out.content is not None
            store = open_store(self._workspace, out.remote or remote, patience=self._patience)
            return listing(self._workspace, store, out.content.md5)

        outs, _ = self._meant(targets, read, revisions, recursive=recursive, glob=glob)
        return cloudstatus.cloud_status(self._workspace, outs, remote=remote, jobs=jobs, patience=self._patience)

    def _with_unrecorded(self, outs: list[Out], jobs: int | None) -> tuple[list[Out], list[Failure]]:
        """The outs, those that were imported without their data now with them; and those whose data did not come."""
        found: list[Out] = []
        failed: list[Failure] = []
        for out in outs:
            if out.imported is None or out.content is not None:
                found.append(out)
                continue
            try:
                found.append(bring_unrecorded(self._workspace, out, jobs=jobs))
            except EverloopError as error:
                place = out.imported.address
                failed.append(Failure(path=out.path, md5="", remote=place, reason=error.message))
        return found, failed

    def _may_be_here(self, out: Out) -> bool:
        """Not so for data that are never pushed and were made on another machine."""
        return out.is_pushed or out.content is None or not self._workspace.cache.missing(out.content.md5)

    def _meant(
        self,
        targets: Targets,
        read: selection.ReadDirectory,
        revisions: Iterable[Revision],
        *,
        recursive: bool,
        glob: bool,
    ) -> tuple[list[Out], dict[str, str]]:
        paths = None if targets is None else [self._workspace.relative(target) for target in targets]
        return selection.meant(self._workspace, paths, read, revisions=revisions, recursive=recursive, glob=glob)

    def _fetch(self, outs: Iterable[Out], remote: str | None, jobs: int | None) -> Transfer:
        return fetch_verb.fetch(self._workspace, outs, remote=remote, jobs=jobs, patience=self._patience)

    def _runs(
        self, move: Callable[[Workspace, RemoteStore], runcache.Moved], remote: str | None, jobs: int | None
    ) -> Transfer:
        moved, failed = move(self._workspace, open_store(self._workspace, remote, jobs=jobs, patience=self._patience))
        return Transfer(done={}, failed=tuple(failed), runs=tuple(moved))

    def _fetched_listings(self, remote: str | None) -> selection.ReadDirectory:
        def read(out: Out) -> Mapping[str, str]:
            assert out.content is not None
            report = fetch_verb.fetch_listings(self._workspace, [out], remote=remote, patience=self._patience)
            for failure in report.failed:
                raise NotFoundError(f"what {failure.path} holds is not known: {failure.reason}")
            return self._workspace.cache.read_directory(out.content.md5)

        return read


def _with_runs(report: Transfer, runs: Transfer, unreadable: dict[str, str]) -> Transfer:
    return msgspec.structs.replace(report, unreadable=unreadable, runs=runs.runs, failed=(*report.failed, *runs.failed))


def _touches(out: Out, failures: Iterable[Failure]) -> bool:
    return any(failure.path == out.path or failure.path.startswith(out.path + "/") for failure in failures)
