"""Compare two states of the data, as recorded or as they are in the workspace, down to the files of directories.

Leaves which states, and the words for a person, to `diff.py` and `datastatus.py`.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterable, Iterator, Mapping
from enum import StrEnum
from typing import Protocol

import msgspec

from everloop.errors import NotFoundError
from everloop.workspace.cache import Cache
from everloop.workspace.contents import Contents
from everloop.workspace.values import DIRECTORY_SUFFIX, Out


class Node(msgspec.Struct, frozen=True):
    """A file, or a directory that is under version as a whole.

    Attributes:
        path: Relative to the workspace, posix, without a slash at the end.
        md5: Of its content; only `.dir` for a folder inside of a directory, which has no record of its own.
    """

    path: str
    md5: str

    @property
    def is_directory(self) -> bool:
        return self.md5.endswith(DIRECTORY_SUFFIX)

    @property
    def shown(self) -> str:
        """The path as DVC prints it: a directory ends in a slash."""
        return f"{self.path}/" if self.is_directory else self.path


class Kind(StrEnum):
    """How a path differs; UNKNOWN is inside of a directory whose record is not in the cache."""

    ADDED = "added"
    DELETED = "deleted"
    MODIFIED = "modified"
    RENAMED = "renamed"
    UNCHANGED = "unchanged"
    UNKNOWN = "unknown"


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """One path, or with RENAMED two."""

    kind: Kind
    old: Node | None = None
    new: Node | None = None

    @property
    def key(self) -> str:
        """The path to sort by."""
        node = self.old or self.new
        assert node is not None
        return node.shown


class State(Protocol):
    """The data at one time. `roots` are the paths under version that hold something, `{path: md5}`."""

    @property
    def roots(self) -> Mapping[str, str]: ...

    def files(self, path: str) -> Mapping[str, str] | None:
        """The files of a directory, `{path below it: md5}`; None when nobody can tell."""
        ...


class Recorded:
    """What records say. Outs that the cache does not keep are no data, as in DVC."""

    def __init__(self, outs: Iterable[Out], cache: Cache) -> None:
        self._cache = cache
        self._roots = {out.path: out.content.md5 for out in outs if out.content is not None and out.is_cached}

    @property
    def roots(self) -> Mapping[str, str]:
        return self._roots

    def files(self, path: str) -> Mapping[str, str] | None:
        try:
            return self._cache.read_directory(self._roots[path])
        except NotFoundError:
            return None


class Present:
    """What the workspace holds where outs are recorded that the cache keeps."""

    def __init__(self, outs: Iterable[Out], contents: Contents) -> None:
        # By the hash that the record has, else nothing would be equal.
        recorded = {out.path: out.content.md5 if out.content else None for out in outs if out.is_cached}
        looked = {path: contents.like(md5).look(path) for path, md5 in recorded.items()}
        self._held = {path: held for path, held in looked.items() if held is not None}
        self._roots = {path: held.content.md5 for path, held in self._held.items()}

    @property
    def roots(self) -> Mapping[str, str]:
        return self._roots

    def files(self, path: str) -> Mapping[str, str] | None:
        return self._held[path].files()


def compare(old: State, new: State, *, granular: bool, with_unchanged: bool = False) -> list[Difference]:
    """All differences from one state to the other, sorted by path.

    Args:
        old: Before.
        new: After.
        granular: Look into directories; else a directory is one thing.
        with_unchanged: Also tell what did not change. Costs to read directories that did not change.

    Returns:
        A path that vanished and another that appeared with the same content are one RENAMED.
    """
    found: list[Difference] = []
    for path in sorted({*old.roots, *new.roots}):
        before, after = old.roots.get(path), new.roots.get(path)
        found.append(_difference(path, before, after))
        if granular and (before != after or with_unchanged):
            inside = (old if _is_tree(before) else None, new if _is_tree(after) else None)
            found += _inside(path, *inside, with_unchanged=with_unchanged)
    merged = _merged(found)
    changed = (difference for difference in merged if with_unchanged or difference.kind is not Kind.UNCHANGED)
    return sorted(_with_renames(changed), key=lambda difference: difference.key)


def _inside(path: str, old: State | None, new: State | None, *, with_unchanged: bool) -> list[Difference]:
    before = old.files(path) if old is not None else {}
    after = new.files(path) if new is not None else {}
    if before is None or after is None:
        # What is in the one cannot be compared, so it is neither new nor gone.
        seen = {**dict.fromkeys(_folders(after or ()), DIRECTORY_SUFFIX), **(after or {})}
        return [Difference(kind=Kind.UNKNOWN, new=Node(f"{path}/{name}", md5)) for name, md5 in seen.items()]
    names = (*before, *after) if with_unchanged else (name for name, _ in before.items() ^ after.items())
    return [_difference(f"{path}/{name}", before.get(name), after.get(name)) for name in dict.fromkeys(names)]


def _folders(names: Iterable[str]) -> Iterator[str]:
    for name in names:
        parts = name.split("/")
        yield from ("/".join(parts[:depth]) for depth in range(1, len(parts)))


def _merged(found: Iterable[Difference]) -> list[Difference]:
    """A file may move from one record to another, as from that of its folder to its own: then it did not change."""
    by_path: dict[str, Difference] = {}
    for difference in found:
        path = difference.key.rstrip("/")
        other = by_path.get(path)
        if other is not None:
            old, new = other.old or difference.old, other.new or difference.new
            by_path[path] = _difference(path, old.md5 if old else None, new.md5 if new else None)
        else:
            by_path[path] = difference
    return list(by_path.values())


def _difference(path: str, before: str | None, after: str | None) -> Difference:
    old = None if before is None else Node(path, before)
    new = None if after is None else Node(path, after)
    if before == after:
        kind = Kind.UNCHANGED
    elif old is None:
        kind = Kind.ADDED
    else:
        kind = Kind.DELETED if new is None else Kind.MODIFIED
    return Difference(kind=kind, old=old, new=new)


def _with_renames(changes: Iterable[Difference]) -> list[Difference]:
    """Pair what vanished with what appeared, by content; of several with the same content, in the order of paths."""
    kept: list[Difference] = []
    vanished: defaultdict[str, deque[Difference]] = defaultdict(deque)
    appeared: list[Difference] = []
    for change in sorted(changes, key=lambda change: change.key.rstrip("/").split("/")):
        if change.kind is Kind.DELETED and change.old is not None:
            vanished[change.old.md5].append(change)
        elif change.kind is Kind.ADDED:
            appeared.append(change)
        else:
            kept.append(change)
    for change in appeared:
        assert change.new is not None
        same = vanished.get(change.new.md5)
        kept.append(Difference(kind=Kind.RENAMED, old=same.popleft().old, new=change.new) if same else change)
    return [*kept, *(change for queue in vanished.values() for change in queue)]


def _is_tree(md5: str | None) -> bool:
    return md5 is not None and md5.endswith(DIRECTORY_SUFFIX)
