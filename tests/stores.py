"""The platform's stores as a test sees them from one place, and a real server to see them through."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from everloop import web
from everloop.access import LedgerStore
from everloop.registry import RegistryStore
from everloop.server.app import PUBLISHED
from everloop.server.platform import Platform
from everloop.storage import HttpClient, remote
from everloop.tracking import TrackingStore


class Stores:
    """The platform's stores by the name of their room, as they look from one place.

    `kind` is "sqlite", "postgresql" or "remote"; `local` is the platform behind them, whose database a test may look
    into; `client` speaks to the hub, and is None where there is none.
    """

    ledger: LedgerStore
    tracking: TrackingStore
    registry: RegistryStore

    def __init__(self, kind: str, local: Platform, client: HttpClient | None = None) -> None:
        self.kind = kind
        self.local = local
        self.client = client
        for protocol, room in PUBLISHED:
            setattr(self, room, _local(local, room) if client is None else remote(protocol, room, client))

    def __getattr__(self, room: str) -> Any:
        """Reached for a name that is no published room."""
        raise AttributeError(f"{room!r} is not in everloop.server.app.PUBLISHED: {[name for _, name in PUBLISHED]}")


def _local(platform: Platform, room: str) -> object:
    return platform.loop if room == "loop" else getattr(platform.rooms, room)


class LoopbackServer:
    """A real server on a free loopback port, in a thread, whose app is exchanged from test to test."""

    def __init__(self) -> None:
        self.app: web.App = _nothing
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._serve, name="loopback-server")
        self._thread.start()
        HttpClient(self.url, patience_s=30.0).call("GET", "/", accept=(404,))

    async def _dispatch(self, scope: web.Scope, receive: web.Receive, send: web.Send) -> None:
        await self.app(scope, receive, send)

    def _serve(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._server = web.make_server(self._dispatch, "127.0.0.1", self.port)
        self._loop.run_until_complete(self._server.serve())
        self._loop.close()

    @contextmanager
    def serving(self, app: web.App) -> Iterator[str]:
        """Serve `app` for as long as the context lasts; gives the server's URL."""
        self.app = app
        try:
            yield self.url
        finally:
            self.app = _nothing

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._server.stop)
        self._thread.join()


async def _nothing(scope: web.Scope, receive: web.Receive, send: web.Send) -> None:
    await send({"type": "http.response.start", "status": 404, "headers": []})
    await send({"type": "http.response.body", "body": f"no test serves {scope['path']} now".encode()})


def free_port() -> int:
    """Return a TCP port of loopback that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
