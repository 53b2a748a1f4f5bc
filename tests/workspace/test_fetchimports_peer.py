"""Imported data come from where they were imported, as with the real DVC; what does not come is named."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from everloop.cli.group import cli
from everloop.workspace import Workspace
from tests.workspace.dvcpeer import commit, dvc, needs_dvc, run, write

pytestmark = needs_dvc


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A registry whose data are in its remote, but not in its cache, and whose main branch went on."""
    folder = tmp_path_factory.mktemp("peer") / "registry"
    workspace = Workspace.init(folder)
    write(folder, {"d/a": "1", "d/sub/b": "2", "code/x": "6"})
    workspace.add(["d"])
    ever(folder, "remote", "add", "-d", "store", str(folder.parent / "store"))
    ever(folder, "push")
    commit(folder)
    run(folder, "git", "tag", "v1")
    write(folder, {"d/a": "changed", "code/x": "changed"})
    workspace.add(["d"])
    commit(folder)
    shutil.rmtree(folder / ".dvc/cache")
    return folder


@pytest.fixture
def registry(made: Path, tmp_path: Path) -> Path:
    shutil.copytree(made.parent / "store", tmp_path / "store")
    registry = shutil.copytree(made, tmp_path / "registry")
    ever(registry, "remote", "modify", "store", "url", str(tmp_path / "store"))
    commit(registry)
    return registry


@pytest.fixture
def root(registry: Path, tmp_path: Path) -> Path:
    """A workspace that has imported all kinds, and lost them."""
    root = Workspace.init(tmp_path / "project").root
    write(tmp_path / "plain", {"p/1": "one", "p/2": "two", "f": "three"})
    for words in (("d",), ("d/sub", "-o", "inner"), ("code",), ("d/a", "-o", "one")):
        ever(root, "import", "../registry", *words, "--rev", "v1")
    for name in ("p", "f"):
        ever(root, "import-url", f"../plain/{name}")
    commit(root)
    forget(root)
    return root


EVERYTHING = {
    "d/a": "1", "d/sub/b": "2", "inner/b": "2", "code/x": "6", "one": "1", "p/1": "one", "p/2": "two", "f": "three",
}  # fmt: skip


def forget(root: Path) -> None:
    shutil.rmtree(root / ".dvc/cache", ignore_errors=True)
    for name in ("d", "inner", "code", "one", "p", "f"):
        shutil.rmtree(root / name) if (root / name).is_dir() else (root / name).unlink(missing_ok=True)


def texts(root: Path) -> dict[str, str]:
    names = (str(path.relative_to(root)) for path in root.rglob("*") if path.is_file())
    return {name: (root / name).read_text() for name in names if name in EVERYTHING}


def ever(folder: Path, *words: str, code: int = 0) -> Result:
    here = Path.cwd()
    os.chdir(folder)
    try:
        done = CliRunner().invoke(cli, list(words))
    finally:
        os.chdir(here)
    assert done.exit_code == code, f"{words}: {done.output} {done.exception}"
    return done


def test_pull_brings_imports_from_their_sources(root: Path) -> None:
    ever(root, "pull")
    assert texts(root) == EVERYTHING
    assert Workspace.open(root).status() == {}
    assert not json.loads(ever(root, "pull", "--json").stdout)["fetched"]["done"]


def test_dvc_pulls_what_we_imported_and_both_push_the_same(root: Path, tmp_path: Path) -> None:
    ever(root, "pull")
    ever(root, "remote", "add", "-d", "own", str(tmp_path / "own"))
    pushed = json.loads(ever(root, "push", "--json").stdout)["done"]
    assert set(pushed.values()) == {"p", "p/1", "p/2", "f"}
    assert "Everything is up to date" in dvc(root, "push")
    assert json.loads(ever(root, "status", "--cloud", "--json").stdout) == {}
    forget(root)
    dvc(root, "pull", "-q")
    assert texts(root) == EVERYTHING


def test_a_part_of_an_import_comes_alone(root: Path) -> None:
    ever(root, "pull", "d/sub/b")
    assert texts(root) == {"d/sub/b": "2"}


@pytest.mark.parametrize("tool", ["ever", "dvc"])
def test_pull_brings_what_was_imported_without_its_data(root: Path, tool: str) -> None:
    words = ("import", "../registry", "--rev", "v1", "--no-download")
    for name in ("d", "code"):
        ever(root, *words, name, "-f")
    ever(root, "import-url", "-f", "--no-download", "../plain/p")
    before = {path: path.read_text() for path in root.glob("?*.dvc")}
    if tool == "ever":
        ever(root, "pull")
        assert texts(root) == EVERYTHING
    else:
        dvc(root, "pull", "-q", "d.dvc", "code.dvc")
        assert texts(root) == {name: EVERYTHING[name] for name in ("d/a", "d/sub/b", "code/x")}
    assert {path: path.read_text() for path in root.glob("?*.dvc")} == before


def test_what_the_source_lost_is_named_and_the_rest_comes(root: Path, tmp_path: Path) -> None:
    (tmp_path / "store/files/md5/c8/1e728d9d4c2f636f067f89cc14862c").unlink()
    write(tmp_path, {"plain/f": "changed"})
    done = ever(root, "pull", code=1)
    assert "failed: d/sub/b (c81e728d9d4c2f636f067f89cc14862c, remote ../registry)" in done.stderr
    assert "failed: f (35d6d33467aae9a2e3dccb4b6b027878, remote ../plain/f)" in done.stderr
    assert "has other bytes than f records" in done.stderr
    assert set(texts(root)) == {"code/x", "one", "p/1", "p/2"}
    shutil.rmtree(tmp_path / "registry")
    forget(root)
    done = ever(root, "pull", code=1)
    assert "failed: code" in done.stderr
    assert set(texts(root)) == {"p/1", "p/2"}
