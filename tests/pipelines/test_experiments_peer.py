"""Experiments in the hands of Everloop and of the real DVC: each sees, applies and moves what the other made."""

from __future__ import annotations

import itertools
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from everloop import pipelines
from everloop.errors import NotFoundError
from everloop.pipelines.experiments import apply, queueing, refs, running, saving, selection, transfer
from everloop.pipelines.experiments.queueing import Wish
from everloop.pipelines.experiments.selection import Selection
from everloop.workspace import Workspace, gitsnapshot, valuefiles
from tests.pipelines.scenes import DVC, dvc, environment, git, make

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


def test_both_set_the_same_in_toml_and_python(scene: Workspace, tmp_path: Path) -> None:
    files = {
        "p.toml": "seed = 1\n\n[train] # how\nlr = 0.10  # rate\nopt.name = 'adam'\nsizes = [1, 2]\n\n[x]\na = 1\n",
        "p.py": "# all\nSEED = 1  # any\n\n\nclass Train:\n    lr = 0.1  # rate\n    opt = {'b': 2}\n",
        "dvc.yaml": "stages:\n  s:\n    cmd: cat p.toml p.py > out\n    params: [{p.toml: [train]}, {p.py: [Train]}]\n"
        "    outs: [out]\n",
    }
    for name, text in files.items():
        (scene.root / name).write_text(text)
    git(scene.root, "add", "-A")
    git(scene.root, "commit", "-q", "-m", "more")
    theirs = shutil.copytree(scene.root, tmp_path / "theirs")
    words = (
        "p.toml:seed=7", "p.toml:train.lr=0.25", "p.toml:train.opt.name=sgd", "p.toml:train.sizes=[3]",
        "p.toml:+x.b=1", "p.py:SEED=2", "p.py:Train.lr=1",
    )  # fmt: skip
    running.run(scene, Wish(assignments=words))
    dvc(theirs, "exp", "run", *(f"--set-param={word}" for word in words))
    for name in ("p.toml", "p.py", "dvc.lock"):
        assert (scene.root / name).read_text() == (theirs / name).read_text()


def test_what_is_only_added_may_be_in_a_new_file(scene: Workspace, tmp_path: Path) -> None:
    git(scene.root, "commit", "-q", "-a", "-m", "ran", "--allow-empty")
    theirs = shutil.copytree(scene.root, tmp_path / "theirs")
    words = ("new.yaml:+lr=1", "new.json:++a.b=x")
    running.run(scene, Wish(assignments=words))
    dvc(theirs, "exp", "run", *(f"--set-param={word}" for word in words))
    for name in ("new.yaml", "new.json"):
        ours, other = (valuefiles.parse((root / name).read_text(), name) for root in (scene.root, theirs))
        assert ours == other
    running.run_aside(scene, Wish(name="aside", assignments=("other.toml:+lr=1",)))
    (aside,) = refs.find(scene.git, ["aside"])
    assert git(scene.root, "show", f"{aside.commit}:other.toml") == "lr = 1\n"
    assert not (scene.root / "other.toml").exists()
    with pytest.raises(NotFoundError, match=r"gone\.yaml does not exist"):
        running.run(scene, Wish(assignments=("gone.yaml:lr=1",)))


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


