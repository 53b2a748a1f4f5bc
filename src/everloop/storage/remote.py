"""A client for any room's store Protocol over HTTP: the same methods, the same values, the same errors.

`remote(TrackingStore, "tracking", client)` behaves as the SQL store does, so the same contract suite runs over both.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import msgspec

from everloop.storage.http import HttpClient
from everloop.storage.operation import Operation, operations_of

Store = TypeVar("Store")


def remote(protocol: type[Store], room: str, client: HttpClient) -> Store:
    """Return an object that implements `protocol` by calling the operations of `room` on a server."""
    methods = {each.name: _method(each, client) for each in operations_of(protocol, room)}
    return cast(Store, type(f"Remote{protocol.__name__}", (), methods)())


def _method(each: Operation, client: HttpClient) -> Callable[..., Any]:
    decoder = msgspec.json.Decoder(each.returns)

    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        bound = each.signature.bind(self, *args, **kwargs).arguments
        bound.pop("self")
        return decoder.decode(client.call("POST", each.path, body=msgspec.json.encode(bound)))

    call.__name__ = each.name
    return call
