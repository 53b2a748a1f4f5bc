"""`cache.type = symlink` beside the real DVC: each tool finds right what the other has linked."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from everloop.workspace import Workspace
from tests.workspace.dvcpeer import commit, dvc, needs_dvc, run, write

pytestmark = needs_dvc


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    folder.mkdir()
    run(folder, "git", "init", "-q")
    dvc(folder, "init", "-q")
    dvc(folder, "config", "cache.type", "symlink")
    write(folder, {"d/x": "x", "d/sub/y": "y", "a.csv": "a", "s.sh": "s"})
    (folder / "s.sh").chmod(0o755)
    return folder


def links(folder: Path) -> dict[str, str]:
    paths = ("d/x", "d/sub/y", "a.csv")
    return {path: str((folder / path).readlink()) for path in paths if (folder / path).is_symlink()}


def clean(folder: Path) -> bool:
    return Workspace.open(folder).status() == {} and json.loads(dvc(folder, "status", "--json")) == {}


def test_both_make_the_same_links_and_records(folder: Path, tmp_path: Path) -> None:
    dvc(folder, "add", "-q", "d", "a.csv", "s.sh")
    by_dvc = links(folder)
    records = {path.name: path.read_text() for path in folder.glob("[!.]*.dvc")}
    assert len(by_dvc) == 3
    assert Workspace.open(folder).add(["d", "a.csv"]).added == ()
    for path in ("d", "a.csv"):
        dvc(folder, "unprotect", path)
    for record in folder.glob("[!.]*.dvc"):
        record.unlink()
    Workspace.open(folder).add(["d", "a.csv", "s.sh"])
    assert links(folder) == by_dvc
    assert {path.name: path.read_text() for path in folder.glob("[!.]*.dvc")} == records
    assert clean(folder)


def test_each_checks_out_for_the_other(folder: Path) -> None:
    Workspace.open(folder).add(["d", "a.csv", "s.sh"])
    made = links(folder)
    for restore in (lambda: dvc(folder, "checkout", "-q"), lambda: Workspace.open(folder).checkout()):
        shutil.rmtree(folder / "d")
        (folder / "a.csv").unlink()
        restore()
        assert links(folder) == made
        assert clean(folder)


def test_links_of_dvc_follow_the_verbs(folder: Path) -> None:
    dvc(folder, "add", "-q", "d", "a.csv", "s.sh")
    commit(folder)
    workspace = Workspace.open(folder)
    workspace.move("a.csv", "b.csv")
    workspace.unprotect("d")
    (folder / "d/x").write_text("new")
    workspace.add(["d"])
    assert (folder / "d/x").is_symlink()
    assert clean(folder)
    workspace.remove(["b.csv"], outs=True)
    workspace.undo()
    assert (folder / "b.csv").is_symlink()
    assert clean(folder)
    dvc(folder, "unprotect", "d")
    assert clean(folder)
