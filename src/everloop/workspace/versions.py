"""Data in cloud-versioned remotes: at their natural paths, where the bucket keeps older versions by an id of its own.

Source: dvc 3.67 (`repo/worktree.py`, `output.py`): `version_aware` and `worktree` remotes. Read only: a push there
would have to write the new version ids back into the records, so it is left to DVC.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from everloop import progress
from everloop.errors import FailedError, InvalidError, NotFoundError
from everloop.workspace import hashing, parallel, remotes
from everloop.workspace.configuration import Configuration
from everloop.workspace.parallel import Patience
from everloop.workspace.remote_store import WrongBytesError
from everloop.workspace.remotes import Remote
from everloop.workspace.values import Out

if TYPE_CHECKING:
    from everloop.storage.bucket import VersionedBucket
    from everloop.workspace.incoming import Incoming
    from everloop.workspace.routes import Journal
    from everloop.workspace.workspace import Workspace

_JOBS = 16


class Versioned(msgspec.Struct, frozen=True, kw_only=True):
    """Outs that a cloud-versioned remote has.

    Attributes:
        remote: The remote.
        outs: Those that go there, recorded and cached.
        is_asked: The command means this remote; otherwise its outs name it for themselves.
    """

    remote: Remote
    outs: tuple[Out, ...]
    is_asked: bool

    @property
    def unpushed(self) -> list[Out]:
        """The outs of which the record names no version there."""
        return [out for out in self.outs if not _is_whole(out, self.remote.name)]


class Wanted(NamedTuple):
    """A file of a remote: the path that it has there and in the workspace, its hash, its version."""

    path: str
    md5: str
    version_id: str | None


def keeps_versions(remote: Remote) -> bool:
    """Whether the remote is cloud-versioned."""
    return any(remote.options.get(option, "false").lower() == "true" for option in ("version_aware", "worktree"))


def split(workspace: Workspace, outs: Iterable[Out], remote: str | None) -> tuple[list[Out], list[Versioned]]:
    """Tell the outs of cloud-versioned remotes from the others. Those that go to another remote are in neither.

    Args:
        workspace: Whose.
        outs: As the words of a command mean them.
        remote: The remote that the command names; None means the default one.
    """
    plain: list[Out] = []
    by_name: dict[str | None, list[Out]] = {}
    if remote is not None:
        by_name[remote] = []
    for out in outs:
        if not (out.remote and remote and out.remote.lower() != remote.lower()):
            by_name.setdefault(out.remote or remote, []).append(out)
    versioned: list[Versioned] = []
    known = Configuration(workspace.layout.dvc_dir)
    for name, group in by_name.items():
        try:
            found = remotes.find(known, name)
        except NotFoundError:
            # It is an error only for those who need the remote.
            plain += group
            continue
        if not keeps_versions(found):
            plain += group
            continue
        kept = tuple(out for out in group if out.is_cached and out.content is not None)
        versioned.append(Versioned(remote=found, outs=kept, is_asked=name in (None, remote)))
    return plain, versioned


def without_others(workspace: Workspace, outs: Iterable[Out], remote: str | None) -> list[Out]:
    """Leave out what goes to a cloud-versioned remote that the command does not mean: its state cannot be asked."""
    plain, versioned = split(workspace, outs, remote)
    return plain + [out for group in versioned if group.is_asked for out in group.outs]


def fetch(
    workspace: Workspace, versioned: Versioned, journal: Journal, *, jobs: int | None, patience: Patience | None
) -> None:
    """Bring what the cache lacks, each file in the version that its record names; listings are made of the records."""
    name = versioned.remote.name
    if not versioned.outs:
        return
    for out in versioned.unpushed:
        if out.is_pushed and out.content is not None and workspace.cache.missing(out.content.md5):
            journal.fail(name, out.content.md5, out.path, f"its record names no version in {name}")
    files = {item.md5: item for out in versioned.outs for item in wanted(out, name)}
    absent = workspace.cache.absent(files)
    with workspace.cache.incoming() as incoming, progress.phase("fetching", len(absent)) as phase:
        bring = partial(_bring, open_bucket(versioned.remote), incoming)
        items = [files[md5] for md5 in sorted(absent)]
        for done in parallel.each(bring, items, jobs=jobs or _JOBS, patience=patience or Patience()):
            item = done.item
            if phase is not None:
                phase.did(1)
            if done.result is not None:
                incoming.adopt(done.result, item.md5, done.result.stat().st_size)
                journal.arrived(item.md5, item.path)
                absent.discard(item.md5)
            elif done.error is not None:
                journal.fail(name, item.md5, item.path, done.error.message)
        for out in versioned.outs:
            _keep_listing(workspace, incoming, out, absent)


def parts(out: Out, inner: str) -> list[Out]:
    """Files of a directory as outs of their own: one, or those of a folder in it."""
    found = [version for version in out.versions if version.path == inner or version.path.startswith(inner + "/")]
    return [
        msgspec.structs.replace(
            out,
            path=f"{out.path}/{version.path}",
            content=msgspec.structs.replace(out.content, md5=version.md5, size_bytes=version.size_bytes, n_files=None)
            if out.content is not None
            else None,
            versions=(msgspec.structs.replace(version, path=""),),
        )
        for version in found
    ]


def _is_whole(out: Out, remote: str) -> bool:
    return bool(out.versions) and all(remote in version.ids for version in out.versions)


def wanted(out: Out, remote: str) -> list[Wanted]:
    """The files of an out that a remote of that name has."""
    found = [(version, f"{out.path}/{version.path}" if version.path else out.path) for version in out.versions]
    return [Wanted(path, version.md5, version.ids[remote]) for version, path in found if remote in version.ids]


def open_bucket(remote: Remote) -> VersionedBucket:
    """The bucket of a cloud-versioned remote.

    Raises:
        InvalidError: It is none that could keep versions.
    """
    from everloop.storage import bucket as buckets

    bucket = buckets.open_bucket(remote.url, remote.options)
    if not isinstance(bucket, buckets.VersionedBucket):
        raise InvalidError(f"remote {remote.name}: {bucket.url} keeps no versions, so it cannot be version_aware")
    return bucket


def _bring(bucket: VersionedBucket, incoming: Incoming, item: Wanted) -> Path:
    aside = incoming.reserve()
    get(bucket, item, aside)
    return aside


def get(bucket: VersionedBucket, item: Wanted, aside: Path) -> None:
    """Bring one file, verified, to a new path. After an error there is none.

    Raises:
        NotFoundError: There is no such key, or no such version of it.
        UnavailableError: It did not come whole, or with other bytes than its record promises.
        FailedError: The file cannot be written.
    """
    digest = hashing.digest(item.md5)
    try:
        with aside.open("xb", buffering=0) as sink:

            def both(chunk: bytes) -> None:
                digest.update(chunk)
                hashing.write_all(sink.fileno(), chunk)

            bucket.get_version(item.path, item.version_id, both)
    except OSError as error:
        aside.unlink(missing_ok=True)
        raise FailedError(f"{item.path} cannot be written to {aside}: {error.strerror or error}") from error
    except BaseException:
        aside.unlink(missing_ok=True)
        raise
    if digest.hexdigest() != item.md5:
        aside.unlink()
        raise WrongBytesError(f"{bucket.url}: {item.path} came with other bytes than its record promises")


def _keep_listing(workspace: Workspace, incoming: Incoming, out: Out, absent: set[str]) -> None:
    """Make the listing of a directory of its record, when all of its files have come."""
    files = {version.path: version.md5 for version in out.versions}
    if out.content is None or not out.content.is_directory or not files or not absent.isdisjoint(files.values()):
        return
    incoming.flush()
    if not workspace.cache.has(out.content.md5) and not workspace.cache.absent(files.values()):
        incoming.add_directory(files)
