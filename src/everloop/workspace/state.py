"""Remember the hashes of files and directories, so that what did not change is not read again.

The memory can be deleted at any time. A hash counts only while inode, modification time and size are what they were.
What is known of a directory's files lies in a file of its own, which is read only when something in the directory
changed: as long as nothing did, one digest over all its files answers for them.
"""

from __future__ import annotations

import itertools
import os
import time
from array import array
from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path

import msgspec

from everloop.workspace import durable

# A second write within one tick of the filesystem's clock leaves the modification time as it was, so a hash taken
# that soon proves nothing. Linux kernels tick at 100 Hz or more; filesystems that only know whole seconds (FAT even
# two) show it in the time itself.
CLOCK_TICK_NS = 50_000_000
_COARSE_TICK_NS = 2_000_000_000
_SECOND_NS = 1_000_000_000
# A modification time that no file has: the hash beside it is not to be trusted.
_UNTRUSTED = -1
_MOST_STAMPS = 64
_MD5_HEX = 32
# Inode, modification time in nanoseconds, size in bytes.
Identity = tuple[int, int, int]


class Listing:
    """The files below a directory in columns, as a walk met them.

    Attributes:
        names: Paths relative to the directory, posix.
        inodes: One for each name.
        times_ns: Modification times.
        sizes: Bytes.
    """

    def __init__(self) -> None:
        self.names: list[str] = []
        self.inodes = array("Q")
        self.times_ns = array("q")
        self.sizes = array("q")

    @classmethod
    def of(cls, files: Iterable[tuple[str, os.stat_result]]) -> Listing:
        """The listing of what a walk meets."""
        listing = cls()
        listing.take(files)
        return listing

    def take(self, files: Iterable[tuple[str, os.stat_result]]) -> None:
        """Add what a walk meets."""
        add_name, add_inode = self.names.append, self.inodes.append
        add_time_ns, add_size = self.times_ns.append, self.sizes.append
        for name, found in files:
            add_name(name)
            add_inode(found.st_ino)
            add_time_ns(found.st_mtime_ns)
            add_size(found.st_size)

    def packed(self) -> tuple[bytes, bytes, bytes, bytes]:
        """The columns as bytes, for another process."""
        return _joined(self.names), self.inodes.tobytes(), self.times_ns.tobytes(), self.sizes.tobytes()

    def unpack(self, packed: tuple[bytes, bytes, bytes, bytes]) -> None:
        """Add what another process has packed."""
        self.names += _split(packed[0])
        for column, data in zip((self.inodes, self.times_ns, self.sizes), packed[1:], strict=True):
            column.frombytes(data)

    def append(self, name: str, found: Identity) -> None:
        """Add one file."""
        self.names.append(name)
        self.inodes.append(found[0])
        self.times_ns.append(found[1])
        self.sizes.append(found[2])

    def identity(self, place: int) -> Identity:
        """What tells that the file at a place of the columns is still the same."""
        return self.inodes[place], self.times_ns[place], self.sizes[place]

    def digest(self) -> bytes:
        """One value for all of it, 16 bytes."""
        import hashlib

        hasher = hashlib.blake2b(_joined(self.names), digest_size=16)
        for column in (self.inodes, self.times_ns, self.sizes):
            hasher.update(column)
        return hasher.digest()


class Directory(msgspec.Struct, frozen=True, array_like=True):
    """What a directory held.

    Attributes:
        digest: Of its listing; empty when a hash of a file is not to be trusted.
        md5: Of its directory object, with `.dir`.
    """

    digest: bytes
    md5: str


class _Files(msgspec.Struct, array_like=True):
    """The files of a directory: a listing (names joined by NUL), and 16 bytes of MD5 for each."""

    names: bytes
    inodes: bytes
    times_ns: bytes
    sizes: bytes
    md5s: bytes


_Entry = tuple[int, int, int, str]


class _Memory(msgspec.Struct, array_like=True):
    files: dict[str, _Entry] = {}
    directories: dict[str, Directory] = {}
    stamps: dict[str, bytes] = {}


