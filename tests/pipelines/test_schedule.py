"""Several stages at once, what happens when one fails, and two runs in one workspace."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from everloop import pipelines
from everloop.errors import FailedError, InvalidError
from everloop.pipelines import Event, EventKind, OnError, Outcome
from everloop.workspace import Workspace
from tests.workspace.dvcpeer import dvc, environment, needs_dvc

# Each waits until the other one runs, so they can only end when they run at the same time.
MEET = """\
stages:
  left:
    cmd: touch l; while [ ! -e r ]; do sleep 0.01; done; echo 1 > left
    outs: [left]
  right:
    cmd: touch r; while [ ! -e l ]; do sleep 0.01; done; echo 1 > right
    outs: [right]
  both: {cmd: cat left right > both, deps: [left, right], outs: [both]}
"""
# bad fails; after needs it, free does not.
FAILING = """\
stages:
  good: {cmd: echo g > good, outs: [good]}
  bad: {cmd: cat good; echo sorry; exit 3, deps: [good], outs: [bad]}
  after: {cmd: cp bad after, deps: [bad], outs: [after]}
  later: {cmd: cp after later, deps: [after], outs: [later]}
  free: {cmd: cp good free, deps: [good], outs: [free]}
"""


def outcomes(events: list[Event]) -> dict[str, Outcome]:
    return {event.stage: event.report.outcome for event in events if event.report is not None}


def repro(workspace: Workspace, **options) -> tuple[dict[str, Outcome], str]:
    """What came of each stage, and the error."""
    events: list[Event] = []
    error = ""
    try:
        pipelines.repro(workspace, on_event=events.append, **options)
    except FailedError as failure:
        error = str(failure)
    return outcomes(events), error


def test_independent_stages_run_at_once_and_the_next_one_after_both(workspace: Workspace) -> None:
    (workspace.root / "dvc.yaml").write_text(MEET)
    report = pipelines.repro(workspace, jobs=2)
    assert set(report.ran[:2]) == {"left", "right"}
    assert report.ran[2] == "both"
    assert (workspace.root / "both").read_text() == "1\n1\n"
    assert pipelines.repro(workspace, jobs=2).ran == ()


def test_never_more_than_asked_for_run_at_once_and_every_one_runs(workspace: Workspace) -> None:
    stages = "".join(f"  s{number}: {{cmd: 'echo {number} > o{number}', outs: [o{number}]}}\n" for number in range(12))
    (workspace.root / "dvc.yaml").write_text(f"stages:\n{stages}")
    running: set[str] = set()
    most = 0

    def listen(event: Event) -> None:
        nonlocal most
        if event.kind is EventKind.STARTED:
            running.add(event.stage)
        elif event.kind is EventKind.FINISHED:
            running.discard(event.stage)
        most = max(most, len(running))

    assert len(pipelines.repro(workspace, jobs=3, on_event=listen).ran) == 12
    assert 1 < most <= 3


def test_logs_of_stages_at_once_are_kept_apart(workspace: Workspace) -> None:
    (workspace.root / "dvc.yaml").write_text(
        "stages:\n  a: {cmd: 'for i in 1 2 3; do echo a$i; done'}\n  b: {cmd: 'for i in 1 2 3; do echo b$i; done'}\n"
    )
    report = pipelines.repro(workspace, jobs=2)
    tails = {stage.stage: stage.tail for stage in report.stages}
    assert tails == {"a": ("a1", "a2", "a3"), "b": ("b1", "b2", "b3")}
    for stage in report.stages:
        assert stage.log is not None
        assert tuple(Path(stage.log).read_text().split()) == stage.tail


@pytest.mark.parametrize("jobs", [1, 3])
def test_after_a_failure_nothing_starts(workspace: Workspace, jobs: int) -> None:
    (workspace.root / "dvc.yaml").write_text(
        FAILING.replace("deps: [good], outs: [free]", "deps: [good, bad], outs: [free]")
    )
    found, error = repro(workspace, jobs=jobs)
    assert found == {"good": Outcome.RAN, "bad": Outcome.FAILED}
    assert "stage bad failed with exit code 3" in error
    assert "sorry" in error


def test_what_runs_beside_a_failing_stage_may_end(workspace: Workspace) -> None:
    (workspace.root / "dvc.yaml").write_text(
        "stages:\n"
        "  bad: {cmd: 'while [ ! -e here ]; do sleep 0.01; done; touch failed; exit 1', outs: [x]}\n"
        "  slow: {cmd: 'touch here; while [ ! -e failed ]; do :; done; sleep 0.3; echo 1 > slow', outs: [slow]}\n"
        "  next: {cmd: cp slow next, deps: [slow], outs: [next]}\n"
    )
    found, error = repro(workspace, jobs=2)
    assert found == {"bad": Outcome.FAILED, "slow": Outcome.RAN}
    assert "stage bad failed" in error
    assert pipelines.repro(workspace, ["slow"]).ran == ()


@pytest.mark.parametrize("jobs", [1, 3])
def test_keep_going_skips_what_depends_on_a_failure(workspace: Workspace, jobs: int) -> None:
    (workspace.root / "dvc.yaml").write_text(FAILING)
    found, error = repro(workspace, jobs=jobs, on_error=OnError.KEEP_GOING)
    assert found == {
        "good": Outcome.RAN, "bad": Outcome.FAILED, "after": Outcome.SKIPPED, "later": Outcome.SKIPPED,
        "free": Outcome.RAN,
    }  # fmt: skip
    assert "stage bad failed" in error


def test_several_failures_are_all_named(workspace: Workspace) -> None:
    (workspace.root / "dvc.yaml").write_text("stages:\n  a: {cmd: exit 1}\n  b: {cmd: exit 2}\n")
    _, error = repro(workspace, on_error=OnError.KEEP_GOING)
    assert "2 stages failed: a, b" in error
    assert "stage a failed with exit code 1" in error
    assert "stage b failed with exit code 2" in error


def test_ignored_errors_stop_nothing(workspace: Workspace) -> None:
    (workspace.root / "dvc.yaml").write_text(FAILING)
    found, error = repro(workspace, on_error=OnError.IGNORE)
    assert found == {
        "good": Outcome.RAN, "bad": Outcome.FAILED, "after": Outcome.FAILED, "later": Outcome.FAILED,
        "free": Outcome.RAN,
    }  # fmt: skip
    assert error == ""


def test_failing_stage_keeps_its_record_and_has_lost_its_outputs_as_with_dvc(workspace: Workspace) -> None:
    (workspace.root / "dvc.yaml").write_text(
        "stages:\n  a: {cmd: 'cp in out; cp in kept; exit $(cat in)', deps: [in], outs: [out, kept: {persist: true}]}\n"
    )
    (workspace.root / "in").write_text("0")
    pipelines.repro(workspace)
    before = (workspace.root / "dvc.lock").read_text()
    (workspace.root / "in").write_text("1")
    (workspace.root / "dvc.yaml").write_text(
        (workspace.root / "dvc.yaml").read_text().replace("cp in out; cp in kept; ", "")
    )
    assert repro(workspace)[0] == {"a": Outcome.FAILED}
    assert (workspace.root / "dvc.lock").read_text() == before
    assert not (workspace.root / "out").exists()
    assert (workspace.root / "kept").read_text() == "0"
    workspace.checkout(["out"])
    assert (workspace.root / "out").read_text() == "0"


def test_stage_that_writes_into_anothers_output_is_told(workspace: Workspace) -> None:
    (workspace.root / "dvc.yaml").write_text(
        "stages:\n"
        "  victim: {cmd: echo mine > out && mkdir d && echo 1 > d/1, outs: [out, d]}\n"
        "  culprit: {cmd: sleep 0.05; echo other > out, deps: [d], outs: []}\n"
    )
    _, error = repro(workspace)
    assert "the output out of stage victim was changed after it had made it, while culprit ran" in error
    (workspace.root / "dvc.yaml").write_text(
        "stages:\n"
        "  victim: {cmd: mkdir d && echo 1 > d/1, outs: [d]}\n"
        "  culprit: {cmd: echo 2 > d/2, deps: [d], outs: []}\n"
    )
    _, error = repro(workspace)
    assert "the output d of stage victim was changed" in error


def test_force_downstream_runs_also_what_nothing_changed_for(workspace: Workspace) -> None:
    (workspace.root / "dvc.yaml").write_text(
        "stages:\n"
        "  a: {cmd: 'cat in > /dev/null; echo same > a', deps: [in], outs: [a]}\n"
        "  b: {cmd: cp a b, deps: [a], outs: [b]}\n"
        "  c: {cmd: cp b c, deps: [b], outs: [c]}\n"
    )
    (workspace.root / "in").write_text("1")
    pipelines.repro(workspace)
    (workspace.root / "in").write_text("2")
    assert pipelines.repro(workspace).ran == ("a",)
    (workspace.root / "in").write_text("3")
    assert pipelines.repro(workspace, force_downstream=True).ran == ("a", "b", "c")
    assert pipelines.repro(workspace, force_downstream=True).ran == ()


def test_refused_stage_does_not_run(workspace: Workspace) -> None:
    (workspace.root / "dvc.yaml").write_text(FAILING)
    asked: list[str] = []

    def confirm(sentence: str) -> bool:
        asked.append(sentence)
        return "bad" not in sentence

    found, error = repro(workspace, confirm=confirm)
    assert found == {"good": Outcome.RAN, "bad": Outcome.FAILED}
    assert "bad was not reproduced: it was refused" in error
    assert asked == ["good: it has never run", "bad: it has never run"]


def test_allow_missing_leaves_what_lacks_only_data(workspace: Workspace) -> None:
    (workspace.root / "dvc.yaml").write_text(
        "stages:\n"
        "  a: {cmd: cp in a, deps: [in], outs: [a]}\n"
        "  b: {cmd: cp a b, deps: [a], outs: [b]}\n"
        "  c: {cmd: cat b lr.yaml > c, deps: [b], params: [{lr.yaml: [lr]}], outs: [c]}\n"
    )
    (workspace.root / "in").write_text("1")
    (workspace.root / "lr.yaml").write_text("lr: 1\n")
    pipelines.repro(workspace)
    for name in ("in", "a", "b", ".dvc/cache"):
        (workspace.root / name).rename(workspace.root.parent / name.replace("/", "-"))
    assert pipelines.repro(workspace, allow_missing=True).ran == ()
    (workspace.root / "lr.yaml").write_text("lr: 2\n")
    _, error = repro(Workspace.open(workspace.root), allow_missing=True)
    assert "stage c needs b, which does not exist" in error


def test_number_of_jobs_must_make_sense(workspace: Workspace) -> None:
    with pytest.raises(InvalidError, match="at least one job"):
        pipelines.repro(workspace, jobs=0)


REPRO = """
import sys
from everloop import pipelines
from everloop.workspace import Workspace
def listen(event):
    outcome = event.report.outcome if event.report else ""
    print(event.kind, event.stage, outcome, event.text, sep="|", flush=True)
