"""`ever metrics` and `ever params` beside the real DVC, on the same folder: the same JSON, tables and Markdown."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from everloop.workspace import Workspace
from tests.workspace.dvcpeer import DVC, commit, dvc, environment, needs_dvc, run, write

EVER = Path(sys.executable).with_name("ever")
pytestmark = [pytest.mark.peer, needs_dvc]

PIPELINE = """\
metrics: [top.json, broken.json, "dir"]
params: [other.toml, conf.py]
stages:
  train:
    cmd: cp data.json model.json && echo '{"kept":1}' > uncached.json
    deps: [data.json]
    params:
    - lr
    - nested.a
    - third.json: [x, y.z]
    - gone.yaml:
    metrics:
    - model.json
    - uncached.json: {cache: false}
"""
FIRST: dict[str, str | None] = {
    "dvc.yaml": PIPELINE,
    "sub/dvc.yaml": "metrics: [s.yaml, plain]\n",
    "sub/s.yaml": "z: 1e-9\nbig: 123456.123456789\n",
    "sub/plain": "loss: 0.25\nwords: a b\n",
    "data.json": '{"auc": 0.123456789, "deep": {"a": 1, "b": [1, 2], "n": null, "t": true, "s": "text"}}',
    "top.json": "0.75",
    "broken.json": '{"q": 1}',
    "dir/a.json": '{"q": 1}',
    "dir/b.json": '{"q": {"r": 1.5}}',
    "params.yaml": 'lr: 0.1\nnested: {a: 1, b: [1, 2]}\nu: "ü"\non: yes\n',
    "other.toml": 'a = 1\n[t]\nb = "x"\n',
    "conf.py": "X = 1\nY: int = 2\nN = -1\nF = f()\nclass T:\n    Z = {'a': 1}\n    def __init__(self):\n        "
    "self.w = (1, 2)\n        q = 5\n",
    "third.json": '{"x": 1, "y": {"z": 2, "no": 3}}',
}
SECOND: dict[str, str | None] = {
    "top.json": "0.5",
    "broken.json": "{",
    "dir/a.json": None,
    "dir/c.json": '{"q": 1}',
    "params.yaml": "lr: 0.2\nnested: {a: 1, b: [1, 2, 3]}\nnew: {a: [1]}\n",
    "conf.py": "X = [1, 2]\nclass T:\n    Z = {'a': 2}\n",
    "third.json": '{"x": 1, "y": {"z": 3}}',
    "data.json": '{"auc": 0.5, "deep": {"a": 3, "t": false, "new": 1e22}}',
}


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two commits and changes in the workspace; a metric whose bytes are in the cache only."""
    folder = tmp_path_factory.mktemp("measures") / "repository"
    Workspace.init(folder)
    write(folder, FIRST | {"gone.yaml": "a: 1\n"})
    dvc(folder, "repro", "-q")
    commit(folder)
    run(folder, "git", "branch", "old")
    run(folder, "git", "tag", "v1")
    write(folder, SECOND | {"gone.yaml": None})
    commit(folder)
    write(folder, {"dir/b.json": "[1]", "sub/s.yaml": "z: 2e-9\nadded: 1\n", "uncached.json": None, "model.json": None})
    return folder


