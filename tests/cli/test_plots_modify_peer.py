"""`ever plots modify` beside the real DVC: the same `dvc.yaml` but for comments, which stay here."""

from __future__ import annotations

from pathlib import Path

import pytest

from everloop import pipelines
from everloop.errors import InvalidError, NotFoundError
from everloop.pipelines import definition
from everloop.pipelines.tree import FolderTree
from everloop.workspace import Workspace
from tests.cli.test_plots_peer import EVER, call
from tests.workspace.dvcpeer import DVC, needs_dvc, write

PIPELINE = """\
# top
stages:
  a:
    cmd: sh make.sh   # run
    deps: [make.sh]
    outs:
    - keep
    - was.csv   # an output
    metrics: [m.json]
    plots:
    # before
    - p.csv: {x: s, title: Old}   # a note
    - q.csv:
        cache: false   # another
    desc: last
  many:
    foreach: [1, 2]
    do:
      cmd: echo
      plots: ["${item}.csv"]
"""
CHANGES = [
    ("p.csv", "-y", "loss", "--title", "New", "--x-label", "X"),
    ("q.csv", "-t", "simple", "--no-header"),
    ("was.csv", "-x", "s"),
    ("p.csv", "--unset", "x", "title"),
]


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    made = Workspace.init(tmp_path / "repository")
    write(made.root, {"dvc.yaml": PIPELINE})
    return made


def outs(folder: Path) -> dict[str, object]:
    """All that stages make, with everything that is said of it."""
    stages = definition.read(FolderTree(Workspace.open(folder)), "dvc.yaml").stages
    return {out.path: out for stage in stages for out in stage.outs}


@pytest.mark.peer
@needs_dvc
def test_the_same_is_written(workspace: Workspace, tmp_path: Path) -> None:
    other = Workspace.init(tmp_path / "other/repository").root
    write(other, {"dvc.yaml": PIPELINE})
    for words in CHANGES:
        for tool, folder in ((EVER, workspace.root), (DVC, other)):
            done = call(tool, folder, "plots", "modify", *words)
            assert done.returncode == 0, done.stderr
        assert outs(workspace.root) == outs(other)
    text = (workspace.root / "dvc.yaml").read_text()
    assert all(comment in text for comment in ("# top", "# run", "# before", "# another"))


def test_what_cannot_be_changed_is_told_and_nothing_written(workspace: Workspace) -> None:
    for path, options, unset, error, said in [
        ("nosuch.csv", {"x": "s"}, [], NotFoundError, "no stage makes nosuch.csv"),
        ("p.csv", {}, ["y"], NotFoundError, "no option 'y'"),
        ("p.csv", {"template": "linera"}, [], NotFoundError, "do you mean 'linear'"),
        ("1.csv", {"x": "s"}, [], InvalidError, "written with others"),
        ("m.json", {"x": "s"}, [], InvalidError, "is a metric"),
    ]:
        with pytest.raises(error, match=said):
            pipelines.modify_plot(workspace, path, options, unset)
    assert (workspace.root / "dvc.yaml").read_text() == PIPELINE


def test_a_plot_without_options_is_its_path_alone(workspace: Workspace) -> None:
    assert pipelines.modify_plot(workspace, "p.csv", {}, ["x", "title"]) == "a"
    assert "    - p.csv" in (workspace.root / "dvc.yaml").read_text().replace("   # a note", "")