pipelines.repro(Workspace.open("."), sys.argv[2:] or None, jobs=int(sys.argv[1]), on_event=listen)
"""


def start(workspace: Workspace, jobs: int, *targets: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", REPRO, str(jobs), *targets],
        cwd=workspace.root,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def until(process: subprocess.Popen[str], is_it: Callable[[list[str]], bool]) -> list[list[str]]:
    """The lines up to the one that was waited for."""
    assert process.stdout is not None
    seen = []
    for line in process.stdout:
        seen.append(line.rstrip("\n").split("|"))
        if is_it(seen[-1]):
            return seen
    assert process.stderr is not None
    raise AssertionError(f"{seen} {process.stderr.read()}")


def test_second_run_waits_for_the_stages_it_shares_and_not_for_others(workspace: Workspace) -> None:
    (workspace.root / "dvc.yaml").write_text(
        "stages:\n"
        "  shared: {cmd: 'echo ran >> ../ran; while [ ! -e go ]; do sleep 0.01; done; echo 1 > s', outs: [s]}\n"
        "  own: {cmd: echo 1 > own, outs: [own]}\n"
        "  use: {cmd: cp s use, deps: [s], outs: [use]}\n"
    )
    with start(workspace, 1, "shared") as first:
        until(first, lambda line: line[0] == "started")
        with start(workspace, 1) as second:
            before = until(second, lambda line: line[:3] == ["finished", "own", "ran"])
            assert [line[1] for line in before if line[0] == "waiting"] == ["shared"]
            (workspace.root / "go").touch()
            rest = until(second, lambda line: line[:2] == ["finished", "use"])
            assert ["finished", "shared", "unchanged", ""] in rest
            assert second.wait(20) == 0
        assert first.wait(20) == 0
    assert (workspace.root.parent / "ran").read_text() == "ran\n"
    assert pipelines.repro(workspace).ran == ()


def test_second_run_takes_over_from_one_that_was_killed(workspace: Workspace) -> None:
    (workspace.root / "dvc.yaml").write_text(
        "stages:\n  a: {cmd: 'if [ ! -e go ]; then touch go; sleep 100; fi; echo 1 > a', outs: [a]}\n"
    )
    with start(workspace, 1) as first:
        until(first, lambda line: line[0] == "started")
        with start(workspace, 1) as second:
            waits = until(second, lambda line: line[0] == "waiting")
            assert f"(pid {first.pid})" in waits[-1][3]
            first.kill()
            first.wait()
            until(second, lambda line: line[:3] == ["finished", "a", "ran"])
            assert second.wait(20) == 0


def test_two_runs_of_many_stages_run_each_once(workspace: Workspace) -> None:
    stages = [
        f"  s{number}: {{cmd: 'echo {number} >> ../ran; echo {number} > o{number}', outs: [o{number}]}}"
        for number in range(20)
    ]
    (workspace.root / "dvc.yaml").write_text("stages:\n" + "\n".join(stages) + "\n")
    with start(workspace, 2) as first, start(workspace, 2) as second:
        assert first.communicate(timeout=60)[1] == second.communicate(timeout=60)[1] == ""
        assert first.returncode == second.returncode == 0
    ran = (workspace.root.parent / "ran").read_text().split()
    assert sorted(ran, key=int) == [str(number) for number in range(20)]
    assert pipelines.repro(workspace).ran == ()


def test_stage_that_reproduces_itself_is_refused(workspace: Workspace) -> None:
    (workspace.root / "inner.py").write_text(
        "from everloop import pipelines\nfrom everloop.workspace import Workspace\n"
        "pipelines.repro(Workspace.open('.'), ['a'])\n"
    )
    (workspace.root / "dvc.yaml").write_text(f"stages:\n  a: {{cmd: {sys.executable} inner.py, outs: [a]}}\n")
    _, error = repro(workspace)
    assert "is in use by the stage that called this" in error


@pytest.mark.peer
@needs_dvc
def test_dvc_works_beside_a_run(workspace: Workspace) -> None:
    """The workspace's lock is held for short moments only, and DVC sees what is claimed."""
    (workspace.root / "dvc.yaml").write_text(
        "stages:\n"
        "  slow: {cmd: 'while [ ! -e go ]; do sleep 0.01; done; echo 1 > s', outs: [s]}\n"
        "  other: {cmd: echo 1 > o, outs: [o]}\n"
    )
    with start(workspace, 1, "slow") as running:
        until(running, lambda line: line[0] == "started")
        dvc(workspace.root, "repro", "other")
        refused = subprocess.run(
            [
                sys.executable.replace(sys.executable, str(Path(__file__).parents[1] / "peers/.venv/bin/dvc")),
                "repro",
                "slow",
            ],
            cwd=workspace.root,
            env=environment(workspace.root.parent / "home"),
            capture_output=True,
            text=True,
            check=False,
        )
        assert refused.returncode != 0
        assert f"(PID {running.pid})" in refused.stderr
        (workspace.root / "go").touch()
        assert running.wait(20) == 0
    # Neither has lost what the other recorded.
    assert json.loads(dvc(workspace.root, "status", "--json")) == {}
    assert pipelines.repro(workspace).ran == ()
