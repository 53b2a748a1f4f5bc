"""Data outside of repositories: at an address of a web server, a cloud or a file server, or on this machine.

Tells what lies there and hands out its bytes. Leaves where they go to `get.py`, `take.py` and `toremote.py`, and plain
HTTP to `website.py`.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import unquote, urlsplit

import msgspec

from everloop.errors import FailedError, InvalidError, NotFoundError
from everloop.workspace import options, remotes, walk
from everloop.workspace.configuration import Configuration
from everloop.workspace.parallel import Patience
from everloop.workspace.website import checksum_of, request, stream

if TYPE_CHECKING:
    from everloop.storage.bucket import Bucket, Stored
    from everloop.workspace.ignore import IgnoreRules

Sink = Callable[[bytes], object]
# Whose `etag` DVC takes for a file's content; of the others it wants the MD5.
_TOLD_BY_ETAG = ("s3", "gs", "azure", "abfs", "abfss", "webdav", "webdavs")


class OriginFile(msgspec.Struct, frozen=True, kw_only=True):
    """A file at an address.

    Attributes:
        name: Below the address; "" is what lies at the address itself.
        size_bytes: None when nobody tells before the bytes come.
    """

    name: str
    size_bytes: int | None = None
    is_executable: bool = False


class Pins(msgspec.Struct, frozen=True, kw_only=True):
    """Says that each file at an address is read in one version, of those that its bucket keeps.

    Attributes:
        wanted: The version of each file by its name, None where only the newest has no id; None means the newest ones
            of whatever files there are.
        recorded: What a record says of files: `{"relpath": ..., "etag": ..., "version_id": ...}`. Who still has that
            etag need not be asked for its version.
    """

    wanted: Mapping[str, str | None] | None = None
    recorded: Sequence[Mapping[str, Any]] = ()


class Origin(Protocol):
    """What lies at an address. Thread-safe, but for the first look.

    Attributes:
        address: As it was asked for.
        is_here: It lies on this machine, so reading it twice costs little.
        patience: With reads that fail.
    """

    address: str
    is_here: bool
    patience: Patience

    def files(self) -> list[OriginFile]:
        """All files; one of the name "" when it is no folder.

        Raises:
            NotFoundError: Nothing is there.
        """
        ...

    def read(self, name: str, sink: Sink) -> None:
        """Hand the bytes of a file to the sink; after an error it may have had some of them.

        Raises:
            NotFoundError: It is not there any more.
            UnavailableError: It does not come (whole) now.
        """
        ...

    def mark(self) -> dict[str, Any] | None:
        """What a record says of the address, when that can be told without its bytes: a checksum of the server's own.

        None means that only the hash of the bytes tells.
        """
        ...


def open_origin(
    address: str,
    configuration: Configuration,
    *,
    fs_config: Mapping[str, str] | None = None,
    ignore: IgnoreRules | None = None,
    pins: Pins | None = None,
) -> Origin:
    """What lies at an address. Nothing is asked of it yet.

    Args:
        address: A path, or `file://`, `http(s)://`, `s3://`, `ssh://`... and what follows; `remote://NAME/path` is
            below a remote, reached with its options.
        configuration: Knows the remotes.
        fs_config: Options for the address, by DVC's names, as those of a remote.
        ignore: What to pass over of a folder of this machine.
        pins: The versions to read, when the record names some.

    Raises:
        InvalidError: There are no addresses of that kind, or an option is not known.
        NotFoundError: There is no such remote.
        NotInstalledError: The kind needs an extra.
    """
    scheme = options.scheme_of(address)
    known = dict(fs_config or {})
    where = address
    if scheme == "remote":
        remote = remotes.below(configuration, address)
        where, known = remote.url, {**remote.options, **known}
        scheme = options.scheme_of(where)
    for option, value in (fs_config or {}).items():
        options.check("remote.the address", option, value, where)
    of_bucket = {key: value for key, value in known.items() if key != "url"}
    if pins is not None:
        # Here, because its room loads the HTTP client, which costs as much as all other imports of a command.
        from everloop.workspace.versionedorigin import VersionedOrigin

        return VersionedOrigin(address, where, of_bucket, pins)
    if not scheme:
        return LocalOrigin(address, local_path(where), ignore)
    return WebOrigin(where) if is_web(where) and not known else BucketOrigin(address, where, of_bucket)


class LocalOrigin:
    """A file or folder of this machine; see `Origin`."""

    is_here = True
    patience = Patience(attempts=1)

    def __init__(self, address: str, path: Path, ignore: IgnoreRules | None) -> None:
        self.address = address
        self._path = path
        self._ignore = ignore

    def files(self) -> list[OriginFile]:
        if not self._path.exists():
            raise NotFoundError(f"{self._path} does not exist")
        if not self._path.is_dir():
            found = self._path.stat()
            return [OriginFile(name="", size_bytes=found.st_size, is_executable=bool(found.st_mode & 0o111))]
        assert self._ignore is not None
        below = walk.data_files(self._path.parent, self._path.name, self._ignore)
        return [OriginFile(name=name, size_bytes=found.st_size) for name, found in below]

    def read(self, name: str, sink: Sink) -> None:
        try:
            with (self._path / name if name else self._path).open("rb") as source:
                while chunk := source.read(1 << 20):
                    sink(chunk)
        except OSError as error:
            raise FailedError(f"{self._path}: {name} cannot be read: {error.strerror or error}") from error

    def mark(self) -> dict[str, Any] | None:
        return None


class WebOrigin:
    """A file of a web server; see `Origin`."""

    is_here = False
    # A busy server is asked again by each request itself.
    patience = Patience(attempts=2)

    def __init__(self, address: str) -> None:
        self.address = address
        self._mark: dict[str, Any] | None = None

    def files(self) -> list[OriginFile]:
        # Not asked for: a server that gives a file may still refuse to tell its size.
        return [OriginFile(name="")]

    def read(self, name: str, sink: Sink) -> None:
        assert not name
        checksum, size_bytes = stream(self.address, sink)
        self._mark = _web_mark(checksum, size_bytes)

    def mark(self) -> dict[str, Any]:
        """What the server said with the bytes, or else what it says now."""
        if self._mark is not None:
            return self._mark
        answer = request("HEAD", self.address)
        answer.release_conn()
        length = answer.headers.get("Content-Length")
        return _web_mark(checksum_of(answer), int(length) if length else None)


class BucketOrigin:
    """What lies in a cloud or on a file server; see `Origin`."""

    is_here = False
    patience = Patience()

    def __init__(self, address: str, url: str, known: Mapping[str, str]) -> None:
        # Here, because its room loads the HTTP client, which costs as much as all other imports of a command.
        from everloop.storage.bucket import open_bucket

        self.address = address
        parts = urlsplit(url)
        self._scheme = parts.scheme
        self._key = parts.path.strip("/")
        self._bucket: Bucket = open_bucket(f"{parts.scheme}://{parts.netloc}/", known)

    @cached_property
    def _found(self) -> list[Stored]:
        return found_files(self._bucket, self._key, self.address)

    def files(self) -> list[OriginFile]:
        return [OriginFile(name=self._name(stored), size_bytes=stored.size_bytes) for stored in self._found]

    def read(self, name: str, sink: Sink) -> None:
        self._bucket.get("/".join(part for part in (self._key, name) if part), sink)

    def mark(self) -> dict[str, Any] | None:
        etags = {self._name(stored): stored.etag for stored in self._found}
        if self._scheme not in _TOLD_BY_ETAG or None in etags.values():
            return None
        size = sum(stored.size_bytes or 0 for stored in self._found)
        if "" in etags:
            return {"etag": etags[""], "size": size, "hash": "md5"}
        # As dvc-data makes one hash of the etags of a folder (`_build_external_tree_info`).
        listed = [{"etag": etags[name], "relpath": name} for name in sorted(etags)]
        md5 = hashlib.md5(json.dumps(listed, sort_keys=True).encode(), usedforsecurity=False).hexdigest()
        return {"md5": f"{md5}.dir", "size": size, "nfiles": len(etags), "hash": "md5"}

    def _name(self, stored: Stored) -> str:
        return name_below(self._key, stored.key, self.address)


def found_files(bucket: Bucket, key: str, address: str) -> list[Stored]:
    """The object of a key, or those below it, sorted by key.

    Raises:
        NotFoundError: There are none.
    """
    found = sorted(bucket.find(key), key=lambda stored: stored.key)
    folders = {parent.as_posix() for stored in found for parent in PurePosixPath(stored.key).parents}
    # Some tools make an empty object for a folder.
    found = [stored for stored in found if stored.size_bytes or stored.key not in folders]
    if not found:
        raise NotFoundError(f"there is nothing at {address}")
    return found


def name_below(key: str, found: str, address: str) -> str:
    """The name of an object below a key; "" is the key's own.

    Raises:
        InvalidError: It would lead out of a folder.
    """
    name = found[len(key) :].lstrip("/")
    if any(part in (".", "..") for part in name.split("/")):
        raise InvalidError(f"{address} has an object of the name {name!r}, which leads out of a folder")
    return name


def is_web(address: str) -> bool:
    """Whether it is an address of a web server."""
    return urlsplit(address).scheme in ("http", "https")


def is_local(address: str) -> bool:
    """Whether it is a path of this machine."""
    return "://" not in address or urlsplit(address).scheme == "file"


def local_path(address: str) -> Path:
    """The path on this machine that an address means.

    Raises:
        InvalidError: It is an address of another kind.
    """
    if "://" not in address:
        return Path(address)
    parts = urlsplit(address)
    if parts.scheme != "file":
        raise InvalidError(f"{address} is no path of this machine")
    return Path(unquote(parts.path))


def name_of(address: str) -> str:
    """The name that what lies at an address or path gets here.

    Raises:
        InvalidError: It ends in no name.
    """
    if is_local(address):
        path = os.fspath(local_path(address))
    else:
        path = unquote(urlsplit(address).path) if is_web(address) else urlsplit(address).path
    name = Path(os.path.normpath(path)).name
    if name in {"", ".", ".."}:
        raise InvalidError(f"{address!r} ends in no name", hint="name the target: -o NAME")
    return name


def _web_mark(checksum: str | None, size_bytes: int | None) -> dict[str, Any]:
    return {
        **({} if checksum is None else {"checksum": checksum}),
        **({} if size_bytes is None else {"size": size_bytes}),
        "hash": "md5",
    }
