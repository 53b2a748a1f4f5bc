"""Keep for a while what a command replaces or removes, so that `ever undo` can bring it back.

An operation is a folder below `.dvc/tmp/everloop/trash`: its plan, written in full and flushed before the first path is
touched, and the bytes that are nowhere else. Whatever moment a crash comes at, the plan says what was there before.
Bytes that the cache has are not kept twice; `gc` spares them as long as the operation is there. Leaves bringing back to
`undo.py`.
"""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec

from everloop.errors import InvalidError
from everloop.workspace import durable, links, objectid
from everloop.workspace.cache import Cache
from everloop.workspace.contents import Contents

KEPT_DAYS = 7.0
KEPT_OPERATIONS = 10
_PLAN = "plan.json"
_GONE = ".gone"


class TrashedFile(msgspec.Struct, frozen=True, kw_only=True):
    """A file of the workspace as it was before an operation, and what the operation put in its place.

    Attributes:
        path: Relative to the workspace root.
        md5: Of its bytes; None when there was no file.
        kept: Name of the file in the operation's folder with these bytes; None when the cache has them.
        is_executable: It had an executable bit.
        link: It was a symbolic link to this; None when it was a file.
        now: MD5 of what the operation left there; None for nothing.
    """

    path: str
    md5: str | None = None
    kept: str | None = None
    is_executable: bool = False
    link: str | None = None
    now: str | None = None


class Operation(msgspec.Struct, frozen=True, kw_only=True):
    """What one command replaced or removed.

    Attributes:
        id: Sorts by time.
        verb: The command: checkout, gc, remove, ...
        at: When, in UTC.
        files: Of the workspace.
        texts: Files that describe data, as they were: `{path: text}`.
        links: Symbolic links to folders that were removed, `{path: target}`.
        folders: Empty folders that were removed.
        made: Links and empty folders that the operation made.
        objects: Ids of cache objects that were moved away.
        objects_at: Absolute path of the folder where they lie now, under their ids.
        size_bytes: What emptying the trash of it would free.
    """

    id: str
    verb: str
    at: datetime
    files: tuple[TrashedFile, ...] = ()
    texts: dict[str, str] = {}
    links: dict[str, str] = {}
    folders: tuple[str, ...] = ()
    made: tuple[str, ...] = ()
    objects: tuple[str, ...] = ()
    objects_at: str = ""
    size_bytes: int = 0


