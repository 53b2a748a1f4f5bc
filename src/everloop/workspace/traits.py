"""What a tracked directory has besides the bytes of its files: executable bits, symbolic links, empty folders.

DVC's listing of a directory has no room for them. They are recorded under `meta` of the out, which DVC keeps and never
reads. The listing is what counts: where somebody changed it with DVC, a trait that no longer fits is passed over.
Leaves making them on the disk to `arrangement.py` and the text of the record to `traitrecord.py`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

from everloop.errors import EverloopError, InvalidError

# From this number on it pays to record the smaller half: where a filesystem has no such bits, every file has them.
_MANY_EXECUTABLE = 100
_LONGEST_CHAIN = 40
EXECUTABLE = 0o111


# The id of the object of the cache that a link's target is the place of.
ObjectOf = Callable[[str], str | None]


class Traits(msgspec.Struct, frozen=True, kw_only=True):
    """Traits of one directory; paths are relative to it, posix, sorted.

    Attributes:
        executable: Files with an executable bit.
        not_executable: When it is given, all files have that bit, but for these.
        links: Relative links to files and folders of the directory itself, `{path: target as written}`.
        empty: Folders without anything that is recorded.
    """

    executable: tuple[str, ...] = ()
    not_executable: tuple[str, ...] | None = None
    links: dict[str, str] = {}
    empty: tuple[str, ...] = ()

    def executables(self, files: Collection[str]) -> set[str]:
        """Those of some files that have an executable bit."""
        if self.not_executable is None:
            return set(self.executable).intersection(files)
        return set(files).difference(self.not_executable)


NONE = Traits()


class Seen:
    """What a walk met, besides the bytes. Filled by `walk.data_files`.

    Attributes:
        executable: Files whose mode (of a link: that of its target) has an executable bit.
        links: All links, `{path: target}`.
        folder_links: Those of them that lead to folders, which no walk enters.
        empty: Folders without a file, a folder or a link.
        broken: Links that lead nowhere, and what is wrong with each.
        objects: Files that are links into the cache, `{path: id of the object}`; they are no links of the user's.
    """

    def __init__(self, object_of: ObjectOf | None = None, *, is_strict: bool = False) -> None:
        """Nothing was met yet.

        Args:
            object_of: Gives the object of the cache that a link's target is; None when it is something else.
            is_strict: A broken link is an error at once.
        """
        self._object_of = object_of
        self._is_strict = is_strict
        self.objects: dict[str, str] = {}
        self.broken: dict[str, InvalidError] = {}
        self.executable: list[str] = []
        self.links: dict[str, str] = {}
        self.folder_links: set[str] = set()
        self.empty: list[str] = []

    @classmethod
    def of_file(cls, place: Path, object_of: ObjectOf | None = None) -> Seen:
        """Of one file, or of a link to whatever; nothing when there is none."""
        seen = cls(object_of)
        if place.is_symlink():
            # A Path would tidy the target up.
            seen.add_link("", os.readlink(place), leads_to_folder=place.is_dir())  # noqa: PTH115
        if place.is_file() and place.stat().st_mode & EXECUTABLE:
            seen.executable.append("")
        return seen

    def add_link(self, path: str, target: str, *, leads_to_folder: bool) -> None:
        """Note a link."""
        md5 = self._object_of(target) if self._object_of is not None else None
        if md5 is not None:
            self.objects[path] = md5
            return
        self.links[path] = target
        if leads_to_folder:
            self.folder_links.add(path)

    def add_broken(self, path: str, failure: EverloopError, cause: OSError) -> None:
        """Note a link that leads nowhere. Whoever puts things in place may repair it; nobody can keep its bytes.

        Raises:
            EverloopError: The failure, when it is of another kind.
        """
        if self._is_strict or not isinstance(failure, InvalidError):
            raise failure from cause
        self.broken[path] = failure

    def refuse_broken(self) -> None:
        """Raise what is wrong with the first broken link.

        Raises:
            InvalidError: There is one.
        """
        for failure in self.broken.values():
            raise failure

    def end_folder(self, path: str, *, is_empty: bool) -> None:
        """Note a folder when it is empty; the directory itself has a record of its own."""
        if is_empty and path:
            self.empty.append(path)

    def put(self, name: str, part: Seen) -> None:
        """Take in what was met below a path, or at it."""

        def full(path: str) -> str:
            return f"{name}/{path}" if path else name

        self.executable += map(full, part.executable)
        self.links |= {full(path): target for path, target in part.links.items()}
        self.folder_links.update(map(full, part.folder_links))
        self.empty += map(full, part.empty)

    def packed(self) -> tuple[Any, ...]:
        """All of it as plain values, for another process."""
        broken = {path: (failure.message, failure.hint) for path, failure in self.broken.items()}
        return self.executable, self.links, self.folder_links, self.empty, self.objects, broken

    def unpack(self, packed: tuple[Any, ...]) -> None:
        """Add what another process has packed, of other folders of the same directory."""
        executable, links, folder_links, empty, objects, broken = packed
        self.executable += executable
        self.links |= links
        self.folder_links |= folder_links
        self.empty += empty
        self.objects |= objects
        self.broken |= {path: InvalidError(message, hint=hint) for path, (message, hint) in broken.items()}

    def traits(self, names: Collection[str]) -> Traits:
        """What of it can be recorded.

        Args:
            names: The files of the directory.
        """
        links = {
            path: target
            for path, target in self.links.items()
            if stays_inside(path, target) and _is_text(path) and _is_text(target)
        }
        found = Traits(links=links, empty=tuple(sorted(filter(_is_text, self.empty))))
        # The bytes of a link are those of its target now.
        found = fitting(found, dict.fromkeys(names, "")) if links else found
        plain = len(names) - sum(path in found.links for path in self.links if path not in self.folder_links)
        executable = sorted(path for path in self.executable if path not in found.links and _is_text(path))
        links = dict(sorted(found.links.items()))
        if len(executable) > max(_MANY_EXECUTABLE, plain // 2):
            others = filter(_is_text, set(names).difference(executable, links))
            return msgspec.structs.replace(found, links=links, not_executable=tuple(sorted(others)))
        return msgspec.structs.replace(found, links=links, executable=tuple(executable))


def stays_inside(path: str, target: str) -> bool:
    """Whether a link's target is relative and stays inside of the directory, whatever other links there are.

    `..` may only stand at its beginning: behind the name of another link it would lead anywhere.
    """
    if not target or target.startswith("/") or "\0" in target:
        return False
    depth = path.count("/")
    parts = [part for part in target.split("/") if part not in ("", ".")]
    n_up = next((number for number, part in enumerate(parts) if part != ".."), len(parts))
    return n_up <= depth and ".." not in parts[n_up:]


def is_inside(path: str) -> bool:
    """Whether a recorded path is one below the directory."""
    return "\0" not in path and all(part not in ("", ".", "..") for part in path.split("/"))


def fitting(traits: Traits, files: Mapping[str, str]) -> Traits:
    """The links and empty folders that agree with a listing; executable bits stay as they are.

    A link to a file fits when the listing has the same bytes for both, a link to a folder when the listing has that
    folder and nothing where the link would be.

    Args:
        traits: As recorded.
        files: The listing, `{path: md5}`.
    """
    if not traits.links and not traits.empty:
        return traits
    folders = {parent for path in files for parent in parents(path)}
    empty = tuple(
        path
        for path in traits.empty
        if not any(place in files or place in traits.links for place in (path, *parents(path)))
    )
    folders.update(place for path in empty for place in (path, *parents(path)))
    links = {
        path: target
        for path, target in traits.links.items()
        if path not in folders and not any(parent in files or parent in traits.links for parent in parents(path))
    }
    while True:
        kept = {path: target for path, target in links.items() if _leads(path, links, files, folders)}
        if len(kept) == len(links):
            return msgspec.structs.replace(traits, links=kept, empty=empty)
        links = kept


def _is_text(name: str) -> bool:
    """Whether a name can be written into a record: one that is no UTF-8 comes from the system with surrogates in it."""
    return name.isascii() or name.encode("utf-8", "replace").decode() == name


def followed(files: dict[str, str], traits: Traits) -> None:
    """Give recorded links to files the bytes that their targets have in a listing that was changed."""
    for path in traits.links:
        end = end_of(path, traits.links)
        if path in files and end in files:
            files[path] = files[end]


def _leads(path: str, links: Mapping[str, str], files: Mapping[str, str], folders: Collection[str]) -> bool:
    end = end_of(path, links)
    if path in files:
        return end is not None and files.get(end) == files[path]
    return end is not None and (end == "" or end in folders)


def end_of(path: str, links: Mapping[str, str]) -> str | None:
    """Where a chain of links ends; None when it goes round in a circle."""
    for _ in range(_LONGEST_CHAIN):
        place = next((place for place in (*parents(path), path) if place in links), None)
        if place is None:
            return path
        joined = os.path.normpath(f"{place.rpartition('/')[0]}/./{links[place]}/{path[len(place) :]}").lstrip("/")
        path = "" if joined == "." else joined
    return None


def parents(path: str) -> Iterator[str]:
    """The folders above a path, the highest first."""
    at = path.find("/")
    while at >= 0:
        yield path[:at]
        at = path.find("/", at + 1)
