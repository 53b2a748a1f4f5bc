"""The HTTP client that every remote call goes through: a connection pool, patience, and errors by family.

Light: urllib3 and msgspec only.
"""

from __future__ import annotations

import time
from typing import Any

import msgspec

from everloop.errors import FAMILIES, EverloopError, UnavailableError

_STARTING = {502, 503, 504}


class Failure(msgspec.Struct, frozen=True):
    """The body of an error answer."""

    error: str
    family: str = "error"
    hint: str | None = None


class HttpClient:
    """Speaks to one server. Thread-safe.

    Args:
        url: the server's root, as `http://127.0.0.1:7300`.
        patience_s: for how long a call that found nobody listening, or a server that was cut off before it answered,
            is tried again. Every operation of Everloop may be repeated safely, because what it makes is named by the
            caller. 0 means once.
        timeout_s: for how long one answer is waited for.
        name: what to call the server in an error ("hub", "gateway").
    """

    def __init__(self, url: str, *, patience_s: float = 0.0, timeout_s: float = 60.0, name: str = "hub") -> None:
        self.url = url.rstrip("/")
        self.name = name
        self.patience_s = patience_s
        # Here, because it takes as long to import as all else of a command that asks no server.
        import urllib3

        self._error = urllib3.exceptions.HTTPError
        self._pool = urllib3.PoolManager(
            maxsize=32, retries=False, timeout=urllib3.Timeout(connect=5.0, read=timeout_s), num_pools=2
        )

    def call(
        self,
        method: str,
        path: str,
        *,
        body: bytes | memoryview | None = None,
        content_type: str = "application/json",
        accept: tuple[int, ...] = (),
    ) -> bytes:
        """Send one request and return the answer's body.

        Args:
            accept: statuses outside 2xx whose body is an answer, not an error.

        Raises:
            UnavailableError: nobody answered within the patience.
            EverloopError: the family that the server named.
        """
        deadline = time.monotonic() + self.patience_s
        pause_s = 0.02
        while True:
            try:
                answer = self._pool.request(
                    method,
                    self.url + path,
                    body=body,  # type: ignore[arg-type]  # it takes a memoryview, and does not say so
                    headers={"content-type": content_type} if body is not None else {},
                )
            except self._error as error:
                failure: EverloopError = self._unreachable(error)
            else:
                if 200 <= answer.status < 300 or answer.status in accept:
                    return answer.data
                failure = self._failure(answer.status, answer.data)
                if answer.status not in _STARTING:
                    raise failure
            if time.monotonic() + pause_s > deadline:
                raise failure
            time.sleep(pause_s)
            pause_s = min(pause_s * 2, 0.5)

    def json(self, method: str, path: str, payload: Any = None, **options: Any) -> Any:
        """Send `payload` as JSON and return the decoded answer."""
        body = None if payload is None else msgspec.json.encode(payload)
        return msgspec.json.decode(self.call(method, path, body=body, **options))

    def _unreachable(self, error: Exception) -> UnavailableError:
        reason = getattr(error, "reason", None) or error
        return UnavailableError(
            f"the {self.name} at {self.url} does not answer ({type(reason).__name__})",
            hint="Start it with `ever up`, or say where it is with EVERLOOP_HUB_URL / EVERLOOP_GATEWAY_URL.",
        )

    def _failure(self, status: int, data: bytes) -> EverloopError:
        try:
            found = msgspec.json.decode(data, type=Failure)
        except (msgspec.DecodeError, msgspec.ValidationError):
            return EverloopError(
                f"the {self.name} at {self.url} answered {status}: {data[:200].decode(errors='replace')}"
            )
        return FAMILIES.get(found.family, EverloopError)(found.error, hint=found.hint)
