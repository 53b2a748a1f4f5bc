from __future__ import annotations

from pathlib import Path

import pytest

from everloop.errors import NotFoundError
from everloop.workspace import Workspace


def write(workspace: Workspace, path: str, text: str = "hello\n") -> Path:
    target = workspace.root / path
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(text)
    return target


@pytest.mark.parametrize("target", ["a", "a.dvc"])
def test_remove_takes_the_record_and_leaves_the_data(workspace: Workspace, target: str) -> None:
    write(workspace, "a")
    workspace.add(["a"])
    assert [file.path for file in workspace.remove([target])] == ["a.dvc"]
    assert not (workspace.root / "a.dvc").exists()
    assert not (workspace.root / ".gitignore").exists()
    assert (workspace.root / "a").read_text() == "hello\n"


def test_remove_leaves_other_lines_of_gitignore(workspace: Workspace) -> None:
    write(workspace, ".gitignore", "*.log\n")
    write(workspace, "a b")
    workspace.add(["a b"])
    workspace.remove(["a b"])
    assert (workspace.root / ".gitignore").read_text() == "*.log\n"


def test_remove_of_the_untracked_is_told(workspace: Workspace) -> None:
    write(workspace, "a")
    with pytest.raises(NotFoundError, match="not under version"):
        workspace.remove(["a"])


def test_outs_go_and_come_back(workspace: Workspace) -> None:
    write(workspace, "d/x", "1")
    write(workspace, "d/sub/y", "2")
    workspace.add(["d"])
    write(workspace, "d/x", "changed and nowhere else")
    record = (workspace.root / "d.dvc").read_text()
    workspace.remove(["d"], outs=True)
    assert not (workspace.root / "d").exists()
    report = workspace.undo()
    assert set(report.restored) == {"d.dvc", "d/x", "d/sub/y"}
    assert (workspace.root / "d.dvc").read_text() == record
    assert (workspace.root / "d/x").read_text() == "changed and nowhere else"
    assert (workspace.root / "d/sub/y").read_text() == "2"
    assert (workspace.root / ".gitignore").read_text() == "/d\n"


def test_ignored_files_among_the_data_stay(workspace: Workspace) -> None:
    write(workspace, ".dvcignore", "*.log\n")
    write(workspace, "d/x")
    write(workspace, "d/run.log")
    workspace.add(["d"])
    workspace.remove(["d"], outs=True)
    assert sorted(path.name for path in (workspace.root / "d").iterdir()) == ["run.log"]


def test_what_a_link_points_to_stays(workspace: Workspace, tmp_path: Path) -> None:
    far = tmp_path / "far"
    far.mkdir()
    (far / "y").write_text("far")
    write(workspace, "d/x")
    (workspace.root / "d/link").symlink_to(far)
    workspace.add(["d"])
    workspace.remove(["d"], outs=True)
    assert not (workspace.root / "d").exists()
    assert (far / "y").read_text() == "far"
