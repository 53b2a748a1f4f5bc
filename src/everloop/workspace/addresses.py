"""List what lies at an address: a folder of this machine, or of a bucket. Nothing of it need be under version."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from urllib.parse import urlsplit

from everloop.errors import NotFoundError
from everloop.workspace.origin import local_path
from everloop.workspace.values import Entry


def list_address(address: str, *, max_depth: int | None = 1, options: Mapping[str, str] | None = None) -> list[Entry]:
    """What lies in a folder, with paths relative to it, sorted; a file is listed by its name.

    Args:
        address: A path, `file://`, `s3://`, `gs://`, `azure://`.
        max_depth: 1 is only the folder itself, with folders in it; None is all files below. Else all files down to that
            depth, and the folders at it.
        options: Of a bucket, by DVC's names for them: `endpointurl`, `region`, ...

    Returns:
        Sizes are known for files of this machine only.

    Raises:
        NotFoundError: Nothing is there.
        InvalidError: Such a place cannot be listed (http), or is not supported.
        UnavailableError, DeniedError: The bucket does not answer, or refuses.
    """
    scheme = urlsplit(address).scheme if "://" in address else ""
    found = _of_machine(local_path(address)) if scheme in ("", "file") else _of_bucket(address, options or {})
    return _down_to(found, max_depth)


def _of_machine(path: Path) -> Iterator[Entry]:
    if not path.exists():
        raise NotFoundError(f"{path} does not exist")
    if not path.is_dir():
        yield Entry(path=path.name, size_bytes=path.stat().st_size)
        return
    for folder, folders, files in os.walk(path):
        above = Path(folder).relative_to(path)
        for name in files:
            place = Path(folder, name)
            size = place.lstat().st_size if place.is_symlink() else place.stat().st_size
            yield Entry(path=(above / name).as_posix(), size_bytes=size)
        # An empty folder is there, too.
        yield from (
            Entry(path=(above / name).as_posix(), is_directory=True)
            for name in folders
            if not any(Path(folder, name).iterdir())
        )


def _of_bucket(address: str, options: Mapping[str, str]) -> Iterator[Entry]:
    from everloop.storage.bucket import open_bucket

    is_empty = True
    for key in open_bucket(address, options).keys(""):
        is_empty = False
        yield Entry(path=key)
    if not is_empty:
        return
    base, _, name = address.rstrip("/").rpartition("/")
    if urlsplit(base).netloc and open_bucket(base, options).exists(name):
        yield Entry(path=name)
        return
    raise NotFoundError(f"nothing lies at {address}")


def _down_to(found: Iterable[Entry], max_depth: int | None) -> list[Entry]:
    entries: dict[str, Entry] = {}
    for entry in found:
        parts = entry.path.split("/")
        if max_depth is None or len(parts) <= max_depth:
            if not (entry.is_directory and max_depth is None):
                entries[entry.path] = entry
        elif max_depth > 0:
            folder = "/".join(parts[:max_depth])
            entries[folder] = Entry(path=folder, is_directory=True)
    return [entries[path] for path in sorted(entries)]
