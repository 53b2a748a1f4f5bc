"""List the files below a folder, and the files that describe data and pipelines in a workspace.

Inside data, links to files are read through and links to folders are not entered, as DVC does it; when looking for
`.dvc` and `dvc.yaml` files no link is followed.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from everloop.errors import ConflictError, EverloopError, FailedError, InvalidError
from everloop.workspace.ignore import NEVER_WALKED, IgnoreRules
from everloop.workspace.traits import EXECUTABLE, Seen

PIPELINE_FILE = "dvc.yaml"
DVC_SUFFIX = ".dvc"
_SPECIAL = NEVER_WALKED | {".dvcignore"}


def data_files(
    root: Path, directory: str, rules: IgnoreRules, seen: Seen | None = None
) -> Iterator[tuple[str, os.stat_result]]:
    """The regular files below a directory of data, with what `stat` said, in no order.

    Args:
        root: The workspace.
        directory: Relative to it.
        rules: Of the `.dvcignore` files.
        seen: Is told what there is besides bytes, and of broken links, which are passed over then.

    Yields:
        The path relative to the directory, posix, and its stat (of the target, for a symbolic link).

    Raises:
        InvalidError: A broken link, something that is not a file, a `.dvcignore` inside the data.
    """
    walk = DataWalk(root, directory, rules)
    waiting = [""]
    while waiting:
        yield from walk.folder(waiting.pop(), seen or Seen(is_strict=True), waiting)


class DataWalk:
    """The way through one directory of data, folder by folder; see `data_files`."""

    def __init__(self, root: Path, directory: str, rules: IgnoreRules) -> None:
        self._top = f"{root}/{directory}"
        self._directory = directory
        # Only files above the data can have patterns for it: one inside of it is refused.
        self._ignores = rules.ignores if rules.has_patterns_above(f"{directory}/x") else None

    def folder(self, prefix: str, seen: Seen, waiting: list[str]) -> Iterator[tuple[str, os.stat_result]]:
        """The files that lie in one folder itself.

        Args:
            prefix: Of the folder, relative to the directory, with a slash at its end; "" is the directory itself.
            seen: As in `data_files`.
            waiting: Gets the prefixes of the folders in it.
        """
        directory, ignores = self._directory, self._ignores
        folder = f"{self._top}/{prefix}"
        is_empty = True
        # By its descriptor: the system then need not find the way to the folder again for every file in it.
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            with os.scandir(descriptor) as entries:
                for entry in entries:
                    name = entry.name
                    relative = prefix + name
                    if name in _SPECIAL:
                        _refuse_ignore_file(name, f"{directory}/{relative}")
                        continue
                    is_directory = entry.is_dir()
                    if ignores is not None and ignores(f"{directory}/{relative}", is_directory=is_directory):
                        continue
                    is_empty = False
                    is_link = entry.is_symlink()
                    if is_link:
                        seen.add_link(relative, os.readlink(name, dir_fd=descriptor), leads_to_folder=is_directory)
                    if is_directory:
                        waiting += [] if is_link else [f"{relative}/"]
                        continue
                    try:
                        found = entry.stat()
                    except OSError as error:
                        failure = _broken(f"{directory}/{relative}", f"{folder}{name}", error)
                        seen.add_broken(relative, failure, error)
                        continue
                    if not stat.S_ISREG(found.st_mode):
                        raise InvalidError(
                            f"{directory}/{relative} is neither a file nor a folder, so its bytes cannot be kept",
                            hint="remove it, or exclude it in .dvcignore",
                        )
                    if found.st_mode & EXECUTABLE:
                        seen.executable.append(relative)
                    yield relative, found
        finally:
            os.close(descriptor)
        seen.end_folder(prefix[:-1], is_empty=is_empty)


def _refuse_ignore_file(name: str, path: str) -> None:
    if name not in NEVER_WALKED:
        raise InvalidError(f"{path}: a .dvcignore file may not lie inside tracked data")


def _broken(path: str, place: str, error: OSError) -> EverloopError:
    if not isinstance(error, FileNotFoundError) and error.errno != errno.ELOOP:
        return FailedError(f"{path} cannot be read: {error.strerror}")
    try:
        target = str(Path(place).readlink())
    except FileNotFoundError:
        return ConflictError(f"{path} vanished while it was read", hint="try again when nothing writes to it")
    return InvalidError(
        f"{path} is a link to {target!r}, which does not exist", hint="remove the link, or exclude it in .dvcignore"
    )


def described_files(root: Path, dvcignore: IgnoreRules, gitignore: IgnoreRules) -> list[str]:
    """The `*.dvc` and `dvc.yaml` files, relative to the root, sorted; not the ignored and those of other workspaces."""
    return sorted(_described_files(os.fspath(root), "", dvcignore, gitignore))


def _described_files(folder: str, prefix: str, dvcignore: IgnoreRules, gitignore: IgnoreRules) -> Iterator[str]:
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
            yield from _described_files(entry.path, path + "/", dvcignore, gitignore)
        elif entry.is_file():
            yield path


def _is_dvc_file(name: str) -> bool:
    return name.endswith(DVC_SUFFIX) and name != DVC_SUFFIX