_DECODER = msgspec.msgpack.Decoder(_Memory)
_FILES_DECODER = msgspec.msgpack.Decoder(_Files)


class _Hashed:
    """A listing with the hashes of its files: all in hex, one after the other. The names stay joined until they are
    needed: a million strings take more memory than all the rest."""

    def __init__(self, files: _Files) -> None:
        self.joined = files.names
        self.inodes = memoryview(files.inodes).cast("Q")
        self.times_ns = memoryview(files.times_ns).cast("q")
        self.sizes = memoryview(files.sizes).cast("q")
        self.md5s = files.md5s.hex()

    def identity(self, place: int) -> Identity:
        return self.inodes[place], self.times_ns[place], self.sizes[place]

    def md5(self, place: int) -> str:
        return self.md5s[place * _MD5_HEX : (place + 1) * _MD5_HEX]


def identity(found: os.stat_result) -> Identity:
    """What tells that a file is still the same."""
    return found.st_ino, found.st_mtime_ns, found.st_size


class State:
    """Hashes by path. Not thread-safe; of two processes that save, the last one wins, at the price of hashing again."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._memory = _load(path)
        self._changed = False

    def get(self, path: str, stat: os.stat_result) -> str | None:
        """The MD5 of a file when it is known and the file unchanged."""
        entry = self._memory.files.get(path)
        if entry is None or entry[:3] != identity(stat):
            return None
        return entry[3]

    def put(self, path: str, stat: os.stat_result, md5: str, *, hashed_at_ns: int | None = None) -> None:
        """Remember the hash of the bytes that the file had at `stat`.

        Args:
            path: Relative to the workspace root.
            stat: Taken before the bytes were read.
            md5: Their hash.
            hashed_at_ns: Wall clock at the start of the reading; None means now.
        """
        if _proves(stat.st_mtime_ns, time.time_ns() if hashed_at_ns is None else hashed_at_ns):
            self._memory.files[path] = (*identity(stat), md5)
            self._changed = True

    def directory(self, path: str, digest: bytes) -> str | None:
        """The id of a directory's object when no file of it changed since it was remembered."""
        known = self._memory.directories.get(path)
        return known.md5 if known is not None and known.digest == digest else None

    def known(self, path: str, listing: Listing) -> Iterator[str | None]:
        """The MD5s of a directory's files in the order of the listing; None for the unknown and the changed."""
        before = self._files(path)
        if before is None:
            yield from itertools.repeat(None, len(listing.names))
            return
        hexes, inodes, times_ns, sizes = before.md5s, before.inodes, before.times_ns, before.sizes
        places: Sequence[int] = range(len(listing.names))
        if before.joined != _joined(listing.names):
            place_of = {name: place for place, name in enumerate(_split(before.joined))}
            places = array("q", (place_of.get(name, -1) for name in listing.names))
            del place_of
        del before
        for place, inode, time_ns, size in zip(places, listing.inodes, listing.times_ns, listing.sizes, strict=True):
            if place >= 0 and inodes[place] == inode and times_ns[place] == time_ns and sizes[place] == size:
                yield hexes[place * _MD5_HEX : (place + 1) * _MD5_HEX]
            else:
                yield None

    def put_directory(self, path: str, listing: Listing, md5s: Sequence[str], md5: str, *, hashed_at_ns: int) -> None:
        """Remember the hashes of a directory's files, and of its directory object.

        Args:
            path: Relative to the workspace root.
            listing: Taken before the bytes were read.
            md5s: In its order.
            md5: The id of the directory object.
            hashed_at_ns: Wall clock at the start of the first reading.
        """
        digest = listing.digest()
        times_ns = listing.times_ns
        newest = max(times_ns, default=0)
        # Whole seconds make every file suspicious for two of them, so only young files have to be looked at one by one.
        if newest > hashed_at_ns - _COARSE_TICK_NS:
            times_ns = array("q", [ns if _proves(ns, hashed_at_ns) else _UNTRUSTED for ns in times_ns])
            digest = b"" if times_ns != listing.times_ns else digest
        files = _Files(
            names=_joined(listing.names),
            inodes=listing.inodes.tobytes(),
            times_ns=times_ns.tobytes(),
            sizes=listing.sizes.tobytes(),
            md5s=bytes.fromhex("".join(md5s)),
        )
        # At once: it need not be held for what the command does next, and is right without the digest beside it.
        self._path.parent.mkdir(parents=True, exist_ok=True)
        durable.write_atomically(self._files_path(path), msgspec.msgpack.encode(files), flush=False)
        self._memory.directories[path] = Directory(digest, md5)
        self._changed = True

    def merge_directory(
        self, path: str, written: Listing, md5s: Sequence[str], gone: Collection[str], md5: str, *, hashed_at_ns: int
    ) -> None:
        """Remember the hashes of some of a directory's files; what is known of the others stays.

        Args:
            path: Relative to the workspace root.
            written: Some of its files.
            md5s: In the order of `written`.
            gone: Names of files that are there no more.
            md5: The id of the directory object.
            hashed_at_ns: Wall clock before the first of `written` was.
        """
        merged, all_md5s = Listing(), []
        before = self._files(path)
        if before is not None:
            replaced = {*written.names, *gone}
            for place, name in enumerate(_split(before.joined)):
                if name not in replaced:
                    merged.append(name, before.identity(place))
                    all_md5s.append(before.md5(place))
            # A million of them are not held while others are encoded.
            del before, replaced
        if not merged.names:
            self.put_directory(path, written, md5s, md5, hashed_at_ns=hashed_at_ns)
            return
        for place, name in enumerate(written.names):
            merged.append(name, written.identity(place))
        self.put_directory(path, merged, [*all_md5s, *md5s], md5, hashed_at_ns=hashed_at_ns)

    def stamp(self, md5: str) -> bytes:
        """The cache's stamp when it was last seen to hold all files of a directory object; empty if it never was."""
        return self._memory.stamps.get(md5, b"")

    def put_stamp(self, md5: str, stamp: bytes) -> None:
        """Remember that the cache with this stamp holds all files of a directory object."""
        self._memory.stamps.pop(md5, None)
        self._memory.stamps[md5] = stamp
        while len(self._memory.stamps) > _MOST_STAMPS:
            del self._memory.stamps[next(iter(self._memory.stamps))]
        self._changed = True

    def save(self) -> None:
        """Write the memory when it changed."""
        if not self._changed:
            return
        self._path.parent.mkdir(parents=True, exist_ok=True)
        durable.write_atomically(self._path, msgspec.msgpack.encode(self._memory), flush=False)
        self._changed = False

    def _files(self, path: str) -> _Hashed | None:
        if path not in self._memory.directories:
            return None
        try:
            return _Hashed(_FILES_DECODER.decode(self._files_path(path).read_bytes()))
        except (FileNotFoundError, msgspec.MsgspecError):
            # Deleted, or damaged: it only costs to hash again.
            return None

    def _files_path(self, path: str) -> Path:
        import hashlib

        name = hashlib.blake2b(path.encode("utf-8", "surrogateescape"), digest_size=8).hexdigest()
        return self._path.with_name(f"{self._path.name}-{name}")


def _joined(names: Sequence[str]) -> bytes:
    # Names that are no UTF-8 come from the system with surrogates in them.
    return "\0".join(names).encode("utf-8", "surrogateescape")


def _split(names: bytes) -> list[str]:
    return names.decode("utf-8", "surrogateescape").split("\0") if names else []


def _proves(time_ns: int, hashed_at_ns: int) -> bool:
    """Whether a hash taken at a time is that of the file's present bytes, by its modification time."""
    return hashed_at_ns - time_ns >= (_COARSE_TICK_NS if time_ns % _SECOND_NS == 0 else CLOCK_TICK_NS)


def _load(path: Path) -> _Memory:
    try:
        return _DECODER.decode(path.read_bytes())
    except FileNotFoundError:
        return _Memory()
    except msgspec.MsgspecError:
        # Written by another release, or damaged: it only costs to hash again.
        return _Memory()
