"""Copy a folder of data as it is: links that stay inside of it stay links, what other links lead to is copied."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from everloop.errors import InvalidError
from everloop.workspace.traits import stays_inside


def copy_tree(source: Path, target: Path) -> None:
    """Copy a folder.

    Args:
        source: The folder; a link to one will do.
        target: Does not exist yet.

    Raises:
        InvalidError: A link that leads out of the folder leads to a folder above itself.
        OSError: A link leads nowhere, or something cannot be read.
    """
    _copy_folder(source, target, "", (_identity(source),))


def _copy_folder(source: Path, target: Path, prefix: str, above: tuple[tuple[int, int], ...]) -> None:
    target.mkdir()
    for child in source.iterdir():
        path = prefix + child.name
        copy = target / child.name
        if child.is_symlink() and stays_inside(path, link := os.readlink(child)):  # noqa: PTH115  a Path would tidy it
            copy.symlink_to(link)
        elif child.is_dir():
            identity = _identity(child)
            if identity in above:
                raise InvalidError(
                    f"{child} is a link to a folder above itself, so it cannot be copied", hint="remove the link"
                )
            # Behind a link its own folder is the one to stay inside of.
            _copy_folder(child, copy, "" if child.is_symlink() else f"{path}/", (*above, identity))
        else:
            shutil.copy2(child, copy)


def _identity(folder: Path) -> tuple[int, int]:
    found = folder.stat()
    return found.st_dev, found.st_ino
