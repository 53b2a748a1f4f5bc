from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from everloop import pipelines
from everloop.compute import Ended, Job, Output, Resources
from everloop.errors import FailedError, InvalidError
from everloop.pipelines import resources
from everloop.pipelines.values import Stage
from everloop.workspace import Workspace


def stage(meta: Any) -> Stage:
    return Stage(name="train", file="dvc.yaml", command="true", folder=".", meta=meta)


@pytest.mark.parametrize(
    ("meta", "expected"),
    [
        (None, Resources()),
        ("a note", Resources()),
        ({"everloop": {"else": 1}}, Resources()),
        ({"everloop": {"resources": {"cpus": 2, "gpus": 0.5}}}, Resources(cpus=2.0, gpus=0.5)),
        ({"everloop": {"resources": {"memory": "4GB"}}}, Resources(memory_bytes=4 * 10**9)),
        ({"everloop": {"resources": {"memory": "1.5 GiB"}}}, Resources(memory_bytes=3 * 2**29)),
        ({"everloop": {"resources": {"memory": 1000}}}, Resources(memory_bytes=1000)),
    ],
)
def test_amounts_are_read(meta: Any, expected: Resources) -> None:
    assert resources.of(stage(meta)) == expected


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ([1], "must be a mapping"),
        ({"cpu": 1}, "'cpu' is not known; do you mean 'cpus'"),
        ({"cpus": -1}, "cpus must be a number"),
        ({"gpus": "one"}, "gpus must be a number"),
        ({"memory": "lots"}, "memory must be a number of bytes"),
    ],
)
def test_what_is_no_amount_is_named_with_file_stage_and_key(given: Any, named: str) -> None:
    with pytest.raises(InvalidError, match=f"dvc.yaml: stage train: meta.everloop.resources.*{named}"):
        resources.of(stage({"everloop": {"resources": given}}))


class Elsewhere:
    """An executor without a shell: it makes the outputs by itself."""

    def __init__(self, *, code: int = 0) -> None:
        self.jobs: list[Job] = []
        self.is_closed = False
        self._code = code

    def run(self, job: Job, output: Output, should_stop: Callable[[], bool]) -> Ended:
        self.jobs.append(job)
        output.append(b"far")
        output.append(b" away\n")
        for path in job.outputs:
            (job.root / path).write_text("made elsewhere")
        return Ended(code=self._code, script=job.scripts[0] if self._code else "")

    def close(self) -> None:
        self.is_closed = True


def test_executor_gets_all_that_a_job_needs_elsewhere(workspace: Workspace) -> None:
    (workspace.root / "in").write_text("1")
    (workspace.root / "sub").mkdir()
    (workspace.root / "sub/dvc.yaml").write_text("stages: {a: {cmd: [one, two], deps: [../in], outs: [out]}}")
    executor = Elsewhere()
    report = pipelines.repro(workspace, executor=executor, environment={"MINE": "yes"})
    (job,) = executor.jobs
    assert (job.scripts, job.root, job.folder) == (("one", "two"), workspace.root, "sub")
    assert job.inputs == {"in": "c4ca4238a0b923820dcc509a6f75849b"}
    assert job.outputs == ("sub/out",)
    assert job.environment == {"MINE": "yes", "DVC_ROOT": str(workspace.root), "DVC_STAGE": "sub/dvc.yaml:a"}
    assert report.stages[0].tail == ("far away",)
    assert pipelines.status(workspace) == {}
    # It belongs to who made it.
    assert not executor.is_closed


def test_failure_elsewhere_is_one_of_the_stage(workspace: Workspace) -> None:
    (workspace.root / "dvc.yaml").write_text("stages: {a: {cmd: one, outs: [out]}}")
    with pytest.raises(FailedError, match=r"stage a failed with exit code 3: one\n  far away"):
        pipelines.repro(workspace, executor=Elsewhere(code=3))
