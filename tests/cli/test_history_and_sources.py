from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from everloop.cli.group import cli
from everloop.workspace import Git, Workspace


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """One commit, and changes since."""
    for name in ("HOME", "DVC_GLOBAL_CONFIG_DIR", "DVC_SYSTEM_CONFIG_DIR"):
        monkeypatch.setenv(name, str(tmp_path / "home"))
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    made = Workspace.init(tmp_path / "project")
    for path in ("d/a", "d/b", "one", "moved"):
        (made.root / path).parent.mkdir(exist_ok=True)
        (made.root / path).write_text(path)
    made.add(["d", "one", "moved"])
    Git(made.root).commit(["."], "First")
    (made.root / "d/a").write_text("changed")
    (made.root / "d/new").write_text("new")
    (made.root / "one").unlink()
    monkeypatch.chdir(made.root)
    return made


def ever(*words: str) -> Result:
    return CliRunner().invoke(cli, list(words), catch_exceptions=False)


def test_diff_for_people(workspace: Workspace) -> None:
    said = ever("diff").stdout
    assert said.splitlines() == [
        "Added:",
        "    d/new",
        "",
        "Deleted:",
        "    one",
        "",
        "Modified:",
        "    d/",
        "    d/a",
        "",
        "files: 1 added, 1 deleted, 1 modified",
    ]


def test_diff_as_a_table_with_hashes(workspace: Workspace) -> None:
    lines = ever("diff", "--md", "--show-hash").stdout.splitlines()
    assert lines[:2] == ["| Status | Hash | Path |", "|---|---|---|"]
    assert "| added | 22af645d | d/new |" in lines
    assert any(line.startswith("| modified | ") and ".." in line for line in lines)


def test_diff_of_targets_takes_several_words(workspace: Workspace) -> None:
    found = json.loads(ever("diff", "--targets", "d/new", "one", "--json").stdout)
    assert found["added"] == [{"path": "d/new"}]
    assert found["deleted"] == [{"path": "one"}]
    assert found["modified"] == []


def test_diff_without_differences(workspace: Workspace) -> None:
    done = ever("diff", "HEAD", "main")
    assert (done.stdout, done.stderr) == ("", "no data differ\n")
    assert json.loads(ever("diff", "HEAD", "HEAD", "--json").stdout) == {}


def test_diff_with_an_unknown_revision_or_target_fails(workspace: Workspace) -> None:
    for words in (("nowhere",), ("--targets", "nowhere"), ("--targets", "d/nowhere")):
        with pytest.raises(Exception, match="nowhere"):
            ever("diff", *words)


def test_data_status_for_people(workspace: Workspace) -> None:
    (workspace.root / "stray").write_text("s")
    lines = ever("data", "status", "--granular", "--untracked-files", "--unchanged").stdout.splitlines()
    assert lines == [
        "Changed since the records:",
        "    modified: d/",
        "    modified: d/a",
        "    added: d/new",
        "    deleted: one",
        "Untracked files:",
        "    stray",
        "Unchanged data:",
        "    d/b",
        "    moved",
        "Git has other changes: git status",
    ]


def test_data_status_when_all_is_well(workspace: Workspace) -> None:
    ever("checkout", "--force")
    assert ever("data", "status").stdout == "nothing changed\n"
    assert json.loads(ever("data", "status", "--json").stdout) == {}


def test_checkout_of_a_revision(workspace: Workspace) -> None:
    ever("add", "d")
    assert ever("checkout", "--rev", "HEAD", "d").stdout == "restored d\n"
    assert (workspace.root / "d/a").read_text() == "d/a"


def test_list_draws_a_tree_and_shows_sizes(workspace: Workspace) -> None:
    tree = ever("list", "--tree", "--dvc-only").stdout.splitlines()
    assert tree == [".", "├── d", "│   ├── a", "│   └── b", "├── moved", "└── one"]
    lines = ever("ls", ".", "--dvc-only", "--size", "--show-hash").stdout.splitlines()
    assert lines[0].split()[-1] == "d"
    assert lines[-1].split() == ["3", "f97c5d29941bfb1b2fdab0874906ab82", "one"]
    assert ever("du", ".", "d").stdout.splitlines() == ["3  d/a", "3  d/b", "6  d"]


def test_tree_and_json_exclude_each_other(workspace: Workspace) -> None:
    assert ever("list", "--tree", "--json").exit_code == 2


def test_get_import_and_update(workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = Workspace.init(tmp_path / "other")
    monkeypatch.chdir(other.root)
    assert "brought" in ever("get", "../project", "d/b").stdout
    assert (other.root / "b").read_text() == "d/b"
    (other.root / "data").mkdir()
    assert ever("import", "../project", "d", "-o", "data").stdout == "imported data/d, as data/d.dvc records\n"
    assert (other.root / "data/d/a").read_text() == "d/a"
    assert ever("update").stdout == "data/d.dvc: nothing new\n"
    assert "brought" in ever("get-url", "b", "copy").stdout
    assert "imported c2" in ever("import-url", "copy", "c2").stdout
