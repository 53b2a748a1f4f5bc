"""The plain files of a workspace in one archive: code and settings, for a machine that has nothing of it.

Data under version stay out, they travel by their hash. Leaves where the archive goes to the caller.
"""

from __future__ import annotations

import io
import os
import subprocess
import tarfile
from collections.abc import Collection, Iterator
from pathlib import Path

from everloop.errors import InvalidError
from everloop.workspace import Workspace
from everloop.workspace.git import command_environment

LIMIT_BYTES = 256 << 20
_HIDDEN = (".git", ".dvc")


class Bundles:
    """Makes archives; one that would be the same as the last is not made again. Not thread-safe."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._last: tuple[tuple[tuple[str, int, int], ...], bytes] | None = None

    def bundle(self, further: Collection[str] = ()) -> bytes:
        """The files that Git tracks or would track, outside of data under version; without Git, all of them.

        Args:
            further: Files and folders that are wanted too, relative to the root.

        Raises:
            InvalidError: They are larger than 256 MiB together; names the largest.
        """
        paths = sorted({*self._plain(), *(path for name in further for path in self._below(name))})
        stats = [(path, os.stat(self._workspace.root / path)) for path in paths]  # noqa: PTH116
        size_bytes = sum(found.st_size for _, found in stats)
        if size_bytes > LIMIT_BYTES:
            largest = max(stats, key=lambda each: each[1].st_size)
            raise InvalidError(
                f"the files beside the data are {size_bytes / 1e6:.0f} MB, too much to be sent with each stage; "
                f"the largest is {largest[0]} with {largest[1].st_size / 1e6:.0f} MB",
                hint=f"ever add {largest[0]}, or name it in .gitignore",
            )
        signature = tuple((path, found.st_mtime_ns, found.st_size) for path, found in stats)
        if self._last is None or self._last[0] != signature:
            self._last = (signature, self._packed(paths))
        return self._last[1]

    def _packed(self, paths: list[str]) -> bytes:
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w") as archive:
            for path in paths:
                archive.add(self._workspace.root / path, path, recursive=False)
        return buffer.getvalue()

    def _plain(self) -> Iterator[str]:
        outs = {out.path for out in self._workspace.outs() if out.is_cached}
        for path in self._listed():
            place = self._workspace.root / path
            if path.split("/", 1)[0] in _HIDDEN or not place.is_file() or place.is_symlink():
                continue
            if not any(path == out or path.startswith(out + "/") for out in outs):
                yield path

    def _listed(self) -> Iterator[str]:
        root = self._workspace.root
        if self._workspace.git.is_repository():
            words = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
            done = subprocess.run(words, cwd=root, env=command_environment(), capture_output=True, check=True)
            yield from (name.decode("utf-8", "surrogateescape") for name in done.stdout.split(b"\0") if name)
        else:
            yield from self._below("")

    def _below(self, name: str) -> Iterator[str]:
        place = self._workspace.root / name
        if place.is_file():
            yield name
        for folder, folders, files in os.walk(place):
            folders[:] = [each for each in folders if each not in _HIDDEN]
            yield from (Path(folder, file).relative_to(self._workspace.root).as_posix() for file in files)


def unpack(data: bytes, folder: Path) -> None:
    """Write the files of an archive into a folder; nothing leaves it."""
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        archive.extractall(folder, filter="data")
