"""Experiments are run: in the workspace, or in a folder aside that leaves the workspace as it was."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from everloop import pipelines
from everloop.cli.group import cli
from everloop.errors import ConflictError, FailedError, InvalidError
from everloop.pipelines.experiments import queueing, refs, running
from everloop.pipelines.experiments.queueing import Wish
from everloop.pipelines.experiments.tasks import Queue, State
from everloop.workspace import Workspace
from tests.pipelines.scenes import git, make, state


@pytest.fixture
def scene(tmp_path: Path) -> Workspace:
    workspace = make(tmp_path / "project")
    pipelines.repro(workspace)
    git(workspace.root, "add", "-A")
    git(workspace.root, "commit", "-q", "-m", "ran")
    return workspace


def metrics(workspace: Workspace, commit: str) -> dict[str, object]:
    found: dict[str, object] = json.loads(git(workspace.root, "show", f"{commit}:metrics.json"))
    return found


def test_in_the_workspace_which_holds_the_result(scene: Workspace) -> None:
    index = git(scene.root, "ls-files", "--stage")
    ran = running.run(scene, Wish(assignments=("lr=0.5", "train.depth=4"), name="one", message="my words"))
    assert ran.report is not None
    assert ran.report.ran == ("train",)
    assert (scene.root / "model.txt").read_text() == "0.5 4"
    assert "depth: 4  # levels" in (scene.root / "params.yaml").read_text()
    assert ran.saved is not None
    assert metrics(scene, ran.saved.experiment.commit)["auc"] == 2.0
    assert git(scene.root, "log", "-1", "--format=%s", ran.saved.experiment.commit) == "my words\n"
    assert git(scene.root, "ls-files", "--stage") == index


def test_aside_which_leaves_the_workspace_as_it_is(scene: Workspace) -> None:
    (scene.root / "params.yaml").write_text("lr: 0.3\ntrain: {depth: 2}\n")
    (scene.root / "data.csv").write_text("changed and not added\n")
    before = state(scene.root)
    ran = running.run_aside(scene, Wish(assignments=("train.depth=5",), name="one"))
    assert state(scene.root) == before
    assert ran.saved is not None
    made = ran.saved.experiment
    assert metrics(scene, made.commit)["auc"] == 1.5
    assert git(scene.root, "show", f"{made.commit}:params.yaml") == "lr: 0.3\ntrain: {depth: 5}\n"
    assert git(scene.root, "show", f"{made.commit}:data.csv.dvc") != git(scene.root, "show", "HEAD:data.csv.dvc")
    assert git(scene.root, "rev-parse", f"{made.commit}^").strip() == scene.git.head()
    assert git(scene.root, "worktree", "list").count("\n") == 1
    assert not Queue(scene).seen()


def test_commands_see_the_experiment(scene: Workspace) -> None:
    (scene.root / "dvc.yaml").write_text(
        "stages:\n  look:\n    cmd: env | grep ^DVC_ | sort > seen.txt\n    params: [lr]\n"
        "    outs: [{seen.txt: {cache: false}}]\n"
    )
    for verb, name in ((running.run, "here"), (running.run_aside, "aside")):
        ran = verb(scene, Wish(name=name, force=True, options={"force": True}))
        assert ran.saved is not None
        seen = git(scene.root, "show", f"{ran.saved.experiment.commit}:seen.txt")
        assert f"DVC_EXP_NAME={name}\n" in seen
        assert f"DVC_EXP_BASELINE_REV={scene.git.head()}\n" in seen
        assert "DVC_STAGE=look\n" in seen
        assert "DVC_ROOT=" in seen


def test_untracked_inputs_come_along_and_others_when_they_are_named(scene: Workspace) -> None:
    (scene.root / "extra.py").write_text("x")
    (scene.root / "secret.env").write_text("token")
    (scene.root / ".gitignore").write_text((scene.root / ".gitignore").read_text() + "/secret.env\n")
    (scene.root / "dvc.yaml").write_text(
        "stages:\n  join:\n    cmd: cat extra.py secret.env > out.txt\n    deps: [extra.py]\n    outs: [out.txt]\n"
    )
    before = state(scene.root)
    with pytest.raises(FailedError, match=r"secret\.env"):
        running.run_aside(scene, Wish(name="without"))
    ran = running.run_aside(scene, Wish(name="with", copy_paths=("secret.env",)))
    assert ran.saved is not None
    files = git(scene.root, "ls-tree", "-r", "--name-only", ran.saved.experiment.commit).split()
    assert "extra.py" in files
    assert "secret.env" not in files
    assert state(scene.root) == before


def test_a_failure_is_told_and_its_log_is_kept(scene: Workspace) -> None:
    (scene.root / "train.py").write_text("print('before the end'); raise SystemExit(3)\n")
    before = state(scene.root)
    with pytest.raises(FailedError, match="exit code 3"):
        running.run_aside(scene, Wish(name="bad"))
    assert state(scene.root) == before
    queue = Queue(scene)
    (seen,) = queue.seen()
    assert seen.state is State.FAILED
    assert seen.end is not None
    assert "exit code 3" in seen.end.error
    assert "train | before the end" in queue.log(seen.task).read_text()
    assert refs.listed(scene.git) == []
    with pytest.raises(FailedError):
        running.run(scene, Wish(name="bad"))
    assert refs.listed(scene.git) == []


def test_what_cannot_be_is_told_before_anything_runs(scene: Workspace) -> None:
    before = state(scene.root)
    for verb in (running.run, running.run_aside):
        with pytest.raises(InvalidError, match="several experiments"):
            verb(scene, Wish(assignments=("lr=1,2",)))
        with pytest.raises(InvalidError, match=r"no parameter 'train\.dept'"):
            verb(scene, Wish(assignments=("train.dept=1",)))
    running.run(scene, Wish(name="one"))
    with pytest.raises(ConflictError, match="exists already"):
        running.run(scene, Wish(name="one"))
    queueing.put(scene, Wish(name="two"))
    with pytest.raises(ConflictError, match="waits in the queue"):
        running.run(scene, Wish(name="two"))
    assert state(scene.root) == before
    replaced = running.run(scene, Wish(name="one", force=True, assignments=("lr=0.9",)))
    assert replaced.saved is not None
    assert [each.commit for each in refs.listed(scene.git)] == [replaced.saved.experiment.commit]


def test_a_workspace_that_is_a_folder_of_its_repository(tmp_path: Path) -> None:
    inner = make(tmp_path / "alone").root
    top = tmp_path / "mono"
    top.mkdir()
    git(top, "init", "-q", "-b", "main")
    (inner / ".git").rename(tmp_path / "old-git")
    inner.rename(top / "ml")
    git(top, "add", "-A")
    git(top, "-c", "user.name=Ada", "-c", "user.email=a@b", "commit", "-q", "-m", "start")
    workspace = Workspace.open(top / "ml")
    ran = running.run_aside(workspace, Wish(assignments=("lr=0.5",), name="one"))
    assert ran.saved is not None
    assert '"auc": 1.0' in git(top, "show", f"{ran.saved.experiment.commit}:ml/metrics.json")
    assert not (workspace.root / "metrics.json").exists()


def test_the_command_line(scene: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(scene.root)
    run = CliRunner().invoke
    assert "Ran experiment(s): one" in run(cli, ["exp", "run", "-S", "lr=0.5", "-n", "one"]).stdout
    assert run(cli, ["exp", "run", "--temp", "-S", "lr=0.6", "-n", "two"]).exit_code == 0
    (train,) = [
        s for s in json.loads(run(cli, ["exp", "run", "--dry", "--json"]).stdout)["stages"] if s["stage"] == "train"
    ]
    assert train["outcome"] == "unchanged"
    queued = run(cli, ["exp", "run", "--queue", "-S", "lr=1,2", "-n", "grid"]).stdout
    assert queued == (
        "Queued experiment 'grid-1' for future execution with lr=1.\n"
        "Queued experiment 'grid-2' for future execution with lr=2.\n"
    )
    assert run(cli, ["exp", "remove", "grid-1"]).exit_code == 0
    assert run(cli, ["exp", "remove", "--queue"]).stdout == "Removed experiments: grid-2\n"
    assert run(cli, ["exp", "list", "--name-only"]).stdout.split() == ["one", "two"]
    scene.configuration.set("hydra.enabled", "true")
    refused = run(cli, ["exp", "run"])
    assert isinstance(refused.exception, InvalidError)
    assert "Hydra cannot compose" in refused.exception.message
    assert run(cli, ["exp", "run", "--no-hydra", "-n", "three"]).exit_code == 0
