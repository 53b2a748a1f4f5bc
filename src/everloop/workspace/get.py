"""Bring files and folders here, out of a repository or from an address, whole or not at all.

Leaves records of where they came from to `imports.py`.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

import msgspec

from everloop.errors import ConflictError, DeniedError, FailedError, InvalidError, NotFoundError, UnavailableError
from everloop.workspace import durable, parallel
from everloop.workspace.source import Source
from everloop.workspace.values import Entry

if TYPE_CHECKING:
    from urllib3 import BaseHTTPResponse

_JOBS = 8
_CHUNK_BYTES = 1 << 20
_BUSY = (429, 502, 503, 504)


class Download(msgspec.Struct, frozen=True, kw_only=True):
    """What an HTTP server said of a file: its `ETag` or `Content-MD5` (None when neither), and the bytes that came."""

    checksum: str | None
    size_bytes: int


def get(source: Source, path: str, target: Path, *, force: bool = False, jobs: int = _JOBS) -> int:
    """Bring a file or folder of a repository to a path of this machine.

    Args:
        source: The repository.
        path: What, relative to it.
        target: Where to; nothing is there before all of it has come.
        force: Replace what lies there.
        jobs: How many files to bring at a time.

    Returns:
        The number of files.

    Raises:
        NotFoundError: Nothing is there, or its bytes are nowhere.
        ConflictError: Something lies at the target.
    """
    _refuse_existing(target, force)
    top = source.entry(path)
    files = list(source.files(path))
    aside = _aside(target)
    try:
        if top.is_directory:
            aside.mkdir()
        _fetch_all(source, path, files, aside, jobs)
        _put_in_place(aside, target)
    finally:
        _discard(aside)
    return len(files)


def get_address(address: str, target: Path, *, force: bool = False) -> Download | None:
    """Bring a file from `http(s)://`, or a file or folder of this machine, to a path.

    Returns:
        What the server said; None for a path of this machine.

    Raises:
        NotFoundError: Nothing is there.
        ConflictError: Something lies at the target.
        InvalidError: It is an address of another kind.
        UnavailableError: The server does not answer, or what came is not whole.
    """
    _refuse_existing(target, force)
    aside = _aside(target)
    try:
        said = None
        if is_web(address):
            said = _download(address, aside)
        else:
            _copy(local_path(address), aside)
        _put_in_place(aside, target)
    finally:
        _discard(aside)
    return said


def probe(address: str) -> str | None:
    """The checksum that an HTTP server names for a file now (`ETag` or `Content-MD5`); None when it names none.

    Raises: as `get_address`.
    """
    answer = _request("HEAD", address)
    answer.release_conn()
    return _checksum(answer)


def is_web(address: str) -> bool:
    """Whether it is an address of a web server."""
    return urlsplit(address).scheme in ("http", "https")


def local_path(address: str) -> Path:
    """The path on this machine that an address means.

    Raises:
        InvalidError: It is an address of another kind.
    """
    if "://" not in address:
        return Path(address)
    parts = urlsplit(address)
    if parts.scheme != "file":
        raise InvalidError(
            f"addresses with {parts.scheme}:// are not supported here",
            hint="supported are paths, file:// and http(s)://",
        )
    return Path(unquote(parts.path))


def name_of(address: str) -> str:
    """The name that what lies at an address or path gets here.

    Raises:
        InvalidError: It ends in no name.
    """
    path = unquote(urlsplit(address).path) if is_web(address) else os.fspath(local_path(address))
    name = Path(os.path.normpath(path)).name
    if name in {"", ".", ".."}:
        raise InvalidError(f"{address!r} ends in no name", hint="name the target: -o NAME")
    return name


def _fetch_all(source: Source, path: str, files: list[Entry], aside: Path, jobs: int) -> None:
    def bring(entry: Entry) -> None:
        inner = entry.path[len(path) :].lstrip("/")
        target = aside / inner if inner else aside
        target.parent.mkdir(parents=True, exist_ok=True)
        source.fetch(entry, target)

    # Git's own files come through one process, one after the other.
    for entry in files:
        if entry.md5 is None:
            bring(entry)
    data = (entry for entry in files if entry.md5 is not None)
    for answer in parallel.each(bring, data, jobs=jobs):
        if answer.error is not None:
            raise answer.error


def _refuse_existing(target: Path, force: bool) -> None:
    if os.path.lexists(target) and not force:
        raise ConflictError(f"{target} exists already", hint="name another path, or replace it: --force")


def _aside(target: Path) -> Path:
    target.parent.mkdir(parents=True, exist_ok=True)
    return target.with_name(f".{os.urandom(8).hex()}.tmp")


def _put_in_place(aside: Path, target: Path) -> None:
    durable.sync_all(aside.parent, [path for path in (aside, *aside.rglob("*")) if path.is_file()])
    if not os.path.lexists(target):
        aside.replace(target)
        return
    old = _aside(target)
    target.replace(old)
    aside.replace(target)
    _discard(old)


def _discard(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _copy(source: Path, aside: Path) -> None:
    if not source.exists():
        raise NotFoundError(f"{source} does not exist")
    if source.is_dir():
        shutil.copytree(source, aside)
    else:
        shutil.copy2(source, aside)


def _download(address: str, aside: Path) -> Download:
    import urllib3

    answer = _request("GET", address)
    size_bytes = 0
    with aside.open("xb") as sink:
        try:
            for chunk in answer.stream(_CHUNK_BYTES):
                size_bytes += sink.write(chunk)
        except urllib3.exceptions.HTTPError as error:
            raise UnavailableError(f"{address} did not come whole: {error}", hint="try again") from error
        finally:
            answer.release_conn()
    return Download(checksum=_checksum(answer), size_bytes=size_bytes)


def _request(method: str, address: str) -> BaseHTTPResponse:
    import urllib3

    retries = urllib3.Retry(total=4, backoff_factor=0.5, status_forcelist=_BUSY, raise_on_status=False)
    timeout = urllib3.Timeout(connect=10, read=60)
    # Without it a server may send other bytes than those of the file.
    plain = {"Accept-Encoding": "identity"}
    try:
        answer = urllib3.request(
            method, address, headers=plain, retries=retries, timeout=timeout, preload_content=False
        )
    except urllib3.exceptions.HTTPError as error:
        raise UnavailableError(
            f"{address} does not answer: {error}", hint="check the address and the network"
        ) from error
    if answer.status in (404, 410):
        raise NotFoundError(f"{address} does not exist (the server says {answer.status})")
    if answer.status in (401, 403):
        raise DeniedError(f"the server refuses to give {address} (it says {answer.status})")
    if answer.status >= 500 or answer.status == 429:
        raise UnavailableError(f"{address}: the server says {answer.status}", hint="try again later")
    if answer.status != 200:
        raise FailedError(f"{address}: the server says {answer.status}")
    return answer


def _checksum(answer: BaseHTTPResponse) -> str | None:
    return answer.headers.get("ETag") or answer.headers.get("Content-MD5")
