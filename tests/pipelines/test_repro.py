from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from everloop import pipelines
from everloop.errors import ConflictError, FailedError, NotFoundError
from everloop.pipelines import Event, EventKind, Outcome
from everloop.workspace import Workspace

CHAIN = """\
stages:
  first:
    cmd: cat raw > a && echo did first
    deps: [raw]
    params: [lr]
    outs: [a]
  second:
    cmd: cat a > b && cat a > m.json
    deps: [a]
    outs: [b]
    metrics: [m.json: {cache: false}]
"""


def write(workspace: Workspace, **files: str) -> None:
    for name, text in files.items():
        (workspace.root / name.replace("__", ".")).write_text(text)


@pytest.fixture
def chain(workspace: Workspace) -> Workspace:
    write(workspace, raw="1", params__yaml="lr: 1\nother: 2\n", dvc__yaml=CHAIN)
    workspace.add(["raw"])
    return workspace


def outcomes(report: pipelines.Report) -> dict[str, Outcome]:
    return {stage.stage: stage.outcome for stage in report.stages}


def reasons(report: pipelines.Report) -> dict[str, tuple[str, ...]]:
    return {stage.stage: stage.reasons for stage in report.stages}


def test_first_run_runs_all_in_order_and_second_nothing(chain: Workspace) -> None:
    report = pipelines.repro(chain)
    assert report.ran == ("first", "second")
    assert reasons(report)["first"] == ("it has never run",)
    assert report.stages[0].tail == ("did first",)
    assert report.stages[0].log is not None
    assert Path(report.stages[0].log).read_text() == "did first\n"
    assert outcomes(pipelines.repro(chain)) == {"first": Outcome.UNCHANGED, "second": Outcome.UNCHANGED}
    assert pipelines.status(chain) == {}


def test_changed_data_run_what_depends_on_them_and_are_committed(chain: Workspace) -> None:
    pipelines.repro(chain)
    write(chain, raw="2")
    report = pipelines.repro(chain)
    assert outcomes(report) == {"raw.dvc": Outcome.COMMITTED, "first": Outcome.RAN, "second": Outcome.RAN}
    assert reasons(report)["first"] == ("dependency raw changed",)
    assert (chain.root / "b").read_text() == "2"
    assert pipelines.status(chain) == {}


def test_param_of_the_stage_matters_and_another_does_not(chain: Workspace) -> None:
    pipelines.repro(chain)
    pipelines.set_params(chain.root / "params.yaml", {"other": 3})
    assert pipelines.repro(chain).ran == ()
    pipelines.set_params(chain.root / "params.yaml", {"lr": 3})
    report = pipelines.repro(chain)
    # The first makes the same bytes again, so the second has nothing to do.
    assert report.ran == ("first",)
    assert reasons(report)["first"] == ("parameter lr of params.yaml changed",)


def test_changed_command_runs(chain: Workspace) -> None:
    pipelines.repro(chain)
    write(chain, dvc__yaml=CHAIN.replace("cat a > b", "tac a > b"))
    assert reasons(pipelines.repro(chain))["second"] == ("its command changed",)


def test_missing_outputs_are_restored_also_those_of_git(chain: Workspace) -> None:
    pipelines.repro(chain)
    (chain.root / "a").unlink()
    (chain.root / "raw").unlink()
    assert outcomes(pipelines.repro(chain)) == {
        "raw.dvc": Outcome.RESTORED, "first": Outcome.RESTORED, "second": Outcome.UNCHANGED,
    }  # fmt: skip
    (chain.root / "m.json").unlink()
    # As DVC: the run cache has it.
    assert outcomes(pipelines.repro(chain))["second"] == Outcome.RESTORED
    assert (chain.root / "m.json").read_text() == "1"
    assert (chain.root / "m.json").stat().st_mode & 0o200


def test_output_changed_by_hand_is_put_back(chain: Workspace) -> None:
    pipelines.repro(chain)
    write(chain, b="mine")
    report = pipelines.repro(chain)
    assert reasons(report)["second"] == ("output b changed",)
    assert outcomes(report)["second"] == Outcome.RESTORED
    assert (chain.root / "b").read_text() == "1"


