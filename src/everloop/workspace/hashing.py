"""Hash files, and write and read DVC's directory objects byte for byte.

Source: dvc-data 3.18 (`hashfile/tree.py`): a directory is the JSON list of its files' hashes and relative paths, in
code point order of the paths; its id is the MD5 of that text, followed by `.dir`.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from typing import BinaryIO, Protocol, Self

import msgspec

from everloop.errors import InvalidError
from everloop.latepattern import LatePattern
from everloop.progress import Passing
from everloop.workspace import objectid
from everloop.workspace.dos2unix import Dos2Unix
from everloop.workspace.values import DIRECTORY_SUFFIX

CHUNK_BYTES = 1 << 20
# The first read of a file, which is the only one of most: for a larger buffer the system is asked for pages each time.
_FIRST_BYTES = 1 << 16
# From here on, writing in a second thread while this one hashes is worth a thread.
_LARGE_BYTES = 8 << 20
_MOST_WAITING = 8
# From here on the disk takes longer than a flush now and then.
_FLUSHED_BYTES = 64 << 20
_FLUSH_PAUSE_S = 0.05
_PIECE_ENTRIES = 4096
_MD5_HEX = 32
_MD5 = LatePattern(r"[0-9a-f]{32}")
_MD5S = LatePattern(r"[0-9a-f]*")
# A part of a path that is empty, "." or "..", where paths are joined by line ends; a NUL.
_SUSPICIOUS = LatePattern(r"(?:^|/|\n)\.{0,2}(?:/|\n|$)|\0")


class _Entry(msgspec.Struct, gc=False):
    md5: str
    relpath: str


_DIRECTORY = msgspec.json.Decoder(list[_Entry])


class Digest(Protocol):
    """A hash under way, as those of `hashlib`."""

    def update(self, data: bytes | memoryview, /) -> None: ...

    def hexdigest(self) -> str: ...


def digest(like: str = "") -> Digest:
    """A digest for bytes whose id is of the same kind as another one; `hexdigest` gives that of a file."""
    if objectid.is_legacy(like):
        return Dos2Unix()
    # Here, as everywhere else: its import loads a library that commands without data have no use for.
    import hashlib

    return hashlib.md5(usedforsecurity=False)


class Sink(Protocol):
    """Where the bytes go that are hashed on their way."""

    def write(self, data: bytes, /) -> int: ...


def md5_of_stream(stream: BinaryIO, sink: Sink | None = None, *, like: str = "") -> tuple[str, int]:
    """Read a stream to its end once; copy it to the sink when there is one.

    Returns:
        The MD5 in hex, or an id of the kind of `like`, and the number of bytes.
    """
    hasher = digest(like)
    size = 0
    while chunk := stream.read(CHUNK_BYTES):
        hasher.update(chunk)
        size += len(chunk)
        if sink is not None:
            sink.write(chunk)
    return hasher.hexdigest(), size


def md5_of_file(path: str | os.PathLike[str], like: str = "") -> str:
    """The MD5 of a file's bytes, in hex; with `like` the file's id of that kind."""
    # Not through a file object: for a small file its making costs more than reading and hashing.
    descriptor = os.open(path, os.O_RDONLY)
    try:
        return md5_of_descriptor(descriptor, like)
    finally:
        os.close(descriptor)


def md5_of(data: bytes, like: str = "") -> str:
    """The MD5 of bytes, in hex; with `like` their id of that kind."""
    hasher = digest(like)
    hasher.update(data)
    return hasher.hexdigest()


def md5_of_descriptor(descriptor: int, like: str = "") -> str:
    """The MD5, in hex, of the bytes from where the descriptor stands to the end of its file; `like` as before."""
    hasher = digest(like)
    while chunk := os.read(descriptor, _FIRST_BYTES):
        hasher.update(chunk)
        # The second read of most files is the one that finds their end.
        if len(chunk) == _FIRST_BYTES:
            _hash_rest(hasher, descriptor)
            break
    return hasher.hexdigest()


def _hash_rest(hasher: Digest, descriptor: int) -> None:
    with Passing() as passing:
        while chunk := os.read(descriptor, CHUNK_BYTES):
            hasher.update(chunk)
            passing.passed(len(chunk))


def md5_of_copy(source: int, target: int, size_bytes: int, like: str = "", *, is_flushed: bool = False) -> str:
    """Copy a file from one descriptor to another, and give the MD5, in hex, of exactly the bytes that were written.

    Args:
        source: Stands at the start of the file.
        target: Open for writing.
        size_bytes: About how long the file is: a large one is written by a second thread while this one hashes.
        like: Gives an id of the kind of this one instead.
        is_flushed: Whoever calls waits for the disk in the end, so that a large file is better flushed on the way.
    """
    hasher = digest(like)
    if size_bytes < _LARGE_BYTES:
        while chunk := os.read(source, min(size_bytes + 1, CHUNK_BYTES)):
            hasher.update(chunk)
            write_all(target, chunk)
        return hasher.hexdigest()
    copied = _Copying(source, target)
    flushed = _flushing(target) if is_flushed and size_bytes >= _FLUSHED_BYTES else nullcontext()
    with copied, flushed, Passing() as passing:
        for piece in copied:
            hasher.update(piece)
            passing.passed(len(piece))
    return hasher.hexdigest()


class _Copying:
    """Copies in a thread of its own; whoever iterates gets the chunks that were written, a few behind.

    Raises, from iterating: what reading or writing raised.
    """

    def __init__(self, source: int, target: int) -> None:
        # Here, because few files are so large.
        from queue import SimpleQueue

        self._source = source
        self._target = target
        self._written: SimpleQueue[bytes | BaseException] = SimpleQueue()
        self._room = threading.Semaphore(_MOST_WAITING)
        self._is_stopped = threading.Event()
        self._writer = threading.Thread(target=self._copy, daemon=True)

    def __enter__(self) -> Self:
        self._writer.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_stopped.set()
        self._room.release()
        self._writer.join()

    def __iter__(self) -> Iterator[bytes]:
        while not isinstance(piece := self._written.get(), BaseException):
            if not piece:
                return
            yield piece
            self._room.release()
        raise piece

    def _copy(self) -> None:
        try:
            while not self._is_stopped.is_set():
                self._room.acquire()
                chunk = os.read(self._source, CHUNK_BYTES)
                write_all(self._target, chunk)
                self._written.put(chunk)
                if not chunk:
                    return
        except BaseException as failure:  # noqa: BLE001  it is raised again, in the thread that called
            self._written.put(failure)


@contextmanager
def _flushing(descriptor: int) -> Iterator[None]:
    """Let the disk write while the block goes on; that all of it is there is not promised.

    Raises:
        OSError: The disk failed. The system tells it once, so nobody after this one would hear of it.
    """
    is_over = threading.Event()
    failures: list[OSError] = []

    def flush() -> None:
        try:
            while True:
                os.fsync(descriptor)
                if is_over.wait(_FLUSH_PAUSE_S):
                    return
        except OSError as failure:
            failures.append(failure)

    flusher = threading.Thread(target=flush, daemon=True)
    flusher.start()
    try:
        yield
    finally:
        is_over.set()
        flusher.join()
    for failure in failures:
        raise failure


def write_all(descriptor: int, chunk: bytes) -> None:
    """Write all bytes, also where the system takes only a part at once."""
    done = os.write(descriptor, chunk)
    while done < len(chunk):
        done += os.write(descriptor, memoryview(chunk)[done:])


def encode_directory(files: Mapping[str, str]) -> bytes:
    """The bytes of the directory object for `{relative posix path: md5}`."""
    return b"".join(_encoded(files))


def directory_md5_of(files: Mapping[str, str]) -> str:
    """The id that the directory object would have, without holding its bytes in memory."""
    hasher = digest()
    for piece in _encoded(files):
        hasher.update(piece)
    return hasher.hexdigest() + DIRECTORY_SUFFIX


def _encoded(files: Mapping[str, str]) -> Iterator[bytes]:
    # Here, because few commands write a directory.
    from json.encoder import encode_basestring_ascii

    # json.dumps of a list of dicts gives the same and takes five times as long.
    paths = sorted(files)
    yield b"["
    for start in range(0, len(paths), _PIECE_ENTRIES):
        piece = ", ".join(
            [
                f'{{"md5": "{files[path]}", "relpath": {encode_basestring_ascii(path)}}}'
                for path in paths[start : start + _PIECE_ENTRIES]
            ]
        )
        yield (f", {piece}" if start else piece).encode()
    yield b"]"


def is_directory(md5: str) -> bool:
    """Whether the id is that of a directory object."""
    return md5.endswith(DIRECTORY_SUFFIX)


def directory_md5(encoded: bytes, like: str = "") -> str:
    """The id of a directory object, with its `.dir`; `like` tells the kind."""
    hasher = digest(like)
    hasher.update(encoded)
    return hasher.hexdigest() + DIRECTORY_SUFFIX


def decode_directory(encoded: bytes, name: str, like: str = "") -> dict[str, str]:
    """Read a directory object, in any order of entries and with any further keys.

    Args:
        encoded: The object's bytes.
        name: What to call the object in an error.
        like: Its id, or another one of its kind: that of its files is the same.

    Returns:
        `{relative posix path: md5}`.

    Raises:
        InvalidError: It is no directory object, or a path in it would leave the directory.
    """
    files = _entries(encoded, name)
    # All at once first: one by one takes longer than everything else here.
    if _MD5S.fullmatch("".join(files.values())) is None or not {_MD5_HEX}.issuperset(map(len, files.values())):
        path = next(path for path, md5 in files.items() if not _MD5.fullmatch(md5))
        raise InvalidError(f"{name} is not a directory object: the entry {path!r} has no valid md5")
    if _SUSPICIOUS.search("\n".join(files)) is not None:
        for path in files:
            # Such an object may come from a stranger: it must not write outside of its directory.
            if "\0" in path or any(part in ("", ".", "..") for part in path.split("/")):
                raise InvalidError(f"{name} is not a directory object: the path {path!r} leaves the directory")
    return {path: objectid.legacy(md5) for path, md5 in files.items()} if objectid.is_legacy(like) else files


def _entries(encoded: bytes, name: str) -> dict[str, str]:
    try:
        return {entry.relpath: entry.md5 for entry in _DIRECTORY.decode(encoded)}
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        first = error
    import json

    try:
        # Half of a surrogate pair, as a name that is no UTF-8 has it, is valid only for Python's own reader.
        return {entry.relpath: entry.md5 for entry in msgspec.convert(json.loads(encoded), list[_Entry])}
    except (ValueError, msgspec.MsgspecError):
        raise InvalidError(f"{name} is not a directory object: {first}") from first


def is_md5(text: str) -> bool:
    """Whether the text is the id of a file or of a directory."""
    return _MD5.fullmatch(text.removesuffix(DIRECTORY_SUFFIX)) is not None
