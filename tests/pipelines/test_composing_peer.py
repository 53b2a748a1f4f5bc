"""Parameters that Hydra composes: both tools write the same `params.yaml`."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner

from everloop.cli.group import cli
from everloop.errors import InvalidError
from everloop.pipelines.experiments.composing import compose, composition_of
from everloop.pipelines.paramedit import Edit
from everloop.workspace import Workspace
from tests.workspace.dvcpeer import dvc

pytestmark = pytest.mark.peer

FILES = {
    "conf/config.yaml": "defaults:\n- db: mysql\n- _self_\nlr: 0.1\nname: ${db.driver}-x\n",
    "conf/db/mysql.yaml": "driver: mysql\nport: 1\n",
    "conf/db/postgres.yaml": "driver: 'postgres'\nport: 2\nextra: [a, 'b c']\n",
    "params.yaml": "lr: 5\n",
    "dvc.yaml": "stages:\n  s:\n    cmd: cp params.yaml out\n    params: [lr, name]\n    outs: [out]\n",
    ".dvc/config": "[hydra]\n    enabled = true\n",
}


def make(folder: Path) -> Workspace:
    workspace = Workspace.init(folder)
    for name, text in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    who = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
    for words in (["config", "user.name", "a"], ["config", "user.email", "a@b.c"], ["add", "-A"]):
        subprocess.run(["git", *words], cwd=folder, check=True)
    subprocess.run(["git", *who, "commit", "-qm", "first"], cwd=folder, check=True)
    return Workspace.open(workspace.root)


@pytest.mark.parametrize(
    "words", [[], ["-S", "db=postgres", "-S", "lr=0.3"], ["-S", "+new={a: [1, x]}", "-S", "db.port=7"]]
)
def test_both_compose_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str]) -> None:
    ours, theirs = make(tmp_path / "ours").root, make(tmp_path / "theirs").root
    monkeypatch.chdir(ours)
    done = CliRunner().invoke(cli, ["exp", "run", *words])
    assert done.exit_code == 0, done.output
    dvc(theirs, "exp", "run", *words)
    assert (ours / "params.yaml").read_text() == (theirs / "params.yaml").read_text()
    assert (ours / "out").read_text() == (theirs / "out").read_text()


def test_a_grid_of_groups_is_queued(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    workspace = make(tmp_path / "ours")
    monkeypatch.chdir(workspace.root)
    run = CliRunner().invoke
    assert run(cli, ["exp", "run", "--queue", "-n", "e", "-S", "db=mysql,postgres"]).exit_code == 0
    assert run(cli, ["exp", "run", "--run-all"]).exit_code == 0
    head = workspace.git.head()
    refs = (f"refs/exps/{head[:2]}/{head[2:]}/{name}" for name in ("e-1", "e-2"))
    found = [workspace.git.ask("show", f"{ref}:params.yaml") for ref in refs]
    assert [text.splitlines()[1] for text in found] == ["  driver: mysql", "  driver: postgres"]
    assert (workspace.root / "params.yaml").read_text() == "lr: 5\n"


def test_what_hydra_refuses_is_told(tmp_path: Path) -> None:
    composition = composition_of(make(tmp_path / "ours"))
    assert composition is not None
    with pytest.raises(InvalidError, match=r"Hydra cannot compose config of .*conf"):
        compose(composition, [Edit(key="db", value="oracle")])


def test_nothing_is_composed_when_nothing_is_configured(workspace: Workspace) -> None:
    assert composition_of(workspace) is None
