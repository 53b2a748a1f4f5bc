"""The same folder in the hands of Everloop and of the real DVC: each accepts all that the other wrote."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import textwrap
from pathlib import Path

import pytest

from everloop import pipelines
from everloop.errors import FailedError
from everloop.workspace import Workspace
from tests.workspace.dvcpeer import DVC, called

pytestmark = pytest.mark.peer

PIPELINE = """\
stages:
  prepare:
    cmd: cp "data/ü/Z.csv" ready.csv && echo a long command line, to be folded where the real tool folds it > note.txt
    deps: [data, one.txt]
    params: [train.names, lr, {other.json: [a.b]}]
    outs: [ready.csv, note.txt]
  train:
    cmd:
    - mkdir -p model && cp ready.csv model/weights
    - echo '{"auc":0.5}' > metrics.json
    deps: [ready.csv]
    params:
    - other.json:
    outs: [model]
    metrics:
    - metrics.json:
        cache: false
"""

BIT = "  meta:\n    everloop:\n      executable:\n      - run.sh\n"


def environment(home: Path) -> dict[str, str]:
    """Of a person without settings; the tool looks for no update and reports nothing."""
    home.mkdir(exist_ok=True)
    (home / "config").write_text("[core]\n    analytics = false\n    check_update = false\n")
    places = dict.fromkeys(("HOME", "DVC_SITE_CACHE_DIR", "DVC_GLOBAL_CONFIG_DIR"), str(home))
    return {**os.environ, **places, "DVC_SYSTEM_CONFIG_DIR": "/nowhere", "DVC_NO_ANALYTICS": "1", "SHELL": "/bin/sh"}


def dvc(folder: Path, *words: str) -> str:
    done = called(folder, *words, env=environment(folder.parent / "home"))
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def fill(folder: Path) -> None:
    for path, text in {
        "data/ü/Z.csv": "z",
        "data/ü/a.csv": "a",
        "data/B": "b",
        "data/日本/x y": "x",
        "data/\U0001d4b3": "astral",
        "data/\uffee": "last of the plane below",
        "one.txt": "1\r\n",
        "params.yaml": "lr: 1e-3\ntrain: {names: [a, b], on: yes, deep: 0o10}\n",
        "other.json": '{"a": {"b": 1}, "c": 2.50}',
        "dvc.yaml": textwrap.dedent(PIPELINE),
    }.items():
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(text.encode())
    (folder / "data/run.sh").write_text("#!/bin/sh\n")
    (folder / "data/run.sh").chmod(0o755)


@pytest.fixture(scope="module")
def made_by_dvc(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Made once, because the tool takes a second for each command."""
    folder = tmp_path_factory.mktemp("peer") / "by_dvc"
    folder.mkdir()
    subprocess.run(["git", "init", "-q"], cwd=folder, check=True)
    dvc(folder, "init", "-q")
    fill(folder)
    dvc(folder, "add", "-q", "data", "one.txt")
    dvc(folder, "repro", "-q")
    return folder


@pytest.fixture
def by_dvc(made_by_dvc: Path, tmp_path: Path) -> Path:
    return shutil.copytree(made_by_dvc, tmp_path / "by_dvc")


@pytest.fixture
def by_ever(tmp_path: Path) -> Workspace:
    workspace = Workspace.init(tmp_path / "by_ever")
    fill(workspace.root)
    workspace.add(["data", "one.txt"])
    pipelines.repro(workspace)
    return workspace


def test_both_write_the_same_files(by_dvc: Path, by_ever: Workspace) -> None:
    for name in ("data.dvc", "one.txt.dvc", "dvc.lock", ".gitignore", ".dvcignore", ".dvc/.gitignore"):
        # What DVC has no place for stands behind all that it writes.
        ours = (by_ever.root / name).read_text().removesuffix(BIT)
        assert ours == (by_dvc / name).read_text(), name
    objects = {str(path.relative_to(by_ever.cache.root)) for path in (by_ever.cache.root / "files").rglob("*")}
    # DVC also keeps `cache: false` outputs, for its run cache.
    assert objects <= {str(path.relative_to(by_dvc / ".dvc/cache")) for path in (by_dvc / ".dvc/cache").rglob("*")}


def test_dvc_accepts_what_ever_made(by_ever: Workspace) -> None:
    assert json.loads(dvc(by_ever.root, "status", "--json")) == {}
    shutil.rmtree(by_ever.root / "data")
    shutil.rmtree(by_ever.root / "model")
    dvc(by_ever.root, "checkout")
    assert (by_ever.root / "data/ü/Z.csv").read_text() == "z"
    assert (by_ever.root / "model/weights").read_text() == "z"
    said = dvc(by_ever.root, "repro")
    assert "Running" not in said
    assert "up to date" in said


