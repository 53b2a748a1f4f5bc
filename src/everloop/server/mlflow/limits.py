"""What MLflow's server takes for a key and how long its values are; clients and their tests rely on these."""

from __future__ import annotations

import logging
import posixpath
import re
from collections.abc import Sequence

from everloop.errors import InvalidError

log = logging.getLogger(__name__)

KEY_CHARACTERS = 250
PARAM_CHARACTERS = 6000
TAG_CHARACTERS = 8000
EXPERIMENT_TAG_CHARACTERS = 20_000
BATCH_METRICS = 1000
BATCH_PARAMS = 100
BATCH_TAGS = 100
BATCH_ALL = 1000
BATCH_BYTES = 1_000_000

_KEY = re.compile(r"[/\w.\- :]*")


def check_key(key: str, name: str) -> str:
    """Return the key of a metric, a param or a tag; `name` is the parameter that it came in.

    Raises:
        InvalidError: it has other characters, reads as another path than it is written, or is too long.
    """
    plain = posixpath.normpath(key)
    if not _KEY.fullmatch(key):
        problem = (
            "Names may only contain alphanumerics, underscores (_), dashes (-), periods (.), spaces ( ), colon(:)"
            " and slashes (/)."
        )
        raise InvalidError(f"Invalid value {key!r} for parameter '{name}' supplied: {problem}")
    if plain != key or plain == "." or plain.startswith(("..", "/")):
        problem = f"Names may be treated as files, and this one would resolve to {plain!r}"
        raise InvalidError(f"Invalid value {key!r} for parameter '{name}' supplied: {problem}")
    return check_length(key, KEY_CHARACTERS, name)


def check_length(text: str, limit: int, name: str) -> str:
    """Return a text of at most `limit` characters.

    Raises:
        InvalidError: it is longer.
    """
    if len(text) > limit:
        raise InvalidError(f"'{name}' exceeds the maximum length of {limit} characters")
    return text


def cut(text: str, limit: int, name: str) -> str:
    """Return a value of at most `limit` characters: its beginning, as MLflow's server keeps of a longer one."""
    if len(text) > limit:
        log.warning("%s of %d characters is cut to %d", name, len(text), limit)
    return text[:limit]


def check_count(items: Sequence[object], limit: int, name: str) -> None:
    """Refuse a batch of too many.

    Raises:
        InvalidError: there are more than `limit`.
    """
    if len(items) > limit:
        raise InvalidError(
            f"A batch logging request can contain at most {limit} {name}. Got {len(items)} {name}."
            " Please split up the requests and try again."
        )
