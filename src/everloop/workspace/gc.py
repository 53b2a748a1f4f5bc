"""Remove from the cache what no scope needs. What is removed goes into the trash first.

A scope is a set of records: the files on disk, or those of Git revisions. Everything that cannot be read with certainty
stops the command before anything is touched.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

import msgspec

from everloop.errors import ConflictError, InvalidError, NotFoundError
from everloop.workspace import inventory, routes
from everloop.workspace.values import Out, Revision

if TYPE_CHECKING:
    from everloop.workspace.remote_store import RemoteStore
    from everloop.workspace.workspace import Workspace

_EXPERIMENTS = "refs/exps/"
_QUEUE = "refs/everloop/queue"
_SCRATCH = ("refs/exps/exec/", "refs/exps/stash", "refs/exps/celery/", "refs/exps/apply/")


class Scope(msgspec.Struct, frozen=True, kw_only=True):
    """What must be kept; the words are those of `dvc gc`. The workspace itself is always part of it.

    Attributes:
        workspace: The files on disk.
        revs: Branches, tags, hashes.
        n: How many commits of each rev, and of each branch, going back along first parents.
        all_branches: The tips of all local branches.
        all_tags: All tags.
        all_commits: All that branches, tags and remote branches reach.
        since: All commits made at this time or later; UTC-aware.
        all_experiments: All experiments of DVC (`refs/exps`).
        projects: Roots of other workspaces with the same cache; their files on disk, and their revisions by the same
            words.
    """

    workspace: bool = False
    revs: tuple[str, ...] = ()
    n: int = 1
    all_branches: bool = False
    all_tags: bool = False
    all_commits: bool = False
    since: datetime | None = None
    all_experiments: bool = False
    projects: tuple[str, ...] = ()

    @property
    def is_named(self) -> bool:
        """Whether it says anything at all."""
        return bool(
            self.workspace
            or self.revs
            or self.all_branches
            or self.all_tags
            or self.all_commits
            or self.since
            or self.all_experiments
        )


class Cloud(msgspec.Struct, frozen=True, kw_only=True):
    """What `gc` has to do with a remote.

    Attributes:
        remote: Its name; None means the default one.
        collects: Remove from the remote, too, what the scope does not need. For good: a remote has no trash.
        spares_remote: Also remove from the cache what the remote has whole, so that it can be fetched again.
        jobs: Requests at once; None means what suits the remote.
    """

    remote: str | None = None
    collects: bool = False
    spares_remote: bool = False
    jobs: int | None = None


class GcReport(msgspec.Struct, frozen=True, kw_only=True):
    """What `gc` removed, or (dry) would remove.

    Attributes:
        removed: Ids of the objects in the cache, sorted.
        size_bytes: Their sum.
        n_kept: Objects that stay.
        n_revisions: Git revisions that were read for it.
        removed_remote: Ids of the objects in the remote, sorted.
        skipped: `{record of a revision: why}` of those that could not be read, whatever they need.
    """

    removed: tuple[str, ...]
    size_bytes: int
    n_kept: int
    n_revisions: int
    removed_remote: tuple[str, ...] = ()
    skipped: dict[str, str] = {}


# Gives the files of a directory by its id.
Listing = Callable[[str], Mapping[str, str]]


def gc(
    workspace: Workspace,
    scope: Scope,
    *,
    cloud: Cloud | None = None,
    dry: bool = False,
    allow_missing: bool = False,
    skip_failed: bool = False,
) -> GcReport:
    """Collect; see `Workspace.gc`."""
    cloud = cloud or Cloud()
    _refuse_unclear(scope, cloud)
    store = None
    if cloud.collects or cloud.spares_remote:
        store = routes.open_store(workspace, cloud.remote, jobs=cloud.jobs)
    listing = _listing_reader(workspace, store)
    removed_remote: list[str] = []
    skipped: dict[str, str] | None = {} if skip_failed else None
    with workspace.locked():
        needed, n_revisions = _needed_by_all(workspace, scope, listing, skipped, allow_missing=allow_missing)
        if store is not None and cloud.collects:
            removed_remote = sorted(md5 for md5 in store.ids() if md5 not in needed)
        if store is not None and cloud.spares_remote:
            needed -= _whole_in(store, needed, listing)
        needed |= workspace.trash.references()
        doomed: dict[str, int] = {}
        n_kept = 0
        for md5, size_bytes in inventory.objects(workspace.cache):
            if md5 in needed:
                n_kept += 1
            else:
                doomed[md5] = size_bytes
        if not dry:
            workspace.trash.take_objects("gc", doomed)
            workspace.trash.prune()
            if store is not None and removed_remote:
                # A listing promises its files, so it goes first.
                store.delete([md5 for md5 in removed_remote if md5.endswith(".dir")])
                store.delete([md5 for md5 in removed_remote if not md5.endswith(".dir")])
    return GcReport(
        removed=tuple(sorted(doomed)),
        size_bytes=sum(doomed.values()),
        n_kept=n_kept,
        n_revisions=n_revisions,
        removed_remote=tuple(removed_remote),
        skipped=skipped or {},
    )


def _refuse_unclear(scope: Scope, cloud: Cloud) -> None:
    if cloud.collects and cloud.spares_remote:
        raise InvalidError("what was removed from the remote could not be fetched again: --cloud or --not-in-remote")
    if not scope.is_named:
        raise InvalidError(
            "gc removes data, so it must be told what to keep",
            hint="-w (what the workspace uses now), -a, -T, -A (branches, tags, all commits), --rev, --date",
        )
    if scope.n != 1 and not (scope.revs or scope.all_branches):
        raise InvalidError("--num counts commits of --rev or --all-branches", hint="name one of them")


def needed_objects(outs: Iterable[Out], listing: Listing, *, allow_missing: bool = False) -> set[str]:
    """The ids of all objects that the outs need.

    Args:
        outs: Of any place.
        listing: Gives the files of a directory.
        allow_missing: A directory whose files nobody knows needs itself only.

    Raises:
        ConflictError: A directory's listing is not there, so nobody knows what it needs.
        FailedError: A listing is damaged.
    """
    needed: set[str] = set()
    for out in outs:
        if out.content is None or out.content.md5 in needed:
            continue
        needed.add(out.content.md5)
        if not out.content.is_directory or not out.is_cached:
            continue
        if out.versions:
            needed.update(version.md5 for version in out.versions)
            continue
        try:
            needed.update(listing(out.content.md5).values())
        except NotFoundError as error:
            if not allow_missing:
                raise ConflictError(
                    f"the listing of {out.path} ({out.content.md5}) is not in the cache, "
                    "so nobody can tell which objects it needs",
                    hint="bring it there (ever fetch, dvc fetch), or take the loss: --allow-missing",
                ) from error
    return needed


def _listing_reader(workspace: Workspace, store: RemoteStore | None) -> Listing:
    if store is None:
        return workspace.cache.read_directory
    return lambda md5: routes.listing(workspace, store, md5)


def _whole_in(store: RemoteStore, needed: set[str], listing: Listing) -> set[str]:
    """The objects that can be fetched again; a directory's files only together with its listing."""
    there = store.present(needed)
    incomplete: set[str] = set()
    for md5 in needed:
        if md5.endswith(".dir"):
            try:
                files = set(listing(md5).values())
            except NotFoundError:
                # Its loss was allowed; what is left of it stays.
                incomplete.add(md5)
                continue
            if md5 not in there or not files <= there:
                incomplete |= {md5, *files}
    return there - incomplete


