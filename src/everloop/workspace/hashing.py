"""Hash files, and write and read DVC's directory objects byte for byte.

Source: dvc-data 3.18 (`hashfile/tree.py`): a directory is the JSON list of its files' hashes and relative paths, in
code point order of the paths; its id is the MD5 of that text, followed by `.dir`.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO, Protocol

from everloop.errors import InvalidError
from everloop.workspace.values import DIRECTORY_SUFFIX

CHUNK_BYTES = 1 << 20
_MD5 = re.compile(r"[0-9a-f]{32}")


class Sink(Protocol):
    """Where the bytes go that are hashed on their way."""

    def write(self, data: bytes, /) -> int: ...


def md5_of_stream(stream: BinaryIO, sink: Sink | None = None) -> tuple[str, int]:
    """Read a stream to its end once; copy it to the sink when there is one.

    Returns:
        The MD5 in hex and the number of bytes.
    """
    digest = hashlib.md5(usedforsecurity=False)
    size = 0
    while chunk := stream.read(CHUNK_BYTES):
        digest.update(chunk)
        size += len(chunk)
        if sink is not None:
            sink.write(chunk)
    return digest.hexdigest(), size


def md5_of_file(path: Path) -> str:
    """The MD5 of a file's bytes, in hex."""
    with path.open("rb", buffering=0) as stream:
        return md5_of_stream(stream)[0]


def encode_directory(files: Mapping[str, str]) -> bytes:
    """The bytes of the directory object for `{relative posix path: md5}`."""
    listing = [{"md5": files[path], "relpath": path} for path in sorted(files)]
    return json.dumps(listing).encode()


def directory_md5(encoded: bytes) -> str:
    """The id of a directory object, with its `.dir`."""
    return hashlib.md5(encoded, usedforsecurity=False).hexdigest() + DIRECTORY_SUFFIX


def decode_directory(encoded: bytes, name: str) -> dict[str, str]:
    """Read a directory object, in any order of entries and with any further keys.

    Args:
        encoded: The object's bytes.
        name: What to call the object in an error.

    Returns:
        `{relative posix path: md5}`.

    Raises:
        InvalidError: It is no directory object, or a path in it would leave the directory.
    """
    try:
        listing = json.loads(encoded)
        files = {entry["relpath"]: entry["md5"] for entry in listing}
    except (ValueError, TypeError, KeyError) as error:
        raise InvalidError(f"{name} is not a directory object: {error!r}") from error
    for path, md5 in files.items():
        if not isinstance(path, str) or not isinstance(md5, str) or not _MD5.fullmatch(md5):
            raise InvalidError(f"{name} is not a directory object: the entry {path!r} has no valid md5")
        # Such an object may come from a stranger: it must not write outside of its directory.
        if path.startswith("/") or "\0" in path or any(part in ("", ".", "..") for part in path.split("/")):
            raise InvalidError(f"{name} is not a directory object: the path {path!r} leaves the directory")
    return files


def is_md5(text: str) -> bool:
    """Whether the text is the id of a file or of a directory."""
    return _MD5.fullmatch(text.removesuffix(DIRECTORY_SUFFIX)) is not None
