"""Files of plain web servers: ask for one, and hand out its bytes."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from everloop.errors import DeniedError, FailedError, NotFoundError, UnavailableError

if TYPE_CHECKING:
    from urllib3 import BaseHTTPResponse

_CHUNK_BYTES = 1 << 20
_BUSY = (429, 502, 503, 504)


def stream(address: str, sink: Callable[[bytes], object]) -> tuple[str | None, int]:
    """Hand the bytes at an address to the sink; what `checksum_of` says of them, and how many came.

    Raises: as `request`.
    """
    import urllib3

    answer = request("GET", address)
    size_bytes = 0
    try:
        for chunk in answer.stream(_CHUNK_BYTES):
            sink(chunk)
            size_bytes += len(chunk)
    except urllib3.exceptions.HTTPError as error:
        answer.close()
        raise UnavailableError(f"{address} did not come whole: {error}", hint="try again") from error
    finally:
        answer.release_conn()
    return checksum_of(answer), size_bytes


def request(method: str, address: str) -> BaseHTTPResponse:
    """Ask a web server for a file; what it answers is not read yet.

    Raises:
        NotFoundError: Nothing is there.
        DeniedError: The server refuses.
        UnavailableError: It does not answer, or is overloaded.
        FailedError: It says something else.
    """
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
    if answer.status != 200:
        answer.close()
    if answer.status in (404, 410):
        raise NotFoundError(f"{address} does not exist (the server says {answer.status})")
    if answer.status in (401, 403):
        raise DeniedError(f"the server refuses to give {address} (it says {answer.status})")
    if answer.status >= 500 or answer.status == 429:
        raise UnavailableError(f"{address}: the server says {answer.status}", hint="try again later")
    if answer.status != 200:
        raise FailedError(f"{address}: the server says {answer.status}")
    return answer


def checksum_of(answer: BaseHTTPResponse) -> str | None:
    """The server's own mark of a file's content; None when it names none."""
    return answer.headers.get("ETag") or answer.headers.get("Content-MD5")
