"""Where a page ends, as text that a caller hands back: the place of its last row in the order of the whole."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from typing import Any

import msgspec

from everloop.errors import InvalidError

LIMIT = 50_000
"""The most rows of a page."""


def to_token(place: Sequence[Any]) -> str:
    """Return numbers, texts and None as one word of letters, digits, `-` and `_`."""
    return base64.urlsafe_b64encode(msgspec.json.encode(list(place))).decode().rstrip("=")


def from_token(token: str, kind: Any) -> Any:
    """Return what `to_token` was given.

    Args:
        kind: What it must be, as `tuple[int, str]`.

    Raises:
        InvalidError: The token is none of ours, or of another order.
    """
    try:
        raw = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
        return msgspec.json.decode(raw, type=kind)
    except (binascii.Error, ValueError, msgspec.DecodeError, msgspec.ValidationError) as error:
        raise InvalidError(
            f"the page token {token[:60]!r} does not belong to this search",
            hint="Give the token of the page before, with the same filter and order.",
        ) from error


def check_limit(limit: int) -> int:
    """Return `limit` when a page may have so many rows.

    Raises:
        InvalidError: it may not.
    """
    if not 1 <= limit <= LIMIT:
        raise InvalidError(f"asked for a page of {limit}", hint=f"Ask for 1 to {LIMIT}.")
    return limit