def test_ever_accepts_what_dvc_made(by_dvc: Path) -> None:
    workspace = Workspace.open(by_dvc)
    assert pipelines.status(workspace) == {}
    shutil.rmtree(by_dvc / "data")
    shutil.rmtree(by_dvc / "model")
    (by_dvc / "one.txt").unlink()
    assert set(workspace.checkout().restored) == {"data", "model", "one.txt"}
    assert pipelines.repro(workspace).ran == ()
    assert pipelines.status(workspace) == {}


def test_both_tell_the_same_changes(by_dvc: Path) -> None:
    (by_dvc / "one.txt").write_text("changed")
    (by_dvc / "ready.csv").unlink()
    (by_dvc / "params.yaml").write_text("lr: 2\ntrain: {names: [a, b]}\n")
    ours = json.loads(json.dumps(pipelines.status(Workspace.open(by_dvc))))
    assert ours == json.loads(dvc(by_dvc, "status", "--json"))


def test_both_record_and_restore_the_bit_of_an_executable_output(tmp_path: Path) -> None:
    made = "for name in tool bare kept; do echo 'exit 0' > $name; chmod +x $name; done; echo 1 > plain"
    outs = ["tool", "plain", {"bare": {"cache": False}}, {"kept": {"persist": True}}]
    pipeline = {"cmd": made, "deps": ["one.txt"], "outs": outs}
    roots = [tmp_path / "theirs", tmp_path / "ours"]
    for root in roots:
        Workspace.init(root)
        (root / "one.txt").write_text("1")
        (root / "dvc.yaml").write_text(json.dumps({"stages": {"s": pipeline}}))
    dvc(roots[0], "repro", "-q")
    pipelines.repro(Workspace.open(roots[1]))
    locks = [(root / "dvc.lock").read_text() for root in roots]
    assert locks[0] == locks[1]
    assert locks[1].count("isexec: true") == 3

    def bits(root: Path) -> list[bool]:
        return [os.access(root / name, os.X_OK) for name in ("tool", "kept", "plain")]

    for root in roots:
        for name in ("tool", "kept", "plain"):
            (root / name).unlink()
        if root is roots[0]:
            Workspace.open(root).checkout()
        else:
            dvc(root, "checkout", "-q")
        assert bits(root) == [True, True, False]
        assert "up to date" in dvc(root, "status")
        assert not pipelines.repro(Workspace.open(root)).ran
    # A change of the bit alone is no change of the bytes, for either.
    (roots[1] / "tool").chmod(0o644)
    assert "up to date" in dvc(roots[1], "status")
    assert not pipelines.repro(Workspace.open(roots[1])).ran


def test_the_bit_of_an_executable_output_comes_out_of_the_run_cache_of_either(tmp_path: Path) -> None:
    stage = {"cmd": "echo ran >> ../count; echo 'exit 0' > tool; chmod +x tool", "deps": ["one.txt"], "outs": ["tool"]}
    workspace = Workspace.init(tmp_path / "project")
    root = workspace.root
    (root / "one.txt").write_text("1")
    (root / "dvc.yaml").write_text(json.dumps({"stages": {"s": stage}}))

    def by_ever() -> None:
        pipelines.repro(Workspace.open(root))

    def by_dvc() -> None:
        dvc(root, "repro", "-q")

    for first, second in ((by_dvc, by_ever), (by_ever, by_dvc)):
        first()
        lock = (root / "dvc.lock").read_text()
        for name in ("tool", "dvc.lock"):
            (root / name).unlink()
        second()
        assert (root / "dvc.lock").read_text() == lock
        assert os.access(root / "tool", os.X_OK)
        assert (tmp_path / "count").read_text() == "ran\n"
        (tmp_path / "count").unlink()
        shutil.rmtree(root / ".dvc/cache")
        for name in ("tool", "dvc.lock"):
            (root / name).unlink()


def test_lock_of_a_working_ever_holds_dvc_off(by_ever: Workspace) -> None:
    with by_ever.claimed(writes=["data"]), by_ever.locked():
        done = subprocess.run(
            [str(DVC), "checkout", "data"],
            cwd=by_ever.root,
            env=environment(by_ever.root.parent / "home"),
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.returncode != 0
    assert "lock" in done.stderr


def test_running_dvc_stage_is_waited_for(by_dvc: Path) -> None:
    (by_dvc / "dvc.yaml").write_text("stages:\n  wait:\n    cmd: echo started && read x\n    outs: [model]\n")
    waiting: list[str] = []
    with subprocess.Popen(
        [str(DVC), "repro"],
        cwd=by_dvc,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as running:
        assert running.stdout is not None
        assert any(line == "started\n" for line in running.stdout)

        def listen(event: pipelines.Event) -> None:
            if event.kind is pipelines.EventKind.WAITING:
                waiting.append(event.text)
                running.kill()
                running.wait()

        # There is nothing to read, so it fails: after its turn has come.
        with pytest.raises(FailedError, match="exit code 1"):
            pipelines.repro(Workspace.open(by_dvc), ["wait"], on_event=listen)
    assert len(waiting) == 1
    assert "dvc repro" in waiting[0]
