"""Decide which paths are ignored, by the `.dvcignore` or `.gitignore` files in the folders above them.

Both use Git's pattern language (gitignore(5)); the nearest file decides, and within it the last pattern that matches.
Leaves Git's other sources (`core.excludesFile`, `.git/info/exclude`) to Git.
"""

from __future__ import annotations

from pathlib import Path

from pathspec import GitIgnoreSpec

from everloop.workspace.yamlfile import read_text

# DVC never looks into these, whatever `.dvcignore` says.
NEVER_WALKED = frozenset({".git", ".hg", ".dvc"})


class IgnoreRules:
    """The rules of all files of one name under a root; each is read once, when a path below its folder is asked for."""

    def __init__(self, root: Path, file_name: str) -> None:
        self._root = root
        self._file_name = file_name
        self._specs: dict[str, GitIgnoreSpec | None] = {}

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
            verdict = spec.check_file("/".join(parts[depth:]) + ("/" if is_directory else "")).include
            if verdict is not None:
                return verdict
        return False

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

    def _spec(self, folder: str) -> GitIgnoreSpec | None:
        if folder not in self._specs:
            self._specs[folder] = _read(self._root / folder / self._file_name)
        return self._specs[folder]


def _read(path: Path) -> GitIgnoreSpec | None:
    if not path.is_file():
        return None
    lines = [line for line in read_text(path).splitlines() if line.strip() and not line.startswith("#")]
    return GitIgnoreSpec.from_lines(lines) if lines else None
