"""The words of `ever checkout`: targets, summary, relink; beside the real DVC where it has them."""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

from everloop.errors import FailedError, NotFoundError
from everloop.workspace import Workspace
from tests.workspace.dvcpeer import commit, dvc, needs_dvc, run, write

EVER = Path(sys.executable).parent / "ever"
PIPELINE = """\
stages:
  prepare:
    cmd: mkdir -p out && cp raw/x out/ready
    deps: [raw]
    outs: [out/ready]
  train:
    cmd: cp out/ready model
    deps: [out/ready]
    outs: [model]
"""


def ever(folder: Path, *words: str) -> str:
    return run(folder, str(EVER), *words)


def ever_json(folder: Path, *words: str) -> Any:
    return json.loads(ever(folder, *words, "--json"))


def there(folder: Path) -> set[str]:
    paths = ("raw/x", "raw/sub/y", "out/ready", "model", "far/a", "far/b")
    return {path for path in paths if (folder / path).exists()}


def clear(folder: Path) -> None:
    for path in ("raw", "out/ready", "model", "far/a", "far/b"):
        place = folder / path
        shutil.rmtree(place) if place.is_dir() else place.unlink(missing_ok=True)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("flags") / "project"
    folder.mkdir()
    ever(folder, "init")
    write(folder, {"raw/x": "x", "raw/sub/y": "y", "far/a": "a", "far/b": "b", "dvc.yaml": PIPELINE})
    ever(folder, "add", "raw", "far/a", "far/b")
    ever(folder, "repro")
    commit(folder)
    return folder


@pytest.fixture
def folder(made: Path, tmp_path: Path) -> Path:
    return shutil.copytree(made, tmp_path / "project", symlinks=True)


TARGETS = {
    "train": {"model"},
    "model": {"model"},
    "raw.dvc": {"raw/x", "raw/sub/y"},
    "raw/sub": {"raw/sub/y"},
    "raw/x": {"raw/x"},
    "dvc.yaml": {"out/ready", "model"},
    "-R far": {"far/a", "far/b"},
    "-d train": {"raw/x", "raw/sub/y", "out/ready", "model"},
    "-R .": {"raw/x", "raw/sub/y", "out/ready", "model", "far/a", "far/b"},
}


@pytest.mark.parametrize("words", TARGETS)
def test_targets_mean_what_they_say(folder: Path, words: str) -> None:
    clear(folder)
    ever(folder, "checkout", *words.split())
    assert there(folder) == TARGETS[words]


@needs_dvc
@pytest.mark.parametrize("words", TARGETS)
def test_targets_mean_the_same_to_dvc(folder: Path, words: str) -> None:
    clear(folder)
    dvc(folder, "checkout", "-q", *words.split())
    assert there(folder) == TARGETS[words]


def test_targets_are_meant_from_the_current_folder(folder: Path) -> None:
    clear(folder)
    ever(folder / "far", "checkout", "a")
    assert there(folder) == {"far/a"}


def test_folder_without_recursive_is_no_data(folder: Path) -> None:
    with pytest.raises(NotFoundError, match="far is not under version"):
        Workspace.open(folder).checkout(["far"])


def change(folder: Path) -> None:
    """Two files are missing, one is changed, one is new."""
    clear(folder)
    write(folder, {"raw/x": "changed", "raw/new": "new", "out/ready": "x", "model": "x", "far/a": "a"})
    ever(folder, "add", "--no-commit", "raw")
    ever(folder, "commit", "-f", "raw.dvc")
    run(folder, "git", "checkout", "-q", "raw.dvc")


@needs_dvc
def test_summary_counts_as_dvc_does(folder: Path, tmp_path: Path) -> None:
    change(folder)
    twin = shutil.copytree(folder, tmp_path / "twin", symlinks=True)
    said = ever(folder, "checkout", "--summary")
    assert said == dvc(twin, "checkout", "--summary") == "1 file modified, 2 files added and 1 file deleted\n"
    assert ever(folder, "checkout", "--summary") == "No changes.\n" == dvc(twin, "checkout", "--summary")


def test_counts_are_in_the_report(folder: Path) -> None:
    change(folder)
    report = ever_json(folder, "checkout")
    assert (report["n_added"], report["n_modified"], report["n_deleted"]) == (2, 1, 1)


