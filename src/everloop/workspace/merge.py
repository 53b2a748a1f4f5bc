"""Merge two versions of a `.dvc` file or of a `dvc.lock` with their ancestor, entry by entry.

Git would merge line by line, and find a conflict wherever two people changed neighbouring entries. Here each out and
each stage stands for itself, and of a directory that both have changed the listings are merged. What is a conflict all
the same is marked as Git marks it, and only that.
"""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from everloop.errors import FailedError
from everloop.workspace import yamlfile
from everloop.workspace.traitrecord import META, OWN

if TYPE_CHECKING:
    pass

_CONTENT = ("md5", "size", "nfiles", "isexec", "hash", "etag", "checksum", "version_id", "files", "cloud")
_NOTHING: Any = None

# Merges the ids of three versions of a directory (the ancestor may be None); None when it cannot.
ListingMerge = Callable[[str | None, str, str], dict[str, Any] | None]


class Side(StrEnum):
    """Whose value stands where a conflict is."""

    BASE = "base"
    OURS = "ours"
    THEIRS = "theirs"


class Merged(msgspec.Struct, frozen=True, kw_only=True):
    """The result: its bytes, and the places of the conflicts in it (none: it is clean)."""

    data: bytes
    conflicts: tuple[str, ...]


def merge(base: str, ours: str, theirs: str, *, name: str, merge_listings: ListingMerge) -> Merged:
    """Merge three texts. Comments and order are those of ours.

    Args:
        base: The common ancestor; empty when there is none.
        ours: The text that is merged into.
        theirs: The text to merge.
        name: What to call them in an error.
        merge_listings: Merges directories that both sides have changed.

    Raises:
        InvalidError: One is not YAML.
        FailedError: `git merge-file`, which writes the marks, failed.
    """
    versions = {}
    conflicts: dict[str, None] = {}
    for side in Side:
        # A conflict is left with one side's value each time, so that the three differ in the conflicts alone.
        before, result, other = (
            yamlfile.parse_editable_mapping(text, f"{name} ({which})")
            for which, text in ((Side.BASE, base), (Side.OURS, ours), (Side.THEIRS, theirs))
        )
        _Merger(side, conflicts, merge_listings).mapping(before, result, other, "")
        versions[side] = yamlfile.dump(result)
    if not conflicts:
        return Merged(data=versions[Side.OURS], conflicts=())
    return Merged(data=_marked(versions), conflicts=tuple(conflicts))