class Trash:
    """The trash of one workspace. Whoever writes to it holds the workspace's lock."""

    def __init__(self, root: Path, folder: Path, cache: Cache, contents: Contents) -> None:
        self._root = root
        self._folder = folder
        self._cache = cache
        self._contents = contents
        self.kept_days = KEPT_DAYS
        self.kept_operations = KEPT_OPERATIONS

    def operations(self) -> list[Operation]:
        """What can be undone, the newest first.

        Raises:
            InvalidError: A plan cannot be read.
        """
        if not self._folder.is_dir():
            return []
        plans = (child / _PLAN for child in self._folder.iterdir() if not child.name.endswith(_GONE))
        found = [_read(plan) for plan in plans if plan.exists()]
        return sorted(found, key=lambda operation: operation.id, reverse=True)

    def place(self, operation: Operation) -> Path:
        """The folder of an operation."""
        return self._folder / operation.id

    def note(
        self,
        verb: str,
        before: Mapping[str, str],
        after: Mapping[str, str],
        *,
        texts: Mapping[str, str] | None = None,
        links: Mapping[str, str] | None = None,
        folders: Iterable[str] = (),
        made: Iterable[str] = (),
    ) -> Operation | None:
        """Keep the files that are about to be replaced or removed; they stay where they are.

        Args:
            verb: The command.
            before: `{path: md5}` of the files that will not stay as they are.
            after: `{path: md5}` of the files that will be written.
            texts: Files that describe data, to be kept with them.
            links: Links to folders that will go, `{path: target}`.
            folders: Empty folders that will go.
            made: Links and empty folders that will be made.

        Returns:
            The operation, durable; None when nothing is replaced or removed.
        """
        if not before and not texts and not links:
            return None
        own = self._new_folder()
        files = [
            self._kept(own, number, path, md5, after.get(path)) for number, (path, md5) in enumerate(before.items())
        ]
        files += [TrashedFile(path=path, now=md5) for path, md5 in after.items() if path not in before]
        kept = [own / file.kept for file in files if file.kept is not None]
        durable.sync_all(own, kept)
        operation = Operation(
            id=own.name,
            verb=verb,
            at=datetime.now(UTC),
            files=tuple(files),
            texts=dict(texts or {}),
            links=dict(links or {}),
            folders=tuple(folders),
            made=tuple(made),
            size_bytes=sum(path.stat().st_size for path in kept),
        )
        self._write(own, operation)
        return operation

    def take(self, verb: str, paths: Iterable[str], *, texts: Mapping[str, str] | None = None) -> Operation | None:
        """Keep files and folders, and then remove them.

        Args:
            verb: The command.
            paths: Relative to the root.
            texts: Files that describe data, to be kept with them; they are not removed.
        """
        listed = list(paths)
        before = {
            f"{path}/{name}" if name else path: md5
            for path in listed
            for name, md5 in self._contents.files(path).items()
        }
        looked = [(path, self._contents.seen(path)) for path in listed]
        links = {f"{path}/{name}": seen.links[name] for path, seen in looked for name in seen.folder_links if name}
        folders = [f"{path}/{name}" for path, seen in looked for name in seen.empty]
        operation = self.note(verb, before, {}, texts=texts, links=links, folders=folders)
        for link in links:
            (self._root / link).unlink(missing_ok=True)
        for path in listed:
            _remove(
                self._root / path, [file for file in before if file == path or file.startswith(path + "/")], self._root
            )
        return operation

    def take_objects(self, verb: str, objects: Mapping[str, int]) -> Operation | None:
        """Move objects out of the cache; a directory's listing before its files.

        Args:
            verb: The command.
            objects: `{id: size in bytes}`.
        """
        if not objects:
            return None
        own = self._new_folder()
        place = own
        if own.stat().st_dev != self._cache.root.stat().st_dev:
            # A rename must not cross to another filesystem.
            place = self._cache.root / "everloop-trash" / own.name
            self._cache.make_folder(place)
        ordered = sorted(objects, key=lambda md5: not md5.endswith(".dir"))
        operation = Operation(
            id=own.name,
            verb=verb,
            at=datetime.now(UTC),
            objects=tuple(ordered),
            objects_at=str(place),
            size_bytes=sum(objects.values()),
        )
        self._write(own, operation)
        for md5 in ordered:
            try:
                self._cache.path(md5).replace(place / md5)
            except FileNotFoundError:
                # Another workspace with the same cache was faster.
                continue
        return operation

    def references(self) -> set[str]:
        """The cache objects that undoing would need."""
        return {
            file.md5
            for operation in self.operations()
            for file in operation.files
            if file.md5 is not None and file.kept is None
        }

    def forget(self, operation: Operation) -> None:
        """Remove an operation and the bytes that it kept."""
        own = self.place(operation)
        gone = own.with_name(own.name + _GONE)
        # First out of sight at once: a crash must not leave half of one that looks whole.
        own.replace(gone)
        _remove_gone(gone)

    def empty(self) -> list[Operation]:
        """Remove everything; returns what was there."""
        operations = self.operations()
        for operation in operations:
            self.forget(operation)
        self._remove_leftovers()
        return operations

    def prune(self) -> None:
        """Remove what is older than `kept_days`, or more than `kept_operations`."""
        self._remove_leftovers()
        oldest = datetime.now(UTC) - timedelta(days=self.kept_days)
        for number, operation in enumerate(self.operations()):
            if number >= self.kept_operations or operation.at < oldest:
                self.forget(operation)

    def _new_folder(self) -> Path:
        own = self._folder / f"{time.time_ns():020d}-{os.urandom(4).hex()}"
        own.mkdir(parents=True)
        return own

    def _kept(self, own: Path, number: int, path: str, md5: str, now: str | None) -> TrashedFile:
        source = self._root / path
        kept = None
        # By an id of DVC 2 the cache has the text, but maybe with other ends of lines.
        if objectid.is_legacy(md5) or not self._cache.has(md5):
            kept = str(number)
            _keep(source.resolve(), own / kept)
        return TrashedFile(
            path=path,
            md5=md5,
            kept=kept,
            is_executable=bool(source.stat().st_mode & 0o111),
            link=os.readlink(source) if source.is_symlink() else None,  # noqa: PTH115  a Path would tidy it up
            now=now,
        )

    def _write(self, own: Path, operation: Operation) -> None:
        durable.write_atomically(own / _PLAN, msgspec.json.encode(operation))
        durable.sync_path(self._folder)

    def _remove_leftovers(self) -> None:
        """What a crash has left: no plan yet, or put out of sight already."""
        if not self._folder.is_dir():
            return
        for child in list(self._folder.iterdir()):
            if child.name.endswith(_GONE) or not (child / _PLAN).exists():
                _remove_gone(child)


def _remove_gone(folder: Path) -> None:
    # Here, because it loads the compressors of archives as well.
    from shutil import rmtree

    plan = folder / _PLAN
    objects_at = _read(plan).objects_at if plan.exists() else ""
    if objects_at and Path(objects_at).parent != folder.parent:
        rmtree(objects_at, ignore_errors=True)
    rmtree(folder, ignore_errors=True)


def _remove(target: Path, files: Iterable[str], root: Path) -> None:
    """Remove files of a path, and the folders that are empty then. Ignored files stay; links are not followed."""
    for file in files:
        path = root / file
        inner = [parent for parent in path.parents if parent.is_relative_to(target) and parent.is_symlink()]
        # What lies behind a link to a folder belongs to somebody else: the link goes.
        (inner[-1] if inner else path).unlink(missing_ok=True)
    for folder, _, _ in os.walk(target, topdown=False):
        with suppress(OSError):  # not empty
            Path(folder).rmdir()


def _keep(source: Path, target: Path) -> None:
    """A second name where that is possible; whoever replaces the first one does so by a rename."""
    try:
        if links.hardlink(source, target):
            return
    except OSError as error:
        if error.errno != errno.EACCES:
            raise
    from shutil import copy2

    copy2(source, target)


def _read(plan: Path) -> Operation:
    try:
        return msgspec.json.decode(plan.read_bytes(), type=Operation)
    except msgspec.MsgspecError as error:
        raise InvalidError(
            f"{plan} cannot be read: {error}", hint=f"what it kept lies beside it; remove it: rm -r {plan.parent}"
        ) from error
