"""List what a cache holds. Half-written files, and whatever else is no object, are passed over."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from everloop.workspace import hashing, objectid
from everloop.workspace.cache import Cache


def objects(cache: Cache) -> Iterator[tuple[str, int]]:
    """The id and the size in bytes of each object, folder by folder; those of DVC 2 last."""
    for root, kind in ((cache.root / objectid.FOLDER, ""), (cache.root, objectid.LEGACY)):
        for folder in _folders(root):
            for path in folder.iterdir():
                md5 = folder.name + path.name
                if hashing.is_md5(md5):
                    with suppress(FileNotFoundError):  # another workspace with the same cache removed it meanwhile
                        yield kind + md5, path.stat().st_size


def _folders(root: Path) -> list[Path]:
    if not root.is_dir():
        return []
    return sorted(folder for folder in root.iterdir() if len(folder.name) == 2 and folder.is_dir())
