"""The hub's ASGI application: every room's operations, objects up and down, health and the OpenAPI page."""

from __future__ import annotations

import os
from pathlib import Path

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import Route

from everloop.access import LedgerStore
from everloop.datasets.store import DatasetStore
from everloop.errors import EverloopError, NotFoundError
from everloop.loop.store import LoopStore
from everloop.monitoring.store import MonitoringStore
from everloop.registry import RegistryStore
from everloop.server.errors import handle_known, handle_unknown, json_response
from everloop.server.mlflow.routes import mlflow_routes
from everloop.server.mlflow.sources import Rooms
from everloop.server.operations import openapi, publish
from everloop.server.platform import Platform
from everloop.server.uploads import receive
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
        await receive(request, platform.objects, OBJECT_LIMIT_BYTES, digest)
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
            *mlflow_routes(Rooms(rooms.tracking, rooms.registry), platform.objects),
        ],
        exception_handlers={EverloopError: handle_known, Exception: handle_unknown},
    )


def _stored(platform: Platform, digest: str) -> Path:
    if not platform.objects.has(digest):
        raise NotFoundError(f"no object {digest}")
    return platform.objects.path_of(digest)
