"""Data by address, wherever they are and whatever revision is meant: opened, read as tables, and as a filesystem.

The workspace, the stores and the hub are asked by their own verbs; nothing here keeps anything. The filesystem (for
fsspec, an extra) is `everloop.data.filesystem`.
"""

from everloop.data.address import Address, BatchFile, FarFile, LocalFile, ModelFile, TrackedFile, parse
from everloop.data.opening import open  # noqa: A004  the word that everybody knows for it
from everloop.data.tables import read_table

__all__ = [
    "Address",
    "BatchFile",
    "FarFile",
    "LocalFile",
    "ModelFile",
    "TrackedFile",
    "open",
    "parse",
    "read_table",
]
