from __future__ import annotations

from pathlib import Path

import pytest

from everloop import pipelines
from everloop.errors import ConflictError, NotFoundError
from everloop.pipelines.commit import commit
from everloop.workspace import Workspace

PIPELINE = """\
stages:
  prepare:
    cmd: cp rows ready
    deps: [rows]
    outs: [ready]
  fit:
    cmd: cp ready model
    deps: [ready]
    params: [rate]
    outs: [model]
"""


@pytest.fixture
def project(workspace: Workspace) -> Workspace:
    for path, text in {"rows": "1", "dvc.yaml": PIPELINE, "params.yaml": "rate: 1\n"}.items():
        (workspace.root / path).write_text(text)
    workspace.add(["rows"])
    pipelines.repro(workspace)
    return workspace


def agreed(_: str) -> bool:
    return True


def refused(sentence: str) -> bool:
    raise AssertionError(f"asked: {sentence}")


def test_nothing_changed_asks_nothing(project: Workspace) -> None:
    assert commit(project, confirm=refused) == ["rows.dvc", "prepare", "fit"]
    assert pipelines.status(project) == {}


def test_changed_stage_is_recorded_without_running(project: Workspace) -> None:
    text = PIPELINE.replace("cp ready model", "cp  ready  model")
    (project.root / "dvc.yaml").write_text(text)
    (project.root / "params.yaml").write_text("rate: 2\n")
    asked: list[str] = []

    def note(sentence: str) -> bool:
        asked.append(sentence)
        return True

    commit(project, ["fit"], confirm=note)
    assert asked == [
        "stage fit would be recorded without running it: its command changed; parameter rate of params.yaml changed"
    ]
    assert pipelines.status(project) == {}


def test_refusal_records_nothing(project: Workspace) -> None:
    (project.root / "rows").write_text("2")
    with pytest.raises(ConflictError, match=r"rows of rows\.dvc changed"):
        commit(project, confirm=lambda _: False)
    assert "rows.dvc" in pipelines.status(project)


@pytest.mark.parametrize(("with_deps", "expected"), [(False, ["fit"]), (True, ["rows.dvc", "prepare", "fit"])])
def test_targets_and_what_they_depend_on(project: Workspace, with_deps: bool, expected: list[str]) -> None:
    assert commit(project, ["model"], confirm=refused, with_deps=with_deps) == expected


def test_folder_means_what_is_described_below_it(project: Workspace) -> None:
    (project.root / "sub").mkdir()
    (project.root / "sub/a").write_text("a")
    project.add(["sub/a"], commit=False)
    assert commit(project, [project.root / "sub"], confirm=refused, recursive=True) == ["sub/a.dvc"]
    assert project.status() == {}


def test_data_that_are_gone_are_told(project: Workspace) -> None:
    (project.root / "rows").unlink()
    with pytest.raises(NotFoundError, match=r"rows of rows\.dvc does not exist"):
        commit(project, ["rows"], confirm=agreed)
    (project.root / "model").unlink()
    with pytest.raises(NotFoundError, match="model of stage fit"):
        commit(project, ["fit"], confirm=agreed)


def test_output_changed_by_hand_is_the_result_then(project: Workspace) -> None:
    (project.root / "model").write_text("better")
    commit(project, ["fit"], confirm=agreed)
    (project.root / "model").unlink()
    project.checkout()
    assert (project.root / "model").read_text() == "better"
    assert Path(project.root / "dvc.lock").exists()
