from __future__ import annotations

import subprocess

import pytest

from everloop import pipelines
from everloop.errors import ConflictError, InvalidError
from everloop.pipelines.newstage import NewOut, NewStage, command_of, params_of
from everloop.pipelines.stageadd import add_stage
from everloop.pipelines.values import OutKind
from everloop.workspace import Workspace

WRITTEN = """\
# the pipeline
stages:
  # first
  prepare:
    cmd: cp "raw" ready   # by hand
    deps: [raw]
    outs:
    - ready:
        desc: the rows
        push: false
    # what people note
    meta: {owner: me}
  # then
  train:
    cmd: 'cp ready model'
    deps:
    - ready
    outs:
    - model
"""


@pytest.fixture
def project(workspace: Workspace) -> Workspace:
    (workspace.root / "dvc.yaml").write_text(WRITTEN)
    return workspace


def text_of(workspace: Workspace, file: str = "dvc.yaml") -> str:
    return (workspace.root / file).read_text()


def test_a_stage_comes_behind_the_others_and_nothing_else_changes(project: Workspace) -> None:
    add_stage(project, NewStage(name="score", command="cat model", deps=("model",), outs=(NewOut(path="s"),)))
    assert text_of(project) == WRITTEN + "  score:\n    cmd: cat model\n    deps:\n    - model\n    outs:\n    - s\n"
    assert text_of(project, ".gitignore").splitlines() == ["/s"]


def test_the_added_stage_runs(workspace: Workspace) -> None:
    (workspace.root / "raw").write_text("1")
    added = add_stage(workspace, NewStage(name="a", command="cp raw b", deps=("raw",), outs=(NewOut(path="b"),)))
    assert pipelines.repro(workspace, [added.stage.address]).ran == ("a",)
    assert pipelines.status(workspace) == {}


def test_force_keeps_comments_and_what_people_noted(project: Workspace) -> None:
    new = NewStage(name="prepare", command="cp raw ready", deps=("raw",), outs=(NewOut(path="ready"), NewOut(path="n")))
    add_stage(project, new, force=True)
    expected = WRITTEN.replace('cp "raw" ready   #', "cp raw ready     #")
    expected = expected.replace("    outs:\n    - ready", "    outs:\n    - n\n    - ready", 1)
    assert text_of(project) == expected


def test_a_taken_name_is_refused_with_its_line(project: Workspace) -> None:
    with pytest.raises(ConflictError, match=r"dvc\.yaml, line 14: there is a stage 'train' already"):
        add_stage(project, NewStage(name="train", command="x"))
    assert text_of(project) == WRITTEN


@pytest.mark.parametrize(
    ("out", "what"),
    [
        ("ready", r"dvc\.yaml, line 4: prepare makes ready already"),
        ("model/inner", r"dvc\.yaml, line 14: train makes model already, and model/inner would overlap it"),
        ("data", r"data/x\.dvc: data/x\.dvc makes data/x already, and data would overlap it"),
    ],
)
def test_overlapping_outputs_are_refused_with_their_place(project: Workspace, out: str, what: str) -> None:
    (project.root / "data").mkdir()
    (project.root / "data/x").write_text("x")
    project.add(["data/x"])
    with pytest.raises(ConflictError, match=what):
        add_stage(project, NewStage(name="new", command="x", outs=(NewOut(path=out),)))
    assert text_of(project) == WRITTEN


def test_a_circle_is_refused_with_the_line_where_it_would_close(project: Workspace) -> None:
    with pytest.raises(InvalidError, match=r"dvc\.yaml, line 20, as it would be: stages depend on each other"):
        add_stage(project, NewStage(name="back", command="x", deps=("model",), outs=(NewOut(path="raw"),)))
    assert text_of(project) == WRITTEN


@pytest.mark.parametrize(
    ("new", "what"),
    [
        (NewStage(name="a.b", command="x"), "only letters"),
        (NewStage(name="a", command=" "), "there is no command"),
        (NewStage(name="a", command="x", folder="nowhere"), "its folder nowhere is not there"),
        (NewStage(name="a", command="x", folder="../.."), "outside of the workspace"),
        (NewStage(name="a", command="x", deps=("d", "./d")), "d is named more than once"),
        (NewStage(name="a", command="x", deps=("d",), outs=(NewOut(path="d"),)), "d is named more than once"),
        (NewStage(name="a", command="x", outs=(NewOut(path="d.dvc"),)), "describes data or stages"),
        (NewStage(name="a", command="x", outs=(NewOut(path="skipped/o"),)), "excluded by a .dvcignore file"),
        (NewStage(name="a", command="x", outs=(NewOut(path="../../o"),)), "leaves the workspace"),
    ],
)
def test_what_makes_no_sense_is_refused(workspace: Workspace, new: NewStage, what: str) -> None:
    (workspace.root / ".dvcignore").write_text("skipped\n")
    with pytest.raises(InvalidError, match=what):
        add_stage(workspace, new)
    assert not (workspace.root / "dvc.yaml").exists()


def test_outputs_whose_folder_is_missing_are_told(workspace: Workspace) -> None:
    outs = (NewOut(path="later/o"), NewOut(path="here"), NewOut(path="m", kind=OutKind.METRIC, is_cached=False))
    assert add_stage(workspace, NewStage(name="a", command="x", outs=outs)).not_ignored == ("later/o",)
    assert text_of(workspace, ".gitignore").splitlines() == ["/here"]


def test_the_file_goes_to_git_where_that_is_wanted(workspace: Workspace) -> None:
    (workspace.root / ".dvc/config").write_text("[core]\n    autostage = true\n")
    again = Workspace.open(workspace.root)
    add_stage(again, NewStage(name="a", command="x", outs=(NewOut(path="o"),)))
    staged = subprocess.check_output(["git", "diff", "--cached", "--name-only"], cwd=again.root, text=True)
    assert {"dvc.yaml", ".gitignore"} <= set(staged.split())


def test_words_of_the_command_line() -> None:
    assert command_of(["python x.py > log"]) == "python x.py > log"
    assert command_of(["echo", "a b", 'c"d e', ""]) == 'echo "a b" c"d e ""'
    assert params_of(["a,b", "other.json:", "a,c", "x.yaml:k"]) == {
        "params.yaml": ("a", "b", "c"),
        "other.json": (),
        "x.yaml": ("k",),
    }