class _Merger:
    """Changes a mapping of ours in place."""

    def __init__(self, side: Side, conflicts: dict[str, None], merge_listings: ListingMerge) -> None:
        self._side = side
        self._conflicts = conflicts
        self._merge_listings = merge_listings

    def mapping(self, base: Any, ours: Any, theirs: Any, place: str) -> None:
        """Merge key by key; the content of an out is one key."""
        if "md5" in ours and "path" in ours:
            self._content(base, ours, theirs, place)
        for key in dict.fromkeys([*ours, *theirs, *base]):
            if not (key in _CONTENT and "path" in ours):
                self._key(base, ours, theirs, key, f"{place}.{key}" if place else str(key))

    def _key(self, base: Any, ours: Any, theirs: Any, key: Any, place: str) -> None:
        before, mine, other = (side.get(key, _NOTHING) for side in (base, ours, theirs))
        if other in (mine, before):
            return
        if before == mine:
            _set(ours, key, other)
        elif _is_of_paths(place) and all(side is _NOTHING or isinstance(side, list) for side in (before, mine, other)):
            _set(ours, key, _merged_paths(before or [], mine or [], other or []))
        elif place == "stages" and isinstance(mine, dict) and isinstance(other, dict):
            self.mapping(before or {}, mine, other, place)
        elif place in ("outs", "deps") and isinstance(mine, list) and isinstance(other, list):
            self._listed(before or [], ours, other, key)
        elif place.startswith(("outs.", "deps.")) and isinstance(mine, dict) and isinstance(other, dict):
            self.mapping(before or {}, mine, other, place)
        else:
            self._conflicts[place] = None
            _set(ours, key, {Side.BASE: before, Side.OURS: mine, Side.THEIRS: other}[self._side])

    def _listed(self, base: list[Any], ours: Any, theirs: list[Any], key: str) -> None:
        """Items are known by their path."""
        mine = yamlfile.new_mapping((item["path"], item) for item in ours[key])
        self._items({item["path"]: item for item in base}, mine, {item["path"]: item for item in theirs}, key)
        items = ours[key]
        # Changed in place where possible, so that comments between the items stay.
        for index in reversed(range(len(items))):
            if items[index]["path"] not in mine:
                del items[index]
        known = {item["path"] for item in items}
        items.extend(item for path, item in mine.items() if path not in known)

    def _items(self, base: Any, ours: Any, theirs: Any, place: str) -> None:
        for key in dict.fromkeys([*ours, *theirs, *base]):
            self._key(base, ours, theirs, key, f"{place}.{key}")

    def _content(self, base: Any, ours: Any, theirs: Any, place: str) -> None:
        before, mine, other = ({key: side[key] for key in _CONTENT if key in side} for side in (base, ours, theirs))
        if other in (mine, before):
            return
        if before == mine:
            _replace_content(ours, other)
            return
        merged = self._merged_directory(before, mine, other)
        if merged is not None:
            _replace_content(ours, merged)
            return
        self._conflicts[f"{place}.md5"] = None
        _replace_content(ours, {Side.BASE: before, Side.OURS: mine, Side.THEIRS: other}[self._side])

    def _merged_directory(
        self, before: dict[str, Any], mine: dict[str, Any], other: dict[str, Any]
    ) -> dict[str, Any] | None:
        if any(side.get("hash") != "md5" for side in (before, mine, other) if side):
            # Of DVC 2: their files' hashes are of another kind.
            return None
        ids = [side.get("md5") for side in (before, mine, other)]
        if not all(isinstance(md5, str) and md5.endswith(".dir") for md5 in ids[1:]):
            return None
        if ids[0] is not None and not str(ids[0]).endswith(".dir"):
            return None
        return self._merge_listings(ids[0], str(ids[1]), str(ids[2]))


def merged_listing(base: dict[str, str], ours: dict[str, str], theirs: dict[str, str]) -> dict[str, str] | None:
    """Merge the files of a directory, `{path: md5}`; None when both changed one file in different ways."""
    merged: dict[str, str] = {}
    for path in dict.fromkeys([*ours, *theirs]):
        before, mine, other = base.get(path), ours.get(path), theirs.get(path)
        if mine != other and before not in (mine, other):
            return None
        chosen = other if mine == before else mine
        if chosen is not None:
            merged[path] = chosen
    folders = {path[:index] for path in merged for index, letter in enumerate(path) if letter == "/"}
    # A file of one side in the place of a folder of the other.
    return None if folders & set(merged) else merged


def _is_of_paths(place: str) -> bool:
    """Whether a list of paths stands there that an out has as its traits."""
    return f".{META}.{OWN}." in place


def _merged_paths(base: list[str], ours: list[str], theirs: list[str]) -> list[str] | None:
    """What both have, and what one of them has taken in; None for nothing."""
    before, mine, other = set(base), set(ours), set(theirs)
    return sorted((mine & other) | ((mine | other) - before)) or None


def _set(mapping: Any, key: Any, value: Any) -> None:
    if value is _NOTHING:
        mapping.pop(key, None)
    else:
        mapping[key] = value


def _replace_content(entry: Any, fields: dict[str, Any]) -> None:
    for key in _CONTENT:
        if key not in fields:
            entry.pop(key, None)
    for position, (key, value) in enumerate(fields.items()):
        if key in entry:
            entry[key] = value
        else:
            entry.insert(min(position, len(entry)), key, value)


def _marked(versions: dict[Side, bytes]) -> bytes:
    with tempfile.TemporaryDirectory(prefix="everloop-merge-") as folder:
        for side, data in versions.items():
            (Path(folder) / side).write_bytes(data)
        done = subprocess.run(
            ["git", "merge-file", "-p", "-L", "ours", "-L", "base", "-L", "theirs", Side.OURS, Side.BASE, Side.THEIRS],
            cwd=folder,
            capture_output=True,
            check=False,
        )
    # The code is the number of conflicts, and 255 for an error.
    if done.returncode == 255:
        raise FailedError(f"git merge-file failed: {done.stderr.decode(errors='replace').strip()}")
    return done.stdout
