from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from everloop.cli.group import cli

PIPELINE = """\
stages:
  score:
    cmd: 'sed "s/.*/{\\"auc\\": &}/" lr > m.json && echo done'
    deps: [lr]
    params: [rate]
    metrics: [m.json: {cache: false}]
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DVC_GLOBAL_CONFIG_DIR", str(tmp_path))
    monkeypatch.setenv("SHELL", "/bin/sh")
    folder = tmp_path / "project"
    folder.mkdir()
    monkeypatch.chdir(folder)
    assert ever("init").exit_code == 0
    (folder / "lr").write_text("0.5\n")
    (folder / "params.yaml").write_text("rate: 1\n")
    (folder / "dvc.yaml").write_text(PIPELINE)
    return folder


def ever(*words: str) -> Result:
    return CliRunner().invoke(cli, words, catch_exceptions=False)


def test_way_from_data_to_metrics(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert ever("add", "lr").stdout == "added lr (4 bytes)\n"
    assert ever("add", "lr").stdout == "lr did not change\n"
    ran = ever("repro")
    assert ran.stdout.startswith("score: ran (")
    assert "score | done" in ran.stderr
    assert ever("repro").stdout.startswith("score: unchanged")
    assert ever("status").stdout == "data and pipelines are up to date\n"
    assert ever("metrics", "show").stdout.split() == ["Path", "auc", "m.json", "0.5"]
    shape = {"": {"data": {"m.json": {"data": {"auc": 0.5}}}}}
    assert json.loads(ever("metrics", "show", "--json").stdout) == shape


def test_targets_are_meant_from_the_current_folder(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (project / "sub").mkdir()
    (project / "sub/x").write_text("1")
    monkeypatch.chdir(project / "sub")
    assert json.loads(ever("add", "x", "--json").stdout)["added"][0]["path"] == "sub/x.dvc"
    (project / "sub/x").unlink()
    assert ever("checkout", "x").stdout == "restored sub/x\n"


def test_param_is_set_before_the_run(project: Path) -> None:
    ever("repro")
    report = json.loads(ever("repro", "-S", "rate=2", "--json").stdout)
    assert report["stages"][0]["reasons"] == ["parameter rate of params.yaml changed"]
    assert (project / "params.yaml").read_text() == "rate: 2\n"


def test_dry_goes_not_with_a_param(project: Path) -> None:
    refused = ever("repro", "--dry", "-S", "rate=2")
    assert refused.exit_code == 2
    assert ever("repro", "--dry").stdout.startswith("score: would run")


def test_status_names_each_change(project: Path) -> None:
    ever("add", "lr")
    ever("repro")
    (project / "lr").write_text("0.75\n")
    (project / "params.yaml").write_text("rate: 3\n")
    assert ever("status").stdout == (
        "score:\n  changed deps: lr modified\n  changed deps: params.yaml rate modified\n"
        "lr.dvc:\n  changed outs: lr modified\n"
    )
    assert set(json.loads(ever("status", "--json").stdout)) == {"score", "lr.dvc"}
