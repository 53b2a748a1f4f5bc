"""Tell which pattern of which `.dvcignore` file decides about a path.

Leaves deciding itself, many times and fast, to `ignore.py`.
"""

from __future__ import annotations

from pathlib import Path

import msgspec
from pathspec import GitIgnoreSpec

from everloop.workspace.yamlfile import read_text

_FILE = ".dvcignore"
# What DVC never looks into.
_BUILT_IN = (".hg/", ".git/", ".dvc/")


class IgnoreMatch(msgspec.Struct, frozen=True, kw_only=True):
    """A pattern that matches a path.

    Attributes:
        file: The `.dvcignore` file, relative to the root; empty for what is built in.
        line: In that file, from 1; 0 for what is built in.
        pattern: As it is written.
        is_excluding: False for a pattern with `!`, which takes an exclusion back.
    """

    file: str
    line: int
    pattern: str
    is_excluding: bool

    def __str__(self) -> str:
        return f"{self.file}:{self.line or ''}:{self.pattern}" if self.file else f":{self.pattern}"


def matches(root: Path, path: str) -> list[IgnoreMatch]:
    """The patterns that match a path or a folder above it, the one that decides last.

    Args:
        root: The workspace.
        path: Relative to it; it need not exist.
    """
    parts = path.split("/")
    name = path + ("/" if (root / path).is_dir() else "")
    found = [
        IgnoreMatch(file="", line=0, pattern=pattern, is_excluding=True)
        for pattern in _BUILT_IN
        if pattern.rstrip("/") in parts[:-1] or (pattern.rstrip("/") == parts[-1] and name.endswith("/"))
    ]
    for depth in range(len(parts)):
        folder = "/".join(parts[:depth])
        file = f"{folder}/{_FILE}" if folder else _FILE
        if (root / file).is_file():
            relative = name[len(folder) + 1 :] if folder else name
            found += _in_file(read_text(root / file), file, relative)
    return found


def _in_file(text: str, file: str, relative: str) -> list[IgnoreMatch]:
    found = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        excludes = not line.startswith("!")
        if GitIgnoreSpec.from_lines([line if excludes else line[1:]]).match_file(relative):
            found.append(IgnoreMatch(file=file, line=number, pattern=line, is_excluding=excludes))
    return found
