"""A report on the whole workspace with paths as one types them in the current folder."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from everloop.workspace.walk import PIPELINE_FILE


def status_from(found: Mapping[str, list[Any]], root: Path, folder: Path) -> dict[str, list[Any]]:
    """A status, `{address: [{title: {path: change}}, "changed command"]}`, as it reads in a folder.

    Args:
        found: With addresses and paths as they read in the root.
        root: Of the workspace, absolute.
        folder: Absolute.
    """
    if folder == root:
        return dict(found)
    return {
        _address(address, root, folder): [
            entry
            if isinstance(entry, str)
            else {
                title: {_path(path, root, folder): how for path, how in paths.items()} for title, paths in entry.items()
            }
            for entry in entries
        ]
        for address, entries in found.items()
    }


def _address(address: str, root: Path, folder: Path) -> str:
    if address.endswith(".dvc"):
        return _path(address, root, folder)
    file, _, stage = address.rpartition(":")
    file = _path(file or PIPELINE_FILE, root, folder)
    return stage if file == PIPELINE_FILE else f"{file}:{stage}"


def _path(path: str, root: Path, folder: Path) -> str:
    if "://" in path or path.startswith("/"):
        return path
    return os.path.relpath(root / path, folder).replace(os.sep, "/")
