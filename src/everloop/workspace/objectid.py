r"""Ids of objects, and where an object lies in a cache or a remote.

An id is the MD5 of the bytes in hex, followed by `.dir` for a directory's listing. Objects of DVC 2 are named by
another hash, which sees a text file with `\r\n` as if it had `\n`: DVC calls it `md5-dos2unix`, their ids here begin
with that word, and they lie where DVC 2 has put them. So the two kinds are never taken for each other.
"""

from __future__ import annotations

from everloop.latepattern import LatePattern
from everloop.workspace.values import DIRECTORY_SUFFIX

LEGACY = "md5-dos2unix:"
FOLDER = "files/md5/"
_N_LEGACY = len(LEGACY)
_KEY = LatePattern(r"(files/md5/)?([0-9a-f]{2})/([0-9a-f]{30}(?:\.dir)?)")


def legacy(md5: str) -> str:
    """The id of an object of DVC 2 by the digits that its records have."""
    return LEGACY + md5


def is_legacy(oid: str) -> bool:
    """Whether it is the id of an object of DVC 2."""
    # No hex digit is an m; this is asked for every object.
    return oid[:1] == "m"


def digits(oid: str) -> str:
    """What DVC writes of an id, in records and for people: hex digits, with `.dir` for a directory."""
    return oid[_N_LEGACY:] if oid[:1] == "m" else oid


def like(oid: str, md5: str) -> str:
    """The digits as an id of the same kind as another one."""
    return LEGACY + md5 if oid[:1] == "m" else md5


def is_directory(oid: str) -> bool:
    """Whether it is the id of a directory's listing."""
    return oid.endswith(DIRECTORY_SUFFIX)


def key(oid: str) -> str:
    """Where the object lies below the root of a cache or a remote."""
    if oid[:1] == "m":
        return f"{oid[_N_LEGACY : _N_LEGACY + 2]}/{oid[_N_LEGACY + 2 :]}"
    return f"{FOLDER}{oid[:2]}/{oid[2:]}"


def of_key(path: str) -> str | None:
    """The id of the object that lies there; None for what is no object, as a file half written by another tool."""
    found = _KEY.fullmatch(path)
    if found is None:
        return None
    md5 = found[2] + found[3]
    return md5 if found[1] else LEGACY + md5