def test_output_missing_in_the_cache_is_kept_again_without_running(chain: Workspace) -> None:
    pipelines.repro(chain)
    stored = chain.cache.path("c4ca4238a0b923820dcc509a6f75849b")
    stored.unlink()
    report = pipelines.repro(chain)
    assert report.ran == ()
    assert stored.read_text() == "1"


def test_dry_changes_nothing_and_follows_the_graph(chain: Workspace) -> None:
    report = pipelines.repro(chain, dry=True)
    assert outcomes(report) == {"first": Outcome.WOULD_RUN, "second": Outcome.WOULD_RUN}
    assert not (chain.root / "a").exists()
    assert not (chain.root / "dvc.lock").exists()


def test_force_runs_only_what_the_target_needs(chain: Workspace) -> None:
    pipelines.repro(chain)
    report = pipelines.repro(chain, ["first"], force=True)
    assert outcomes(report) == {"first": Outcome.RAN}
    assert reasons(report)["first"] == ("it was forced",)


def test_uncached_output_is_not_in_the_cache_and_not_ignored(chain: Workspace) -> None:
    write(chain, dvc__yaml="stages: {a: {cmd: 'echo 7 > m.json', metrics: [m.json: {cache: false}]}}")
    pipelines.repro(chain)
    # The stage reads nothing, so the run cache does not keep it.
    assert not chain.cache.has("84bc3da1b3e33a18e8d5e1bdd7a18d7a")
    assert not list((chain.cache.root / "files").rglob("84bc*"))
    assert "/m.json" not in (chain.root / ".gitignore").read_text()


def test_persistent_output_is_there_when_the_stage_runs(workspace: Workspace) -> None:
    write(workspace, dvc__yaml="stages: {a: {cmd: 'echo x >> p && cp p q', outs: [p: {persist: true}, q]}}")
    (workspace.root / ".dvc/config").write_text("[cache]\n    type = hardlink\n")
    for lines in ("x\n", "x\nx\n"):
        pipelines.repro(workspace, force=True)
        assert (workspace.root / "p").read_text() == lines
        assert (workspace.root / "q").read_text() == lines
    assert pipelines.status(workspace) == {}


def test_frozen_stage_is_left_and_its_output_restored(chain: Workspace) -> None:
    pipelines.repro(chain)
    write(chain, dvc__yaml=CHAIN.replace("    deps: [raw]", "    frozen: true\n    deps: [raw]"), raw="2")
    (chain.root / "a").unlink()
    assert outcomes(pipelines.repro(chain, ["second"])) == {"first": Outcome.RESTORED, "second": Outcome.UNCHANGED}


def test_always_changed_and_bare_stages_run_every_time(workspace: Workspace) -> None:
    write(workspace, dvc__yaml="stages: {a: {cmd: 'true'}, b: {cmd: 'echo 1 > o', outs: [o], always_changed: true}}")
    for _ in range(2):
        assert pipelines.repro(workspace).ran == ("a", "b")


def test_stage_runs_in_its_folder_with_dvcs_variables(workspace: Workspace) -> None:
    (workspace.root / "sub/desk").mkdir(parents=True)
    (workspace.root / "sub/dvc.yaml").write_text(
        "stages: {a: {wdir: desk, cmd: 'echo \"$PWD $DVC_ROOT $DVC_STAGE $MINE\" > o', outs: [o]}}"
    )
    pipelines.repro(workspace, environment={"MINE": "yes"})
    root = workspace.root
    assert (root / "sub/desk/o").read_text() == f"{root}/sub/desk {root} sub/dvc.yaml:a yes\n"
    assert (root / "sub/dvc.lock").exists()


def test_failing_command_tells_stage_code_and_last_lines(chain: Workspace) -> None:
    write(chain, dvc__yaml=CHAIN.replace("cat a > b", "echo sorry >&2; exit 3"))
    with pytest.raises(FailedError, match=r"stage second failed with exit code 3: .*\n  sorry"):
        pipelines.repro(chain)
    # What ran before it is kept.
    assert pipelines.repro(chain, ["first"]).ran == ()


