"""`ever diff --rows` for people, as Markdown and as JSON."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from everloop.cli.group import cli
from everloop.workspace import Workspace


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """One commit, and changes since."""
    for name in ("HOME", "DVC_GLOBAL_CONFIG_DIR", "DVC_SYSTEM_CONFIG_DIR"):
        monkeypatch.setenv(name, str(tmp_path / "home"))
    made = Workspace.init(tmp_path / "project")
    (made.root / "a.csv").write_text("id,v\n1,007\n2,b\n3,c\n3,c\n")
    (made.root / "note.txt").write_text("no table")
    made.add(["a.csv", "note.txt"])
    made.git.commit(["."], "First")
    (made.root / "a.csv").write_text("id,v,w\n1,7,x\n3,c,x\n4,d|e,x\n")
    (made.root / "note.txt").write_text("changed")
    monkeypatch.chdir(made.root)
    return made


def ever(*words: str) -> Result:
    return CliRunner().invoke(cli, list(words), catch_exceptions=False)


def test_for_people(workspace: Workspace) -> None:
    assert ever("diff", "--rows", "--key", "id").stdout.splitlines() == [
        "a.csv (modified): 1 added, 2 removed, 1 changed (4 rows before, 3 after)",
        "    column w added (VARCHAR)",
        "    v differs in 1 rows",
        "    1 keys stand for several rows, which are compared as a whole",
        "    + id=4, v=d|e",
        "    - id=2, v=b",
        "    - id=3, v=c",
        "    ~ id=1  v: 007 -> 7",
        "    ! id=3  2 rows before, 1 after",
    ]


def test_as_markdown(workspace: Workspace) -> None:
    assert ever("diff", "--rows", "--md").stdout.splitlines() == [
        "| Path | Added | Removed | Changed | Columns |",
        "|---|---:|---:|---:|---|",
        "| a.csv | 2 | 3 | 0 | column w added (VARCHAR) |",
    ]


def test_as_json_with_as_many_samples_as_asked_for(workspace: Workspace) -> None:
    (found,) = json.loads(ever("diff", "--rows", "-k", "id", "--samples", "1", "--json").stdout)
    assert (found["path"], found["kind"], found["problem"]) == ("a.csv", "modified", None)
    assert found["rows"]["changed_columns"] == {"v": 1}
    assert len(found["rows"]["samples"]["removed"]) == 1


def test_nothing_differs_and_what_cannot_be_told_fails(workspace: Workspace) -> None:
    assert ever("diff", "--rows", "HEAD", "HEAD").stdout == "no rows of tables differ\n"
    failed = ever("diff", "--rows", "--key", "nowhere")
    assert (failed.exit_code, failed.stdout) == (1, "a.csv: there is no column 'nowhere' before; there are: id, v\n")
    assert ever("diff", "--key", "id").exit_code == 2


def test_the_memory_is_a_setting(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EVERLOOP_TABLE_MEMORY", "little")
    assert "'little' is no amount of memory" in ever("diff", "--rows").stdout
    assert ever("diff", "--rows", "--memory", "300MB").exit_code == 0
