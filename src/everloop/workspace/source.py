"""A repository with its data at one revision, as one tree: this workspace, another folder, or a Git address.

Leaves what is done with it to `listing.py`, `get.py` and `imports.py`, and the copies of far repositories to
`clones.py`.
"""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import BinaryIO

from everloop.errors import EverloopError, InvalidError, NotFoundError
from everloop.workspace import clones, durable, records, walk
from everloop.workspace.cache import Cache
from everloop.workspace.config import read_config
from everloop.workspace.configuration import Sections
from everloop.workspace.git import Git
from everloop.workspace.ignore import IgnoreRules
from everloop.workspace.layers import CommitLayer, DiskLayer, Layer
from everloop.workspace.objects import Objects
from everloop.workspace.revisions import History
from everloop.workspace.values import Entry, Out, Revision


class Source:
    """The tree. Made by `open_source`; valid inside of its `with`.

    Attributes:
        url: As it was asked for.
        commit: None when these are the files on the disk.
    """

    def __init__(self, url: str, commit: str | None, layer: Layer, objects: Objects) -> None:
        self.url = url
        self.commit = commit
        self._layer = layer
        self._objects = objects
        self._outs = {out.path: out for out in layer.outs() if out.is_cached}
        objects.know(self._outs.values())
        self._above = {folder for path in self._outs for folder in _folders(path)}
        self._listings: dict[str, dict[str, str]] = {}

    def entry(self, path: str) -> Entry:
        """What lies at a path; "" is the whole.

        Raises:
            NotFoundError: Nothing does.
        """
        out, inner = self._out_at(path)
        if out is None:
            if path in self._above:
                return Entry(path=path, is_directory=True)
            found = self._layer.entry(path)
        else:
            found = self._data_entry(out, path, inner)
        if found is None:
            raise NotFoundError(f"{path} does not exist in {self.url}", hint=f"see what does: ever list {self.url} -R")
        return found

    def children(self, path: str) -> list[Entry]:
        """What lies in a folder, sorted by path.

        Raises:
            NotFoundError: Nothing is there, or a directory's listing is nowhere.
        """
        entry = self.entry(path)
        if not entry.is_directory:
            return []
        out, inner = self._out_at(path)
        if out is not None:
            names = (name.removeprefix(f"{inner}/") for name in self._below(out, inner))
            paths = {f"{path}/{name.partition('/')[0]}" for name in names}
            return [self.entry(child) for child in sorted(paths)]
        found = {child.path: child for child in self._layer.children(path)}
        prefix = f"{path}/" if path else ""
        inside = (name for name in (*self._outs, *self._above) if name.startswith(prefix) and name != path)
        for child in {prefix + name.removeprefix(prefix).partition("/")[0] for name in inside}:
            found[child] = self.entry(child)
        return [found[child] for child in sorted(found)]

    def files(self, path: str) -> Iterator[Entry]:
        """All files at or below a path, sorted within each folder."""
        entry = self.entry(path)
        if not entry.is_directory:
            yield entry
        out, inner = self._out_at(path)
        if out is not None and entry.is_directory:
            yield from (self.entry(f"{out.path}/{name}") for name in sorted(self._below(out, inner)))
            return
        for child in self.children(path):
            yield from self.files(child.path) if child.is_directory else (child,)

    def holds_data(self, entry: Entry) -> bool:
        """Whether it is data under version, or a folder with some in it."""
        return entry.is_out or not entry.path or entry.path in self._above

    def open(self, path: str) -> BinaryIO:
        """A file's bytes, from Git, from the disk, from a cache or from a remote.

        Raises:
            NotFoundError: Nothing is there, or the bytes are nowhere.
            InvalidError: It is a folder.
        """
        entry = self.entry(path)
        if entry.is_directory:
            raise InvalidError(f"{path} of {self.url} is a folder, not a file")
        if entry.md5 is None:
            return self._layer.open(path)
        return self._objects.open(entry.md5)

    def address(self, path: str) -> str:
        """Where the data at a path are, in a remote or else in a cache; of a directory, its listing.

        Raises:
            NotFoundError: Nothing is there, or nobody keeps it.
            InvalidError: It is no data under version.
        """
        entry = self.entry(path)
        if entry.md5 is None:
            raise InvalidError(f"{path} of {self.url} is no data under version, so no remote has it")
        return self._objects.address(entry.md5)

    def place(self, path: str, folder: Path) -> Path:
        """A file on this machine with the bytes, for reading only: where they lie, or else one in the folder.

        Raises: as `open`.
        """
        entry = self.entry(path)
        if entry.md5 is not None and not entry.is_directory:
            return self._objects.place(entry.md5, folder)
        if self.commit is None and not entry.is_directory:
            return Path(self.url).absolute() / path
        target = folder / hashlib.sha256(f"{self.url}\n{self.commit}\n{path}".encode()).hexdigest()
        with self.open(path) as stream, target.open("wb") as sink:
            shutil.copyfileobj(stream, sink)
        return target

    def fetch(self, entry: Entry, target: Path) -> None:
        """Bring one file's bytes to a new file, verified when they are data; thread-safe for data.

        Raises:
            NotFoundError: The bytes are nowhere.
            FailedError: They are damaged.
        """
        if entry.md5 is not None:
            self._objects.fetch(entry.md5, target)
        else:
            with self._layer.open(entry.path) as stream, target.open("xb") as sink:
                while chunk := stream.read(1 << 20):
                    sink.write(chunk)
        if entry.is_executable:
            target.chmod(target.stat().st_mode | 0o111)

    def fetch_object(self, md5: str, target: Path) -> None:
        """Bring data by their hash to a new file, verified; thread-safe.

        Raises: as `fetch`.
        """
        self._objects.fetch(md5, target)

    def _out_at(self, path: str) -> tuple[Out | None, str]:
        """The data that a path is, or lies in, and the path inside of it."""
        for candidate in (path, *_folders(path)):
            if candidate in self._outs:
                return self._outs[candidate], path[len(candidate) + 1 :]
        return None, ""

    def _data_entry(self, out: Out, path: str, inner: str) -> Entry | None:
        content = out.content
        if content is None:
            # Nobody has recorded it yet; what may lie on the disk is all there is.
            return self._layer.entry(path)
        if not inner:
            return Entry(
                path=path,
                is_out=True,
                is_directory=content.is_directory,
                is_executable=content.is_executable,
                size_bytes=content.size_bytes,
                md5=content.md5,
            )
        files = self._listing(out) if content.is_directory else {}
        if inner in files:
            md5 = files[inner]
            return Entry(path=path, is_out=True, size_bytes=self._objects.size_bytes(md5), md5=md5)
        if any(True for _ in self._below(out, inner)):
            return Entry(path=path, is_out=True, is_directory=True)
        return None

    def _below(self, out: Out, inner: str) -> Iterator[str]:
        prefix = f"{inner}/" if inner else ""
        return (name for name in self._listing(out) if name.startswith(prefix))

    def _listing(self, out: Out) -> dict[str, str]:
        assert out.content is not None
        md5 = out.content.md5
        if md5 not in self._listings:
            self._listings[md5] = self._objects.listing(md5)
        return self._listings[md5]


