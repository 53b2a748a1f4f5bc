"""The hub's ASGI application: every room's operations, objects up and down, health and the OpenAPI page."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import Route

from everloop.access import LedgerStore
from everloop.datasets.store import DatasetStore
from everloop.errors import EverloopError, NotFoundError, TooLargeError
from everloop.loop.store import LoopStore
from everloop.monitoring.store import MonitoringStore
from everloop.registry import RegistryStore
from everloop.server.errors import handle_known, handle_unknown, json_response
from everloop.server.operations import openapi, publish
from everloop.server.platform import Platform
from everloop.serving.store import ServingStore
from everloop.tracking import TrackingStore
from everloop.version import __version__

OBJECT_LIMIT_BYTES = 4 << 30

PUBLISHED: tuple[tuple[type, str], ...] = (
    (LedgerStore, "ledger"),
    (TrackingStore, "tracking"),
    (RegistryStore, "registry"),
    (DatasetStore, "datasets"),
    (ServingStore, "serving"),
    (MonitoringStore, "monitoring"),
    (LoopStore, "loop"),
)
"""Every Protocol that the hub speaks, and the room it is found under."""


def hub_app(platform: Platform) -> Starlette:
    """Return the hub over a platform's stores."""
    rooms = platform.rooms
    stores: dict[str, object] = {name: getattr(rooms, name) for _, name in PUBLISHED} | {"loop": platform.loop}
    routes = [route for protocol, room in PUBLISHED for route in publish(protocol, room, stores[room])]
    document = openapi(PUBLISHED, title="Everloop hub", version=__version__)

    async def health(_request: Request) -> Response:
        return json_response({"status": "ok", "version": __version__, "role": "hub", "pid": os.getpid()})

    async def describe(_request: Request) -> Response:
        return json_response(document)

    async def put_object(request: Request) -> Response:
        digest = request.path_params["digest"]
        await _receive(request, platform, digest)
        return json_response({"digest": digest}, 201)

    async def get_object(request: Request) -> Response:
        return FileResponse(_stored(platform, request.path_params["digest"]))

    return Starlette(
        routes=[
            Route("/health", health),
            Route("/api/openapi.json", describe),
            Route("/api/objects/{digest}", put_object, methods=["PUT"]),
            Route("/api/objects/{digest}", get_object, methods=["GET"]),
            *routes,
        ],
        exception_handlers={EverloopError: handle_known, Exception: handle_unknown},
    )


async def _receive(request: Request, platform: Platform, digest: str) -> None:
    """Take an object's bytes to disk as they come; it is stored only when its digest is the one promised."""
    platform.objects.root.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(prefix=".upload-", dir=platform.objects.root) as file:
        size = 0
        async for chunk in request.stream():
            size += len(chunk)
            if size > OBJECT_LIMIT_BYTES:
                raise TooLargeError(f"an object holds at most {OBJECT_LIMIT_BYTES:,} bytes")
            file.write(chunk)
        file.flush()
        path = Path(file.name)

        def store() -> None:
            with path.open("rb") as source:
                platform.objects.put_stream(iter(lambda: source.read(1 << 20), b""), expected=digest)

        await run_in_threadpool(store)


def _stored(platform: Platform, digest: str) -> Path:
    if not platform.objects.has(digest):
        raise NotFoundError(f"no object {digest}")
    return platform.objects.path_of(digest)
