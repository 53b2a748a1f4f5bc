"""Find out what a path of the workspace holds, with or without keeping the bytes in the cache.

Each file is read at most once, and not at all when the state knows it. Leaves records of the result to `add.py` and to
the pipelines.
"""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from functools import cached_property
from pathlib import Path

from everloop import progress
from everloop.errors import InvalidError, NotFoundError
from everloop.workspace import hashing, objectid, slices, widewalk
from everloop.workspace.cache import Cache
from everloop.workspace.ignore import IgnoreRules
from everloop.workspace.incoming import Incoming, Source
from everloop.workspace.state import Listing, State
from everloop.workspace.traits import NONE, Seen, Traits
from everloop.workspace.values import Content


class Held:
    """What one path held when it was looked at.

    Attributes:
        content: Of the file or directory.
        files: Gives the files, `{relative path: md5}`, a file as `{"": md5}`; costs when it is called for a directory.
    """

    def __init__(self, content: Content, files: Callable[[], dict[str, str]]) -> None:
        self.content = content
        self.files = files


class Contents:
    """What the paths of one workspace hold now. Paths are relative to its root, posix.

    Args:
        root: Of the workspace.
        cache: Its cache.
        state: The memory of hashes.
        dvcignore: What to leave out of directories.
        legacy: Makes what tells the same by the hash of DVC 2, when it is needed.
    """

    def __init__(
        self,
        root: Path,
        cache: Cache,
        state: State,
        dvcignore: IgnoreRules,
        *,
        legacy: Callable[[], Contents] | None = None,
    ) -> None:
        self._root = root
        self._cache = cache
        self._state = state
        self._dvcignore = dvcignore
        self._seen: dict[str, tuple[Seen, Traits]] = {}
        self._make_legacy = legacy or (lambda: self)

    def like(self, oid: str | None) -> Contents:
        """The same paths by the hash of an id, which may be that of DVC 2; what is recorded is compared with this."""
        return self if oid is None or not objectid.is_legacy(oid) else self._legacy

    @cached_property
    def _legacy(self) -> Contents:
        return self._make_legacy()

    def look(self, path: str) -> Held | None:
        """What a path holds; None when nothing is there.

        Raises:
            InvalidError: It is neither file nor directory, or holds something that is neither.
        """
        found = self._stat(path)
        if found is None:
            return None
        if not stat.S_ISDIR(found.st_mode):
            content = self._content(path, found, None)
            return Held(content, lambda: {"": content.md5})
        listing, started_ns = self._walk(path)
        content = self._directory_content(path, listing, started_ns, None)
        return Held(content, lambda: self._files(path, listing, started_ns))

    def measure(self, path: str) -> Content | None:
        """The content of a file or directory; None when nothing is there.

        Raises: as `look`.
        """
        held = self.look(path)
        return None if held is None else held.content

    def files(self, path: str) -> dict[str, str]:
        """The files at a path as `{relative path: md5}`: a file is `{"": md5}`, nothing is `{}`."""
        found = self._stat(path)
        if found is None:
            return {}
        if not stat.S_ISDIR(found.st_mode):
            return {"": self._file(path, found, None)}
        return self._files(path, *self._walk(path))

    def traits(self, path: str) -> Traits | None:
        """What a directory has besides bytes, as the newest look at it found it; None when it has nothing of the kind.

        Raises: as `measure`.
        """
        traits = self._looked(path)[1]
        return None if traits == NONE else traits

    def seen(self, path: str, *, anew: bool = False) -> Seen:
        """The same in full, with what cannot be recorded; of a file or a link its own traits, under the name "".

        Args:
            path: Relative to the root.
            anew: Look again, also where a directory was looked at before.
        """
        if anew:
            self._seen.pop(path, None)
        return self._looked(path)[0]

    def keep(self, path: str, incoming: Incoming) -> Content:
        """Take the bytes of a file or directory into the cache.

        Raises:
            NotFoundError: Nothing is there.
            InvalidError: as `measure`.
            ConflictError: A file changed while it was read.
        """
        found = self._stat(path)
        if found is None:
            raise NotFoundError(f"{path} does not exist in {self._root}")
        return self._content(path, found, incoming)

    def missing(self, md5: str) -> list[str]:
        """The ids that the cache lacks, of an object and, for a directory, of its files.

        A directory's files are not looked for one by one while nothing came into the cache or left it.
        """
        if not hashing.is_directory(md5):
            return self._cache.missing(md5)
        stamp = self._cache.stamp()
        if stamp and self._state.stamp(md5) == stamp:
            return []
        absent = self._cache.missing(md5)
        if stamp and not absent:
            self._state.put_stamp(md5, stamp)
        return absent

    def verified(self, path: str, listing: Listing) -> Iterator[str | None]:
        """The MD5s of files that are about to be put below a directory, where the same files were there before."""
        return self._state.known(path, listing)

    def remember(self, path: str, found: os.stat_result, md5: str) -> None:
        """Note the hash of a file that was just written from the cache."""
        self._state.put(path, found, md5)

    def remember_directory(
        self, path: str, written: Listing, md5s: Sequence[str], gone: Collection[str], md5: str
    ) -> None:
        """Note the hashes of a directory's files that were just written from the cache, and forget those removed."""
        self._state.merge_directory(path, written, md5s, gone, md5, hashed_at_ns=time.time_ns())

    def save(self) -> None:
        """Keep what was learned for the next command."""
        self._state.save()
        if "_legacy" in self.__dict__:
            self._legacy.save()

    def _hash(self, path: str | os.PathLike[str]) -> str:
        return hashing.md5_of_file(path)

    def _stat(self, path: str) -> os.stat_result | None:
        try:
            return os.stat(self._place(path))  # noqa: PTH116  a Path for each file costs more than its stat
        except (FileNotFoundError, NotADirectoryError):
            return None

    def _place(self, path: str) -> str:
        # What stages only read may lie outside of the workspace, and is absolute then.
        return path if path[:1] == "/" else f"{self._root}/{path}"

    def _content(self, path: str, found: os.stat_result, incoming: Incoming | None) -> Content:
        if stat.S_ISDIR(found.st_mode):
            listing, started_ns = self._walk(path)
            if incoming is not None:
                self._seen[path][0].refuse_broken()
            return self._directory_content(path, listing, started_ns, incoming)
        if not stat.S_ISREG(found.st_mode):
            raise InvalidError(f"{path} is neither a file nor a directory")
        return Content(
            md5=self._file(path, found, incoming),
            size_bytes=found.st_size,
            is_executable=bool(found.st_mode & 0o111),
        )

    def _directory_content(self, path: str, listing: Listing, started_ns: int, incoming: Incoming | None) -> Content:
        md5 = self._unchanged(path, listing, incoming)
        if md5 is None:
            _, md5 = self._directory(path, listing, started_ns, incoming)
        return Content(md5=md5, size_bytes=sum(listing.sizes), n_files=len(listing.names))

    def _files(self, path: str, listing: Listing, started_ns: int) -> dict[str, str]:
        md5s = [md5 for md5 in self._state.known(path, listing) if md5 is not None]
        if len(md5s) < len(listing.names):
            md5s, _ = self._directory(path, listing, started_ns, None)
        return dict(zip(listing.names, md5s, strict=True))

    def _walk(self, path: str) -> tuple[Listing, int]:
        started_ns = time.time_ns()
        seen = Seen(self._cache.object_of)
        root, folder, rules = self._root, path, self._dvcignore
        if path.startswith("/"):
            root, folder, rules = Path("/"), path[1:], IgnoreRules(Path("/"), ".dvcignore", {})
        listing = widewalk.listing(root, folder, rules, seen, self._cache.object_of)
        self._seen[path] = (seen, seen.traits(listing.names))
        return listing, started_ns

    def _looked(self, path: str) -> tuple[Seen, Traits]:
        place = Path(self._place(path))
        if path not in self._seen and place.is_dir() and not place.is_symlink():
            self._walk(path)
        return self._seen.get(path) or (Seen.of_file(place, self._cache.object_of), NONE)

    def _unchanged(self, path: str, listing: Listing, incoming: Incoming | None) -> str | None:
        md5 = self._state.directory(path, listing.digest())
        if md5 is None or (incoming is not None and self.missing(md5)):
            return None
        return md5

    def _directory(
        self, path: str, listing: Listing, started_ns: int, incoming: Incoming | None
    ) -> tuple[list[str], str]:
        """The MD5s of the files, in the order of the listing, and that of the directory."""
        known = list(self._state.known(path, listing))
        absent = self._cache.absent(md5 for md5 in known if md5 is not None) if incoming is not None else set()
        unread = [place for place, md5 in enumerate(known) if md5 is None or md5 in absent]
        folder = self._place(path)

        def source(place: int) -> Source:
            return f"{folder}/{listing.names[place]}", listing.identity(place)

        def measured(part: Sequence[int]) -> int:
            return sum(listing.sizes[place] for place in part)

        size_bytes = measured(unread)
        average = size_bytes // max(len(unread), 1)
        with progress.phase("hashing" if incoming is None else "adding", len(unread), size_bytes) as phase:
            told = progress.batches(phase, measured)
            if incoming is not None:
                read = incoming.add_files(unread, source, file_bytes=average, told=told)
            else:
                read = slices.each(
                    lambda part: [self._hash(source(place)[0]) for place in part],
                    unread,
                    item_bytes=average,
                    is_forkable=True,
                    told=told,
                )
        for place, md5 in zip(unread, read, strict=True):
            known[place] = md5
        md5s = [md5 for md5 in known if md5 is not None]
        files = dict(zip(listing.names, md5s, strict=True))
        md5 = incoming.add_directory(files) if incoming is not None else hashing.directory_md5_of(files)
        self._state.put_directory(path, listing, md5s, md5, hashed_at_ns=started_ns)
        return md5s, md5

    def _file(self, path: str, found: os.stat_result, incoming: Incoming | None) -> str:
        known = self._state.get(path, found)
        if known is not None and not (incoming is not None and not self._cache.has(known)):
            return known
        started_ns = time.time_ns()
        place = Path(self._place(path))
        with progress.phase("hashing" if incoming is None else "adding", 1, found.st_size):
            md5 = incoming.add_file(place, found) if incoming is not None else self._hash(place)
        self._state.put(path, found, md5, hashed_at_ns=started_ns)
        return md5
