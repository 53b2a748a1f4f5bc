"""What a person has written into a `.dvc` file survives every command; only the fields of the content change."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from everloop.cli.group import cli

RECORD = """# who made this
outs:
# the folder comes first
- path: data  # its name
  desc: everything until March
  md5: {md5}  # told by the tool
  labels: [raw, 'on']
  type: data
  x-owner: ada
  size: {size}
  nfiles: {n}
  hash: md5
  remote: far
  push: false
  persist: true
  meta: {{checked: 010}}
  # the end of the folder
meta:
  ticket: 7
x-new: [1, 2]
"""


def ever(*words: str) -> Result:
    result = CliRunner().invoke(cli, words)
    assert result.exception is None, result.output
    return result


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DVC_GLOBAL_CONFIG_DIR", str(tmp_path))
    folder = tmp_path / "project"
    (folder / "data").mkdir(parents=True)
    monkeypatch.chdir(folder)
    (folder / "data/x").write_text("1")
    ever("init")
    ever("add", "data")
    (folder / "data.dvc").write_text(record(folder))
    assert json.loads(ever("status", "--json").stdout) == {}
    return folder


def record(folder: Path, name: str = "data") -> str:
    """The record as it should be with what the tool has measured."""
    found = json.loads(ever("list", ".", "--json").stdout)
    (md5,) = (entry["md5"] for entry in found if entry["path"] == name)
    files = [path for path in (folder / name).iterdir() if path.is_file()]
    return RECORD.format(md5=md5, size=sum(path.stat().st_size for path in files), n=len(files))


@pytest.mark.parametrize("words", [("add", "data"), ("commit", "--force"), ("add", "data/y")])
def test_change_of_the_data(project: Path, words: tuple[str, ...]) -> None:
    (project / "data/y").write_text("22")
    ever(*words)
    text = (project / "data.dvc").read_text()
    assert text == record(project)
    assert "nfiles: 2" in text
    ever(*words)
    assert (project / "data.dvc").read_text() == text


def test_doctor_tells_what_nobody_understands(project: Path) -> None:
    text = (project / "data.dvc").read_text()
    (project / "data.dvc").write_text(text + "outz: []\n")
    Path("far.dvc").write_text("outs: [{path: s3://b/x, chache: false, etag: q}]\n")
    told = [found["text"] for found in json.loads(ever("doctor", "--json").stdout) if found["name"] == "records"]
    assert told[1:] == [
        "kept, not understood: data.dvc: x-new",
        "kept, not understood: data.dvc: outz (do you mean outs?)",
        "kept, not understood: data.dvc: x-owner",
        "kept, not understood: far.dvc: chache (do you mean cache?)",
        "kept, not understood: far.dvc: s3://b/x (outside of the workspace)",
    ]


def test_move(project: Path) -> None:
    before = (project / "data.dvc").read_text()
    ever("move", "data", "raw")
    assert (project / "raw.dvc").read_text() == before.replace("path: data  #", "path: raw   #")


def test_update_of_an_import(project: Path, tmp_path: Path) -> None:
    source = tmp_path / "rows.csv"
    source.write_text("a\n")
    ever("import-url", str(source), "rows.csv")
    plain = (project / "rows.csv.dvc").read_text()
    rich = (
        "# from the field\n" + plain.replace("outs:\n", "outs:  # here\n") + "  desc: rows\n  x-owner: ada\nx-new: 1\n"
    )
    (project / "rows.csv.dvc").write_text(rich)
    source.write_text("a\nb\n")
    ever("update", "rows.csv")
    kept = [line for line in (project / "rows.csv.dvc").read_text().splitlines() if "md5" not in line]
    assert kept == [line.replace("size: 2", "size: 4") for line in rich.splitlines() if "md5" not in line]
