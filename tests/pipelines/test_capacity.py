from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from everloop import pipelines
from everloop.compute import Resources, machine
from everloop.errors import FailedError, InvalidError
from everloop.pipelines import Event, EventKind, graph
from everloop.pipelines.capacity import Capacity, of_this_machine
from everloop.workspace import Workspace

HERE = machine.resources()
# Fails when another one of these runs; stays long enough to be met.
ALONE = "mkdir busy && sleep 0.3 && rmdir busy && echo 1 > {name}"


@pytest.fixture
def scene(workspace: Workspace) -> Callable[..., Workspace]:
    def make(command: str = ALONE, **asked: object) -> Workspace:
        stages = {
            name: {
                "cmd": command.format(name=name),
                "outs": [name],
                **({} if wanted is None else {"meta": {"everloop": {"resources": wanted}}}),
            }
            for name, wanted in asked.items()
        }
        (workspace.root / "dvc.yaml").write_text(json.dumps({"stages": stages}))
        return workspace

    return make


@pytest.mark.parametrize("wanted", [{"cpus": HERE.cpus}, {"cpus": 0, "memory": f"{(HERE.memory_bytes or 0) * 2 // 3}"}])
def test_what_one_has_taken_the_next_one_waits_for(scene: Callable[..., Workspace], wanted: object) -> None:
    report = pipelines.repro(scene(a=wanted, b=wanted, c=wanted), jobs=3)
    assert sorted(report.ran) == ["a", "b", "c"]


def test_what_fits_runs_at_once(scene: Callable[..., Workspace]) -> None:
    meet = "touch in-{name}; while [ ! -e in-a -o ! -e in-b -o ! -e in-c ]; do sleep 0.01; done; echo 1 > {name}"
    half = {"cpus": HERE.cpus / 2, "memory": "1MB"}
    assert len(pipelines.repro(scene(meet, a=half, b=half, c=None), jobs=3).ran) == 3


def test_more_than_there_is_runs_alone_and_says_so(scene: Callable[..., Workspace]) -> None:
    told: list[Event] = []
    report = pipelines.repro(scene(a=None, b={"cpus": 1_000_000}), jobs=2, on_event=told.append)
    assert sorted(report.ran) == ["a", "b"]
    (waiting,) = [event for event in told if event.kind is EventKind.WAITING]
    assert waiting.stage == "b"
    assert waiting.text == f"asks for 1,000,000 cpus, and this machine has {HERE.cpus:g}: it runs alone"


def test_a_failure_lets_no_other_one_start(scene: Callable[..., Workspace]) -> None:
    wanted = {"cpus": HERE.cpus}
    workspace = scene("echo {name} >> began; exit 3", a=wanted, b=wanted)
    with pytest.raises(FailedError, match="exit code 3"):
        pipelines.repro(workspace, jobs=2)
    assert (workspace.root / "began").read_text() == "a\n"


def test_what_is_no_amount_fails_its_stage_alone(scene: Callable[..., Workspace]) -> None:
    workspace = scene("echo 1 > {name}", a={"cpus": "all"}, b={"cpus": 1})
    with pytest.raises(InvalidError, match="cpus must be a number"):
        pipelines.repro(workspace, jobs=2, on_error=pipelines.OnError.KEEP_GOING)
    assert (workspace.root / "b").exists()


def test_counting(scene: Callable[..., Workspace]) -> None:
    workspace = scene(a={"cpus": 2.5, "gpus": 0.5}, b={"gpus": 0.5}, c={"cpus": 0.5}, d={"gpus": 3}, e=None)
    capacity = Capacity(Resources(cpus=4, gpus=1, memory_bytes=None), graph.load(workspace))
    assert [capacity.take(name) for name in "abc"] == [True, True, True]
    assert not capacity.take("d")
    assert capacity.take("e")
    for name in "abc":
        capacity.give_back(name)
    assert not capacity.take("d")  # e runs, which says nothing
    capacity.give_back("e")
    assert capacity.take("d")
    assert capacity.excess("d") == "3 gpus, and this machine has 1"
    assert not capacity.take("e")


def test_nothing_is_counted_where_nobody_asks(scene: Callable[..., Workspace]) -> None:
    whole = graph.load(scene(a=None, b=None))
    assert of_this_machine(whole, whole.nodes) is None
