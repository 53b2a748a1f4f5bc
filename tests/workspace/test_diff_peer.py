"""`diff` and `data status` say what the real DVC says of the same repository."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from everloop.cli.history import data, diff
from everloop.workspace import Workspace
from everloop.workspace.hashing import md5_of_file
from tests.workspace.dvcpeer import commit, dvc, dvc_json, needs_dvc, write

pytestmark = needs_dvc

PIPELINE = """\
stages:
  make:
    cmd: cp one made && cp one plain && mkdir -p models && cp two models/m
    deps: [one, two]
    outs: [made, models, {plain: {cache: false}}]
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two commits; made once, because the tool takes a second for each command."""
    folder = tmp_path_factory.mktemp("peer") / "repository"
    Workspace.init(folder)
    write(
        folder, {"d/ü b": "1", "d/sub/x\ny": "2", "d/sub/z": "3", "d/B": "4", "one": "one", "two": "two", "same": "s"}
    )
    write(folder, {"dvc.yaml": PIPELINE, "nest/deep/f": "f"})
    dvc(folder, "add", "-q", "d", "one", "two", "same", "nest/deep")
    dvc(folder, "repro", "-q")
    commit(folder)
    write(folder, {"d/ü b": "changed", "d/sub/z": None, "d/new": "n", "d/moved": "4", "d/B": None, "one": "one more"})
    dvc(folder, "add", "-q", "d", "one")
    dvc(folder, "repro", "-q")
    commit(folder)
    return folder


@pytest.fixture
def repository(made: Path, tmp_path: Path) -> Path:
    return shutil.copytree(made, tmp_path / "repository", symlinks=True)


def ever(folder: Path, command: Any, *words: str) -> Any:
    here = Path.cwd()
    os.chdir(folder)
    try:
        done = CliRunner().invoke(command, [*words, "--json"], catch_exceptions=False)
    finally:
        os.chdir(here)
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


def order_free(report: Any) -> Any:
    """DVC lists what `data status` finds in no order."""
    if isinstance(report, dict):
        return {key: order_free(value) for key, value in report.items()}
    return sorted(map(order_free, report), key=str) if isinstance(report, list) else report


def nothing(folder: Path) -> None:
    pass


def files_changed(folder: Path) -> None:
    write(folder, {"d/new": "other", "d/sub/x\ny": None, "d/added": "a", "d/moved": None, "d/moved again": "4"})
    write(folder, {"two": None, "made": "by hand", "plain": "by hand"})


def directory_gone(folder: Path) -> None:
    shutil.rmtree(folder / "d")
    (folder / "models/m").unlink()


def file_became_directory(folder: Path) -> None:
    (folder / "one").unlink()
    write(folder, {"one/inner": "i"})
    shutil.rmtree(folder / "d")
    write(folder, {"d": "file"})


def recorded_not_committed(folder: Path) -> None:
    write(folder, {"d/later": "l", "brand new": "b", "stray": "s"})
    dvc(folder, "add", "-q", "d", "brand new")
    (folder / "same").rename(folder / "other name")
    dvc(folder, "add", "-q", "other name")
    (folder / "same.dvc").unlink()


def objects_missing(folder: Path) -> None:
    for path in (folder / ".dvc/cache/files/md5").rglob("*"):
        if path.is_file() and not path.name.endswith(".dir"):
            path.unlink()


def directory_object_missing(folder: Path) -> None:
    for path in (folder / ".dvc/cache/files/md5").rglob("*.dir"):
        path.unlink()
    write(folder, {"d/new": "other"})


def everything_gone(folder: Path) -> None:
    shutil.rmtree(folder / ".dvc/cache")
    shutil.rmtree(folder / "d")
    (folder / "one").unlink()


SCENES = [
    nothing,
    files_changed,
    directory_gone,
    file_became_directory,
    recorded_not_committed,
    objects_missing,
    directory_object_missing,
    everything_gone,
]


@pytest.mark.parametrize("scene", SCENES)
def test_diff_of_the_workspace(repository: Path, scene: Callable[[Path], None]) -> None:
    scene(repository)
    assert ever(repository, diff, "--show-hash") == dvc_json(repository, "diff", "--show-hash")


@pytest.mark.parametrize(
    "words",
    [
        ("HEAD~1", "HEAD"),
        ("HEAD", "HEAD~1", "--show-hash"),
        ("HEAD~1", "--hide-missing"),
        ("HEAD~1", "--targets", "d/sub", "one"),
        ("HEAD~1", "HEAD", "--targets", "d.dvc"),
    ],
    ids=" ".join,
)
def test_diff_of_revisions(repository: Path, words: tuple[str, ...]) -> None:
    assert ever(repository, diff, *words) == dvc_json(repository, "diff", *words)


@pytest.mark.parametrize("scene", SCENES)
def test_data_status(repository: Path, scene: Callable[[Path], None]) -> None:
    scene(repository)
    words = ("--granular", "--unchanged", "--untracked-files")
    theirs = order_free(dvc_json(repository, "data", "status", *words))
    assert order_free(ever(repository, data, "status", *words)) == theirs


@pytest.mark.parametrize("scene", [files_changed, recorded_not_committed])
def test_data_status_without_a_look_into_directories(repository: Path, scene: Callable[[Path], None]) -> None:
    scene(repository)
    theirs = order_free(dvc_json(repository, "data", "status", "--unchanged"))
    assert order_free(ever(repository, data, "status", "--unchanged")) == theirs


def test_data_status_of_targets(repository: Path) -> None:
    files_changed(repository)
    words = ("--granular", "d/sub", "made", "one")
    theirs = order_free(dvc_json(repository, "data", "status", *words))
    assert order_free(ever(repository, data, "status", *words)) == theirs


def test_data_status_beside_a_remote(repository: Path, tmp_path: Path) -> None:
    dvc(repository, "remote", "add", "-q", "-d", "store", str(tmp_path / "store"))
    dvc(repository, "push", "-q", "d", "one")
    for path in ("one", "d/new"):
        object_of = Workspace.open(repository).cache.path(md5_of_file(repository / path))
        (tmp_path / "store" / object_of.relative_to(repository / ".dvc/cache")).unlink()
    for words in ((), ("--granular",)):
        theirs = order_free(dvc_json(repository, "data", "status", "--not-in-remote", *words))
        assert order_free(ever(repository, data, "status", "--not-in-remote", *words)) == theirs


def test_nothing_is_committed_yet(tmp_path: Path) -> None:
    folder = Workspace.init(tmp_path / "repository").root
    write(folder, {"a": "1", "d/b": "2"})
    dvc(folder, "add", "-q", "a", "d")
    assert ever(folder, diff) == dvc_json(folder, "diff") == {}
    assert order_free(ever(folder, data, "status")) == order_free(dvc_json(folder, "data", "status"))
