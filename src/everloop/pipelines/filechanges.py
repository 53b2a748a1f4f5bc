"""Which files of a path differ from what a run had or made there, in a few words."""

from __future__ import annotations

import msgspec

from everloop.workspace import Content, Workspace

_MOST_NAMES = 5


class FileChanges(msgspec.Struct, frozen=True, kw_only=True):
    """The files that differ, relative to the path; of a path that is a file itself, none is named.

    Attributes:
        text: The same in words, with a few names of each kind.
    """

    text: str
    changed: tuple[str, ...] = ()
    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()


def file_changes(workspace: Workspace, path: str, before: Content) -> FileChanges:
    """Compare a path with what it held.

    Args:
        workspace: Where.
        path: Relative to the root; something is there.
        before: What it held. The files of a directory are known when its listing is in the cache.
    """
    held = workspace.contents.like(before.md5).look(path)
    now = None if held is None else held.content
    if held is None or now is None or now.is_directory != before.is_directory:
        return FileChanges(text="it was a directory" if before.is_directory else "it was a file")
    if not before.is_directory:
        return FileChanges(text=f"{now.size_bytes:,} bytes, before {before.size_bytes:,}")
    if not workspace.cache.has(before.md5):
        return FileChanges(text="which of its files is not known, because its former listing is not in the cache")
    return _compared(workspace.cache.read_directory(before.md5), held.files())


def _compared(then: dict[str, str], now: dict[str, str]) -> FileChanges:
    changed = tuple(sorted(name for name in then if name in now and now[name] != then[name]))
    added, removed = tuple(sorted(now.keys() - then.keys())), tuple(sorted(then.keys() - now.keys()))
    kinds = (("changed", changed), ("added", added), ("removed", removed))
    text = "; ".join(f"{_counted(names)} {verb} ({_some(names)})" for verb, names in kinds if names)
    return FileChanges(text=text, changed=changed, added=added, removed=removed)


def _counted(names: tuple[str, ...]) -> str:
    return "1 file" if len(names) == 1 else f"{len(names):,} files"


def _some(names: tuple[str, ...]) -> str:
    rest = len(names) - _MOST_NAMES
    return ", ".join(names[:_MOST_NAMES]) + (f" and {rest:,} more" if rest > 0 else "")
