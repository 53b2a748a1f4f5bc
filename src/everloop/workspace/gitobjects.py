"""Read objects of a Git repository, many of them, through one `git cat-file` process.

Leaves what the files mean to `revisions.py`.
"""

from __future__ import annotations

import stat
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

import msgspec

from everloop.errors import FailedError, InvalidError, NotFoundError, NotInstalledError
from everloop.workspace.git import command_environment

if TYPE_CHECKING:
    import subprocess

_AT_ONCE = 256


class TreeEntry(msgspec.Struct, frozen=True):
    """One line of a Git tree.

    Attributes:
        name: Of the file or folder, without its parents.
        mode: As `stat` has it: regular file, symbolic link, folder; 0o160000 is a submodule.
        oid: The object, in hex.
    """

    name: str
    mode: int
    oid: str

    @property
    def is_folder(self) -> bool:
        return stat.S_ISDIR(self.mode)

    @property
    def is_file(self) -> bool:
        return stat.S_ISREG(self.mode)


class GitObjects:
    """The objects of one repository. A context manager; not thread-safe."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._trees: dict[str, tuple[TreeEntry, ...]] = {}
        self._blobs: dict[str, bytes] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for process in self._processes.values():
            # It ends by itself when nobody asks any more.
            process.communicate()

    def blob(self, oid: str) -> bytes:
        """The bytes of a file.

        Raises:
            NotFoundError: There is no such object.
        """
        return self._blobs[oid] if oid in self._blobs else self._read(oid)[1]

    def trees_ahead(self, commits: Iterable[str]) -> None:
        """Read the top folders of commits, many with one question, so that `tree` and `find` need not ask for each.

        Raises:
            NotFoundError: There is no such commit.
        """
        wanted = [commit for commit in dict.fromkeys(commits) if commit not in self._trees]
        for commit, data in self._read_many({commit: f"{commit}^{{tree}}" for commit in wanted}):
            self._trees[commit] = tuple(_entries(data, len(commit) // 2))

    def blobs_ahead(self, oids: Iterable[str]) -> None:
        """Read files, many with one question, and keep them, so that `blob` need not ask for each.

        Raises:
            NotFoundError: There is no such object.
        """
        wanted = [oid for oid in dict.fromkeys(oids) if oid not in self._blobs]
        self._blobs.update(self._read_many({oid: oid for oid in wanted}))

    def size_bytes(self, oid: str) -> int:
        """The length of a file, without reading it.

        Raises:
            NotFoundError: There is no such object.
        """
        return self._ask("--batch-check", oid)[1]

    def tree(self, name: str) -> tuple[TreeEntry, ...]:
        """The entries of a folder, by its object or by a commit (then its top folder).

        Raises:
            NotFoundError: There is no such object.
        """
        if name not in self._trees:
            kind, data = self._read(name)
            if kind != "tree":
                kind, data = self._read(f"{name}^{{tree}}")
            self._trees[name] = tuple(_entries(data, len(name) // 2))
        return self._trees[name]

    def find(self, commit: str, path: str) -> TreeEntry:
        """The entry of a path below a commit's top folder; "" is the top folder itself.

        Raises:
            NotFoundError: The commit has no such path.
        """
        found = TreeEntry(name="", mode=stat.S_IFDIR, oid=commit)
        for part in path.split("/") if path else ():
            inside = self.tree(found.oid) if found.is_folder else ()
            following = next((entry for entry in inside if entry.name == part), None)
            if following is None:
                raise NotFoundError(f"{path} does not exist in the commit {commit[:12]}")
            found = following
        return found

    def _read(self, name: str) -> tuple[str, bytes]:
        kind, size_bytes = self._ask("--batch", name)
        stream = self._processes["--batch"].stdout
        assert stream is not None
        data = stream.read(size_bytes)
        stream.read(1)
        return kind, data

    def _read_many(self, names: dict[str, str]) -> Iterator[tuple[str, bytes]]:
        """The bytes of objects by their keys. So many are asked for at once as surely fit into the pipe."""
        pairs = list(names.items())
        for start in range(0, len(pairs), _AT_ONCE):
            chunk = pairs[start : start + _AT_ONCE]
            process = self._started("--batch")
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write("".join(f"{name}\n" for _, name in chunk).encode())
            process.stdin.flush()
            for key, name in chunk:
                _, size_bytes = self._answer(process.stdout.readline(), name)
                data = process.stdout.read(size_bytes)
                process.stdout.read(1)
                yield key, data

    def _ask(self, how: str, name: str) -> tuple[str, int]:
        """The kind and the size of an object; with `--batch` its bytes follow."""
        process = self._started(how)
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(name.encode() + b"\n")
        process.stdin.flush()
        return self._answer(process.stdout.readline(), name)

    def _answer(self, line: bytes, name: str) -> tuple[str, int]:
        words = line.split()
        if len(words) != 3:
            if words and words[-1] == b"missing":
                raise NotFoundError(f"the Git object {name} is not in {self._folder}", hint="git fetch --unshallow")
            raise FailedError(f"git cat-file failed in {self._folder} for {name}")
        return words[1].decode(), int(words[2])

    def _started(self, how: str) -> subprocess.Popen[bytes]:
        if how not in self._processes:
            # Here, because much is done without Git.
            import subprocess

            try:
                self._processes[how] = subprocess.Popen(
                    ["git", "cat-file", how],
                    cwd=self._folder,
                    env=command_environment(),
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.DEVNULL,
                )
            except FileNotFoundError as error:
                raise NotInstalledError(
                    "the command `git` was not found", hint="install Git, or put it on PATH"
                ) from error
        return self._processes[how]


def _entries(data: bytes, oid_length: int) -> Iterator[TreeEntry]:
    """Read a tree object: mode, space, name, zero byte, then the raw object id."""
    position = 0
    while position < len(data):
        space = data.index(b" ", position)
        end = data.index(b"\0", space)
        oid = data[end + 1 : end + 1 + oid_length]
        name = data[space + 1 : end].decode("utf-8", "surrogateescape")
        if name in {"", ".", ".."} or "/" in name:
            # Git itself never writes it; it would lead out of the folder.
            raise InvalidError(f"a Git tree has an entry of the name {name!r}, which is refused")
        yield TreeEntry(
            name=name,
            mode=int(data[position:space], 8),
            oid=oid.hex(),
        )
        position = end + 1 + oid_length
