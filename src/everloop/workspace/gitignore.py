"""Keep data that DVC's files describe out of Git, by an entry in the `.gitignore` beside it."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from everloop.workspace import durable
from everloop.workspace.ignore import IgnoreRules
from everloop.workspace.yamlfile import read_text

# Characters that mean something in a pattern; DVC escapes the same ones.
_SPECIAL = r"([\\*?\[\]!# ])"


def ignore_out(root: Path, path: str, rules: IgnoreRules) -> bool:
    """Make Git ignore the path, unless it does already.

    Args:
        root: The workspace.
        path: Relative to it.
        rules: Of the `.gitignore` files; told to forget when one was changed.

    Returns:
        Whether a `.gitignore` was changed.
    """
    return bool(ignore_outs(root, [path], rules))


def ignore_outs(root: Path, paths: Iterable[str], rules: IgnoreRules) -> list[str]:
    """Make Git ignore many paths, each `.gitignore` written once; as `ignore_out`.

    Returns:
        The folders whose `.gitignore` was changed, relative to the root; "" is the root.
    """
    by_folder: dict[str, list[str]] = {}
    for path in dict.fromkeys(paths):
        if not rules.ignores_or_parent(path, is_directory=(root / path).is_dir()):
            folder, _, name = path.rpartition("/")
            by_folder.setdefault(folder, []).append(name)
    for folder, names in by_folder.items():
        file = root / folder / ".gitignore"
        text = read_text(file) if file.exists() else ""
        if text and not text.endswith("\n"):
            text += "\n"
        added = "".join(f"/{re.sub(_SPECIAL, _escaped, name)}\n" for name in names)
        durable.write_atomically(file, f"{text}{added}".encode())
    if by_folder:
        rules.forget()
    return list(by_folder)


def _escaped(match: re.Match[str]) -> str:
    return "\\" + match.group(1)


def unignore_out(root: Path, path: str, rules: IgnoreRules) -> bool:
    """Take the entry of a path out of the `.gitignore` beside it; one that is empty then goes, as with DVC.

    Args:
        root: The workspace.
        path: Relative to it.
        rules: Of the `.gitignore` files; told to forget when one was changed.

    Returns:
        Whether a `.gitignore` was changed.
    """
    target = root / path
    file = target.parent / ".gitignore"
    if not file.exists():
        return False
    entry = f"/{re.sub(_SPECIAL, _escaped, target.name)}"
    lines = read_text(file).splitlines(keepends=True)
    kept = [line for line in lines if line.strip() != entry]
    if len(kept) == len(lines):
        return False
    if kept:
        durable.write_atomically(file, "".join(kept).encode())
    else:
        file.unlink()
    rules.forget()
    return True
