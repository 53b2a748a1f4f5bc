"""Addresses of data: what they mean, as text and as values. Nothing here looks anything up.

    data/flights.csv                         a path from the current folder: the file, or else what is recorded of it
    ever://@v1.0//data/flights.csv           the workspace around the current folder, at a revision
    ever://../registry@v1.0//data/x.csv      another repository: a folder, or what `git clone` takes
    ever://https://host/registry.git@main//data/x.csv
    s3://bucket/x.csv, gs://, azure://, http(s)://, file://
    remote://NAME/x.csv                      below a remote of the workspace, with its credentials
    models/NAME@ALIAS/model.skops            a file of a registered model: a version's number, or an alias
    datasets/NAME@latest/BATCH               a batch that the hub accepted; a number means "up to that one"

`ever://REPO@REV//PATH`: the last `//` parts repository and path, `@REV` may be left out; the path is meant from the top
of that workspace. `ever://` before an address without `//` is that address.
"""

from __future__ import annotations

import re
from typing import TypeAlias

import msgspec

from everloop.errors import InvalidError

PROTOCOL = "ever"
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")
_CLOUDS = ("s3", "gs", "azure", "abfs", "abfss")
_SERVERS = ("http", "https", "ssh", "webdav", "webdavs", "hdfs", "webhdfs")
# Whether such a place can be read is for the stores to say.
_FAR = (*_CLOUDS, *_SERVERS, "remote")
_OF_HUB = re.compile(r"(models|datasets)/([^/@]+)@([^/@]+)/(.+)", re.DOTALL)
# What a Git address has before the path of the repository; an @ in it belongs to a user's name.
_AUTHORITY = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^/]*|[^/:@]+@[^/:]+:")


class LocalFile(msgspec.Struct, frozen=True, kw_only=True):
    """A path of this machine; a relative one is meant from the current folder."""

    path: str


class TrackedFile(msgspec.Struct, frozen=True, kw_only=True):
    """A file of a repository, under version or in Git.

    Attributes:
        repo: A folder, or what `git clone` takes; "" is the workspace around the current folder.
        rev: A branch, tag or commit; None means the files as they are (of a Git address: the main branch).
        path: From the top of the workspace there.
    """

    repo: str = ""
    rev: str | None = None
    path: str = ""


class FarFile(msgspec.Struct, frozen=True, kw_only=True):
    """A file of an object store or of a web server."""

    url: str


class ModelFile(msgspec.Struct, frozen=True, kw_only=True):
    """A file of a registered model's package; `version` is a number or an alias."""

    model: str
    version: str
    path: str


class BatchFile(msgspec.Struct, frozen=True, kw_only=True):
    """An accepted batch of a dataset of the hub; `up_to` is a batch's number, or `latest`."""

    dataset: str
    up_to: str
    batch: str


Address: TypeAlias = LocalFile | TrackedFile | FarFile | ModelFile | BatchFile


def parse(address: str) -> Address:
    """What an address means.

    Raises:
        InvalidError: It is none.
    """
    if not address or "\0" in address:
        raise InvalidError(f"an address of data is a path or a URL, found {address!r}")
    scheme = _scheme(address)
    if scheme == PROTOCOL:
        return _parse_own(address)
    if scheme == "file":
        return LocalFile(path=address.removeprefix("file://"))
    if scheme in _FAR:
        return FarFile(url=address)
    if scheme:
        known = ", ".join(f"{name}://" for name in (PROTOCOL, "file", *_FAR))
        raise InvalidError(f"addresses with {scheme}:// are not supported: {address}", hint=f"supported are {known}")
    of_hub = _OF_HUB.fullmatch(address)
    if of_hub is None:
        return LocalFile(path=address)
    kind, name, version, inner = of_hub.groups()
    if kind == "models":
        return ModelFile(model=name, version=version, path=inner)
    return BatchFile(dataset=name, up_to=version, batch=inner)


def _parse_own(address: str) -> Address:
    rest = address[len(PROTOCOL) + 3 :]
    before, parted, path = rest.rpartition("//")
    if not parted:
        return parse(rest)
    if before.endswith(":"):
        raise InvalidError(f"{address} names a repository, but no path in it", hint=f"as {PROTOCOL}://REPO@REV//PATH")
    authority = _AUTHORITY.match(before)
    start = authority.end() if authority else 0
    repo, _, rev = before[start:].partition("@")
    inner = path.strip("/")
    if ".." in inner.split("/"):
        raise InvalidError(f"{address}: the path {inner!r} would lead out of the repository")
    return TrackedFile(repo=before[:start] + repo, rev=rev or None, path=inner)


def _scheme(address: str) -> str:
    found = _SCHEME.match(address)
    return found[1].lower() if found else ""
