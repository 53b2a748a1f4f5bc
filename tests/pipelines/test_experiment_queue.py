"""The queue loses nothing and does nothing twice, whatever is killed; people can see, stop and forget what is in it."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from click.testing import CliRunner

from everloop import pipelines
from everloop.cli.group import cli
from everloop.errors import ConflictError, FailedError, NotFoundError
from everloop.pipelines.experiments import control, queueing, refs, running, sandbox, showing, workers
from everloop.pipelines.experiments.queueing import Wish
from everloop.pipelines.experiments.showing import Scope
from everloop.pipelines.experiments.tasks import MAX_STARTS, Queue, State
from everloop.workspace import Workspace
from everloop.workspace.gc import Scope as GcScope
from tests.pipelines.scenes import git, make, state

# Waits until the file of its experiment's name lies beside the repository, and says there that it ran.
SLOW = """\
import json, os, pathlib, re, time
lr = re.search(r"lr: ([0-9.]+)", open("params.yaml").read())[1]
aside = pathlib.Path(os.environ["ASIDE"])
with open(aside / "began", "a") as file:
    file.write(os.environ["DVC_EXP_NAME"] + "\\n")
while not (aside / "go").exists():
    time.sleep(0.01)
open("model.txt", "w").write(lr)
json.dump({"auc": float(lr)}, open("metrics.json", "w"))
"""


@pytest.fixture
def scene(tmp_path: Path) -> Workspace:
    workspace = make(tmp_path / "project")
    pipelines.repro(workspace)
    git(workspace.root, "add", "-A")
    git(workspace.root, "commit", "-q", "-m", "ran")
    return workspace


@pytest.fixture
def slow(scene: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """Experiments wait until `go` lies beside the repository."""
    monkeypatch.setenv("ASIDE", str(tmp_path))
    (scene.root / "train.py").write_text(SLOW)
    return scene


def until(claim: Callable[[], bool], what: str, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not claim():
        assert time.monotonic() < end, f"waited too long until {what}"
        time.sleep(0.02)


def states(workspace: Workspace) -> list[str]:
    return [seen.state.value for seen in Queue(workspace).seen()]


def began(tmp_path: Path) -> list[str]:
    path = tmp_path / "began"
    return path.read_text().split() if path.exists() else []


def has_begun(tmp_path: Path, count: int) -> bool:
    return len(began(tmp_path)) == count


def go(tmp_path: Path) -> None:
    (tmp_path / "go").touch()


def ever(workspace: Workspace, *words: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-m", "everloop", *words], cwd=workspace.root)


def test_a_grid_is_queued_and_run_and_the_workspace_stays_as_it_is(scene: Workspace) -> None:
    (scene.root / "params.yaml").write_text("lr: 0.3\ntrain: {depth: 2}\n")
    before = state(scene.root)
    queueing.put(scene, Wish(assignments=("lr=1,2", "train.depth=range(1,3)"), name="g"))
    assert states(scene) == ["Queued"] * 4
    assert state(scene.root) == before
    told: list[tuple[str, str]] = []
    control.run_all(scene, 2, on_change=lambda seen: told.append((seen.task.name, seen.state.value)))
    assert states(scene) == ["Success"] * 4
    assert state(scene.root) == before
    made = {
        each.name: json.loads(git(scene.root, "show", f"{each.commit}:metrics.json")) for each in refs.listed(scene.git)
    }
    assert {name: found["auc"] for name, found in made.items()} == {"g-1": 1, "g-2": 2, "g-3": 2, "g-4": 4}
    assert {name for name, what in told if what == "Success"} == set(made)
    assert git(scene.root, "worktree", "list").count("\n") == 1
    assert not list((scene.layout.scratch_dir / "worktrees").iterdir())


def test_a_grid_with_one_wrong_name_queues_nothing(scene: Workspace) -> None:
    running.run(scene, Wish(name="g-2"))
    with pytest.raises(ConflictError):
        queueing.put(scene, Wish(assignments=("lr=1,2,3",), name="g"))
    assert states(scene) == []


def test_an_unknown_target_is_told_at_once(scene: Workspace) -> None:
    with pytest.raises(NotFoundError, match="trainn"):
        queueing.put(scene, Wish(targets=("trainn",)))
    assert states(scene) == []


def test_data_that_only_a_waiting_experiment_has_are_not_collected(scene: Workspace) -> None:
    recorded = (scene.root / "data.csv").read_text()
    (scene.root / "data.csv").write_text("changed and not added\n")
    queueing.put(scene, Wish(name="one", targets=("prepare",)))
    (scene.root / "data.csv").write_text(recorded)
    scene.gc(GcScope(workspace=True))
    control.run_all(scene, 1, on_change=lambda _: None)
    assert states(scene) == ["Success"]
    (made,) = refs.listed(scene.git)
    assert git(scene.root, "show", f"{made.commit}:dvc.lock") != git(scene.root, "show", "HEAD:dvc.lock")


def test_a_failure_is_told_its_log_kept_and_the_others_run(scene: Workspace) -> None:
    queueing.put(scene, Wish(assignments=("lr=1",), name="first"))
    (scene.root / "train.py").write_text("print('oh no'); raise SystemExit(3)\n")
    queueing.put(scene, Wish(assignments=("lr=2",), name="bad"))
    git(scene.root, "checkout", "-q", "train.py")
    queueing.put(scene, Wish(assignments=("lr=3",), name="last"))
    control.run_all(scene, 1, on_change=lambda _: None)
    assert states(scene) == ["Success", "Failed", "Success"]
    queue = Queue(scene)
    assert "train | oh no" in queue.log(queue.find("bad").task).read_text()


def test_two_who_queue_at_once_lose_nothing(scene: Workspace) -> None:
    both = [ever(scene, "exp", "run", "--queue", "-S", f"lr={n}.1,{n}.2,{n}.3") for n in (1, 2)]
    assert [process.wait() for process in both] == [0, 0]
    waiting = Queue(scene).waiting()
    assert len(waiting) == 6
    assert len({task.name for task in waiting}) == 6


def test_workers_run_in_the_background_and_end_when_nothing_waits(slow: Workspace, tmp_path: Path) -> None:
    queueing.put(slow, Wish(assignments=("lr=1,2,3",), name="g"))
    queue = Queue(slow)
    for worker in workers.start(slow, 2):
        worker.leave()
    assert len(workers.alive(queue)) == 2
    assert workers.start(slow, 2) == []
    until(lambda: len(began(tmp_path)) == 2, "two have begun")
    assert sorted(states(slow)) == ["Queued", "Running", "Running"]
    go(tmp_path)
    until(lambda: not workers.alive(queue), "the workers have ended")
    assert states(slow) == ["Success"] * 3
    assert sorted(began(tmp_path)) == ["g-1", "g-2", "g-3"]


def test_a_killed_worker_leaves_its_experiment_waiting(slow: Workspace, tmp_path: Path) -> None:
    queueing.put(slow, Wish(assignments=("lr=1,2",), name="g"))
    queue = Queue(slow)
    for times in range(1, MAX_STARTS + 1):
        (worker,) = workers.start(slow, 1)
        until(partial(has_begun, tmp_path, times), "it has begun")
        start = queue.find("g-1").start
        assert start is not None
        assert start.count == times
        os.kill(start.pid, signal.SIGKILL)
        worker.wait()
        until(lambda: queue.find("g-1").state is not State.RUNNING, "its lock is gone")
        assert queue.find("g-1").state is (State.QUEUED if times < MAX_STARTS else State.FAILED)
    go(tmp_path)
    control.run_all(slow, 1, on_change=lambda _: None)
    assert [each.name for each in refs.listed(slow.git)] == ["g-2"]
    assert states(slow) == ["Failed", "Success"]
    assert control.clean(slow).refs == ()
    assert git(slow.root, "worktree", "list").count("\n") == 1


@pytest.mark.parametrize("seed", range(4))
def test_whatever_moment_a_worker_is_killed_each_experiment_is_made_once(
    slow: Workspace, tmp_path: Path, seed: int
) -> None:
    go(tmp_path)
    wait = random.Random(seed).uniform(0.05, 1.2)
    before = state(slow.root)
    queueing.put(slow, Wish(assignments=("lr=1,2,3",), name="g"))
    (worker,) = workers.start(slow, 1)
    time.sleep(wait)
    worker._process.kill()
    worker.wait()
    queue = Queue(slow)
    until(lambda: "Running" not in states(slow), "its lock is gone")
    control.run_all(slow, 2, on_change=lambda _: None)
    assert states(slow) == ["Success"] * 3, [queue.log(seen.task).read_text() for seen in queue.seen()]
    made = refs.listed(slow.git)
    assert [each.name for each in made] == ["g-1", "g-2", "g-3"]
    for each in made:
        lr = float(git(slow.root, "show", f"{each.commit}:params.yaml").split("lr: ")[1].split()[0])
        assert json.loads(git(slow.root, "show", f"{each.commit}:metrics.json")) == {"auc": lr}
    assert state(slow.root) == before
    assert control.clean(slow).worktrees == ()
    git(slow.root, "fsck", "--strict", "--no-dangling")


def test_what_is_done_is_not_done_again_when_only_the_word_of_it_was_lost(scene: Workspace) -> None:
    ((task, _),) = queueing.put(scene, Wish(assignments=("lr=5",), name="one"))
    queue = Queue(scene)
    with queue.claimed(task) as is_mine:
        assert is_mine
        made = sandbox.run(scene, task, on_event=lambda _: None, should_stop=lambda: False).experiment
    assert queue.find("one").state is State.QUEUED
    control.run_all(scene, 1, on_change=lambda _: None)
    assert queue.find("one").state is State.SUCCESS
    assert refs.listed(scene.git) == [made]


@pytest.mark.parametrize("seed", range(2))
def test_a_killed_run_aside_is_seen_as_failed_and_leaves_nothing(slow: Workspace, tmp_path: Path, seed: int) -> None:
    before = state(slow.root)
    process = ever(slow, "exp", "run", "--temp", "-n", "one", "-S", "lr=2")
    until(lambda: began(tmp_path) == ["one"], "it has begun")
    time.sleep(random.Random(seed).uniform(0, 0.2))
    process.kill()
    process.wait()
    until(lambda: states(slow) == ["Failed"], "it is seen")
    assert "was killed" in str(Queue(slow).find("one").end)
    assert state(slow.root) == before
    assert len(control.clean(slow).worktrees) == 1
    assert git(slow.root, "worktree", "list").count("\n") == 1
    go(tmp_path)
    assert running.run_aside(slow, Wish(name="one", assignments=("lr=2",))).saved is not None


def test_interrupted_experiments_wait_again(slow: Workspace, tmp_path: Path) -> None:
    queueing.put(slow, Wish(assignments=("lr=1",), name="one"))
    process = ever(slow, "exp", "run", "--run-all")
    until(lambda: began(tmp_path) == ["one"], "it has begun")
    start = Queue(slow).find("one").start
    assert start is not None
    os.kill(start.pid, signal.SIGINT)
    process.send_signal(signal.SIGINT)
    assert process.wait() == 130
    seen = Queue(slow).find("one")
    assert (seen.state, seen.start) == (State.QUEUED, None)


@pytest.mark.parametrize("force", [False, True])
def test_a_running_experiment_is_killed_and_the_next_one_runs(slow: Workspace, tmp_path: Path, force: bool) -> None:
    queueing.put(slow, Wish(assignments=("lr=1,2",), name="g"))
    for worker in workers.start(slow, 1):
        worker.leave()
    until(lambda: began(tmp_path) == ["g-1"], "it has begun")
    queue = Queue(slow)
    control.kill(slow, [queue.find("g-1").task], force=force)
    until(lambda: began(tmp_path) == ["g-1", "g-2"], "the next one has begun")
    assert queue.find("g-1").state is State.FAILED
    go(tmp_path)
    until(lambda: queue.find("g-2").state is State.SUCCESS, "it is done")


def test_workers_stop_after_what_they_are_at(slow: Workspace, tmp_path: Path) -> None:
    queueing.put(slow, Wish(assignments=("lr=1,2",), name="g"))
    queue = Queue(slow)
    (worker,) = workers.start(slow, 1)
    until(lambda: began(tmp_path) == ["g-1"], "it has begun")
    assert workers.stop(queue) == 1
    with pytest.raises(ConflictError, match="runs"):
        control.remove(slow, [queue.find("g-1").task])
    go(tmp_path)
    worker.wait()
    assert states(slow) == ["Success", "Queued"]
    assert control.remove(slow, [seen.task for seen in queue.seen()]) == ["g-1", "g-2"]
    assert states(slow) == []
    assert git(slow.root, "for-each-ref", "refs/everloop/queue") == ""
    assert [each.name for each in refs.listed(slow.git)] == ["g-1"]


def test_what_runs_is_shown_and_only_one_runs_in_the_workspace(slow: Workspace, tmp_path: Path) -> None:
    process = ever(slow, "exp", "run", "-n", "here", "-S", "lr=4")
    until(lambda: began(tmp_path) == ["here"], "it has begun")
    with pytest.raises(ConflictError, match="the experiment here"):
        running.run(slow, Wish(name="also"))
    queueing.put(slow, Wish(name="aside", assignments=("lr=5",)))
    for worker in workers.start(slow, 1):
        worker.leave()
    until(lambda: len(began(tmp_path)) == 2, "the other one, too")
    shown, head = showing.show(slow, Scope())
    found = {each.name: each for each in head.experiments or ()}
    executors = {name: each.executor for name, each in found.items()}
    assert executors["here"] is not None
    assert executors["aside"] is not None
    assert executors["here"].local is not None
    assert (executors["here"].state, executors["here"].name, executors["here"].local.pid) == (
        "running",
        "workspace",
        process.pid,
    )
    assert (executors["aside"].state, executors["aside"].name) == ("running", "dvc-task")
    assert found["here"].tip.data == shown.data
    assert found["aside"].tip.data is not None
    assert found["aside"].tip.data.params["params.yaml"]["data"]["lr"] == 5
    go(tmp_path)
    assert process.wait() == 0
    until(lambda: states(slow) == ["Success"], "it is done")
    _, head = showing.show(slow, Scope())
    assert {each.name: each.executor.state if each.executor else None for each in head.experiments or ()} == {
        "here": None,
        "aside": "success",
    }


def test_references_without_a_task_are_cleaned_away(scene: Workspace) -> None:
    ((task, _),) = queueing.put(scene, Wish(name="one"))
    (Queue(scene).folder / f"{task.id}.task").unlink()
    assert control.clean(scene).refs == (f"refs/everloop/queue/{task.id}",)
    assert git(scene.root, "for-each-ref", "refs/everloop/queue") == ""


def test_the_command_line(scene: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(scene.root)
    run = CliRunner().invoke
    assert run(cli, ["queue", "status"]).stdout == (
        "No experiment tasks in the queue.\n\nWorker status: 0 active, 0 idle\n"
    )
    run(cli, ["exp", "run", "--queue", "-n", "one", "-S", "lr=0.5"])
    (scene.root / "train.py").write_text("raise SystemExit(3)\n")
    run(cli, ["exp", "run", "--queue", "-n", "bad"])
    with pytest.raises(NotFoundError, match="printed nothing"):
        run(cli, ["queue", "logs", "one"], catch_exceptions=False)
    failed = run(cli, ["exp", "run", "--run-all"])
    assert isinstance(failed.exception, FailedError)
    assert "one: success" in failed.stderr
    assert "bad: failed: stage train failed with exit code 3" in failed.stderr
    head, bad, one, *_ = run(cli, ["queue", "status"]).stdout.splitlines()
    assert head.split() == ["Task", "Name", "Created", "Status"]
    assert (bad.split()[1], bad.split()[-1]) == ("bad", "Failed")
    assert (one.split()[1], one.split()[-1]) == ("one", "Success")
    assert "train: ran" in run(cli, ["queue", "logs", "one"]).stdout
    with pytest.raises(ConflictError, match="does not run"):
        run(cli, ["queue", "kill", "one"], catch_exceptions=False)
    assert run(cli, ["queue", "remove", "--failed"]).stdout == "Removed tasks in queue: bad\n"
    assert run(cli, ["queue", "remove"]).exit_code == 2
    assert run(cli, ["queue", "start"]).stdout == "Started '0' new experiments task queue worker.\n"
    assert run(cli, ["queue", "stop"]).exit_code == 0
