"""How the hub answers: values as JSON, and each error family as its status, in one place."""

from __future__ import annotations

import logging
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from everloop.errors import EverloopError, TooLargeError
from everloop.storage.http import Failure
from everloop.web import status_of

log = logging.getLogger(__name__)


def json_response(value: Any, status: int = 200) -> Response:
    return Response(msgspec.json.encode(value), status, media_type="application/json")


def error_response(error: EverloopError) -> Response:
    """Answer an error of ours: its message, family and hint, under its family's status."""
    return json_response(Failure(error.message, error.family, error.hint), status_of(error))


async def handle_known(_request: Request, error: Exception) -> Response:
    assert isinstance(error, EverloopError)
    return error_response(error)


async def handle_unknown(request: Request, error: Exception) -> Response:
    """The process's edge: what nobody expected is logged whole and answered without its inside."""
    log.error("%s %s failed", request.method, request.url.path, exc_info=error)
    return json_response(Failure(f"{type(error).__name__} inside the hub; its log has the whole story"), 500)


async def read_body(request: Request, limit_bytes: int) -> bytes:
    """Read a request's body.

    Raises:
        TooLargeError: it is (or says it is) longer than `limit_bytes`; no more than that was read.
    """
    too_large = TooLargeError(f"{request.url.path} takes at most {limit_bytes:,} bytes of body")
    if int(request.headers.get("content-length") or 0) > limit_bytes:
        raise too_large
    parts, size = [], 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > limit_bytes:
            raise too_large
        parts.append(chunk)
    return b"".join(parts)
