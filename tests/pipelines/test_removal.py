from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from everloop import pipelines
from everloop.errors import NotFoundError
from everloop.pipelines.removal import remove_stage
from everloop.workspace import Workspace
from tests.pipelines.test_peer import environment
from tests.workspace.dvcpeer import called

PIPELINE = """\
# how it is made
stages:
  prepare:
    cmd: cp rows ready
    deps: [rows]
    outs: [ready]
  fit:  # the model
    cmd: cp ready model
    deps: [ready]
    outs: [model]
"""


@pytest.fixture
def project(workspace: Workspace) -> Workspace:
    (workspace.root / "rows").write_text("1")
    (workspace.root / "dvc.yaml").write_text(PIPELINE)
    workspace.add(["rows"])
    pipelines.repro(workspace)
    return workspace


def test_stage_goes_and_the_rest_stays_as_it_is_written(project: Workspace) -> None:
    assert remove_stage(project, "prepare") == "prepare"
    text = (project.root / "dvc.yaml").read_text()
    assert text.startswith("# how it is made\nstages:\n  fit:  # the model\n")
    assert "prepare" not in (project.root / "dvc.lock").read_text()
    assert (project.root / ".gitignore").read_text() == "/rows\n/model\n"
    assert (project.root / "ready").exists()


def test_last_stage_takes_the_files_along(project: Workspace) -> None:
    remove_stage(project, "fit")
    remove_stage(project, "prepare")
    assert not (project.root / "dvc.yaml").exists()
    assert not (project.root / "dvc.lock").exists()


def test_outputs_go_into_the_trash(project: Workspace) -> None:
    remove_stage(project, "fit", outs=True)
    assert not (project.root / "model").exists()
    project.undo()
    assert (project.root / "model").read_text() == "1"


@pytest.mark.parametrize("target", ["nothing", "rows.dvc"])
def test_what_is_no_stage_is_told(project: Workspace, target: str) -> None:
    with pytest.raises(NotFoundError):
        remove_stage(project, target)


@pytest.mark.peer
def test_dvc_removes_the_same(project: Workspace, tmp_path: Path) -> None:
    twin = tmp_path / "twin"
    subprocess.run(["cp", "-a", str(project.root), str(twin)], check=True)
    home = environment(tmp_path / "home")
    assert called(twin, "remove", "fit", env=home).returncode == 0
    remove_stage(project, "fit")
    for name in ("dvc.yaml", "dvc.lock", ".gitignore"):
        assert (project.root / name).read_text() == (twin / name).read_text(), name
