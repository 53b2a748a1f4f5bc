"""Walk a large directory of data with several processes, each through some of its folders.

Leaves what a folder's entries mean to `walk.py`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from everloop import progress
from everloop.workspace import slices
from everloop.workspace.ignore import IgnoreRules
from everloop.workspace.state import Listing
from everloop.workspace.traits import ObjectOf, Seen
from everloop.workspace.walk import DataWalk

# With more files than these the others are worth their start, if folders are left to be walked.
_MANY_FILES = 4096
_FEW_FOLDERS = 4


def listing(root: Path, directory: str, rules: IgnoreRules, seen: Seen, object_of: ObjectOf) -> Listing:
    """The files below a directory of data, in an order that stays the same as long as nothing changes.

    Args:
        root: The workspace.
        directory: Relative to it.
        rules: Of the `.dvcignore` files.
        seen: Is told what there is besides bytes, and of broken links, which are passed over.
        object_of: As in `Seen`.

    Raises: as `walk.data_files`.
    """
    walk = DataWalk(root, directory, rules)
    found = Listing()
    waiting = [""]
    while waiting:
        found.take(walk.folder(waiting.pop(), seen, waiting))
        if len(found.names) > _MANY_FILES and len(waiting) >= _FEW_FOLDERS:
            break
    with progress.phase("looking through", len(waiting), unit="folders") as phase:
        told = progress.batches(phase)
        packed = slices.each_large(lambda prefix: _below(walk, prefix, object_of), waiting, told=told)
    for files, others in packed:
        found.unpack(files)
        seen.unpack(others)
    return found


def _below(walk: DataWalk, prefix: str, object_of: ObjectOf) -> tuple[Any, Any]:
    found, seen = Listing(), Seen(object_of)
    waiting = [prefix]
    while waiting:
        found.take(walk.folder(waiting.pop(), seen, waiting))
    return found.packed(), seen.packed()
