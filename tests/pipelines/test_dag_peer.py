"""The graph as Everloop and the real DVC print it."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner

from everloop.cli.group import cli
from tests.peerdvc import dvc, needs_dvc

pytestmark = [pytest.mark.peer, needs_dvc]

PIPELINE = """\
stages:
  prepare:
    cmd: x
    deps: [raw/part.csv]
    outs: [ready, notes]
  train:
    cmd: x
    deps: [ready/deep/file, notes]
    outs: [model]
    metrics: [m.json: {cache: false}]
  alone:
    cmd: x
    outs: [a, b]
  report:
    cmd: x
    deps: [model, sub]
"""
SUB = "stages:\n  far:\n    cmd: x\n    deps: [../notes]\n    outs: [o1, o2]\n"


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "project"
    (folder / "sub").mkdir(parents=True)
    subprocess.run(["git", "init", "-q"], cwd=folder, check=True)
    dvc(folder, "init", "-q")
    monkeypatch.chdir(folder)
    (folder / "raw").mkdir()
    (folder / "raw/part.csv").write_text("1")
    ever("add", "raw")
    (folder / "dvc.yaml").write_text(PIPELINE)
    (folder / "sub/dvc.yaml").write_text(SUB)
    return folder


def ever(*words: str) -> str:
    done = CliRunner().invoke(cli, words, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.stdout


# Whether the order of the parts is the same is up to the order in which the tool finds files on the disk.
CALLS = [
    *(["--mermaid", *words] for words in (["train"], ["sub/dvc.yaml:far"], ["train", "--full"], ["alone"])),
    ["--md", "report"],
    ["--mermaid", "--outs", "train"],
]


@pytest.mark.parametrize("words", CALLS, ids=" ".join)
def test_a_chart_is_that_of_the_tool(project: Path, words: list[str]) -> None:
    assert ever("dag", *words) == dvc(project, "dag", *words)


@pytest.mark.parametrize(
    "words", [["--dot"], ["--dot", "--outs"], ["--dot", "train"], ["--dot", "report", "--full"]], ids=" ".join
)
def test_dot_has_the_lines_of_the_tool(project: Path, words: list[str]) -> None:
    # The tool writes them in another order each time: that of a set.
    assert sorted(ever("dag", "--dot", *words).split("\n")) == sorted(dvc(project, "dag", "--dot", *words).split("\n"))


def test_labels_are_meant_from_the_current_folder(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(project / "sub")
    assert ever("dag", "--mermaid", "far") == dvc(project / "sub", "dag", "--mermaid", "far")
