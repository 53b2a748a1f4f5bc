"""The files of repositories, at any revision, as a filesystem of fsspec: what pandas, polars, duckdb and others read.

fsspec finds it by its protocol, `ever`, once both are installed. Paths are addresses without the protocol
(`@v1.0//data/x.csv`), or, when the filesystem was made with `repo` or `rev`, plain paths there. Reading only.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO

from fsspec import AbstractFileSystem

from everloop.data.address import PROTOCOL, Address, LocalFile, TrackedFile, parse
from everloop.data.opening import open_bytes, present, repository
from everloop.errors import EverloopError, InvalidError, NotFoundError
from everloop.workspace import Entry, Source, Workspace


class EverFileSystem(AbstractFileSystem):  # type: ignore[misc]  # fsspec has no types
    """Files by address. Thread-safe.

    A revision is looked up once for each instance, and fsspec keeps instances: a branch that has moved is seen by a new
    one (`skip_instance_cache=True`).

    Args:
        repo: A folder, or what `git clone` takes; None means the workspace around the current folder.
        rev: A branch, tag or commit; None means the files as they are.
        remote: The name of the repository's remote that has the data; None means its default one.
    """

    protocol = PROTOCOL
    root_marker = ""

    def __init__(
        self, repo: str | None = None, rev: str | None = None, remote: str | None = None, **options: Any
    ) -> None:
        super().__init__(**options)
        self._repo = repo
        self._rev = rev
        self._remote = remote
        self._sources: dict[tuple[str, str | None], Source] = {}
        self._lock = threading.RLock()
        self._opened = ExitStack()
        weakref.finalize(self, self._opened.close)

    @classmethod
    def _strip_protocol(cls, path: Any) -> Any:
        if isinstance(path, list):
            return [cls._strip_protocol(item) for item in path]
        stripped = str(path).removeprefix(f"{PROTOCOL}://")
        # The two slashes of a repository's top are no slashes at its end.
        return stripped if stripped.endswith("//") else stripped.rstrip("/")

    @classmethod
    def _parent(cls, path: str) -> str:
        stripped = str(cls._strip_protocol(path))
        before, parted, inner = stripped.rpartition("//")
        return f"{before}{parted}{inner.rpartition('/')[0]}"

    def info(self, path: str, **_: Any) -> dict[str, Any]:
        """What lies at a path: its name, type, size in bytes (None: only a remote knows it), and for data the MD5.

        Raises:
            FileNotFoundError: Nothing does.
        """
        with self._lock, _as_files_do(path), self._source(path) as (source, inner):
            return _told(str(self._strip_protocol(path)), source, source.entry(inner))

    def ls(self, path: str, detail: bool = True, **_: Any) -> list[Any]:
        """What lies in a folder; of a file, the file.

        Raises:
            FileNotFoundError: Nothing does.
        """
        above = str(self._strip_protocol(path))
        with self._lock, _as_files_do(path), self._source(path) as (source, inner):
            entry = source.entry(inner)
            if entry.is_directory:
                prefix = above if not above or above.endswith("//") else f"{above}/"
                told = [_told(prefix + each.path.rpartition("/")[2], source, each) for each in source.children(inner)]
            else:
                told = [_told(above, source, entry)]
        return told if detail else [each["name"] for each in told]

    def ukey(self, path: str) -> str:
        """What changes when the bytes do."""
        return str(self.info(path))

    def modified(self, path: str) -> datetime:
        """Of a file as it is now, when it was changed. What a revision has is as old as its content: a time that is
        another one when the bytes are others, which is what readers ask it for.
        """
        told = self.info(path)
        if told["type"] != "file":
            raise InvalidError(f"{path} is a folder, not a file")
        return datetime.fromtimestamp(told["mtime"], UTC)

    def _open(self, path: str, mode: str = "rb", **_: Any) -> BinaryIO:
        if mode != "rb":
            raise InvalidError(f"{PROTOCOL}:// is for reading only, found the mode {mode!r}")
        with self._lock, _as_files_do(path):
            address = self._address(path)
            if not isinstance(address, TrackedFile) or present(address) is not None:
                return open_bytes(address, remote=self._remote)
            with self._source(path) as (source, inner):
                return source.open(inner)

    def _address(self, path: str) -> Address:
        stripped = str(self._strip_protocol(path))
        if self._repo is not None or self._rev is not None:
            return TrackedFile(repo=self._repo or "", rev=self._rev, path=stripped.strip("/"))
        return parse(f"{PROTOCOL}://{stripped}") if stripped else LocalFile(path=".")

    @contextmanager
    def _source(self, path: str) -> Iterator[tuple[Source, str]]:
        """The repository that a path means, and the path in it."""
        address = self._address(path)
        if isinstance(address, LocalFile):
            workspace = Workspace.open()
            inner = workspace.relative(Path(address.path).absolute())
            address = TrackedFile(repo=str(workspace.root), path="" if inner == "." else inner)
        if not isinstance(address, TrackedFile):
            raise InvalidError(f"{path} can be opened, but it is no file of a repository, so nothing else is known")
        key = (address.repo, address.rev)
        if key in self._sources:
            yield self._sources[key], address.path
            return
        with ExitStack() as stack:
            source = stack.enter_context(repository(address.repo, address.rev, self._remote))
            # The files as they are may be others in the next moment; a commit stays what it is.
            if source.commit is not None:
                self._sources[key] = source
                self._opened.push(stack.pop_all())
            yield source, address.path


def _told(name: str, source: Source, entry: Entry) -> dict[str, Any]:
    if entry.is_directory:
        return {"name": name, "size": 0, "type": "directory"}
    told = {"name": name, "size": entry.size_bytes, "type": "file"}
    there = Path(source.url, entry.path) if source.commit is None else None
    if there is not None and there.is_file():
        # As it is now, whatever was recorded of it.
        found = there.stat()
        return {**told, "size": found.st_size, "mtime": found.st_mtime}
    content = entry.md5 or source.commit or ""
    return {**told, "mtime": int(content[:8] or "0", 16), **({"md5": entry.md5} if entry.md5 is not None else {})}


class _as_files_do:  # noqa: N801  read as a word in a `with`
    """Turn the errors of this house into those that readers of files expect."""

    def __init__(self, path: str) -> None:
        self._path = path

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if isinstance(error, NotFoundError):
            raise FileNotFoundError(str(error)) from error
        if isinstance(error, EverloopError) and not isinstance(error, InvalidError):
            raise OSError(str(error)) from error
