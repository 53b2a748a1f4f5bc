"""Keep the comments of a YAML file where they belong when one of its values is replaced, removed or goes on.

ruamel hangs the lines of comments between two keys on the last scalar of the first one, however deep that lies: who
removes that scalar removes them, and what is added behind it comes behind them. Here they are lifted off before the
change and laid down after it. A comment at the end of a value's own line is the value's and goes with it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

# Where ruamel keeps the token behind a value: of a mapping's key, of a list's item.
_BEHIND_KEY, _BEHIND_ITEM = 2, 0


@contextmanager
def kept_behind(holder: Any, key: Any) -> Iterator[None]:
    """Keep the lines of comments behind a value behind it, whatever happens to it inside.

    Args:
        holder: The mapping or list that has the value, as `load_editable` made it; plain ones have no comments.
        key: Its key or position. When it is gone afterwards, its lines go to the value before it.
    """
    before = _before(holder, key)
    lines = _lift(holder, key)
    yield
    place = key if _has(holder, key) else before
    if lines and place is not None:
        _lay(holder, place, lines)


def editable(value: Any) -> Any:
    """Plain mappings and lists as those of `load_editable`, which can have comments."""
    from ruamel.yaml.comments import CommentedMap, CommentedSeq

    if isinstance(value, dict):
        return CommentedMap({key: editable(item) for key, item in value.items()})
    return CommentedSeq(map(editable, value)) if isinstance(value, list) else value


def _has(holder: Any, key: Any) -> bool:
    return key in holder if isinstance(holder, dict) else key < len(holder)


def _before(holder: Any, key: Any) -> Any:
    keys = list(holder) if isinstance(holder, dict) else list(range(len(holder)))
    position = keys.index(key) if key in keys else 0
    return keys[position - 1] if position else None


def _lift(holder: Any, key: Any) -> str:
    if not _has(holder, key):
        return ""
    place, last = _deepest(holder, key)
    slots = place.ca.items.get(last) if hasattr(place, "ca") else None
    at = _slot(place)
    if not slots or slots[at] is None:
        return ""
    first, _, lines = slots[at].value.partition("\n")
    if lines and first:
        slots[at].value = first + "\n"
    elif lines:
        slots[at] = None
    return str(lines)


def _lay(holder: Any, key: Any, lines: str) -> None:
    place, last = _deepest(holder, key)
    slots = place.ca.items.setdefault(last, [None, None, None, None])
    at = _slot(place)
    if slots[at] is None:
        from ruamel.yaml.error import CommentMark
        from ruamel.yaml.tokens import CommentToken

        slots[at] = CommentToken("\n" + lines, CommentMark(0))
    else:
        slots[at].value += lines


def _deepest(holder: Any, key: Any) -> tuple[Any, Any]:
    """Where the last scalar of a value is; a value in one line, as `[a, b]`, is as a scalar."""
    value = holder[key]
    while isinstance(value, dict | list) and value and not _is_flow(value):
        holder, key = value, next(reversed(value)) if isinstance(value, dict) else len(value) - 1
        value = holder[key]
    return holder, key


def _is_flow(value: Any) -> bool:
    return hasattr(value, "fa") and bool(value.fa.flow_style())


def _slot(place: Any) -> int:
    return _BEHIND_KEY if isinstance(place, dict) else _BEHIND_ITEM