def shown(folder: Path, *words: str) -> tuple[list[Any], list[Any]]:
    """What both tools print as JSON; of errors that have words of their own only that they are there."""
    theirs = json.loads(dvc(folder, "exp", "show", "--json", *words))
    done = subprocess.run(
        [sys.executable, "-m", "everloop", "exp", "show", "--json", *words],
        cwd=folder,
        env=environment(folder.parent / "home"),
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(done.stdout), theirs


@pytest.fixture
def history(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """Several branches, a tag, a commit from before the pipeline, one whose pipeline is broken, and experiments."""
    # Commits of one second have no order that both tools would keep.
    seconds = itertools.count(1_700_000_000)

    def later() -> None:
        monkeypatch.setenv("GIT_COMMITTER_DATE", f"{next(seconds)} +0000")

    later()
    workspace = make(tmp_path / "project")
    later()
    root = workspace.root
    (root / "other.json").write_text('{"a": {"b": 1, "c": 2}, "d": [1, 2]}')
    (root / "sub").mkdir()
    (root / "sub/top.yaml").write_text("x: 1\n")
    text = (root / "dvc.yaml").read_text().replace("[lr, train.depth]", "[lr, train.depth, {other.json: [a.b, d]}]")
    (root / "dvc.yaml").write_text(text + "params: [sub/top.yaml]\nmetrics: [missing.json]\n")
    pipelines.repro(workspace)
    git(root, "add", "-A")
    git(root, "commit", "-q", "-m", "ran")
    git(root, "tag", "-a", "v1", "-m", "one")
    running.run(workspace, Wish(name="one", assignments=("lr=0.4",)))
    running.run_aside(workspace, Wish(name="two", assignments=("other.json:a.b=7",)))
    git(root, "checkout", "-q", "-f", "-b", "side")
    later()
    pipelines.set_params(root / "params.yaml", {"lr": 0.25})
    (root / "metrics.json").write_text("not JSON")
    git(root, "commit", "-q", "-a", "-m", "side")
    third = gitsnapshot.commit_tree(workspace.git, git(root, "rev-parse", "v1^{tree}").strip(), ["HEAD"], "by hand")
    refs.put(workspace, "three", workspace.git.head(), third, "")
    later()
    (root / "dvc.yaml").write_text("stages: [no, pipeline]\n")
    git(root, "commit", "-q", "-a", "-m", "broken")
    git(root, "checkout", "-q", "main")
    workspace.checkout(force=True)
    return workspace


def without_words(value: Any) -> Any:
    """Errors by nothing but that there is one, where each tool has its own words."""
    if isinstance(value, dict):
        if set(value) == {"msg", "type"} and value["type"] != "FileNotFoundError":
            return "an error"
        return {key: without_words(item) for key, item in value.items()}
    return [without_words(item) for item in value] if isinstance(value, list) else value


@pytest.mark.parametrize(
    "words",
    [
        (),
        ("-a",),
        ("-T", "--sha"),
        ("-A",),
        ("--rev", "v1", "-n", "2"),
        ("--rev", "side", "-n", "-1", "--hide-workspace"),
        ("--rev", "side", "-n", "0"),
        ("--param-deps",),
    ],
    ids=" ".join,
)
def test_show_prints_the_same_json(history: Workspace, words: tuple[str, ...]) -> None:
    (history.root / "params.yaml").write_text("lr: 9\n")
    ours, theirs = shown(history.root, *words)
    assert [each["rev"] for each in ours] == [each["rev"] for each in theirs]
    for mine, other in zip(ours, theirs, strict=True):
        if "--param-deps" in words and mine["name"]:
            # With baselines DVC forgets it.
            other["data"]["params"] = mine["data"]["params"]
        assert without_words(mine) == without_words(other), mine["name"]
        assert list(mine) == list(other)


def test_a_folder_of_metrics_or_params_is_all_that_lies_in_it(scene: Workspace) -> None:
    root = scene.root
    (root / "p").mkdir()
    (root / "p/a.yaml").write_text("x: 1\n")
    (root / "p/b.json").write_text('{"y": 2}')
    (root / "make.sh").write_text(
        "mkdir -p m/sub; echo '{\"auc\": 1, \"list\": [1]}' > m/one.json; echo 'deep: {x: 2}' > m/sub/two.yaml\n"
        "echo text > m/bare.txt; echo '{' > m/broken.json\n"
    )
    (root / "dvc.yaml").write_text("stages:\n  s:\n    cmd: sh make.sh\n    metrics: [m]\nparams: [p]\n")
    pipelines.repro(scene)
    git(root, "add", "-A")
    git(root, "commit", "-q", "-m", "folders")
    ours, theirs = shown(root)
    assert without_words(ours) == without_words(theirs)
    (root / "m/bare.txt").write_text("other\n")
    (root / "m/one.json").write_text('{"auc": 3}')
    ours, theirs = (json.loads(told) for told in both(root, "diff", "--json"))
    assert ours == theirs
    assert set(ours["metrics"]) == {"m/bare.txt", "m/one.json"}
    shutil.rmtree(root / "m")  # the cache has them
    ours, theirs = shown(root)
    assert without_words(ours) == without_words(theirs)


def both(folder: Path, *words: str) -> tuple[str, str]:
    done = subprocess.run(
        [sys.executable, "-m", "everloop", "exp", *words], cwd=folder, capture_output=True, check=True
    )
    return done.stdout.decode().replace("\r\n", "\n"), dvc(folder, "exp", *words)


def test_show_and_diff_print_the_same_tables(history: Workspace) -> None:
    ours, theirs = both(history.root, "show", "--csv", "--rev", "v1", "--sort-by", "lr", "--sort-order", "desc")
    assert ours == theirs
    for words in (("--drop", "Created|Exp", "--keep", "rev"), ("--only-changed", "--rev", "v1")):
        ours, theirs = both(history.root, "show", "--csv", *words)
        assert ours == theirs
    ours, theirs = both(history.root, "diff", "one", "two", "--json", "--all")
    assert json.loads(ours) == json.loads(theirs)
    ours, theirs = both(history.root, "diff", "v1", "one", "--json")
    assert json.loads(ours) == json.loads(theirs)


def test_tasks_are_shown_in_the_same_shape(scene: Workspace, tmp_path: Path) -> None:
    git(scene.root, "add", "-A")
    git(scene.root, "commit", "-q", "-m", "ran")
    theirs_root = shutil.copytree(scene.root, tmp_path / "theirs")
    queueing.put(scene, Wish(name="one", assignments=("lr=0.7",)))
    dvc(theirs_root, "exp", "run", "--queue", "-n", "one", "-S", "lr=0.7")
    ours, _ = shown(scene.root)
    _, theirs = shown(theirs_root)
    mine, other = (found[1]["experiments"][0] for found in (ours, theirs))
    for each in (mine, other):
        task = each["executor"]["local"]["task_id"]
        assert each["revs"][0]["rev"] == each["revs"][0]["data"].pop("rev") == task
        each["revs"][0].pop("rev")
        each["executor"]["local"].pop("task_id")
        each["revs"][0]["data"].pop("timestamp")
    assert mine == other
