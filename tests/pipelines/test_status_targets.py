"""`ever status TARGETS` beside `dvc status TARGETS`: the same words tell the same, as JSON."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from everloop import pipelines
from everloop.errors import NotFoundError
from everloop.workspace import Workspace
from tests.workspace.dvcpeer import commit, dvc, environment, needs_dvc, run, write

EVER = Path(sys.executable).parent / "ever"
PIPELINE = """\
stages:
  prepare:
    cmd: mkdir -p out && cp raw/x out/ready
    deps: [raw]
    outs: [out/ready]
  train:
    cmd: cp out/ready model && cp out/ready notes
    deps: [out/ready]
    outs: [model, notes]
"""
INNER = """\
stages:
  report:
    cmd: cp ../model page
    deps: [../model]
    outs: [page]
"""
WORDS = [
    "",
    "raw",
    "raw.dvc",
    "raw/sub",
    "raw/none",
    "train",
    "dvc.yaml:train",
    "model",
    "out/ready",
    "dvc.yaml",
    "inner/dvc.yaml",
    "inner/dvc.yaml:report",
    "inner/page",
    "far/a",
    "-d train",
    "-d inner/dvc.yaml:report",
    "-d far/a.dvc",
    "-R far",
    "-R inner",
    "-R raw",
    "-R .",
    "-d",
    "-R",
]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Everything is changed but one file."""
    folder = tmp_path_factory.mktemp("status") / "project"
    folder.mkdir()
    run(folder, str(EVER), "init")
    write(
        folder,
        {
            "raw/x": "x",
            "raw/sub/y": "y",
            "far/a": "a",
            "far/b": "b",
            "dvc.yaml": PIPELINE,
            "inner/dvc.yaml": INNER,
        },
    )
    run(folder, str(EVER), "add", "raw", "far/a", "far/b")
    run(folder, str(EVER), "repro", "--all-pipelines")
    commit(folder)
    write(folder, {"raw/x": "changed", "far/a": "changed", "model": "changed", "notes": "changed"})
    write(folder, {"inner/page": None})
    return folder


def status(folder: Path, words: str) -> Any:
    return json.loads(run(folder, str(EVER), "status", "--json", *words.split()))


@needs_dvc
@pytest.mark.parametrize("words", WORDS)
def test_words_tell_what_they_tell_dvc(made: Path, words: str) -> None:
    assert status(made, words) == json.loads(dvc(made, "status", "--json", *words.split()))


def test_data_with_dependencies_tell_of_these(made: Path) -> None:
    """DVC passes over `--with-deps` where the target is an output."""
    assert set(status(made, "-d model")) == {"raw.dvc", "prepare", "train"}
    assert status(made, "-d model")["train"] == [{"changed outs": {"model": "modified"}}]


def test_several_outputs_of_a_stage_are_all_told(made: Path) -> None:
    """DVC tells only of the last one."""
    assert status(made, "notes model") == {"train": [{"changed outs": {"model": "modified", "notes": "modified"}}]}


def test_words_are_meant_from_the_current_folder(made: Path) -> None:
    for folder, words in (("far", "a"), ("inner", "dvc.yaml"), ("inner", "-R .")):
        found = status(made / folder, words)
        assert found
        assert found == json.loads(dvc(made / folder, "status", "--json", *words.split()))
    # DVC looks for a name in the folder's own file alone.
    assert set(status(made / "inner", "train")) == {"../dvc.yaml:train"}


def test_data_that_are_gone_are_found(made: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(made, tmp_path / "project", symlinks=True)
    shutil.rmtree(folder / "raw")
    assert status(folder, "raw") == {"raw.dvc": [{"changed outs": {"raw": "deleted"}}]}


@pytest.mark.parametrize("word", ["nothing", "far", "far/none"])
def test_word_that_means_nothing_is_named(made: Path, word: str) -> None:
    with pytest.raises(NotFoundError, match=word):
        pipelines.status(Workspace.open(made), [word])


@pytest.mark.parametrize("words", [["-A"], ["-j", "2"], ["--glob", "raw"], ["-a", "raw"]])
def test_words_of_remotes_need_cloud(made: Path, words: list[str]) -> None:
    done = subprocess.run(
        [EVER, "status", *words],
        cwd=made,
        env=environment(made.parent / "home"),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "go with --cloud" in done.stderr


def test_quiet_answers_for_the_targets_alone(made: Path) -> None:
    codes = [
        subprocess.run(
            [EVER, "status", "-q", word], cwd=made, env=environment(made.parent / "home"), check=False
        ).returncode
        for word in ("far/a", "far/b")
    ]
    assert codes == [1, 0]
