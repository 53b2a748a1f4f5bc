"""Buckets: bytes by key at a URL, wherever that is. The way to remotes of data.

A bucket knows no hashes: what is put and what is got is checked by those who know what a key promises. `open_bucket`
finds the kind by the URL; each kind has a file of its own, and the heavy one is loaded when it is used.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Protocol, runtime_checkable
from urllib.parse import urlsplit

import msgspec

from everloop.errors import InvalidError

CHUNK_BYTES = 1 << 20
_CLOUD_SCHEMES = ("s3", "gs", "azure", "abfs", "abfss")
_SERVER_SCHEMES = ("ssh", "webdav", "webdavs", "hdfs", "webhdfs")


class Stored(msgspec.Struct, frozen=True, kw_only=True):
    """What a bucket says of an object, unasked for its bytes.

    Attributes:
        key: Where it lies.
        size_bytes: None when the server does not tell.
        etag: The server's own mark of the content, without quotes; None when it has none.
        version_id: By which the bucket keeps it when another one takes its place; None when it was not asked for, or
            the bucket keeps no versions.
    """

    key: str
    size_bytes: int | None = None
    etag: str | None = None
    version_id: str | None = None


class Bucket(Protocol):
    """Bytes by key. A key is a relative path with `/`, never with an empty part, `.` or `..`.

    Thread-safe, except that `flush` waits until no `put` is under way. Of two that put one key, one wins whole.

    All verbs raise UnavailableError when trying again may help (nobody answers, the network breaks, the server is
    busy), DeniedError when the credentials do not suffice, and FailedError for what will not change by itself.
    """

    @property
    def url(self) -> str:
        """Where it is, for messages; without secrets."""
        ...

    @property
    def is_near(self) -> bool:
        """A question costs microseconds: the bucket is a folder of this machine."""
        ...

    def exists(self, key: str) -> bool:
        """Whether there are bytes under the key."""
        ...

    def keys(self, prefix: str) -> Iterator[str]:
        """All keys below a prefix that is empty or ends with `/`, in no order; none when there is no such prefix.

        Raises:
            InvalidError: The bucket cannot list (plain HTTP).
        """
        ...

    def find(self, key: str) -> Iterator[Stored]:
        """The object under the key, or else all objects below the folder of that name; "" is the whole bucket."""
        ...

    def get(self, key: str, sink: Callable[[bytes], object]) -> None:
        """Hand the bytes under a key to the sink, chunk by chunk. After an error the sink may have had some of them.

        Raises:
            NotFoundError: There are none.
        """
        ...

    def put(self, key: str, data: bytes | Iterable[bytes]) -> None:
        """Put bytes under a key, all or none: an error of `data` itself leaves the key as it was.

        They are there for everyone and durable when `flush` has returned, and maybe before.
        """
        ...

    def flush(self) -> None:
        """Wait until all that was put is there for everyone, and durable."""
        ...

    def delete(self, keys: Iterable[str]) -> None:
        """Remove keys; one that is not there is passed over."""
        ...


@runtime_checkable
class VersionedBucket(Bucket, Protocol):
    """A bucket that may keep what was under a key before, by an id that it gives each version."""

    def get_version(self, key: str, version_id: str | None, sink: Callable[[bytes], object]) -> Stored:
        """As `get`, in a version; None means the newest one. Returns what came, with its version.

        Raises:
            NotFoundError: There is no such key, or no such version of it.
        """
        ...

    def head_version(self, key: str, version_id: str | None) -> Stored:
        """What `get_version` would hand out, without its bytes.

        Raises: as `get_version`.
        """
        ...


def open_bucket(url: str, options: Mapping[str, str]) -> Bucket:
    """The bucket at a URL. Nothing is asked of it yet.

    Args:
        url: A path, or `file://`, `s3://`, `gs://`, `azure://`, `http://`, `https://`, `ssh://`, `webdav://`,
            `webdavs://`, `hdfs://`, `webhdfs://` and what follows.
        options: By DVC's names for them: `endpointurl`, `region`, `access_key_id`, `user`, ...

    Raises:
        InvalidError: There are no buckets of that kind, or an option is not supported.
        NotInstalledError: The kind needs an extra.
    """
    parts = urlsplit(url)
    scheme = parts.scheme if parts.netloc or parts.scheme == "file" else ""
    if scheme in ("", "file"):
        from everloop.storage.folder import Folder

        return Folder(Path(parts.path if scheme else url))
    if scheme in ("http", "https"):
        from everloop.storage.website import Website

        return Website(url, options)
    if scheme in _CLOUD_SCHEMES:
        from everloop.storage.cloud import Cloud

        return Cloud(url, options)
    if scheme in _SERVER_SCHEMES:
        return _file_server(scheme, url, options)
    raise InvalidError(
        f"remotes at {scheme}:// are not supported; found {parts.scheme}://{parts.hostname}",
        hint="supported are paths, http(s):// for reading and "
        + ", ".join(f"{name}://" for name in (*_CLOUD_SCHEMES, *_SERVER_SCHEMES)),
    )


def _file_server(scheme: str, url: str, options: Mapping[str, str]) -> Bucket:
    from everloop.storage.filesystem import Filesystem

    if scheme == "ssh":
        from everloop.storage.ssh import Ssh

        return Filesystem(Ssh(url, options))
    if scheme.startswith("webdav"):
        from everloop.storage.webdav import Webdav

        return Filesystem(Webdav(url, options))
    from everloop.storage.hadoop import Hadoop

    return Filesystem(Hadoop(url, options))


def is_key(key: str) -> bool:
    """Whether the text can be a key: it never leads out of the bucket."""
    return bool(key) and "\0" not in key and not any(part in ("", ".", "..") for part in key.split("/"))


def chunks_of(data: bytes | Iterable[bytes]) -> Iterable[bytes]:
    """The bytes as chunks, in either form."""
    return (data,) if isinstance(data, bytes) else data
