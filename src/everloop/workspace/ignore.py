"""Decide which paths are ignored, by the `.dvcignore` or `.gitignore` files in the folders above them.

Both use Git's pattern language (gitignore(5)); the nearest file decides, and within it the last pattern that matches.
Leaves Git's other sources (`core.excludesFile`, `.git/info/exclude`) to Git.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from everloop.latepattern import LatePattern
from everloop.workspace.yamlfile import read_text

if TYPE_CHECKING:
    from pathspec import GitIgnoreSpec

# DVC never looks into these, whatever `.dvcignore` says.
NEVER_WALKED = frozenset({".git", ".hg", ".dvc"})
# A name, or the end of one, in the file's own folder or anywhere below it, of a directory only or of anything: as `add`
# and `repro` write them, and nearly all that people do. Where it begins and ends with a slash it is `/name/`.
_PLAIN = LatePattern(r"(/?)([A-Za-z0-9_.@-]*[A-Za-z0-9_@-])(/?)|(\*[A-Za-z0-9_.@-]+)")


class Patterns:
    """The patterns of one file.

    Plain names are looked up: a pipeline has one for each output, and the library makes an expression of each pattern.

    Args:
        lines: Those that are patterns, in order.
    """

    def __init__(self, lines: list[str]) -> None:
        self._plain = PlainPatterns()
        self._spec: GitIgnoreSpec | None = None
        # An exception (`!`) depends on what stands before it.
        if not any(line.startswith("!") for line in lines):
            lines = [line for line in lines if not self._plain.take(line)]
        if lines:
            # Here, because most folders have none of these, and the import takes a tenth of a command.
            from pathspec import GitIgnoreSpec

            self._spec = GitIgnoreSpec.from_lines(lines)

    def verdict(self, path: str) -> bool | None:
        """Whether a path is ignored; None when no pattern matches.

        Args:
            path: Relative to the file's folder; a directory ends in `/`.
        """
        if self._plain.matches(path):
            return True
        return None if self._spec is None else self._spec.check_file(path).include


class PlainPatterns:
    """Patterns of names without an exception among them, so that their order does not matter."""

    def __init__(self) -> None:
        # Of the first name of a path, or of any: those of anything, and those of directories.
        self._first: set[str] = set()
        self._first_folder: set[str] = set()
        self._any: set[str] = set()
        self._any_folder: set[str] = set()
        self._endings: tuple[str, ...] = ()

    def take(self, line: str) -> bool:
        """Whether the pattern is of this kind, and then it is one of these."""
        match = _PLAIN.fullmatch(line)
        if match is None:
            return False
        root, name, slash, ending = match.groups()
        if ending:
            self._endings += (ending[1:],)
        elif root:
            (self._first_folder if slash else self._first).add(name)
        else:
            (self._any_folder if slash else self._any).add(name)
        return True

    def matches(self, path: str) -> bool:
        """Whether one of them matches the path or a folder above it; a directory ends in `/`."""
        *folders, last = path.split("/")
        first = folders[0] if folders else last
        if first in self._first or (folders and first in self._first_folder):
            return True
        if not (self._any or self._any_folder or self._endings):
            return False
        names = [*folders, last] if last else folders
        return (
            not self._any.isdisjoint(names)
            or not self._any_folder.isdisjoint(folders)
            or (bool(self._endings) and any(name.endswith(self._endings) for name in names))
        )


class IgnoreRules:
    """The rules of all files of one name under a root; each is read once, when a path below its folder is asked for."""

    def __init__(self, root: Path, file_name: str, texts: Mapping[str, str] | None = None) -> None:
        """Prepare to read.

        Args:
            root: The workspace.
            file_name: Of the files that have the rules.
            texts: `{folder: text}` of the files, "" is the root, when they are not those on the disk.
        """
        self._root = root
        self._texts = texts
        self._file_name = file_name
        self._specs: dict[str, Patterns | None] = {}

    def ignores(self, path: str, *, is_directory: bool) -> bool:
        """Whether the path itself matches; a walker that prunes ignored folders has asked for its parents before.

        Args:
            path: Relative to the root, posix.
            is_directory: Patterns that end in `/` match directories only.
        """
        parts = path.split("/")
        for depth in range(len(parts) - 1, -1, -1):
            spec = self._spec("/".join(parts[:depth]))
            if spec is None:
                continue
            verdict = spec.verdict("/".join(parts[depth:]) + ("/" if is_directory else ""))
            if verdict is not None:
                return verdict
        return False

    def has_patterns_above(self, path: str) -> bool:
        """Whether any file has patterns that could match the path: when not, none has to be asked about its folder."""
        parts = path.split("/")
        return any(self._spec("/".join(parts[:depth])) is not None for depth in range(len(parts)))

    def ignores_or_parent(self, path: str, *, is_directory: bool) -> bool:
        """Whether the path or a folder above it is ignored."""
        parts = path.split("/")
        parents = ("/".join(parts[:depth]) for depth in range(1, len(parts)))
        return any(self.ignores(parent, is_directory=True) for parent in parents) or self.ignores(
            path, is_directory=is_directory
        )

    def forget(self) -> None:
        """Read the files again when next asked: one was changed."""
        self._specs.clear()

    def _spec(self, folder: str) -> Patterns | None:
        if folder not in self._specs:
            if self._texts is None:
                self._specs[folder] = _read(self._root / folder / self._file_name)
            else:
                self._specs[folder] = _parse(self._texts.get(folder, ""))
        return self._specs[folder]


def _read(path: Path) -> Patterns | None:
    return _parse(read_text(path)) if path.is_file() else None


def _parse(text: str) -> Patterns | None:
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    return Patterns(lines) if lines else None
