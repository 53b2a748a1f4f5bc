"""Experiments as commits: saved without touching anything, listed, renamed, branched, applied, moved to others."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from everloop import pipelines
from everloop.cli.group import cli
from everloop.errors import ConflictError, InvalidError, NotFoundError
from everloop.pipelines.experiments import apply, names, naming, refs, saving, selection, transfer
from everloop.pipelines.experiments.selection import Selection
from everloop.workspace import Workspace
from tests.pipelines.scenes import git, make, state


@pytest.fixture
def scene(tmp_path: Path) -> Workspace:
    workspace = make(tmp_path / "project")
    pipelines.repro(workspace)
    return workspace


def changed(workspace: Workspace, lr: float) -> None:
    pipelines.set_params(workspace.root / "params.yaml", {"lr": lr})
    pipelines.repro(workspace)


def test_saving_touches_neither_index_nor_files_nor_commit(scene: Workspace) -> None:
    (scene.root / "train.py").write_text("# staged\n" + (scene.root / "train.py").read_text())
    git(scene.root, "add", "train.py")
    (scene.root / "params.yaml").write_text("lr: 0.5\ntrain: {depth: 3}\n")
    pipelines.repro(scene)
    before = state(scene.root)
    saved = saving.save(scene, name="one")
    assert state(scene.root) == before
    shown = git(scene.root, "show", f"{saved.experiment.commit}:params.yaml")
    assert shown == "lr: 0.5\ntrain: {depth: 3}\n"
    assert git(scene.root, "show", f"{saved.experiment.commit}:train.py").startswith("# staged")
    assert git(scene.root, "rev-parse", f"{saved.experiment.commit}^").strip() == scene.git.head()


def test_untracked_files_are_left_out_and_named_unless_they_are_asked_for(scene: Workspace) -> None:
    (scene.root / "notes.md").write_text("hm\n")
    saved = saving.save(scene, name="without")
    assert "notes.md" in saved.left_out
    asked = saving.save(scene, name="with", include=["notes.md"])
    assert "notes.md" not in asked.left_out
    assert git(scene.root, "show", f"{asked.experiment.commit}:notes.md") == "hm\n"


def test_a_name_is_taken_once_for_a_commit(scene: Workspace) -> None:
    first = saving.save(scene, name="one")
    changed(scene, 0.3)
    with pytest.raises(ConflictError, match=r"'one'.*exists already"):
        saving.save(scene, name="one")
    second = saving.save(scene, name="one", force=True)
    assert second.experiment.commit != first.experiment.commit
    git(scene.root, "add", "-A")
    git(scene.root, "commit", "-q", "-m", "next")
    third = saving.save(scene, name="one")
    assert third.experiment.baseline != second.experiment.baseline


@pytest.mark.parametrize("name", ["a/b", "a..b", "a b", "x.lock", "a~1", ""])
def test_a_name_that_git_cannot_keep_is_refused(scene: Workspace, name: str) -> None:
    with pytest.raises(InvalidError, match="cannot be the name"):
        saving.save(scene, name=name)


def test_drawn_names_are_an_adjective_and_a_noun_and_never_taken() -> None:
    taken: set[str] = set()
    for _ in range(500):
        name = names.new(taken)
        assert name not in taken
        assert name.replace("-", "").isalnum()
        taken.add(name)


def test_a_name_is_found_for_the_commit_that_is_checked_out(scene: Workspace) -> None:
    saving.save(scene, name="one")
    git(scene.root, "add", "-A")
    git(scene.root, "commit", "-q", "-m", "next")
    newer = saving.save(scene, name="one").experiment
    assert refs.find(scene.git, ["one"]) == [newer]
    assert refs.resolve(scene.git, "one") == newer.commit
    git(scene.root, "commit", "-q", "--allow-empty", "-m", "third")
    with pytest.raises(ConflictError, match="several experiments"):
        refs.find(scene.git, ["one"])
    assert refs.find(scene.git, [newer.ref]) == [newer]
    with pytest.raises(NotFoundError) as missing:
        refs.find(scene.git, ["onee", "two"])
    assert "'onee', 'two'" in missing.value.message
    assert "one" in str(missing.value.hint)


def test_selection_goes_back_along_first_parents(scene: Workspace) -> None:
    saving.save(scene, name="old")
    git(scene.root, "add", "-A")
    git(scene.root, "commit", "-q", "-m", "next")
    saving.save(scene, name="new")
    chosen = [each.name for each in selection.select(scene, Selection(revs=("HEAD",), n=2))]
    assert chosen == ["new", "old"]
    assert [each.name for each in selection.select(scene, Selection())] == ["new"]
    assert {each.name for each in selection.select(scene, Selection(is_all=True))} == {"new", "old"}
    assert [each.name for each in selection.select(scene, Selection(revs=("HEAD~1",)))] == ["old"]


def test_rename_branch_and_remove(scene: Workspace) -> None:
    one = saving.save(scene, name="one").experiment
    saving.save(scene, name="two")
    renamed = naming.rename(scene, "one", "first")
    assert (renamed.name, renamed.commit) == ("first", one.commit)
    with pytest.raises(ConflictError, match=r"'two'.*exists already"):
        naming.rename(scene, "first", "two")
    assert naming.branch(scene, "first") == "first-branch"
    assert git(scene.root, "rev-parse", "first-branch").strip() == one.commit
    with pytest.raises(ConflictError, match="exists already"):
        naming.branch(scene, "first")
    assert selection.remove(scene, Selection(names=("two",)), keep=True) == ["first"]
    assert [each.name for each in refs.listed(scene.git)] == ["two"]
    assert selection.remove(scene, Selection(is_all=True)) == ["two"]
    assert refs.listed(scene.git) == []


def test_apply_restores_files_and_data_and_keeps_what_was_there(scene: Workspace) -> None:
    git(scene.root, "add", "-A")
    git(scene.root, "commit", "-q", "-m", "ran")
    changed(scene, 0.7)
    (scene.root / "extra.txt").write_text("new")
    one = saving.save(scene, name="one", include=["extra.txt"]).experiment
    git(scene.root, "checkout", "-q", "-f", "HEAD")
    (scene.root / "extra.txt").unlink()
    scene.checkout(force=True)
    assert (scene.root / "model.txt").read_text() == "0.1 2"
    (scene.root / "train.py").write_text("# my edit\n")
    head, index, _ = state(scene.root)
    done = apply.apply(scene, "one")
    assert (scene.root / "model.txt").read_text() == "0.7 2"
    assert (scene.root / "extra.txt").read_text() == "new"
    assert "lr: 0.7" in (scene.root / "params.yaml").read_text()
    assert state(scene.root)[:2] == (head, index)
    assert done.commit == one.commit
    assert git(scene.root, "show", f"{apply.BEFORE}:train.py") == "# my edit\n"
    assert not pipelines.repro(scene).ran


def test_apply_removes_what_the_experiment_does_not_have_and_can_refuse(scene: Workspace) -> None:
    saving.save(scene, name="one")
    (scene.root / "later.txt").write_text("later")
    git(scene.root, "add", "later.txt")
    with pytest.raises(ConflictError, match=r"later\.txt"):
        apply.apply(scene, "one", force=False)
    assert (scene.root / "later.txt").exists()
    apply.apply(scene, "one")
    assert not (scene.root / "later.txt").exists()
    assert git(scene.root, "show", f"{apply.BEFORE}:later.txt") == "later"


def test_experiments_and_their_data_travel(scene: Workspace, tmp_path: Path) -> None:
    hub = tmp_path / "hub.git"
    git(tmp_path, "init", "-q", "--bare", "-b", "main", str(hub))
    scene.configuration.set("remote.store.url", str(tmp_path / "store"))
    scene.configuration.set("core.remote", "store")
    git(scene.root, "add", "-A")
    git(scene.root, "commit", "-q", "-m", "remote")
    git(scene.root, "remote", "add", "origin", str(hub))
    git(scene.root, "push", "-q", "origin", "main")
    changed(scene, 0.9)
    saving.save(scene, name="one")
    done = transfer.push(scene, "origin", Selection(), data=transfer.Data())
    assert done.success == ("one",)
    assert done.data is not None
    assert done.data.done
    assert transfer.push(scene, "origin", Selection(), data=transfer.Data()).up_to_date == ("one",)

    other_root = tmp_path / "other"
    git(tmp_path, "clone", "-q", str(hub), str(other_root))
    other = Workspace.open(other_root)
    assert [each.name for each in refs.listed(other.git, remote="origin")] == ["one"]
    pulled = transfer.pull(other, "origin", Selection(names=("one",)), data=transfer.Data())
    assert pulled.success == ("one",)
    apply.apply(other, "one")
    assert (other.root / "model.txt").read_text() == "0.9 2"

    changed(scene, 0.2)
    saving.save(scene, name="one", force=True)
    assert transfer.push(scene, "origin", Selection()).diverged == ("one",)
    assert transfer.push(scene, "origin", Selection(), force=True).success == ("one",)
    assert transfer.pull(other, "origin", Selection(is_all=True)).diverged == ("one",)
    assert transfer.pull(other, "origin", Selection(is_all=True), force=True).success == ("one",)
    naming.rename(other, "one", "uno", remote="origin")
    assert [each.name for each in refs.listed(other.git, remote="origin")] == ["uno"]
    assert selection.remove(other, Selection(is_all=True), remote="origin") == ["uno"]
    assert refs.listed(other.git, remote="origin") == []


def test_a_workspace_that_is_a_folder_of_its_repository(tmp_path: Path) -> None:
    top = tmp_path / "mono"
    inner = make(tmp_path / "alone").root
    top.mkdir()
    git(top, "init", "-q", "-b", "main")
    (top / "README").write_text("outside\n")
    (inner / ".git").rename(tmp_path / "old-git")
    inner.rename(top / "ml")
    git(top, "add", "-A")
    git(top, "-c", "user.name=Ada", "-c", "user.email=a@b", "commit", "-q", "-m", "start")
    workspace = Workspace.open(top / "ml")
    pipelines.repro(workspace)
    (top / "README").write_text("changed\n")
    saved = saving.save(workspace, name="one").experiment
    assert git(top, "show", f"{saved.commit}:README") == "changed\n"
    assert "train:" in git(top, "show", f"{saved.commit}:ml/dvc.lock")
    (top / "README").write_text("again\n")
    (workspace.root / "dvc.lock").unlink()
    apply.apply(workspace, "one")
    assert (top / "README").read_text() == "changed\n"
    assert (workspace.root / "dvc.lock").exists()


def test_the_command_line_saves_lists_and_applies(scene: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(scene.root)
    run = CliRunner().invoke
    assert run(cli, ["exp", "save", "-n", "one"]).exit_code == 0
    listed = run(cli, ["exp", "list"]).stdout
    assert listed.startswith("main:\n\t")
    assert listed.endswith("[one]\n")
    assert run(cli, ["exp", "ls", "--name-only"]).stdout == "one\n"
    (found,) = json.loads(run(cli, ["experiments", "list", "--json"]).stdout)
    assert run(cli, ["exp", "list", "--sha-only"]).stdout.strip() == found["commit"]
    assert run(cli, ["exp", "apply", "one"]).exit_code == 0
    assert run(cli, ["exp", "branch", "one", "b"]).exit_code == 0
    assert run(cli, ["exp", "rename", "one", "two"]).exit_code == 0
    assert run(cli, ["exp", "remove", "two"]).stdout == "Removed experiments: two\n"
    assert run(cli, ["exp", "remove"]).exit_code == 2