def ways(folder: Path) -> dict[str, str]:
    """How each file shares its bytes."""
    found = {}
    for path in sorted(there(folder)):
        place = folder / path
        found[path] = "symlink" if place.is_symlink() else "hardlink" if place.stat().st_nlink > 1 else "copy"
    return found


@pytest.mark.parametrize("after", ["copy", "hardlink", "symlink"])
@pytest.mark.parametrize("before", ["copy", "hardlink", "symlink"])
def test_relink_follows_the_configuration(folder: Path, before: str, after: str) -> None:
    ever(folder, "config", "cache.type", before)
    ever(folder, "checkout", "--relink")
    assert set(ways(folder).values()) == {before}
    ever(folder, "config", "cache.type", after)
    assert ever_json(folder, "checkout")["relinked"] == []
    assert set(ways(folder).values()) == {before}
    report = ever_json(folder, "checkout", "--relink")
    assert set(ways(folder).values()) == {after}
    assert report["restored"] == []
    assert (report["relinked"] == []) == (before == after)
    assert ever_json(folder, "status") == {}
    assert (folder / "raw/x").read_text() == "x"
    assert bool((folder / "raw/x").stat().st_mode & 0o200) == (after == "copy")
    assert ever_json(folder, "checkout", "--relink")["relinked"] == []


@needs_dvc
@pytest.mark.parametrize("way", ["hardlink", "symlink", "copy"])
def test_each_relinks_what_the_other_has_linked(folder: Path, way: str) -> None:
    other = "copy" if way != "copy" else "symlink"
    ever(folder, "config", "cache.type", other)
    ever(folder, "checkout", "--relink")
    ever(folder, "config", "cache.type", way)
    dvc(folder, "checkout", "-q", "--relink")
    assert set(ways(folder).values()) == {way}
    assert ever_json(folder, "checkout", "--relink")["relinked"] == []
    assert json.loads(dvc(folder, "status", "--json")) == {}


def test_relink_takes_only_the_targets(folder: Path) -> None:
    ever(folder, "config", "cache.type", "symlink")
    assert ever_json(folder, "checkout", "--relink", "raw/sub", "far/a")["relinked"] == ["raw/sub/y", "far/a"]
    assert [path for path, way in ways(folder).items() if way == "symlink"] == ["far/a", "raw/sub/y"]
    assert ever_json(folder, "status") == {}


def test_relink_keeps_bits_and_links(folder: Path) -> None:
    ever(folder, "config", "cache.type", "hardlink")
    (folder / "raw/x").chmod(0o755)
    (folder / "raw/l").symlink_to("x")
    ever(folder, "add", "raw")
    for way in ("symlink", "hardlink", "copy"):
        ever(folder, "config", "cache.type", way)
        ever(folder, "checkout", "--relink")
        assert os.access(folder / "raw/x", os.X_OK)
        assert (folder / "raw/l").readlink() == Path("x")
        assert not (folder / "raw/x").is_symlink()
        assert ways(folder)["raw/sub/y"] == way


def test_relink_does_not_give_a_good_file_for_a_damaged_object(folder: Path) -> None:
    workspace = Workspace.open(folder)
    ever(folder, "config", "cache.type", "symlink")
    damaged = workspace.cache.path(workspace.contents.files("far/a")[""])
    damaged.chmod(0o644)
    damaged.write_text("?")
    damaged.chmod(0o444)
    with pytest.raises(FailedError, match="damaged"):
        Workspace.open(folder).checkout(["far/a"], relink=True)
    assert (folder / "far/a").read_text() == "a"
    assert not (folder / "far/a").is_symlink()


def test_part_of_a_revision_comes_back_with_its_bit(folder: Path) -> None:
    (folder / "raw/x").chmod(0o755)
    ever(folder, "add", "raw")
    commit(folder)
    write(folder, {"raw/x": "new", "raw/sub/y": "new"})
    ever(folder, "add", "raw")
    ever(folder, "checkout", "--rev", "HEAD", "raw/x")
    assert (folder / "raw/x").read_text() == "x"
    assert os.access(folder / "raw/x", os.X_OK)
    assert (folder / "raw/sub/y").read_text() == "new"
