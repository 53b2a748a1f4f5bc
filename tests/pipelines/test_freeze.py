from __future__ import annotations

import pytest

from everloop import pipelines
from everloop.errors import InvalidError, NotFoundError
from everloop.pipelines.freeze import set_frozen
from everloop.pipelines.stagefile import StageFile
from everloop.pipelines.values import Outcome
from everloop.workspace import Workspace

TEXT = """\
stages:
  a:
    cmd: cp x y   # copies
    deps: [x]
    outs:
    - y
  # the next one
  b:
    cmd: cp y z
    deps: [y]
    outs: [z]
"""


@pytest.fixture
def project(workspace: Workspace) -> Workspace:
    (workspace.root / "dvc.yaml").write_text(TEXT)
    (workspace.root / "x").write_text("1")
    return workspace


def test_there_and_back_leaves_the_file_as_it_was(project: Workspace) -> None:
    file = project.root / "dvc.yaml"
    assert set_frozen(project, "a", frozen=True) == ["a"]
    assert file.read_text() == TEXT.replace("    - y\n", "    - y\n    frozen: true\n")
    assert set_frozen(project, "a", frozen=True) == []
    assert set_frozen(project, "a", frozen=False) == ["a"]
    assert file.read_text() == TEXT


def test_a_frozen_stage_is_left_alone(project: Workspace) -> None:
    pipelines.repro(project)
    set_frozen(project, "a", frozen=True)
    (project.root / "x").write_text("2")
    assert {each.outcome for each in pipelines.repro(project).stages} == {Outcome.UNCHANGED}
    set_frozen(project, "a", frozen=False)
    assert pipelines.repro(project).ran == ("a", "b")


def test_data_are_frozen_by_their_record(project: Workspace) -> None:
    record = project.root / "x.dvc"
    project.add(["x"])
    before = record.read_text() + "# noted\n"
    record.write_text(before)
    assert set_frozen(project, "../x.dvc", "sub", frozen=True) == ["../x.dvc"]
    assert record.read_text().endswith("frozen: true\n")
    set_frozen(project, "x.dvc", frozen=False)
    assert record.read_text() == before


def test_a_group_is_frozen_in_what_it_does(project: Workspace) -> None:
    file = project.root / "dvc.yaml"
    file.write_text("stages:\n  g:\n    foreach: [1, 2]\n    do:\n      cmd: echo\n  # behind\n  h:\n    cmd: x\n")
    target = StageFile(project.root, "dvc.yaml")
    assert target.mark("g", "frozen", True)
    target.write()
    assert "    do:\n      cmd: echo\n      frozen: true\n  # behind\n  h:" in file.read_text()


def test_a_word_that_means_nothing_is_refused(project: Workspace) -> None:
    with pytest.raises(NotFoundError, match="'c' is neither"):
        set_frozen(project, "c", frozen=True)


def test_a_malformed_file_is_named(project: Workspace) -> None:
    (project.root / "dvc.yaml").write_text("stages:\n  a: [\n")
    with pytest.raises(InvalidError, match=r"dvc\.yaml"):
        set_frozen(project, "a", frozen=True)
