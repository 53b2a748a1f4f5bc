"""Artifacts brought by Everloop and by the real DVC out of the same repository: the same bytes."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner

from everloop.cli.group import cli
from tests.peerdvc import call_dvc, dvc, needs_dvc

pytestmark = [pytest.mark.peer, needs_dvc]


def git(folder: Path, *words: str) -> None:
    who = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
    subprocess.run(["git", *who, *words], cwd=folder, check=True, capture_output=True)


@pytest.fixture
def registry(tmp_path: Path) -> Path:
    """A repository with three versions of a model, and one of a folder's."""
    folder = tmp_path / "registry"
    (folder / "sub").mkdir(parents=True)
    git(folder, "init", "-q")
    dvc(folder, "init", "-q")
    (folder / "dvc.yaml").write_text("artifacts:\n  model: {path: models/m.bin, type: model}\n")
    (folder / "sub/dvc.yaml").write_text("artifacts:\n  inner: {path: files}\n")
    (folder / "models").mkdir()
    (folder / "sub/files/deep").mkdir(parents=True)
    for version in ("v1.2.0", "v1.10.0", "v2.0.0-rc.1"):
        (folder / "models/m.bin").write_text(version)
        (folder / "sub/files/deep/f").write_text(version)
        dvc(folder, "add", "-q", "models/m.bin", "sub/files")
        git(folder, "add", "-A")
        git(folder, "commit", "-qm", version)
        git(folder, "tag", "-a", f"model@{version}", "-m", "registered")
    git(folder, "tag", "-a", "model#prod#1", "-m", "assigned", "model@v1.10.0^{commit}")
    git(folder, "tag", "-a", "model#prod#2", "-m", "assigned", "model@v1.2.0^{commit}")
    git(folder, "tag", "-a", "sub=inner@v0.1.0", "-m", "registered", "model@v1.10.0^{commit}")
    git(folder, "tag", "model@v9.0.0")
    return folder


@pytest.mark.parametrize(
    ("name", "words", "file", "text"),
    [
        ("model", [], "", "v2.0.0-rc.1"),
        ("model", ["--rev", "v1.10.0"], "", "v1.10.0"),
        ("model", ["--stage", "prod"], "", "v1.2.0"),
        ("sub:inner", [], "deep/f", "v1.10.0"),
        ("sub/dvc.yaml:inner", [], "deep/f", "v1.10.0"),
    ],
)
def test_both_bring_the_same(registry: Path, name: str, words: list[str], file: str, text: str) -> None:
    ours, theirs = registry.parent / "ours", registry.parent / "theirs"
    done = CliRunner().invoke(
        cli, ["artifacts", "get", str(registry), name, *words, "-o", str(ours)], catch_exceptions=False
    )
    assert done.exit_code == 0, done.output
    dvc(registry.parent, "artifacts", "get", str(registry), name, *words, "-o", str(theirs))
    assert (ours / file).read_text() == (theirs / file).read_text() == text


def test_what_is_not_registered_is_refused_by_both(registry: Path) -> None:
    for name, words in (("model", ["--rev", "v9.0.0"]), ("other", []), ("model", ["--stage", "dev"])):
        call = ["artifacts", "get", str(registry), name, *words, "-o", "x"]
        refused = CliRunner().invoke(cli, call)
        assert refused.exit_code == 1
        assert call_dvc(registry.parent, *call).returncode != 0


def test_an_address_and_a_list(registry: Path) -> None:
    where = CliRunner().invoke(cli, ["artifacts", "get", str(registry), "model", "--show-url"]).stdout.strip()
    assert Path(where.removeprefix("file://")).read_text() == "v2.0.0-rc.1"
    listed = json.loads(CliRunner().invoke(cli, ["artifacts", "list", str(registry), "--json"]).stdout)
    assert {(tag["artifact"], tag["version"] or tag["stage"]) for tag in listed} == {
        ("model", "v1.2.0"),
        ("model", "v1.10.0"),
        ("model", "v2.0.0-rc.1"),
        ("model", "prod"),
        ("sub:inner", "v0.1.0"),
    }
