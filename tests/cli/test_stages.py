from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from everloop.cli.group import cli


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DVC_GLOBAL_CONFIG_DIR", str(tmp_path))
    monkeypatch.setenv("SHELL", "/bin/sh")
    folder = tmp_path / "project"
    folder.mkdir()
    monkeypatch.chdir(folder)
    assert ever("init").exit_code == 0
    (folder / "raw").write_text("1")
    return folder


def ever(*words: str) -> Result:
    return CliRunner().invoke(cli, words, catch_exceptions=False)


def test_run_with_a_name_adds_a_stage_and_runs_it(project: Path) -> None:
    done = ever("run", "-n", "copy", "-d", "raw", "-o", "made", "cp", "raw", "made")
    assert done.stdout.startswith("copy: ran (")
    assert (project / "made").read_text() == "1"
    assert ever("status").stdout == "data and pipelines are up to date\n"
    again = ever("run", "-n", "copy", "-f", "-d", "raw", "-o", "made", "--", "cp", "raw", "made")
    assert again.stdout.startswith("copy: unchanged")


def test_run_without_a_name_is_about_tracked_runs(project: Path) -> None:
    assert "list" in ever("run", "--help").stdout
    assert ever("run", "show").exit_code == 2
    refused = CliRunner().invoke(cli, ["run", "-o", "made", "list"])
    assert refused.exit_code == 2
    assert "a stage needs a name" in refused.output
    assert "command of the stage is missing" in CliRunner().invoke(cli, ["run", "-n", "x"]).output


def test_a_stage_is_added_listed_and_run(project: Path) -> None:
    words = ("stage", "add", "-n", "copy", "-d", "raw", "-o", "made", "--json", "cp raw made")
    assert json.loads(ever(*words).stdout) == {"stage": "copy", "file": "dvc.yaml"}
    assert ever("stage", "list").stdout == "copy  Outputs made\n"
    assert json.loads(ever("stage", "list", "--json").stdout) == [{"stage": "copy", "description": "Outputs made"}]
    assert ever("stage", "add", "-n", "again", "-d", "made", "--run", "cat", "made").stdout.startswith("copy: ran")
    assert CliRunner().invoke(cli, words).exit_code == 1


def test_freezing_goes_on_after_a_word_that_means_nothing(project: Path) -> None:
    ever("stage", "add", "-n", "copy", "-o", "made", "echo 1 > made")
    done = ever("freeze", "nope", "copy", "--json")
    assert done.exit_code == 1
    answer = json.loads(done.stdout)
    assert answer["changed"] == ["copy"]
    assert list(answer["failed"]) == ["nope"]
    assert "frozen: true" in (project / "dvc.yaml").read_text()
    assert ever("unfreeze", "copy").stdout == "copy is unfrozen\n"
    assert ever("unfreeze", "copy").stdout == "nothing to do: all is unfrozen already\n"


def test_the_graph_is_shown(project: Path) -> None:
    assert ever("dag").stdout == "there are no stages and no data under version\n"
    ever("add", "raw")
    ever("stage", "add", "-n", "copy", "-d", "raw", "-o", "made", "cp raw made")
    boxes = [line.strip() for line in ever("dag").stdout.splitlines()]
    assert boxes == ["+---------+", "| raw.dvc |", "+---------+", "|", "|", "+------+", "| copy |", "+------+"]
    assert json.loads(ever("dag", "--json").stdout) == {
        "nodes": ["copy", "raw.dvc"],
        "edges": [{"from": "raw.dvc", "to": "copy"}],
    }
    assert ever("dag", "--outs", "made", "--mermaid").stdout.endswith("node2-->node1\n")
    assert CliRunner().invoke(cli, ["dag", "--outs", "--collapse-foreach-matrix"]).exit_code == 2


def test_the_causes_of_a_run_are_told(project: Path) -> None:
    assert ever("why").stdout == "all stages are up to date\n"
    ever("run", "-n", "copy", "-d", "raw", "-o", "made", "cp raw made")
    (project / "raw").write_text("other")
    assert ever("why").stdout == "copy would run:\n  dependency raw changed: 5 bytes, before 1\n"
    (answer,) = json.loads(ever("why", "copy", "--json").stdout)
    assert answer["verdict"] == "would run"
    assert answer["causes"][0]["kind"] == "dep"


def test_environments_are_built_listed_and_removed(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    uv = Path(__file__).parents[2] / ".venv-uv/bin"
    if not (uv / "uv").exists():
        pytest.skip("there is no uv: make setup")
    monkeypatch.setenv("PATH", f"{uv}:/usr/bin:/bin")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    ever("stage", "add", "-n", "copy", "-o", "made", "echo 1 > made")
    assert ever("environment", "build").stdout == "no environment is declared\n"
    assert CliRunner().invoke(cli, ["environment", "build", "copy"]).exit_code == 1
    (project / "everloop.yaml").write_text("environment: requirements.txt\n")
    (project / "requirements.txt").touch()
    made = json.loads(ever("environment", "build", "--json").stdout)
    assert Path(made["copy"]["path"], "bin/python").exists()
    (kept,) = json.loads(ever("environment", "list", "--json").stdout)
    assert kept["key"] == made["copy"]["key"]
    assert ever("environment", "gc").stdout == "nothing to remove\n"
    assert ever("environment", "gc", "--unused-days", "0").stdout == f"removed {kept['key']}\n"
    assert ever("environment", "list").stdout == "no environment is kept\n"