def _needed_by_all(
    workspace: Workspace, scope: Scope, listing: Listing, skipped: dict[str, str] | None, *, allow_missing: bool
) -> tuple[set[str], int]:
    needed: set[str] = set()
    n_revisions = 0
    for each in (workspace, *(workspace.open(path) for path in scope.projects)):
        outs = each.outs()
        needed |= needed_objects(outs, listing, allow_missing=allow_missing)
        # A file that is a link into the cache is nowhere else, whatever the records say now.
        needed.update(md5 for out in outs for md5 in each.contents.seen(out.path, anew=True).objects.values())
        revisions = _revisions(each, scope, is_own=each is workspace)
        n_revisions += len(revisions)
        needed |= needed_objects(_outs(each, revisions, skipped), listing, allow_missing=allow_missing)
    return needed, n_revisions


def _revisions(workspace: Workspace, scope: Scope, *, is_own: bool) -> list[Revision]:
    found = workspace.revisions(
        # A revision is a word of this repository; in another one it may mean something else.
        scope.revs if is_own else (),
        n=scope.n,
        all_branches=scope.all_branches,
        all_tags=scope.all_tags,
        all_commits=scope.all_commits,
    )
    # Data that were changed and not added are nowhere else but in an experiment that waits.
    commits = _waiting(workspace)
    if scope.since is not None:
        commits += _since(workspace, scope.since)
    if scope.all_experiments:
        commits += _experiments(workspace)
    known = {revision.commit for revision in found}
    return found + [Revision(commit=commit) for commit in dict.fromkeys(commits) if commit not in known]


def _since(workspace: Workspace, since: datetime) -> list[str]:
    """The commits made then or later, whatever the clocks of those before them said."""
    stamped = (line.split() for line in workspace.git.ask("rev-list", "--all", "--timestamp").splitlines())
    return [commit for made_at, commit in stamped if int(made_at) >= since.timestamp()]


def _experiments(workspace: Workspace) -> list[str]:
    lines = workspace.git.ask("for-each-ref", "--format=%(objectname) %(refname)", _EXPERIMENTS).splitlines()
    return [commit for commit, _, name in (line.partition(" ") for line in lines) if not name.startswith(_SCRATCH)]


def _waiting(workspace: Workspace) -> list[str]:
    """The experiments in the queue; none outside of a repository."""
    if not workspace.git.is_repository():
        return []
    return workspace.git.ask("for-each-ref", "--format=%(objectname)", _QUEUE).split()


def _outs(workspace: Workspace, revisions: Sequence[Revision], skipped: dict[str, str] | None) -> Iterator[Out]:
    """What revisions record; notes in `skipped` what cannot be read, or with None refuses to go on."""
    if not revisions:
        return
    for snapshot in workspace.snapshots(revisions):
        for path, why in snapshot.unreadable.items():
            name = snapshot.revision.names[0] if snapshot.revision.names else snapshot.revision.commit[:12]
            if skipped is not None:
                skipped[f"{name}: {path}"] = why
                continue
            raise InvalidError(
                f"{path} of {name} cannot be read, so nobody can tell which objects it needs: {why}",
                hint="leave that revision out of the scope, or take the loss: --skip-failed",
            )
        yield from snapshot.outs