@contextmanager
def open_source(
    url: str,
    rev: str | None = None,
    *,
    caches: Iterable[Cache] = (),
    remote: str | None = None,
    given: Sections | None = None,
    remote_options: Mapping[str, str] | None = None,
) -> Iterator[Source]:
    """Open a repository.

    Args:
        url: A folder on this machine, or what `git fetch` takes.
        rev: A branch, tag or commit. None means the files as they are for a folder, the main branch for an address.
        caches: Where to look for data first.
        remote: The name of the remote that has its data; None means its default one.
        given: What counts more than its own configuration, section by section.
        remote_options: What counts more than the options of its remote.

    Raises:
        NotFoundError: There is no such revision.
        UnavailableError: The repository cannot be reached.
        InvalidError: A file that records data is malformed.
    """
    folder = Path(url)
    if folder.is_dir() and (folder / ".dvc").is_dir() and rev is None:
        root = folder.absolute()
        places = [*caches, _own_cache(root)]
        objects = Objects(places, root / ".dvc", remote, given=given, remote_options=remote_options)
        yield Source(url, None, DiskLayer(root, _recorded(root)), objects)
        return
    if folder.is_dir() and ((folder / ".dvc").is_dir() or Git(folder).is_repository()):
        root, commit = folder.absolute(), Git(folder).resolve(rev or "HEAD")
    else:
        root, commit = clones.fetch(str(folder.absolute()) if folder.is_dir() else url, rev)
    with ExitStack() as stack:
        history = stack.enter_context(History(root))
        is_workspace = (root / ".dvc").is_dir()
        settings = root / ".dvc" if is_workspace else _settings(history, commit, stack)
        places = [*caches, *([_own_cache(root)] if is_workspace else [])]
        outs = _recorded_at(history, commit)
        objects = Objects(places, settings, remote, given=given, remote_options=remote_options)
        yield Source(url, commit, CommitLayer(history, commit, outs), objects)


def _recorded(root: Path) -> list[Out]:
    rules = (IgnoreRules(root, name) for name in (".dvcignore", ".gitignore"))
    return records.outs_on_disk(root, walk.described_files(root, *rules))


def _recorded_at(history: History, commit: str) -> list[Out]:
    snapshot = history.snapshot(Revision(commit=commit))
    for message in snapshot.unreadable.values():
        raise InvalidError(message)
    return list(snapshot.outs)


def _own_cache(root: Path) -> Cache:
    config = read_config(root / ".dvc")
    return Cache(config.cache_dir, config.link_types, is_shared=config.is_shared)


def _settings(history: History, commit: str, stack: ExitStack) -> Path | None:
    """The configuration of a repository that is not on the disk, put where it can be read."""
    try:
        config = history.blob(history.entry(commit, ".dvc/config"))
    except EverloopError:
        return None
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="everloop-"))) / ".dvc"
    folder.mkdir()
    durable.write_atomically(folder / "config", config, flush=False)
    return folder


def _folders(path: str) -> Iterator[str]:
    """The folders above a path, the nearest first."""
    while "/" in path:
        path = path.rpartition("/")[0]
        yield path
