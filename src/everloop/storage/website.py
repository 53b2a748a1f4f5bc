"""A bucket that is a folder of a web server, for reading: plain GET and HEAD, which any web server answers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from urllib.parse import quote, urlsplit, urlunsplit

import urllib3

from everloop.errors import DeniedError, EverloopError, FailedError, InvalidError, NotFoundError, UnavailableError
from everloop.storage.bucket import CHUNK_BYTES, Stored, is_key

_PASSING = {408, 425, 429, 500, 502, 503, 504}
_CONNECT_S = 10.0
_READ_S = 60.0


class Website:
    """See `Bucket`. Cannot list, put or delete.

    Args:
        url: Of the folder; a user and a password in it are used and not shown.
        options: `auth` (basic or custom), `user`, `password`, `custom_auth_header`, `ssl_verify`, `connect_timeout`,
            `read_timeout`.

    Raises:
        InvalidError: `auth` is of another kind.
    """

    is_near = False

    def __init__(self, url: str, options: Mapping[str, str]) -> None:
        parts = urlsplit(url)
        host = parts.hostname or ""
        netloc = f"{host}:{parts.port}" if parts.port else host
        self.url = urlunsplit((parts.scheme, netloc, parts.path.rstrip("/"), "", ""))
        verify = options.get("ssl_verify", "true")
        trust: dict[str, str] = {}
        if verify.lower() == "false":
            trust = {"cert_reqs": "CERT_NONE"}
        elif verify.lower() != "true":
            trust = {"ca_certs": verify}
        self._pool = urllib3.PoolManager(
            maxsize=64,
            retries=urllib3.Retry(connect=0, read=0, status=0, other=0, redirect=5),
            timeout=urllib3.Timeout(
                connect=float(options.get("connect_timeout", _CONNECT_S)),
                read=float(options.get("read_timeout", _READ_S)),
            ),
            headers=_headers(options, parts.username, parts.password),
            **trust,  # type: ignore[arg-type]
        )

    def exists(self, key: str) -> bool:
        try:
            answer = self._pool.request("HEAD", self._address(key))
        except urllib3.exceptions.HTTPError as error:
            raise self._unreachable(error) from error
        if answer.status in (404, 410):
            return False
        self._check(answer.status, key)
        return True

    def keys(self, prefix: str) -> Iterator[str]:
        raise InvalidError(f"{self.url} is a web server, which cannot list {prefix}")

    def find(self, key: str) -> Iterator[Stored]:
        try:
            answer = self._pool.request("HEAD", self._address(key))
        except urllib3.exceptions.HTTPError as error:
            raise self._unreachable(error) from error
        if answer.status in (404, 410):
            return
        self._check(answer.status, key)
        length = answer.headers.get("content-length")
        etag = answer.headers.get("etag")
        yield Stored(key=key, size_bytes=int(length) if length else None, etag=etag.strip('"') if etag else None)

    def get(self, key: str, sink: Callable[[bytes], object]) -> None:
        try:
            answer = self._pool.request("GET", self._address(key), preload_content=False)
            try:
                if answer.status in (404, 410):
                    raise NotFoundError(f"{key} is not at {self.url}")
                self._check(answer.status, key)
                try:
                    for chunk in answer.stream(CHUNK_BYTES):
                        sink(chunk)
                except BaseException:
                    # Nobody wants the rest, so it is not read.
                    answer.close()
                    raise
            finally:
                # Reads what is left of a refusal, so that the connection can be used again.
                answer.drain_conn()
                answer.release_conn()
        except urllib3.exceptions.HTTPError as error:
            raise self._unreachable(error) from error

    def put(self, key: str, data: bytes | Iterable[bytes]) -> None:
        raise self._read_only(key, data)

    def flush(self) -> None:
        """Nothing was put."""

    def delete(self, keys: Iterable[str]) -> None:
        raise self._read_only(*keys)

    def _address(self, key: str) -> str:
        if not is_key(key):
            raise InvalidError(f"{key!r} is no key: it would leave {self.url}")
        return f"{self.url}/{quote(key)}"

    def _check(self, status: int, key: str) -> None:
        if status in (401, 403, 407):
            raise DeniedError(
                f"{self.url} refuses {key} with {status}",
                hint="set user and password: ever remote modify --local NAME password ...",
            )
        if not 200 <= status < 300:
            kind = UnavailableError if status in _PASSING else FailedError
            raise kind(f"{self.url} answered {status} for {key}")

    def _unreachable(self, error: Exception) -> UnavailableError:
        reason = getattr(error, "reason", None) or error
        return UnavailableError(f"{self.url} does not answer ({type(reason).__name__})")

    def _read_only(self, *_: object) -> EverloopError:
        return InvalidError(f"{self.url} is a web server, which is only read from", hint="push to another remote")


def _headers(options: Mapping[str, str], user: str | None, password: str | None) -> dict[str, str]:
    auth = options.get("auth", "basic").lower()
    user, password = options.get("user", user), options.get("password", password)
    if auth == "custom":
        name = options.get("custom_auth_header")
        if not name:
            raise InvalidError("auth = custom needs the option custom_auth_header")
        return {name: password or ""}
    if auth != "basic":
        raise InvalidError(f"auth = {auth} is not supported; supported are basic and custom")
    if user is None:
        return {}
    return dict(urllib3.make_headers(basic_auth=f"{user}:{password or ''}"))
