"""Open data by address: the bytes as a stream, or a file on this machine that has them."""

from __future__ import annotations

import hashlib
import io
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, BinaryIO

from everloop.data.address import Address, BatchFile, FarFile, LocalFile, ModelFile, TrackedFile, parse
from everloop.errors import InvalidError, NotFoundError, UnavailableError
from everloop.workspace import Source, Workspace, open_source
from everloop.workspace.cache import Cache

if TYPE_CHECKING:
    from everloop.storage.arriving import Fetch

_CHUNK_BYTES = 1 << 20


def open(  # noqa: A001  the word that everybody knows for it
    address: str,
    mode: str = "rb",
    *,
    rev: str | None = None,
    repo: str | None = None,
    remote: str | None = None,
    encoding: str = "utf-8",
) -> IO[bytes] | IO[str]:
    """Open a file by its address, for reading, without a checkout.

    The stream begins before all bytes have come, and can be sought in. Data under version are verified: whoever has
    read all has read what the record says.

    Args:
        address: See `everloop.data.address`.
        mode: `rb` for bytes, `r` or `rt` for text.
        rev: A revision, for a path: that of its workspace, or of `repo`.
        repo: A repository, for a path; the path is meant from its top.
        remote: The name of the repository's remote that has the data; None means its default one.
        encoding: Of text.

    Raises:
        NotFoundError: Nothing is there, or the bytes are nowhere.
        InvalidError: It is no address, a folder, or the mode would write.
        UnavailableError: What would give the bytes does not answer; also from reading.
        FailedError: From reading: the bytes are not those that are recorded.
    """
    if mode not in ("r", "rt", "rb"):
        raise InvalidError(f"data are opened by address for reading (rb, r), found the mode {mode!r}")
    stream = open_bytes(meant(address, rev=rev, repo=repo), remote=remote)
    if mode == "rb":
        return stream
    return io.TextIOWrapper(stream, encoding=encoding)


def meant(address: str, *, rev: str | None = None, repo: str | None = None) -> Address:
    """The address with what stands beside it.

    Raises:
        InvalidError: It has a revision or a repository of its own, or can have none.
    """
    found = parse(address)
    if rev is None and repo is None:
        return found
    if not isinstance(found, LocalFile):
        raise InvalidError(f"{address} is whole by itself: `rev` and `repo` go with a path")
    if repo is not None:
        return TrackedFile(repo=repo, rev=rev, path=found.path.strip("/"))
    workspace = _around(found.path)
    return TrackedFile(repo=str(workspace.root), rev=rev, path=workspace.relative(Path(found.path).absolute()))


def open_bytes(address: Address, *, remote: str | None = None) -> BinaryIO:
    """The bytes of an address; see `open`."""
    there = present(address)
    if there is not None:
        return there.open("rb")
    match address:
        case LocalFile(path=path):
            return _around(path).open_file(Path(path).absolute())
        case TrackedFile():
            with repository(address.repo, address.rev, remote) as source:
                return source.open(address.path)
        case FarFile(url=url):
            from everloop.storage.arriving import arriving

            return arriving(_far(url))
        case ModelFile() | BatchFile():
            from everloop.data.hub import read

            return io.BytesIO(read(address))


def place(address: Address, folder: Path, *, remote: str | None = None) -> Path:
    """A file of this machine with the bytes, for reading only: where they lie, or else one in the folder.

    Raises: as `open`.
    """
    there = present(address)
    if there is not None:
        return there.absolute()
    if isinstance(address, LocalFile):
        workspace = _around(address.path)
        address = TrackedFile(repo=str(workspace.root), path=workspace.relative(Path(address.path).absolute()))
    if isinstance(address, TrackedFile):
        with repository(address.repo, address.rev, remote) as source:
            return source.place(address.path, folder)
    target = folder / hashlib.sha256(repr(address).encode()).hexdigest()
    with open_bytes(address) as stream, target.open("wb") as sink:
        shutil.copyfileobj(stream, sink)
    return target


def present(address: Address) -> Path | None:
    """The file that an address without a revision means, if it lies there: as it is now, recorded or not."""
    if isinstance(address, LocalFile):
        path = Path(address.path)
    elif isinstance(address, TrackedFile) and address.rev is None:
        path = (Path(address.repo) if address.repo else Workspace.open().root) / address.path
    else:
        return None
    return path if path.is_file() else None


@contextmanager
def repository(repo: str, rev: str | None, remote: str | None = None) -> Iterator[Source]:
    """The repository that an address means, with the cache of the workspace around the current folder, if there is one.

    Raises: as `open_source`.
    """
    caches: list[Cache] = []
    try:
        here = Workspace.open()
    except NotFoundError:
        if not repo:
            raise
    else:
        caches.append(here.cache)
        repo = repo or str(here.root)
    with open_source(repo, rev, caches=caches, remote=remote) as source:
        yield source


def _around(path: str) -> Workspace:
    """The workspace that a path lies in."""
    absolute = Path(path).absolute()
    there = next(folder for folder in absolute.parents if folder.is_dir())
    try:
        return Workspace.open(there)
    except NotFoundError as error:
        raise NotFoundError(f"{absolute} does not exist, and is under version nowhere") from error


def _far(url: str) -> Fetch:
    if url.startswith(("http://", "https://")):
        return lambda sink: _read_web(url, sink)
    from everloop.storage.bucket import open_bucket

    if url.startswith("remote://"):
        from everloop.workspace import remotes
        from everloop.workspace.configuration import Configuration

        name, _, key = url.removeprefix("remote://").partition("/")
        found = remotes.find(Configuration(Workspace.open().layout.dvc_dir), name)
        bucket = open_bucket(found.url, found.options)
    else:
        base, _, key = url.rpartition("/")
        # The library takes all else from the environment, but not that a server without TLS is meant.
        endpoint = os.environ.get("AWS_ENDPOINT_URL") if url.startswith("s3://") else None
        bucket = open_bucket(base, {"endpointurl": endpoint} if endpoint else {})
    return lambda sink: bucket.get(key, sink)


def _read_web(url: str, sink: Callable[[bytes], object]) -> None:
    import urllib3

    from everloop.workspace import website

    answer = website.request("GET", url)
    try:
        for chunk in answer.stream(_CHUNK_BYTES):
            sink(chunk)
    except urllib3.exceptions.HTTPError as error:
        raise UnavailableError(f"{url} did not come whole: {error}", hint="try again") from error
    finally:
        # Whoever has enough leaves the rest where it is.
        answer.close()
