"""Which remote each out goes to and comes from, and what is reported of the way."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

import msgspec

from everloop.errors import NotFoundError
from everloop.workspace import hashing, remotes
from everloop.workspace.configuration import Configuration
from everloop.workspace.parallel import Patience
from everloop.workspace.remote_store import RemoteStore
from everloop.workspace.values import Content, Out

if TYPE_CHECKING:
    from everloop.workspace.workspace import Workspace


class Failure(msgspec.Struct, frozen=True, kw_only=True):
    """An object that did not arrive.

    Attributes:
        path: Where it belongs in the workspace.
        md5: Its id.
        remote: The remote's name, or where it was imported from.
        reason: Why.
    """

    path: str
    md5: str
    remote: str
    reason: str


class Transfer(msgspec.Struct, frozen=True, kw_only=True):
    """What a push or a fetch did.

    Attributes:
        done: `{id: path}` of the objects that were moved.
        failed: Those that were not; to do the same again goes on where this ended.
        unreadable: `{file: why}` of the records in Git revisions that could not be read and were passed over.
        runs: The entries of the run cache that were moved.
    """

    done: dict[str, str]
    failed: tuple[Failure, ...] = ()
    unreadable: dict[str, str] = {}
    runs: tuple[str, ...] = ()


class Route(msgspec.Struct, frozen=True, kw_only=True):
    """Outs that share a remote.

    Attributes:
        store: The remote's objects.
        outs: All of them cached and with a record.
    """

    store: RemoteStore
    outs: tuple[Out, ...]

    @property
    def directories(self) -> dict[str, Out]:
        """The outs that are directories, by id."""
        return {content.md5: out for out, content in recorded(self.outs) if content.is_directory}

    @property
    def files(self) -> dict[str, str]:
        """The outs that are files: `{id: path}`."""
        return {content.md5: out.path for out, content in recorded(self.outs) if not content.is_directory}


class Journal:
    """Collects what happens on the way, for one report."""

    def __init__(self) -> None:
        self.done: dict[str, str] = {}
        self.failed: list[Failure] = []

    def arrived(self, md5: str, path: str) -> None:
        """One was moved."""
        self.done[md5] = path

    def undo(self, md5: str) -> None:
        """One that was thought to be moved was not."""
        del self.done[md5]

    def fail(self, remote: str, md5: str, path: str, reason: str) -> None:
        """One was not."""
        self.failed.append(Failure(path=path, md5=md5, remote=remote, reason=reason))

    def lost(self, place: str, md5: str, path: str, reason: str) -> None:
        """One did not come from where it was imported."""
        self.failed.append(Failure(path=path, md5=md5, remote=place, reason=reason))

    def forgive(self, out: Out) -> bool:
        """Forget the failures of an out, because there is another way to it; whether there were any."""
        kept = [each for each in self.failed if each.path != out.path and not each.path.startswith(out.path + "/")]
        is_any = len(kept) < len(self.failed)
        self.failed = kept
        return is_any

    def report(self) -> Transfer:
        return Transfer(done=self.done, failed=tuple(self.failed))


def recorded(outs: Iterable[Out]) -> list[tuple[Out, Content]]:
    """The outs that have a record and are cached, with it."""
    return [(out, out.content) for out in outs if out.content is not None and out.is_cached]


def routes(
    workspace: Workspace,
    outs: Iterable[Out],
    *,
    remote: str | None,
    jobs: int | None,
    patience: Patience | None = None,
) -> list[Route]:
    """Sort outs by the remote that they use. Outs without a record, or not cached, are left out.

    Args:
        workspace: Whose.
        outs: An out with a remote of its own goes nowhere else, so one that is not `remote` is left out.
        remote: The name of the remote that is meant; None means the default one.
        jobs: As in `RemoteStore`.
        patience: As in `RemoteStore`.

    Raises:
        NotFoundError: There is no such remote, or one is needed and none is the default.
        InvalidError: The remote is of a kind that is not supported.
    """
    by_remote: dict[str | None, list[Out]] = {}
    for out, _ in recorded(outs):
        if out.remote and remote and out.remote.lower() != remote.lower():
            continue
        by_remote.setdefault(out.remote or remote, []).append(out)
    if remote is not None:
        # A wrong name is an error also when there is nothing to move.
        by_remote.setdefault(remote, [])
    return [
        Route(store=open_store(workspace, name, jobs=jobs, patience=patience), outs=tuple(found))
        for name, found in by_remote.items()
    ]


def open_store(
    workspace: Workspace, name: str | None = None, *, jobs: int | None = None, patience: Patience | None = None
) -> RemoteStore:
    """The objects in a remote; None means the default one.

    Raises:
        NotFoundError: There is no such remote, or none is the default.
        InvalidError: The remote is of a kind that is not supported.
        NotInstalledError: Its kind needs an extra.
    """
    remote = remotes.find(Configuration(workspace.layout.dvc_dir), name)
    return RemoteStore(remote, workspace.layout.scratch_dir / "remotes", jobs=jobs, patience=patience)


def listing(workspace: Workspace, store: RemoteStore, md5: str) -> Mapping[str, str]:
    """The files of a directory, `{relative path: id}`, from the cache or else from the remote; nothing is kept.

    Raises:
        NotFoundError: Neither has it.
    """
    try:
        return workspace.cache.read_directory(md5)
    except NotFoundError:
        return hashing.decode_directory(store.read(md5), f"{store.url}: {md5}", md5)


def present_in_cache(workspace: Workspace, ids: Iterable[str]) -> set[str]:
    """Which objects the cache has. Many are looked up by one listing of each folder."""
    wanted = set(ids)
    return wanted - workspace.cache.absent(wanted)
