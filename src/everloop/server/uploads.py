"""Bytes of a request into the object store as they come, so that no object is ever whole in memory."""

from __future__ import annotations

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request

from everloop.errors import TooLargeError
from everloop.storage import ObjectStore

_BLOCK_BYTES = 1 << 20


async def receive(
    request: Request, objects: ObjectStore, limit_bytes: int, expected: str | None = None
) -> tuple[str, int]:
    """Store a request's body as one object; return its digest and its size in bytes.

    Raises:
        TooLargeError: it is longer than `limit_bytes`; nothing is stored.
        InvalidError: `expected` is given and the content has another digest; nothing is stored.
    """
    with objects.incoming() as new:
        block = bytearray()
        async for chunk in request.stream():
            block += chunk
            if new.size_bytes + len(block) > limit_bytes:
                raise TooLargeError(f"an object holds at most {limit_bytes:,} bytes")
            if len(block) >= _BLOCK_BYTES:  # written and hashed off the event loop, in blocks that are worth the way
                await run_in_threadpool(new.write, bytes(block))
                block.clear()
        new.write(bytes(block))
        digest = await run_in_threadpool(new.store, expected)
        return digest, new.size_bytes
