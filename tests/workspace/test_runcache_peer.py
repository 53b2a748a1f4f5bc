"""The run cache of the real DVC, brought over remotes by Everloop, and the other way round."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from everloop.cli.group import cli
from everloop.errors import FailedError, InvalidError
from everloop.workspace import Workspace, runcache
from everloop.workspace.gc import Scope
from everloop.workspace.yamlfile import load_plain
from tests.workspace.dvcpeer import commit, dvc, needs_dvc, run, write

pytestmark = needs_dvc

PIPELINE = """stages:
  copy:
    cmd: cp one.txt two.txt && echo ran > ../ran-in-$(basename $PWD)
    deps: [one.txt]
    params: [rate]
    outs: [two.txt]
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "project"
    folder.mkdir()
    run(folder, "git", "init", "--quiet")
    dvc(folder, "init", "--quiet")
    dvc(folder, "remote", "add", "-d", "far", "../remote")
    write(folder, {"one.txt": "1", "params.yaml": "rate: 1e-3\n", "dvc.yaml": PIPELINE})
    dvc(folder, "repro")
    commit(folder)
    return folder


@pytest.fixture
def project(made: Path, tmp_path: Path) -> Workspace:
    shutil.copytree(made, tmp_path / "project", symlinks=True)
    return Workspace.open(tmp_path / "project")


@pytest.fixture
def clone(project: Workspace, tmp_path: Path) -> Workspace:
    run(tmp_path, "git", "clone", "--quiet", str(project.root), str(tmp_path / "clone"))
    return Workspace.open(tmp_path / "clone")


def runs(root: Path) -> dict[str, bytes]:
    found = (path for path in (root / "runs").rglob("*") if path.is_file())
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in found}


def ever(workspace: Workspace, *words: str) -> Result:
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(workspace.root)
        return CliRunner().invoke(cli, list(words))


def test_names_are_those_of_dvc(project: Workspace) -> None:
    entries = runs(project.cache.root)
    assert len(entries) == 1
    for place in entries:
        assert runcache.place_of(load_plain(project.cache.root / place)) == place


def test_dvc_restores_a_run_that_we_brought(project: Workspace, clone: Workspace) -> None:
    assert "1 run of the run cache pushed" in ever(project, "push", "--run-cache").stdout
    assert project.transfers.push(run_cache=True).runs == ()
    assert ever(clone, "fetch", "--run-cache").exit_code == 0
    assert runs(clone.cache.root) == runs(project.cache.root)
    (clone.root / "dvc.lock").unlink()
    dvc(clone.root, "repro")
    assert not (clone.root.parent / "ran-in-clone").exists()
    assert (clone.root / "two.txt").read_text() == "1"


def test_we_bring_a_run_that_dvc_pushed(project: Workspace, clone: Workspace) -> None:
    dvc(project.root, "push", "--run-cache")
    assert clone.transfers.pull(run_cache=True).fetched.runs == tuple(runs(project.cache.root))
    assert runs(clone.cache.root) == runs(project.cache.root)
    assert clone.transfers.pull(run_cache=True).fetched.runs == ()


def test_without_the_option_no_run_is_moved(project: Workspace, tmp_path: Path) -> None:
    project.transfers.push()
    assert runs(tmp_path / "remote") == {}


def test_collection_leaves_the_runs(project: Workspace) -> None:
    before = runs(project.cache.root)
    (project.root / "dvc.yaml").unlink()
    assert project.gc(Scope(workspace=True)).removed != ()
    assert runs(project.cache.root) == before


@pytest.mark.parametrize("text", ["cmd: [", "cmd: other\nouts: [{path: x}]\n", "- 3\n", "cmd: x\nouts: [3]\n"])
def test_damaged_entry_is_not_taken(project: Workspace, clone: Workspace, tmp_path: Path, text: str) -> None:
    project.transfers.push(run_cache=True)
    (place,) = runs(tmp_path / "remote")
    (tmp_path / "remote" / place).chmod(0o644)
    (tmp_path / "remote" / place).write_text(text)
    report = clone.transfers.fetch(run_cache=True)
    assert [failure.path for failure in report.failed] == [place]
    assert runs(clone.cache.root) == {}
    with pytest.raises(FailedError):
        runcache.check(place, text.encode())


def test_remote_that_cannot_list_is_told(project: Workspace) -> None:
    dvc(project.root, "remote", "modify", "far", "url", "http://127.0.0.1:9/x")
    with pytest.raises(InvalidError):
        project.transfers.push(run_cache=True)
