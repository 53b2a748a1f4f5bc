"""One remote and one configuration in the hands of Everloop and of the real DVC, in both directions."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from pathlib import Path

import pytest

from everloop.workspace import Workspace, remotes
from everloop.workspace.configuration import Configuration, Level
from tests.fileservers import file_server
from tests.s3 import S3Server
from tests.workspace.dvcpeer import called

pytestmark = pytest.mark.peer
FILES = {"data/a": "1", "data/sub/ü b": "2", "data/sub/c": "3", "one.txt": "4"}


def dvc(folder: Path, *words: str) -> str:
    (Path(os.environ["DVC_GLOBAL_CONFIG_DIR"]) / "config").write_text(
        "[core]\n    analytics = false\n    check_update = false\n"
    )
    done = called(folder, *words)
    assert done.returncode == 0, done.stderr + done.stdout
    return done.stdout


@pytest.fixture
def project(workspace: Workspace) -> Workspace:
    for path, text in FILES.items():
        target = workspace.root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
    workspace.add(["data", "one.txt"])
    return workspace


def configuration(workspace: Workspace) -> Configuration:
    return Configuration(workspace.layout.dvc_dir)


def copy_of(workspace: Workspace, name: str) -> Workspace:
    """The project on another machine: no data, no cache."""
    root = workspace.root.parent / name
    shutil.copytree(workspace.root, root, ignore=shutil.ignore_patterns("cache", "data", "one.txt", "tmp"))
    return Workspace.open(root)


def contents(root: Path) -> dict[str, str]:
    files = [*(root / "data").rglob("*"), root / "one.txt"]
    return {str(path.relative_to(root)): path.read_text() for path in files if path.is_file()}


def both_ways(project: Workspace) -> None:
    """What one pushed the other pulls, and both agree that nothing is left to do."""
    assert len(project.transfers.push().done) == 5
    assert "Everything is up to date" in dvc(project.root, "push")
    theirs = copy_of(project, "theirs")
    dvc(theirs.root, "pull")
    assert contents(theirs.root) == FILES
    (theirs.root / "data/new").write_text("5")
    dvc(theirs.root, "add", "-q", "data")
    assert theirs.transfers.status() == {"data": "new", "data/new": "new"}
    dvc(theirs.root, "push")
    assert theirs.transfers.push(recheck=True).done == {}
    ours = copy_of(theirs, "ours")
    assert ours.transfers.pull().fetched.failed == ()
    assert contents(ours.root) == {**FILES, "data/new": "5"}
    assert json.loads(dvc(ours.root, "status", "-c", "--json")) == {}


def test_a_folder_as_a_remote(project: Workspace, tmp_path: Path) -> None:
    remotes.add(configuration(project), "shared", "../shared", default=True, folder=project.root)
    both_ways(project)
    modes = {path.stat().st_mode & 0o777 for path in (tmp_path / "shared/files/md5").glob("*/*")}
    assert modes == {0o444}


def test_s3_as_a_remote(project: Workspace, s3: S3Server) -> None:
    remotes.add(configuration(project), "shared", s3.make_bucket("shared") + "/some/folder", default=True)
    for option, value in s3.options.items():
        level = Level.LOCAL if "key" in option else None
        remotes.modify(configuration(project), "shared", option, value, level=level)
    both_ways(project)


@pytest.mark.parametrize("kind", ["ssh", "webdav"])
def test_a_file_server_as_a_remote(project: Workspace, tmp_path: Path, kind: str) -> None:
    with file_server(kind, tmp_path / "shown") as server:
        remotes.add(configuration(project), "shared", f"{server.url}/some/folder", default=True)
        for option, value in server.options.items():
            level = Level.LOCAL if option == "password" else None
            remotes.modify(configuration(project), "shared", option, value, level=level)
        both_ways(project)
        folder = tmp_path / "shown/some/folder"
        md5s = {path.parent.name + path.name: path for path in folder.glob("files/md5/*/*")}
        assert {md5: hashlib.md5(path.read_bytes()).hexdigest() for md5, path in md5s.items()} == {
            md5: md5.removesuffix(".dir") for md5 in md5s
        }
        assert list((folder / ".everloop-incoming").iterdir()) == []


def test_a_part_that_dvc_pulled_is_known(project: Workspace, tmp_path: Path) -> None:
    remotes.add(configuration(project), "shared", str(tmp_path / "shared"), default=True)
    project.transfers.push()
    theirs = copy_of(project, "theirs")
    dvc(theirs.root, "pull", "data/sub/c")
    assert contents(theirs.root) == {"data/sub/c": "3"}
    assert set(theirs.transfers.status(["data"]).values()) == {"deleted"}
    theirs.transfers.pull(["data/a"])
    assert contents(theirs.root) == {"data/sub/c": "3", "data/a": "1"}
    dvc(theirs.root, "pull")
    assert contents(theirs.root) == FILES


def test_the_words_of_the_cloud_status_are_the_same(project: Workspace, tmp_path: Path) -> None:
    remotes.add(configuration(project), "shared", str(tmp_path / "shared"), default=True)
    assert project.transfers.status() == json.loads(dvc(project.root, "status", "-c", "--json"))
    project.transfers.push(["data"])
    shutil.move(project.cache.path("eccbc87e4b5ce2fe28308fd9f2a7baf3"), tmp_path)
    assert project.transfers.status() == {"one.txt": "new", "data/sub/c": "deleted"}
    assert json.loads(dvc(project.root, "status", "-c", "--json")) == {"one.txt": "new", "data/sub/c": "deleted"}


def test_dvc_reads_the_configuration_that_we_wrote(workspace: Workspace) -> None:
    ours = configuration(workspace)
    workspace.layout.dvc_dir.joinpath("config").write_text("# note\n[core]\n    autostage = true  # yes\n")
    remotes.add(ours, "With Blank", "../far away", default=True, folder=workspace.root)
    remotes.add(ours, "web", "https://host/x")
    ours.set("cache.type", "hardlink,copy")
    for number, value in enumerate(['it"s', "it's", "a,b", "a#b", " x ", "'\"", "ü=1"]):
        ours.set(f"remote.web{number}.url", "https://host/x")
        ours.set(f"remote.web{number}.password", value, Level.LOCAL)
    listed = dvc(workspace.root, "config", "--list", "--show-origin").splitlines()
    expected = [
        f"{os.path.relpath(setting.file, workspace.root)}\t{setting.name}={setting.value}"
        for setting in ours.settings()
        if setting.level in (Level.PROJECT, Level.LOCAL)
    ]
    assert sorted(line for line in listed if line.startswith(".dvc")) == sorted(expected)
    assert "with blank" in dvc(workspace.root, "remote", "default")


def test_we_read_the_configuration_that_dvc_wrote_and_change_it_without_loss(workspace: Workspace) -> None:
    dvc(workspace.root, "remote", "add", "-d", "shared", "../far away, really")
    dvc(workspace.root, "remote", "add", "web", "https://host/x")
    dvc(workspace.root, "remote", "modify", "--local", "web", "password", "a\"b,c#d'")
    dvc(workspace.root, "config", "cache.type", "reflink, copy")
    ours = configuration(workspace)
    assert remotes.find(ours).url == str(workspace.root.parent / "far away, really")
    assert remotes.find(ours, "web").options["password"] == "a\"b,c#d'"
    assert workspace.cache.link_types == ("reflink", "copy")
    before = (workspace.layout.dvc_dir / "config").read_text()
    ours.set("core.autostage", "true")
    ours.unset("core.autostage")
    assert (workspace.layout.dvc_dir / "config").read_text() == before
    remotes.rename(ours, "shared", "other")
    assert dvc(workspace.root, "remote", "default") == "other\n"
    remotes.remove(ours, "other")
    assert "other" not in dvc(workspace.root, "remote", "list")
