"""The traits of a directory as they stand in a `.dvc` file: `meta: {everloop: {...}}` of an out.

DVC accepts any `meta`, keeps it when it writes the file, and never reads it. What else a person has there stays.
"""

from __future__ import annotations

from typing import Any

from everloop.errors import InvalidError
from everloop.workspace.traits import NONE, Traits, is_inside, stays_inside

META = "meta"
OWN = "everloop"
_LISTS = ("executable", "not_executable", "empty")
_LINKS = "links"


def read(meta: Any, where: str) -> Traits | None:
    """Read the traits out of an out's `meta`; None when there are none. Keys of a later release are passed over.

    Args:
        meta: Anything; None when the out has none.
        where: What to call the entry in an error.

    Raises:
        InvalidError: They are malformed, or a path or a link would lead out of the directory.
    """
    own = meta.get(OWN) if isinstance(meta, dict) else None
    if own is None:
        return None
    if not isinstance(own, dict):
        raise InvalidError(f"{where}: {META}.{OWN} must be a mapping of keys, found {type(own).__name__}")
    lists = {key: _paths(own[key], f"{where}: {META}.{OWN}.{key}") for key in _LISTS if key in own}
    traits = Traits(**lists, links=_links(own.get(_LINKS, {}), f"{where}: {META}.{OWN}.{_LINKS}"))
    return None if traits == NONE else traits


def write(entry: Any, traits: Traits | None) -> None:
    """Put traits into an entry, or take them out of it."""
    fields: dict[str, Any] = {}
    if traits is not None:
        listed = {key: list(getattr(traits, key) or ()) for key in _LISTS}
        fields = {key: paths for key, paths in listed.items() if paths}
        if traits.not_executable is not None:
            fields["not_executable"] = listed["not_executable"]
        if traits.links:
            fields[_LINKS] = dict(traits.links)
    meta = entry.get(META)
    if fields:
        if not isinstance(meta, dict):
            meta = entry[META] = {}
        meta[OWN] = fields
    elif isinstance(meta, dict) and OWN in meta:
        del meta[OWN]
        if not meta:
            del entry[META]


def _paths(value: Any, where: str) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise InvalidError(f"{where} must be a list of paths, found {type(value).__name__}")
    for path in value:
        _require_inside(path, where)
    return tuple(value)


def _links(value: Any, where: str) -> dict[str, str]:
    if not isinstance(value, dict):
        raise InvalidError(f"{where} must be a mapping of paths to targets, found {type(value).__name__}")
    for path, target in value.items():
        _require_inside(path, where)
        if not isinstance(target, str) or not stays_inside(path, target):
            raise InvalidError(
                f"{where}: the link {path!r} to {target!r} would lead out of the directory, so nothing of it is made",
                hint="find out who wrote this record before you trust its data; then take that line out",
            )
    return dict(value)


def _require_inside(path: Any, where: str) -> None:
    if not isinstance(path, str) or not is_inside(path):
        raise InvalidError(f"{where}: {path!r} is no path below the directory")
