"""Publishing a room's store Protocol over HTTP: one POST route an operation, and its OpenAPI description.

`POST /api/<room>/<operation>` takes the arguments as a JSON object and answers the result as JSON; errors are
`{"error", "family", "hint"}` with the family's status. No route is written by hand here.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from everloop.errors import InvalidError
from everloop.server.errors import error_response, json_response, read_body
from everloop.storage.operation import Operation, operations_of

BODY_LIMIT_BYTES = 8 << 20


def publish(protocol: type, room: str, store: object) -> list[Route]:
    """Return the routes that call `store` for every operation of `protocol`."""
    return [_route(each, store) for each in operations_of(protocol, room)]


def _route(each: Operation, store: object) -> Route:
    decoder = msgspec.json.Decoder(each.request)
    method = getattr(store, each.name)

    async def handle(request: Request) -> Response:
        body = await read_body(request, BODY_LIMIT_BYTES)
        try:
            arguments = decoder.decode(body or b"{}")
        except (msgspec.DecodeError, msgspec.ValidationError, UnicodeDecodeError) as error:
            wanted = ", ".join(each.request.__struct_fields__) or "none"
            return error_response(InvalidError(f"{each.path}: {error}", hint=f"Its fields: {wanted}."))
        given = {name: getattr(arguments, name) for name in each.request.__struct_fields__}
        # The stores are synchronous and wait for the disk: off the event loop with them.
        return json_response(await run_in_threadpool(method, **given))

    return Route(each.path, handle, methods=["POST"], name=f"{each.room}.{each.name}")


def openapi(published: Iterable[tuple[type, str]], *, title: str, version: str) -> dict[str, Any]:
    """Return the OpenAPI 3.1 description of every published Protocol."""
    operations = [each for protocol, room in published for each in operations_of(protocol, room)]
    kinds: Sequence[Any] = [each.request for each in operations] + [each.returns for each in operations]
    schemas, components = msgspec.json.schema_components(kinds, ref_template="#/components/schemas/{name}")
    paths = {
        each.path: {"post": _describe(each, schemas[i], schemas[i + len(operations)])}
        for i, each in enumerate(operations)
    }
    info = {"title": title, "version": version}
    return {"openapi": "3.1.0", "info": info, "paths": paths, "components": {"schemas": components}}


def _describe(each: Operation, request: Any, result: Any) -> dict[str, Any]:
    return {
        "operationId": f"{each.room}.{each.name}",
        "summary": each.summary,
        "tags": [each.room],
        "x-permission": each.permission,
        "requestBody": {"content": {"application/json": {"schema": request}}},
        "responses": {"200": {"description": "done", "content": {"application/json": {"schema": result}}}},
    }
