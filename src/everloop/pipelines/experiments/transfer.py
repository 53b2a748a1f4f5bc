"""Bring experiments to another Git repository and back: their references, and their data through the remote.

Data go before references: whoever finds an experiment there finds its data, too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import msgspec

from everloop.errors import InvalidError, NotFoundError
from everloop.pipelines.experiments.refs import Experiment
from everloop.pipelines.experiments.selection import Selection, select
from everloop.workspace import Out, Revision, Workspace, gitrefs, runcache
from everloop.workspace import fetch as fetch_verb
from everloop.workspace import push as push_verb
from everloop.workspace.gitrefs import RefOutcome
from everloop.workspace.remote_store import RemoteStore
from everloop.workspace.routes import Transfer, open_store


class Data(msgspec.Struct, frozen=True, kw_only=True):
    """How the data of experiments travel.

    Attributes:
        remote: Its name; None means the default one.
        jobs: Requests at once; None means what suits the remote.
        run_cache: Also the run cache.
    """

    remote: str | None = None
    jobs: int | None = None
    run_cache: bool = False


class Transferred(msgspec.Struct, frozen=True, kw_only=True):
    """What became of the experiments that were meant, by name.

    Attributes:
        diverged: Another experiment of the same name is there; it was left.
        data: What became of the data; None when none were asked for.
    """

    success: tuple[str, ...]
    up_to_date: tuple[str, ...]
    diverged: tuple[str, ...]
    data: Transfer | None = None


def push(
    workspace: Workspace, git_remote: str, wanted: Selection, *, force: bool = False, data: Data | None = None
) -> Transferred:
    """Bring experiments to a Git repository, and their data to a remote.

    Args:
        workspace: Whose.
        git_remote: A Git remote, address or path.
        wanted: Which.
        force: Replace others of the same name there.
        data: How their data travel; None leaves them here.

    Raises:
        NotFoundError: There is no such experiment, or no remote for the data.
        UnavailableError: The repository cannot be reached.
    """
    chosen = select(workspace, wanted)
    moved = None
    if data is not None and chosen:
        moved = _told_how_to_leave(
            lambda: push_verb.push(workspace, _outs(workspace, chosen), remote=data.remote, jobs=data.jobs)
        )
        moved = _with_runs(workspace, moved, runcache.push, data)
    outcomes = gitrefs.push(workspace.git, git_remote, [each.ref for each in chosen], force=force) if chosen else {}
    return _report(chosen, outcomes, moved)


def pull(
    workspace: Workspace, git_remote: str, wanted: Selection, *, force: bool = False, data: Data | None = None
) -> Transferred:
    """Bring experiments from a Git repository, and their data from a remote into the cache.

    Args: as `push`.

    Raises: as `push`.
    """
    chosen = select(workspace, wanted, git_remote)
    if not chosen:
        return _report(chosen, {}, None)
    outcomes = gitrefs.fetch(workspace.git, git_remote, {each.ref: each.commit for each in chosen}, force=force)
    moved = None
    if data is not None:
        there = [each for each in chosen if outcomes[each.ref] is not RefOutcome.DIVERGED]
        moved = _told_how_to_leave(
            lambda: fetch_verb.fetch(workspace, _outs(workspace, there), remote=data.remote, jobs=data.jobs)
        )
        moved = _with_runs(workspace, moved, runcache.fetch, data)
    return _report(chosen, outcomes, moved)


def _outs(workspace: Workspace, chosen: Iterable[Experiment]) -> list[Out]:
    """The data that experiments record, each object once."""
    found: dict[tuple[str, str], Out] = {}
    for snapshot in workspace.snapshots(Revision(commit=each.commit, names=(each.name,)) for each in chosen):
        for message in snapshot.unreadable.values():
            raise InvalidError(message)
        found.update({(out.path, out.content.md5): out for out in snapshot.outs if out.content and out.is_cached})
    return list(found.values())


def _told_how_to_leave(move: Callable[[], Transfer]) -> Transfer:
    try:
        return move()
    except NotFoundError as error:
        raise NotFoundError(
            error.message, hint=f"{error.hint or 'ever remote list'}; without data: --no-cache"
        ) from error


def _with_runs(
    workspace: Workspace, moved: Transfer, move: Callable[[Workspace, RemoteStore], runcache.Moved], data: Data
) -> Transfer:
    if not data.run_cache:
        return moved
    runs, failed = move(workspace, open_store(workspace, data.remote, jobs=data.jobs))
    return msgspec.structs.replace(moved, runs=tuple(runs), failed=(*moved.failed, *failed))


def _report(chosen: list[Experiment], outcomes: dict[str, RefOutcome], data: Transfer | None) -> Transferred:
    def names(outcome: RefOutcome) -> tuple[str, ...]:
        return tuple(each.name for each in chosen if outcomes[each.ref] is outcome)

    return Transferred(
        success=names(RefOutcome.SUCCESS),
        up_to_date=names(RefOutcome.UP_TO_DATE),
        diverged=names(RefOutcome.DIVERGED),
        data=data,
    )
