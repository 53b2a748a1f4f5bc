from __future__ import annotations

from pathlib import Path

import pytest

from everloop.errors import ConflictError, InvalidError, NotFoundError
from everloop.workspace import Workspace


def write(workspace: Workspace, path: str, text: str = "hello\n") -> Path:
    target = workspace.root / path
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(text)
    return target


def names(workspace: Workspace) -> list[str]:
    found = (str(path.relative_to(workspace.root)) for path in workspace.root.rglob("*") if path.is_file())
    return sorted(path for path in found if not path.startswith((".git/", ".dvc/")) and path != ".dvcignore")


def test_file_moves_with_its_record(workspace: Workspace) -> None:
    write(workspace, "a")
    workspace.add(["a"])
    file = workspace.move("a", "new/b")
    assert file.path == "new/b.dvc"
    assert names(workspace) == ["new/.gitignore", "new/b", "new/b.dvc"]
    assert "path: b\n" in (workspace.root / "new/b.dvc").read_text()
    assert workspace.status() == {}


def test_directory_moves_into_a_folder_that_is_there(workspace: Workspace) -> None:
    write(workspace, "d/x")
    (workspace.root / "old").mkdir()
    workspace.add(["d"])
    assert workspace.move("d", "old").path == "old/d.dvc"
    assert (workspace.root / "old/.gitignore").read_text() == "/d\n"
    assert workspace.status() == {}


def test_unknown_keys_and_comments_move_along(workspace: Workspace) -> None:
    write(workspace, "a")
    workspace.add(["a"])
    record = workspace.root / "a.dvc"
    record.write_text("# mine\n" + record.read_text() + "  labels: [x]\nmeta: {owner: me}\n")
    workspace.move("a", "b")
    text = (workspace.root / "b.dvc").read_text()
    assert text.startswith("# mine\n")
    assert "labels: [x]" in text
    assert "meta: {owner: me}" in text


def test_record_of_another_name_stays_where_it_is(workspace: Workspace) -> None:
    write(workspace, "a")
    workspace.add(["a"])
    (workspace.root / "a.dvc").rename(workspace.root / "rows.dvc")
    assert workspace.move("a", "b").path == "rows.dvc"
    assert workspace.status() == {}


def test_record_with_a_folder_of_its_own_moves_without_it(workspace: Workspace) -> None:
    write(workspace, "sub/a")
    workspace.add(["sub/a"])
    record = workspace.root / "sub/a.dvc"
    record.rename(workspace.root / "a.dvc")
    (workspace.root / "a.dvc").write_text("wdir: sub\n" + (workspace.root / "a.dvc").read_text())
    workspace.move("sub/a", "sub/b")
    assert workspace.status() == {}


def test_what_lies_at_the_target_stays(workspace: Workspace) -> None:
    write(workspace, "a")
    write(workspace, "b", "other")
    workspace.add(["a"])
    with pytest.raises(ConflictError, match="b exists already"):
        workspace.move("a", "b")
    assert (workspace.root / "b").read_text() == "other"
    assert workspace.status() == {}


@pytest.mark.parametrize(
    ("source", "target", "match"),
    [("d", "d/in", "inside"), ("d", "e/in", "overlap"), ("d", "made", "overlap"), ("made", "x", "made by a stage")],
)
def test_what_would_not_fit_is_refused(workspace: Workspace, source: str, target: str, match: str) -> None:
    write(workspace, "d/x")
    write(workspace, "e/y")
    workspace.add(["d", "e"])
    write(workspace, "dvc.yaml", "stages:\n  fit:\n    cmd: x\n    outs: [made]\n")
    with pytest.raises(InvalidError, match=match):
        workspace.move(source, target)
    assert workspace.status() == {}


def test_move_of_the_untracked_is_told(workspace: Workspace) -> None:
    write(workspace, "a")
    with pytest.raises(NotFoundError, match="not under version"):
        workspace.move("a", "b")


def test_import_still_knows_its_source(workspace: Workspace) -> None:
    write(workspace, "a")
    write(workspace, "far/source")
    workspace.add(["a"])
    record = workspace.root / "a.dvc"
    record.write_text("md5: 00000000000000000000000000000000\ndeps:\n- path: far/source\n" + record.read_text())
    workspace.move("a", "sub/b")
    text = (workspace.root / "sub/b.dvc").read_text()
    assert "- path: ../far/source\n" in text
    assert "md5: 0000" not in text
