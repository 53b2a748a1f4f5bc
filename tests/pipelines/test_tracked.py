"""`ever repro` as a tracked run: there while it runs, whole afterwards, and never a reason for it to fail."""

from __future__ import annotations

import json
import os
import platform
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from everloop.config import Settings
from everloop.pipelines import Event, EventKind, Outcome, StageReport
from everloop.pipelines.tracked import tracked
from everloop.tracking import Run
from everloop.workspace import Workspace
from tests.stores import Stores, free_port

PIPELINE = """
stages:
  prepare:
    cmd: cp data ready && echo prepared
    deps: [data]
    outs: [ready]
  train:
    cmd: PYTHON train.py
    deps: [ready, train.py]
    params: [lr, net.width]
    metrics:
    - auc.json: {cache: false}
    - dvclive/metrics.json: {cache: false}
"""
TRAIN = """
import everloop, time
with everloop.start_run() as run:
    run.log_params({"lr": 0.1})
    for step in range(3):
        run.log({"train/loss": 1 / (step + 1)})
        run.next_step()
    EXTRA
open("auc.json", "w").write('{"auc": 0.75, "model": {"size": 3}}')
print("trained")
"""


@pytest.fixture
def project(workspace: Workspace, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Workspace:
    for name in list(os.environ):
        if name.startswith("EVERLOOP_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("EVERLOOP_HOME", str(tmp_path / "everloop"))
    root = workspace.root
    (root / "data").write_text("rows")
    (root / "params.yaml").write_text("lr: 0.1\nnet: {width: 3}\n")
    (root / "dvc.yaml").write_text(PIPELINE.replace("PYTHON", sys.executable))
    (root / "uv.lock").write_text("version = 1\n")
    fill(root, "")
    workspace.add(["data"])
    workspace.git.init()
    workspace.git.commit([root], "Start")
    return workspace


def fill(root: Path, extra: str) -> None:
    (root / "train.py").write_text(TRAIN.replace("EXTRA", extra))


def start(root: Path, url: str, *words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "everloop", "repro", *words],
        cwd=root,
        env=os.environ | {"EVERLOOP_HUB_URL": url},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def ran(root: Path, url: str, *words: str, exits: int = 0) -> str:
    process = start(root, url, *words)
    out, errors = process.communicate(timeout=120)
    assert process.returncode == exits, out + errors
    return errors


def synced(root: Path, url: str, *words: str) -> list[dict[str, Any]]:
    done = subprocess.run(
        [sys.executable, "-m", "everloop", "sync", "--json", *words],
        cwd=root,
        env=os.environ | {"EVERLOOP_HUB_URL": url},
        capture_output=True,
        text=True,
        check=False,
    )
    found: list[dict[str, Any]] = json.loads(done.stdout)
    return found


def only_run(hub: Stores) -> Run:
    (run,) = hub.tracking.search_runs().runs
    return run


def text_of(hub: Stores, run: Run, path: str) -> str:
    (artifact,) = [each for each in hub.tracking.list_artifacts(run.run_id) if each.path == path]
    return hub.local.objects.get(artifact.digest).decode()


def url_of(hub: Stores) -> str:
    assert hub.client is not None
    return hub.client.url


def test_a_repro_is_one_run_with_all_that_its_stages_told(hub: Stores, project: Workspace) -> None:
    commit = project.git.head()
    (project.root / "params.yaml").write_text("lr: 0.1\nnet: {width: 4}\n")
    assert "tracked as run" in ran(project.root, url_of(hub))
    run = only_run(hub)
    assert (run.experiment, run.name, run.status) == ("project", "repro", "finished")
    assert run.params == {"lr": "0.1", "net.width": "4"}
    measured = {key: value for key, value in run.metrics.items() if not key.startswith("system/")}
    assert measured == {"train/loss": 1 / 3, "auc": 0.75, "model.size": 3.0}
    assert len(hub.tracking.metric_history(run.run_id, "train/loss").points) == 3
    assert float(run.metrics["system/cpu_s"]) > 0
    assert float(run.metrics["system/max_memory_mb"]) > 1
    assert run.tags["commit"] == commit
    assert run.tags["dirty"] == "true"
    assert run.tags["python"] == platform.python_version()
    assert len(run.tags["packages.uv.lock"]) == 64
    assert "+net: {width: 4}" in text_of(hub, run, "git.patch")
    assert "trained" in text_of(hub, run, "logs/train.log")
    assert "prepared" in text_of(hub, run, "logs/prepare.log")
    assert text_of(hub, run, "dvc.lock") == (project.root / "dvc.lock").read_text()
    edges = {(edge.relation, edge.target) for edge in hub.tracking.edges_of(f"runs/{run.run_id}")}
    assert ("ran", f"commits/{commit}") in edges
    assert any(relation == "used" and target.startswith("datasets/data@") for relation, target in edges)
    assert [path for path in Path(os.environ["EVERLOOP_HOME"]).rglob("*") if path.is_file()] == []


def test_a_repro_with_nothing_to_do_is_no_run(hub: Stores, project: Workspace) -> None:
    ran(project.root, url_of(hub))
    assert "tracked" not in ran(project.root, url_of(hub))
    assert len(hub.tracking.search_runs().runs) == 1
    assert "tracked" not in ran(project.root, url_of(hub), "-f", "--dry")


def test_what_a_stage_logs_is_on_the_hub_while_it_runs(hub: Stores, project: Workspace) -> None:
    fill(project.root, "while not __import__('os').path.exists('go'): time.sleep(0.05)")
    process = start(project.root, url_of(hub))
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        runs = hub.tracking.search_runs().runs
        if runs and "train/loss" in runs[0].metrics:
            break
        time.sleep(0.1)
    run = only_run(hub)
    assert (run.status, run.params["lr"], run.metrics["train/loss"]) == ("running", "0.1", 1 / 3)
    (project.root / "go").touch()
    out, errors = process.communicate(timeout=60)
    assert process.returncode == 0, out + errors
    assert only_run(hub).status == "finished"


@pytest.mark.parametrize("extra", ["1 / 0", "import os, signal; run.flush(); os.kill(os.getpid(), signal.SIGKILL)"])
def test_a_stage_that_fails_or_is_killed_makes_a_failed_run(hub: Stores, project: Workspace, extra: str) -> None:
    fill(project.root, extra)
    ran(project.root, url_of(hub), exits=1)
    run = only_run(hub)
    assert run.status == "failed"
    assert run.metrics["train/loss"] == 1 / 3
    assert ("ZeroDivisionError" in text_of(hub, run, "logs/train.log")) is (extra == "1 / 0")
    assert synced(project.root, url_of(hub)) == []


def test_a_hub_that_does_not_answer_fails_nothing_and_is_told_later(hub: Stores, project: Workspace) -> None:
    errors = ran(project.root, f"http://127.0.0.1:{free_port()}")
    assert "waits to be sent: ever sync" in errors
    assert "tracked as" not in errors
    found = synced(project.root, url_of(hub))  # where the run says that its hub is, nobody answers
    assert [each["state"] for each in found] == ["waiting"]
    assert [each["state"] for each in synced(project.root, "", "--hub", url_of(hub))] == ["sent"]
    assert only_run(hub).status == "finished"


def test_an_offline_repro_is_sent_by_a_sync(hub: Stores, project: Workspace) -> None:
    ran(project.root, url_of(hub), "--offline")
    assert hub.tracking.search_runs().runs == []
    assert [each["state"] for each in synced(project.root, url_of(hub))] == ["sent"]
    run = only_run(hub)
    assert (run.status, run.metrics["train/loss"], run.metrics["auc"]) == ("finished", 1 / 3, 0.75)
    assert [path for path in Path(os.environ["EVERLOOP_HOME"]).rglob("*") if path.is_file()] == []


def test_a_repro_that_was_killed_is_a_failed_run_after_a_sync(hub: Stores, project: Workspace) -> None:
    fill(project.root, "run.flush(); open('here', 'w'); time.sleep(60)")
    process = start(project.root, url_of(hub), "--offline")
    deadline = time.monotonic() + 60
    while not (project.root / "here").exists():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    while synced(project.root, url_of(hub))[0]["state"] == "busy":  # until the stage, whose parent is gone, is ended
        time.sleep(0.1)
    run = only_run(hub)
    assert (run.status, run.metrics["train/loss"]) == ("failed", 1 / 3)


def test_a_project_without_git_is_tracked_too(hub: Stores, project: Workspace) -> None:
    import shutil

    shutil.rmtree(project.root / ".git")
    ran(project.root, url_of(hub))
    run = only_run(hub)
    assert run.status == "finished"
    assert "commit" not in run.tags


def test_a_failure_that_the_repro_goes_on_after_makes_a_failed_run(hub: Stores, project: Workspace) -> None:
    heard: list[Event] = []
    events = [
        Event(kind=EventKind.STARTED, stage="train", text="why"),
        Event(kind=EventKind.FINISHED, stage="train", report=_failed()),
    ]
    settings = Settings(home=os.environ["EVERLOOP_HOME"], hub_url=url_of(hub))
    with tracked(project, settings, heard.append, lambda _: None) as (listener, environment):
        for event in events:
            listener(event)
    assert heard == events
    assert only_run(hub).run_id == environment["EVERLOOP_RUN_ID"]
    assert only_run(hub).status == "failed"


def _failed() -> StageReport:
    class Word(str):
        value = "failed"

    outcome: Any = Word("failed")
    return StageReport(stage="train", outcome=outcome, seconds=0.1)


def test_without_a_hub_nothing_is_tracked(project: Workspace) -> None:
    with tracked(project, Settings(home=os.environ["EVERLOOP_HOME"]), print, print) as (listener, environment):
        assert (listener, environment) == (print, {})
    assert Outcome.RAN.value == "ran"
    assert not Path(os.environ["EVERLOOP_HOME"]).exists()
