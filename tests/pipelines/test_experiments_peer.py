"""Experiments in the hands of Everloop and of the real DVC: each sees, applies and moves what the other made."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from everloop import pipelines
from everloop.pipelines.experiments import apply, refs, running, saving, selection, transfer
from everloop.pipelines.experiments.queueing import Wish
from everloop.pipelines.experiments.selection import Selection
from everloop.workspace import Workspace
from tests.pipelines.scenes import DVC, dvc, git, make

pytestmark = [
    pytest.mark.peer,
    pytest.mark.skipif(not DVC.exists(), reason="the peers are not set up: uv sync --locked --project tests/peers"),
]


@pytest.fixture
def scene(tmp_path: Path) -> Workspace:
    workspace = make(tmp_path / "project")
    pipelines.repro(workspace)
    return workspace


def test_both_commit_the_same(scene: Workspace, tmp_path: Path) -> None:
    (scene.root / "params.yaml").write_text("lr: 0.5\ntrain: {depth: 3}\n")
    pipelines.repro(scene)
    (scene.root / "notes.md").write_text("untracked\n")
    theirs_root = shutil.copytree(scene.root, tmp_path / "theirs")
    ours = saving.save(scene, name="one").experiment
    dvc(theirs_root, "exp", "save", "-n", "one")
    (theirs,) = refs.listed(Workspace.open(theirs_root).git)
    assert theirs.baseline == ours.baseline

    def told(root: Path, commit: str) -> str:
        return git(root, "log", "-1", "--format=%P %s%n%b", commit)

    def files(root: Path, commit: str) -> list[str]:
        # The arguments of `dvc exp save` are left in its commits.
        listed = git(root, "ls-tree", "-r", commit).splitlines()
        return [line for line in listed if not line.endswith(".dvc/tmp/repro.dat")]

    assert files(scene.root, ours.commit) == files(theirs_root, theirs.commit)
    assert told(scene.root, ours.commit) == told(theirs_root, theirs.commit)


def test_dvc_lists_applies_and_branches_what_was_saved_here(scene: Workspace) -> None:
    ran = saving.save(scene, name="first").experiment
    pipelines.set_params(scene.root / "params.yaml", {"lr": 0.8})
    pipelines.repro(scene)
    saving.save(scene, name="one")
    assert dvc(scene.root, "exp", "list", "--name-only").split() == ["first", "one"]
    dvc(scene.root, "exp", "apply", "first")
    assert (scene.root / "model.txt").read_text() == "0.1 2"
    dvc(scene.root, "exp", "apply", "one")
    assert (scene.root / "model.txt").read_text() == "0.8 2"
    assert "up to date" in dvc(scene.root, "status")
    dvc(scene.root, "exp", "branch", "first", "b")
    assert git(scene.root, "rev-parse", "b").strip() == ran.commit
    dvc(scene.root, "exp", "rename", "first", "uno")
    dvc(scene.root, "exp", "remove", "one")
    assert [each.name for each in refs.listed(scene.git)] == ["uno"]


def test_what_dvc_ran_is_seen_and_applied_here(scene: Workspace) -> None:
    git(scene.root, "add", "-A")
    git(scene.root, "commit", "-q", "-m", "ran")
    dvc(scene.root, "exp", "run", "-n", "one", "-S", "lr=0.4")
    dvc(scene.root, "exp", "run", "-n", "two", "-S", "lr=0.6", "--temp")
    assert [each.name for each in selection.select(scene, Selection())] == ["one", "two"]
    apply.apply(scene, "two")
    assert (scene.root / "model.txt").read_text() == "0.6 2"
    assert not pipelines.repro(scene).ran
    apply.apply(scene, "one")
    assert (scene.root / "model.txt").read_text() == "0.4 2"
    assert selection.remove(scene, Selection(is_all=True)) == ["one", "two"]
    assert dvc(scene.root, "exp", "list", "-A") == ""


def test_dvc_takes_what_was_run_here(scene: Workspace) -> None:
    git(scene.root, "add", "-A")
    git(scene.root, "commit", "-q", "-m", "ran")
    running.run_aside(scene, Wish(name="aside", assignments=("lr=0.4",)))
    running.run(scene, Wish(name="here", assignments=("lr=0.6",)))
    assert dvc(scene.root, "exp", "list", "--name-only").split() == ["aside", "here"]
    dvc(scene.root, "exp", "apply", "aside")
    assert (scene.root / "model.txt").read_text() == "0.4 2"
    assert "up to date" in dvc(scene.root, "status")
    dvc(scene.root, "exp", "apply", "here")
    assert (scene.root / "model.txt").read_text() == "0.6 2"


def test_what_was_pushed_here_dvc_pulls_and_the_other_way_round(scene: Workspace, tmp_path: Path) -> None:
    git(tmp_path, "init", "-q", "--bare", "-b", "main", str(tmp_path / "hub.git"))
    scene.configuration.set("remote.store.url", str(tmp_path / "store"))
    scene.configuration.set("core.remote", "store")
    git(scene.root, "add", "-A")
    git(scene.root, "commit", "-q", "-m", "remote")
    git(scene.root, "remote", "add", "origin", str(tmp_path / "hub.git"))
    git(scene.root, "push", "-q", "origin", "main")
    pipelines.set_params(scene.root / "params.yaml", {"lr": 0.9})
    pipelines.repro(scene)
    saving.save(scene, name="ours")
    transfer.push(scene, "origin", Selection(), data=transfer.Data())

    other = tmp_path / "other"
    git(tmp_path, "clone", "-q", str(tmp_path / "hub.git"), str(other))
    git(other, "config", "user.name", "Bob")
    git(other, "config", "user.email", "bob@example.org")
    dvc(other, "exp", "pull", "origin", "ours")
    dvc(other, "exp", "apply", "ours")
    assert (other / "model.txt").read_text() == "0.9 2"
    dvc(other, "exp", "run", "-n", "theirs", "-S", "lr=0.25")
    dvc(other, "exp", "push", "origin", "theirs")
    assert transfer.pull(scene, "origin", Selection(), data=transfer.Data()).success == ("theirs",)
    apply.apply(scene, "theirs")
    assert (scene.root / "model.txt").read_text() == "0.25 2"
