"""What every HTTP face of Everloop shares: the guard, the status of each error family, and the server that runs an app.

The hub (`server/`) and the gateway (`serving/`) are strangers to one another; the rules that both keep live here. Until
sign-in exists a face binds to loopback only and answers only requests whose Host (and Origin, when a browser sends one)
is a loopback name, which defeats DNS rebinding and cross-site requests (OWASP, "Cross-Site Request Forgery
Prevention").
"""

from __future__ import annotations

import asyncio
import ipaddress
import math
import signal
import socket
from collections.abc import Awaitable, Callable, MutableMapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import msgspec

from everloop.errors import DeniedError, EverloopError, UnavailableError

if TYPE_CHECKING:
    from granian.server.embed import Server

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

STATUS_BY_FAMILY: dict[str, int] = {
    "error": 500,
    "not_found": 404,
    "conflict": 409,
    "invalid": 400,
    "too_large": 413,
    "denied": 403,
    "unavailable": 503,
    "not_installed": 501,
    "failed": 422,
}


def status_of(error: EverloopError) -> int:
    """Return the HTTP status of an error's family."""
    return STATUS_BY_FAMILY[error.family]


def is_loopback(host: str) -> bool:
    """Say whether a host name or address (no port) is this machine's loopback."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def require_loopback(host: str) -> None:
    """Refuse to bind anywhere but loopback.

    Raises:
        DeniedError: `host` is not a loopback name; there is no sign-in yet that could protect another address.
    """
    if not is_loopback(host):
        raise DeniedError(
            f"asked to listen on {host}, but without sign-in Everloop serves loopback only",
            hint="Use 127.0.0.1, and reach it from elsewhere through an SSH tunnel.",
        )


def _host_of(url: str) -> str:
    try:
        return urlsplit(url).hostname or ""
    except ValueError:  # "http://[::1": not a URL, so nobody's loopback name
        return ""


class LoopbackGuard:
    """ASGI middleware: refuse requests whose Host or Origin is not a loopback name (403, before the body is read)."""

    def __init__(self, app: App) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
            host = headers.get("host", scope.get("server", ("", 0))[0] or "")
            origin = headers.get("origin")
            if not is_loopback(_host_of(f"//{host}")) or (origin and not is_loopback(_host_of(origin))):
                await _refuse(send, f"Host {host!r} or Origin {origin!r} is not a loopback name")
                return
        await self.app(scope, receive, send)


class WholeRequests:
    """ASGI middleware: a request is read to its end before it is answered, or its answer says `Connection: close`.

    A server that answers while the client still sends closes the connection behind the answer; a client that was not
    told sends its next request into it, and loses that (RFC 9112, section 9.6). `app` may answer as early as it likes.
    """

    def __init__(self, app: App) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        size = _size_of_body(scope) if scope["type"] == "http" else 0
        if size == 0:
            await self.app(scope, receive, send)
            return
        is_whole = False

        async def receiving() -> Message:
            nonlocal is_whole
            message = await receive()
            is_whole = message["type"] != "http.request" or not message.get("more_body", False)
            return message

        async def drop() -> None:
            while not is_whole:
                await receiving()

        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start" and not is_whole:
                if size <= UNREAD_LIMIT_BYTES:
                    with suppress(TimeoutError):
                        await asyncio.wait_for(drop(), UNREAD_PATIENCE_S)
                if not is_whole:
                    message = {**message, "headers": [*message.get("headers", ()), (b"connection", b"close")]}
            await send(message)

        await self.app(scope, receiving, sending)


UNREAD_LIMIT_BYTES = 16 << 20
"""The largest request that is read and dropped, when nobody wants it, to keep its connection."""
UNREAD_PATIENCE_S = 2.0
"""How long its rest is waited for: some clients send no more before they see the answer."""


def _size_of_body(scope: Scope) -> float:
    """Return how many bytes a request says it has; infinity when it does not say."""
    for name, value in scope["headers"]:
        if name == b"content-length":
            return int(value) if value.isdigit() else math.inf
        if name == b"transfer-encoding":
            return math.inf
    return 0


async def _refuse(send: Send, message: str) -> None:
    body = msgspec.json.encode({"error": message, "family": "denied"})
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 403, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def require_free_port(host: str, port: int) -> None:
    """Fail early and clearly when the port is taken.

    Raises:
        UnavailableError: another process listens on `host:port`.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise UnavailableError(
                f"asked to listen on {host}:{port}, but it is taken ({error.strerror})",
                hint="Stop the other process, or choose another port with --port.",
            ) from error


def run(app: App, *, host: str, port: int, on_stop: Callable[[], None] | None = None) -> None:
    """Serve `app` on granian in this process until SIGTERM or SIGINT; requests under way are finished first.

    Args:
        app: an ASGI application; the loopback guard is put around it here.
        host: a loopback address.
        port: a TCP port, 1 to 65535.
        on_stop: called after the last request was answered.

    Raises:
        DeniedError: `host` is not loopback.
        UnavailableError: the port is taken.
    """
    require_loopback(host)
    require_free_port(host, port)
    asyncio.run(_serve(app, host, port))
    if on_stop is not None:
        on_stop()


def make_server(app: App, host: str, port: int) -> Server:
    """Return a server of `app` behind the loopback guard; `serve()` runs in the current event loop until `stop()`."""
    # The embedded server runs in this very process: one process to supervise, no orphan on the port after SIGKILL.
    from granian.constants import Interfaces
    from granian.server.embed import Server

    return Server(
        WholeRequests(LoopbackGuard(app)),
        address=host,
        port=port,
        interface=Interfaces.ASGINL,
        websockets=False,
        log_enabled=False,
        backlog=1024,
    )


async def _serve(app: App, host: str, port: int) -> None:
    server = make_server(app, host, port)
    loop = asyncio.get_running_loop()
    for stop in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(stop, server.stop)
    await server.serve()
