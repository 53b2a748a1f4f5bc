r"""The hash of DVC 2: MD5 with `\r\n` read as `\n` wherever the bytes look like text.

Source: dvc-data 3.18 (`hashfile/hash.py`, `hashfile/istextfile.py`), where it is called md5-dos2unix.
"""

from __future__ import annotations

from everloop.workspace import objectid

# What looks like text is decided anew for each chunk of this size, and a `\r\n` on the border of two stays one.
CHUNK_BYTES = 1 << 20
_LOOKED_AT_BYTES = 512
_TEXT = bytes(range(32, 127)) + b"\n\r\t\f\b"
_MOST_OTHERS = 0.30


class Dos2Unix:
    """A digest as those of `hashlib`, but `hexdigest` gives an id of the legacy kind."""

    def __init__(self) -> None:
        # Here, as everywhere else: its import loads a library that commands without data have no use for.
        import hashlib

        self._digest = hashlib.md5(usedforsecurity=False)
        self._waiting = bytearray()

    def update(self, data: bytes | memoryview, /) -> None:
        """Take more bytes, in pieces of any size."""
        self._waiting += data
        whole = len(self._waiting) - len(self._waiting) % CHUNK_BYTES
        for start in range(0, whole, CHUNK_BYTES):
            self._digest.update(_as_hashed(bytes(self._waiting[start : start + CHUNK_BYTES])))
        del self._waiting[:whole]

    def hexdigest(self) -> str:
        """The id of a file with the bytes so far."""
        digest = self._digest.copy()
        digest.update(_as_hashed(bytes(self._waiting)))
        return objectid.legacy(digest.hexdigest())


def _as_hashed(chunk: bytes) -> bytes:
    return chunk.replace(b"\r\n", b"\n") if _is_text(chunk[:_LOOKED_AT_BYTES]) else chunk


def _is_text(block: bytes) -> bool:
    if not block:
        return True
    return b"\0" not in block and len(block.translate(None, _TEXT)) / len(block) <= _MOST_OTHERS