def call(tool: Path, folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    home = folder if folder.name == "repository" else folder.parent
    wide = environment(home.parent / "home") | {"COLUMNS": "1000"}
    return subprocess.run([str(tool), *words], cwd=folder, env=wide, capture_output=True, text=True, check=False)


def without_messages(value: Any) -> Any:
    """What an error says is our own; what kind it is of is not."""
    if isinstance(value, dict):
        return {key: without_messages(item) for key, item in value.items() if key != "msg"}
    return value


ASKED = [
    ("metrics", "show"),
    ("metrics", "show", "-a"),
    ("metrics", "show", "-T"),
    ("metrics", "show", "-A"),
    ("metrics", "show", "sub/s.yaml", "nosuch.json"),
    ("metrics", "show", "-R", "dir"),
    ("metrics", "diff"),
    ("metrics", "diff", "v1"),
    ("metrics", "diff", "v1", "HEAD"),
    ("metrics", "diff", "--all", "old", "workspace"),
    ("metrics", "diff", "--targets", "sub/s.yaml", "dir"),
    ("params", "diff", "v1"),
    ("params", "diff", "v1", "--deps", "--all"),
    ("params", "diff", "v1", "HEAD", "--all"),
    ("params", "diff", "old", "--targets", "params.yaml", "conf.py"),
]


@pytest.mark.parametrize("words", ASKED, ids=" ".join)
def test_json_is_the_same(repository: Path, words: tuple[str, ...]) -> None:
    ours, theirs = (call(tool, repository, *words, "--json") for tool in (EVER, DVC))
    assert ours.returncode == theirs.returncode == 0, ours.stderr + theirs.stderr
    assert without_messages(json.loads(ours.stdout)) == without_messages(json.loads(theirs.stdout))
    if words[1] == "show" and "-A" not in words:
        # In the same order and on one line; the differences come out of DVC in a new order each
        # time, and commits of one second in an order of its own.
        assert [*json.loads(ours.stdout)] == [*json.loads(theirs.stdout)]
        assert ours.stdout.count("\n") == theirs.stdout.count("\n") == 1
    assert bool(ours.stderr) == bool(theirs.stderr), (ours.stderr, theirs.stderr)


SAID = [
    ("metrics", "show"),
    ("metrics", "show", "--md"),
    ("metrics", "show", "-a", "--precision", "2"),
    ("metrics", "diff", "v1"),
    ("metrics", "diff", "v1", "--md", "--no-path", "--precision", "3"),
    ("metrics", "diff", "HEAD", "HEAD"),
    ("metrics", "diff", "HEAD", "HEAD", "--md"),
    ("params", "diff", "v1"),
    ("params", "diff", "v1", "--md"),
    ("params", "diff", "v1", "HEAD", "--no-path", "--all"),
]


@pytest.mark.parametrize("words", SAID, ids=" ".join)
def test_tables_are_the_same(repository: Path, words: tuple[str, ...]) -> None:
    ours, theirs = (call(tool, repository, *words) for tool in (EVER, DVC))
    assert ours.returncode == theirs.returncode == 0, ours.stderr + theirs.stderr
    # The files of a comparison come out of DVC in a new order each time.
    assert sorted(ours.stdout.splitlines()) == sorted(theirs.stdout.splitlines())


@pytest.mark.parametrize("words", [("metrics", "show"), ("metrics", "diff", "v1"), ("params", "diff", "v1")])
def test_paths_are_meant_and_told_from_the_current_folder(repository: Path, words: tuple[str, ...]) -> None:
    ours, theirs = (call(tool, repository / "sub", *words) for tool in (EVER, DVC))
    assert sorted(ours.stdout.splitlines()) == sorted(theirs.stdout.splitlines())


def test_without_a_commit_nothing_differs(tmp_path: Path) -> None:
    folder = tmp_path / "repository"
    Workspace.init(folder)
    write(folder, {"dvc.yaml": "metrics: [m.json]\n", "m.json": '{"a": 1}', "params.yaml": "b: 1\n"})
    for words in (("metrics", "diff", "--json"), ("params", "diff", "--json"), ("metrics", "show", "--json")):
        ours, theirs = (call(tool, folder, *words) for tool in (EVER, DVC))
        assert (ours.returncode, ours.stdout) == (theirs.returncode, theirs.stdout)


def test_an_unknown_revision_fails(repository: Path) -> None:
    for words in (("metrics", "diff", "nosuch"), ("params", "diff", "HEAD", "nosuch")):
        ours, theirs = (call(tool, repository, *words) for tool in (EVER, DVC))
        assert ours.returncode != 0
        assert theirs.returncode != 0
        assert "nosuch" in ours.stderr


def test_a_malformed_pipeline_at_one_revision_is_told_and_the_rest_shown(tmp_path: Path) -> None:
    folder = tmp_path / "repository"
    Workspace.init(folder)
    write(folder, {"dvc.yaml": "metrics: [m.json\n", "m.json": '{"a": 1}'})
    commit(folder)
    run(folder, "git", "branch", "broken")
    write(folder, {"dvc.yaml": "metrics: [m.json]\n"})
    commit(folder)
    words = ("metrics", "show", "-a", "--json")
    ours, theirs = (call(tool, folder, *words) for tool in (EVER, DVC))
    found, expected = json.loads(ours.stdout), json.loads(theirs.stdout)
    assert set(found) == set(expected)
    assert found["main"] == expected["main"]
    assert "error" in found["broken"]
    assert "error" in expected["broken"]
    assert "broken: " in ours.stderr.replace("dvc.yaml", "")
    ours, theirs = (call(tool, folder, "metrics", "diff", "broken", "--json") for tool in (EVER, DVC))
    assert json.loads(ours.stdout) == json.loads(theirs.stdout) == {"m.json": {"a": {"old": None, "new": 1}}}
