"""Stages added, listed and frozen by Everloop and by the real DVC, side by side: the same files."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner

from everloop.cli.group import cli
from tests.peerdvc import call_dvc, dvc, needs_dvc

pytestmark = [pytest.mark.peer, needs_dvc]

CALLS = [
    [
        *("stage", "add", "-n", "one", "-d", "a.txt", "-d", "./b.txt", "-p", "lr,depth", "-p", "x.yaml:k,j"),
        *("-p", "other.json:", "-o", "z", "-O", "y", "--outs-persist", "p", "--outs-persist-no-cache", "q"),
        *("-m", "m1.json", "-M", "m2.json", "--plots", "p1.csv", "--plots-no-cache", "p2.csv"),
        *("--always-changed", "--desc", "hello: x", "echo", "a b", 'c"d', "", "--x", "-y", "two\nlines"),
    ],
    ["stage", "add", "-n", "two", "-w", "sub", "-d", "../a.txt", "-o", "o.txt", "python x.py > log # " + "long " * 30],
    ["stage", "add", "-n", "three", "echo 1"],
    ["freeze", "two"],
    ["stage", "add", "-n", "one", "-f", "-d", "a.txt", "-o", "z", "echo"],
    ["freeze", "one"],
    ["unfreeze", "two"],
    ["stage", "add", "-n", "two", "-f", "-w", "sub", "-d", "../a.txt", "-o", "o.txt", "-M", "n.json", "python"],
]
FILES = ("dvc.yaml", ".gitignore", "sub/.gitignore")


@pytest.fixture
def sides(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """Two workspaces that are the same: the first is for `ever`."""
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    for folder in (ours, theirs):
        (folder / "sub").mkdir(parents=True)
        (folder / "params.yaml").write_text("lr: 1\n")
        subprocess.run(["git", "init", "-q"], cwd=folder, check=True)
        dvc(folder, "init", "-q")
    monkeypatch.chdir(ours)
    return ours, theirs


def ever(*words: str) -> str:
    done = CliRunner().invoke(cli, words, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.stdout


def test_both_write_the_same_after_each_call(sides: tuple[Path, Path]) -> None:
    ours, theirs = sides
    for words in CALLS:
        ever(*words)
        dvc(theirs, *words)
        for file in FILES:
            made = (ours / file).read_text() if (ours / file).exists() else None
            expected = (theirs / file).read_text() if (theirs / file).exists() else None
            if file.endswith(".gitignore") and made is not None and expected is not None:
                # The tool writes the entries of a set in any order.
                assert sorted(made.splitlines()) == sorted(expected.splitlines()), words
            else:
                assert made == expected, words


def test_both_list_the_same(sides: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    ours, _ = sides
    for words in CALLS[:4]:
        ever(*words)
    (ours / "data").write_text("1")
    ever("add", "data")
    (ours / "sub/dvc.yaml").write_text("stages:\n  far:\n    cmd: x\n    deps: [../a.txt]\n    params: [u]\n")
    for words in ([], ["one"], ["--name-only"], ["data.dvc"], ["sub", "-R"], ["sub/dvc.yaml:far", "two", "two"]):
        assert ever("stage", "list", *words) == dvc(ours, "stage", "list", *words), words
    everything = dvc(ours, "stage", "list", "--all").splitlines()
    assert sorted(ever("stage", "list", "--all").splitlines()) == sorted(everything)
    monkeypatch.chdir(ours / "sub")
    assert sorted(ever("stage", "list", "--all", "--names-only").split()) == sorted(
        dvc(ours / "sub", "stage", "list", "--all", "--name-only").split()
    )


def test_the_tool_refuses_what_ever_refuses(sides: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    ours, _ = sides
    ever(*CALLS[0])
    refused = [
        ["stage", "add", "-n", "one", "x"],
        ["stage", "add", "-n", "a.b", "x"],
        ["stage", "add", "-n", "n", "-d", "k", "-d", "k", "x"],
        ["stage", "add", "-n", "n", "-d", "k", "-o", "k", "x"],
        ["stage", "add", "-n", "n", "-o", "z", "x"],
        ["stage", "add", "-n", "n", "-o", "z/in", "x"],
        ["stage", "add", "-n", "n", "-d", "z", "-o", "a.txt", "x"],
        ["stage", "add", "-n", "n", "-w", "nowhere", "x"],
        ["stage", "add", "-n", "n"],
        ["freeze", "nope"],
    ]
    for words in refused:
        assert CliRunner().invoke(cli, words).exit_code != 0, words
        assert call_dvc(ours, *words).returncode != 0, words


def test_a_frozen_import_stays_valid_for_the_tool(sides: tuple[Path, Path], tmp_path: Path) -> None:
    ours, _ = sides
    (tmp_path / "far.txt").write_text("1")
    dvc(ours, "import-url", str(tmp_path / "far.txt"), "near.txt")
    record = ours / "near.txt.dvc"
    before = record.read_text()
    states: list[str] = []
    for verb in ("unfreeze", "freeze"):
        record.write_text(states[-1] if states else before)
        ever(verb, "near.txt.dvc")
        made = record.read_text()
        record.write_text(states[-1] if states else before)
        dvc(ours, verb, "near.txt.dvc")
        assert record.read_text() == made
        states.append(made)
    assert "frozen: true" not in states[0]
    assert "frozen: true" in states[1]
    assert dvc(ours, "status", "--json").strip() == "{}"