def test_list_of_commands_stops_at_the_first_failure(workspace: Workspace) -> None:
    write(workspace, dvc__yaml="stages: {a: {cmd: [touch one, 'false', touch two]}}")
    with pytest.raises(FailedError, match="exit code 1: false"):
        pipelines.repro(workspace)
    assert (workspace.root / "one").exists()
    assert not (workspace.root / "two").exists()


@pytest.mark.parametrize(
    ("definition", "error", "named"),
    [
        ("{cmd: 'true', outs: [o]}", FailedError, "did not make o"),
        ("{cmd: 'true', deps: [nowhere], outs: [o]}", FailedError, "needs nowhere"),
        ("{cmd: 'true', params: [nothing]}", NotFoundError, "no parameter 'nothing'"),
        ("{cmd: 'true', wdir: nowhere}", Exception, "folder nowhere does not exist"),
    ],
)
def test_what_is_missing_is_named(chain: Workspace, definition: str, error: type[Exception], named: str) -> None:
    write(chain, dvc__yaml=f"stages: {{a: {definition}}}")
    with pytest.raises(error, match=named):
        pipelines.repro(chain)


def test_output_that_git_tracks_is_refused_before_it_is_removed(workspace: Workspace) -> None:
    write(workspace, o="mine", dvc__yaml="stages: {a: {cmd: echo 1 > o, outs: [o]}}")
    workspace.git.commit(["o"], "track")
    with pytest.raises(ConflictError, match="tracked by Git"):
        pipelines.repro(workspace)
    assert (workspace.root / "o").read_text() == "mine"


def test_events_tell_the_story(workspace: Workspace) -> None:
    write(workspace, dvc__yaml="stages: {a: {cmd: 'printf \"x\\ny\"; echo ü >&2'}}")
    events: list[Event] = []
    pipelines.repro(workspace, on_event=events.append)
    assert [(event.kind, event.text) for event in events] == [
        (EventKind.STARTED, "it has no dependencies and no outputs, so it runs every time; it has never run"),
        (EventKind.PRINTED, "x"),
        (EventKind.PRINTED, "yü"),
        (EventKind.FINISHED, ""),
    ]


def test_stage_may_use_the_workspace_while_it_runs(workspace: Workspace) -> None:
    script = f"{sys.executable} -c \"from everloop.workspace import Workspace; Workspace.open('.').add(['side'])\""
    write(workspace, side="1", dvc__yaml=f"stages:\n  a:\n    cmd: {script}\n")
    pipelines.repro(workspace)
    assert (workspace.root / "side.dvc").exists()


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in ("Z", "X")
    except FileNotFoundError:
        return False


def wait_until_dead(pid: int, limit_s: float = 20.0) -> None:
    deadline = time.monotonic() + limit_s
    while is_alive(pid):
        assert time.monotonic() < deadline, f"process {pid} outlived its stage"
        os.sched_yield()


def test_request_to_stop_ends_the_whole_group(workspace: Workspace) -> None:
    write(workspace, dvc__yaml="stages: {a: {cmd: 'sleep 100 & echo $!; wait'}}")
    pids: list[int] = []

    def listen(event: Event) -> None:
        if event.kind is EventKind.PRINTED:
            pids.append(int(event.text))

    with pytest.raises(FailedError, match="was stopped"):
        pipelines.repro(workspace, on_event=listen, should_stop=lambda: bool(pids))
    wait_until_dead(pids[0])


REPRO = """
import sys
from everloop import pipelines
from everloop.workspace import Workspace
pipelines.repro(Workspace.open(sys.argv[1]), on_event=lambda event: print(event.text, flush=True))
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_signal_to_repro_ends_the_whole_group(workspace: Workspace, number: signal.Signals) -> None:
    write(workspace, dvc__yaml="stages: {a: {cmd: 'sleep 100 & echo pid $!; wait'}}")
    with subprocess.Popen(
        [sys.executable, "-c", REPRO, str(workspace.root)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as running:
        assert running.stdout is not None
        sleeper = next(int(line.split()[1]) for line in running.stdout if line.startswith("pid "))
        running.send_signal(number)
        running.wait(20)
    wait_until_dead(sleeper)
    # And nothing is left that would hold the next one up.
    write(workspace, dvc__yaml="stages: {a: {cmd: 'true'}}")
    assert pipelines.repro(workspace).ran == ("a",)
