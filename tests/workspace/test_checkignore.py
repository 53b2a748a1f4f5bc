from __future__ import annotations

import pytest

from everloop.workspace import Workspace
from everloop.workspace.checkignore import matches


@pytest.fixture
def ruled(workspace: Workspace) -> Workspace:
    (workspace.root / ".dvcignore").write_text("# comment\n*.log\n!keep.log\ntmp/\n")
    (workspace.root / "sub").mkdir()
    (workspace.root / "sub/.dvcignore").write_text("\n/b.log\n")
    return workspace


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("a.log", [".dvcignore:2:*.log"]),
        ("keep.log", [".dvcignore:2:*.log", ".dvcignore:3:!keep.log"]),
        ("tmp/x", [".dvcignore:4:tmp/"]),
        ("sub/b.log", [".dvcignore:2:*.log", "sub/.dvcignore:2:/b.log"]),
        (".dvc", [":.dvc/"]),
        ("other", []),
        # Only a folder is meant, and there is none of that name.
        ("tmp", []),
    ],
)
def test_patterns_are_named_with_file_and_line(ruled: Workspace, path: str, expected: list[str]) -> None:
    assert [str(match) for match in matches(ruled.root, path)] == expected


@pytest.mark.parametrize("path", ["a.log", "keep.log", "tmp/x", "sub/b.log", "sub/c.log", "other"])
def test_last_pattern_decides_as_the_walk_does(ruled: Workspace, path: str) -> None:
    found = matches(ruled.root, path)
    excluded = bool(found) and found[-1].is_excluding
    assert excluded == ruled.dvcignore.ignores_or_parent(path, is_directory=False)
