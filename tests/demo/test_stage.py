"""Setting the stage, where the folder lies in another Git repository, as with `make demo`."""

from __future__ import annotations

import subprocess
from pathlib import Path

from everloop.demo import stage
from everloop.workspace import Git


def test_the_workspace_is_a_repository_of_its_own_inside_another_one(tmp_path: Path) -> None:
    outer = tmp_path / "outer"
    outer.mkdir()
    Git(outer).init()
    (outer / ".gitignore").write_text("/demo/\n")
    Git(outer).commit([".gitignore"], "Start")
    workspace = stage.make_workspace(outer / "demo", lambda _line: None)
    assert workspace.git.top() == (outer / "demo").resolve()
    assert not workspace.git.is_dirty(untracked=True)
    assert stage.make_workspace(outer / "demo", lambda _line: None).git.head() == workspace.git.head()
    left = subprocess.run(["git", "status", "--porcelain"], cwd=outer, capture_output=True, text=True, check=True)
    assert left.stdout == ""
