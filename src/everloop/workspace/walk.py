"""List the files below a folder, and the files that describe data and pipelines in a workspace.

Symbolic links are followed inside data, as DVC does, and not followed when looking for `.dvc` and `dvc.yaml` files.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from everloop.errors import InvalidError
from everloop.workspace.ignore import NEVER_WALKED, IgnoreRules

PIPELINE_FILE = "dvc.yaml"
DVC_SUFFIX = ".dvc"


def data_files(root: Path, directory: str, rules: IgnoreRules) -> Iterator[tuple[str, os.stat_result]]:
    """The regular files below a directory of data, with what `stat` said, in no order.

    Args:
        root: The workspace.
        directory: Relative to it.
        rules: Of the `.dvcignore` files.

    Yields:
        The path relative to the directory, posix, and its stat (of the target, for a symbolic link).

    Raises:
        InvalidError: A broken link, a link to a folder above it, something that is not a file, a `.dvcignore` inside
            the data.
    """
    top = root / directory
    yield from _data_files(top, directory, "", rules, (_identity(top.stat()),))


def _data_files(
    folder: Path, directory: str, prefix: str, rules: IgnoreRules, above: tuple[tuple[int, int], ...]
) -> Iterator[tuple[str, os.stat_result]]:
    with os.scandir(folder) as entries:
        for entry in entries:
            relative = prefix + entry.name
            if entry.name == ".dvcignore":
                raise InvalidError(f"{directory}/{relative}: a .dvcignore file may not lie inside tracked data")
            try:
                found = entry.stat()
            except FileNotFoundError as error:
                raise InvalidError(
                    f"{directory}/{relative} is a link to {str(Path(entry.path).readlink())!r}, which does not exist",
                    hint="remove the link, or exclude it in .dvcignore",
                ) from error
            is_directory = stat.S_ISDIR(found.st_mode)
            if entry.name in NEVER_WALKED or rules.ignores(f"{directory}/{relative}", is_directory=is_directory):
                continue
            if is_directory:
                if _identity(found) in above:
                    raise InvalidError(f"{directory}/{relative} is a link to a folder above itself")
                yield from _data_files(Path(entry.path), directory, relative + "/", rules, (*above, _identity(found)))
            elif stat.S_ISREG(found.st_mode):
                yield relative, found
            else:
                raise InvalidError(
                    f"{directory}/{relative} is neither a file nor a folder, so its bytes cannot be kept",
                    hint="remove it, or exclude it in .dvcignore",
                )


def _identity(found: os.stat_result) -> tuple[int, int]:
    return found.st_dev, found.st_ino


def described_files(root: Path, dvcignore: IgnoreRules, gitignore: IgnoreRules) -> list[str]:
    """The `*.dvc` and `dvc.yaml` files, relative to the root, sorted; not the ignored and those of other workspaces."""
    return sorted(_described_files(root, "", dvcignore, gitignore))


def _described_files(folder: Path, prefix: str, dvcignore: IgnoreRules, gitignore: IgnoreRules) -> Iterator[str]:
    with os.scandir(folder) as entries:
        listed = list(entries)
    if prefix and any(entry.name == ".dvc" and entry.is_dir() for entry in listed):
        return
    for entry in listed:
        is_directory = entry.is_dir(follow_symlinks=False)
        if not is_directory and entry.name != PIPELINE_FILE and not _is_dvc_file(entry.name):
            continue
        path = prefix + entry.name
        if entry.name in NEVER_WALKED or any(
            rules.ignores(path, is_directory=is_directory) for rules in (dvcignore, gitignore)
        ):
            continue
        if is_directory:
            yield from _described_files(Path(entry.path), path + "/", dvcignore, gitignore)
        elif entry.is_file():
            yield path


def _is_dvc_file(name: str) -> bool:
    return name.endswith(DVC_SUFFIX) and name != DVC_SUFFIX
