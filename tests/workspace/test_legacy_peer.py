"""Workspaces of DVC 2: read, checked out, moved over remotes, kept, and brought up to date, beside the real DVC."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from everloop.cli.group import cli
from everloop.errors import ConflictError
from everloop.pipelines import status
from everloop.workspace import Change, Workspace
from everloop.workspace.gc import Scope
from everloop.workspace.yamlfile import load_plain
from tests.workspace.dvcpeer import as_dvc_2, commit, dvc, dvc_json, needs_dvc, run, write

pytestmark = needs_dvc

FILES: dict[str, str | None] = {
    "data/unix.csv": "a\nb\n",
    "data/sub/windows.csv": "c\r\nd\r\n",
    "one.txt": "one\r\n",
    "code.py": "print(1)\n",
    "dvc.yaml": "stages:\n  copy:\n    cmd: cp one.txt two.txt\n    deps: [one.txt, code.py]\n    outs: [two.txt]\n",
}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace that DVC 2 made: a directory, a file, a stage; with a remote that has everything."""
    folder = tmp_path_factory.mktemp("legacy") / "project"
    folder.mkdir()
    run(folder, "git", "init", "--quiet")
    dvc(folder, "init", "--quiet")
    dvc(folder, "remote", "add", "-d", "far", "../remote")
    write(folder, FILES)
    dvc(folder, "add", "data", "one.txt")
    dvc(folder, "repro")
    as_dvc_2(folder)
    dvc(folder, "push")
    commit(folder, "As DVC 2 has it")
    assert "hash" not in (folder / "data.dvc").read_text() + (folder / "dvc.lock").read_text()
    return folder


@pytest.fixture
def project(made: Path, tmp_path: Path) -> Workspace:
    shutil.copytree(made.parent / "remote", tmp_path / "remote")
    shutil.copytree(made, tmp_path / "project", symlinks=True)
    return Workspace.open(tmp_path / "project")


@pytest.fixture
def clone(project: Workspace) -> Workspace:
    root = project.root.parent / "clone"
    run(project.root, "git", "clone", "--quiet", str(project.root), str(root))
    return Workspace.open(root)


def files(workspace: Workspace) -> dict[str, bytes]:
    names = ("data/unix.csv", "data/sub/windows.csv", "one.txt", "two.txt")
    return {name: (workspace.root / name).read_bytes() for name in names if (workspace.root / name).exists()}


def ever(workspace: Workspace, *words: str) -> Result:
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(workspace.root)
        return CliRunner().invoke(cli, list(words))


def objects(folder: Path) -> set[str]:
    found = (path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    return {path for path in found if not path.startswith("runs/")}


def hashes(listed: list[dict[str, Any]]) -> dict[str, str | None]:
    return {entry["path"]: entry["md5"] for entry in listed}


def test_nothing_differs_from_the_records(project: Workspace) -> None:
    assert status(project) == {}
    assert project.diff() == {}
    assert project.verify().corrupt == ()
    assert project.verify().missing == {}
    assert ever(project, "repro", "--json").exit_code == 0
    assert run(project.root, "git", "status", "--porcelain") == ""


def test_change_is_seen_and_put_back(project: Workspace) -> None:
    before = files(project)
    write(project.root, {"data/unix.csv": "other\n", "data/new.csv": "new\n", "one.txt": None})
    assert project.status() == {
        "data.dvc": {"data": Change.MODIFIED},
        "one.txt.dvc": {"one.txt": Change.DELETED},
    }
    assert project.diff() == dvc_json(project.root, "diff", "--show-hash")
    with pytest.raises(ConflictError):
        project.checkout()
    project.checkout(force=True)
    assert project.status() == {}
    assert dvc_json(project.root, "status") == {}
    assert files(project) == before
    project.undo()
    assert (project.root / "data/unix.csv").read_text() == "other\n"
    assert not (project.root / "one.txt").exists()


def test_ends_of_lines_do_not_count_and_undo_brings_them_back(project: Workspace) -> None:
    write(project.root, {"data/unix.csv": "a\r\nb\r\n"})
    assert project.status() == {}
    write(project.root, {"data/sub/windows.csv": "gone\n"})
    project.checkout(force=True)
    assert (project.root / "data/unix.csv").read_bytes() == b"a\r\nb\r\n"
    project.undo()
    assert (project.root / "data/sub/windows.csv").read_bytes() == b"gone\n"


def test_clone_pulls_what_dvc_pushed(project: Workspace, clone: Workspace) -> None:
    pulled = clone.transfers.pull()
    assert pulled.fetched.failed == ()
    assert files(clone) == files(project)
    assert objects(clone.cache.root) == objects(project.cache.root)
    assert dvc_json(clone.root, "status") == {}
    assert clone.transfers.status() == {}


def test_dvc_pulls_what_was_pushed(project: Workspace, clone: Workspace) -> None:
    remote = project.root.parent / "remote"
    before = objects(remote)
    shutil.rmtree(remote)
    assert project.transfers.push().failed == ()
    assert objects(remote) == before
    dvc(clone.root, "pull")
    assert files(clone) == files(project)
    assert project.verify(cloud=True).n_objects == len(before)


def test_damaged_object_is_found_and_healed(project: Workspace) -> None:
    damaged = next(project.cache.root.glob("??/*[!r]"))
    damaged.chmod(0o644)
    damaged.write_text("other")
    report = project.verify(fetch=True)
    assert [item.is_healed for item in report.corrupt] == [True]
    assert project.verify().corrupt == ()


def test_only_what_changed_becomes_new(project: Workspace) -> None:
    record = (project.root / "data.dvc").read_text()
    write(project.root, {"one.txt": "another\n"})
    report = project.add(["data", "one.txt"])
    assert [file.path for file in report.added] == ["one.txt.dvc"]
    assert (project.root / "data.dvc").read_text() == record
    assert "hash: md5" in (project.root / "one.txt.dvc").read_text()
    assert dvc_json(project.root, "status", "data.dvc", "one.txt.dvc") == {}
    assert ever(project, "repro").exit_code == 0
    assert dvc_json(project.root, "status") == {}
    project.transfers.push()
    assert dvc_json(project.root, "status", "--cloud") == {}


def test_commit_leaves_what_did_not_change(project: Workspace) -> None:
    assert ever(project, "commit").exit_code == 0
    assert run(project.root, "git", "status", "--porcelain") == ""
    assert not (project.cache.root / "files").exists()
    shutil.rmtree(project.cache.root)
    assert ever(project, "commit", "--force").exit_code == 0
    assert project.status() == {}
    assert status(project) == {}
    assert dvc_json(project.root, "status") == {}


def test_part_of_a_directory_is_added(project: Workspace) -> None:
    write(project.root, {"data/unix.csv": "new\n"})
    project.add(["data/unix.csv"])
    assert project.status() == {}
    assert dvc_json(project.root, "status", "data.dvc") == {}


def test_collection_keeps_what_is_needed(project: Workspace) -> None:
    before = objects(project.cache.root)
    write(project.root, {"data/unix.csv": "new\n"})
    project.add(["data"])
    removed = project.gc(Scope(workspace=True)).removed
    assert len(removed) == 3
    assert status(project) == {}
    project.undo()
    assert before <= objects(project.cache.root)
    commit(project.root)
    assert project.gc(Scope(all_commits=True)).removed == ()


def test_older_revision_of_dvc_2_is_checked_out(project: Workspace) -> None:
    old = files(project)
    dvc(project.root, "cache", "migrate", "--dvc-files")
    write(project.root, {"data/unix.csv": "new\n"})
    project.add(["data"])
    commit(project.root, "New")
    project.checkout(rev="HEAD~1")
    assert files(project)["data/unix.csv"] == old["data/unix.csv"]
    project.checkout()
    assert (project.root / "data/unix.csv").read_text() == "new\n"


def test_other_repository_gives_its_data(project: Workspace, tmp_path: Path, workspace_elsewhere: Workspace) -> None:
    shown = json.loads(ever(project, "list", str(project.root), "data", "--json").stdout)
    assert hashes(shown) == hashes(dvc_json(project.root, "list", ".", "data"))
    shutil.rmtree(project.cache.root)
    got = ever(project, "get", str(project.root), "data", "--rev", "HEAD", "-o", str(tmp_path / "got"))
    assert got.exit_code == 0
    assert (tmp_path / "got/sub/windows.csv").read_bytes() == b"c\r\nd\r\n"
    workspace_elsewhere.imports.repository(str(project.root), "data", "taken")
    assert "hash: md5" in (workspace_elsewhere.root / "taken.dvc").read_text()
    assert dvc_json(workspace_elsewhere.root, "status", "taken.dvc") == {}


@pytest.fixture
def workspace_elsewhere(tmp_path: Path) -> Workspace:
    return Workspace.init(tmp_path / "elsewhere")


def test_migration_is_that_of_dvc(project: Workspace, made: Path, tmp_path: Path) -> None:
    peer = tmp_path / "peer"
    shutil.copytree(made, peer, symlinks=True)
    dvc(peer, "cache", "migrate", "--dvc-files")
    before = objects(project.cache.root)
    told = json.loads(ever(project, "cache", "migrate", "--dvc-files", "--dry", "--json").stdout)
    assert len(told["objects"]) == len(before)
    assert objects(project.cache.root) == before
    done = json.loads(ever(project, "cache", "migrate", "--dvc-files", "--json").stdout)
    assert done["skipped"] == {}
    assert done["records"] == told["records"] == ["data.dvc", "one.txt.dvc", "dvc.lock"]
    for name in ("data.dvc", "one.txt.dvc", "dvc.lock"):
        assert load_plain(project.root / name) == load_plain(peer / name)
    assert before < objects(project.cache.root)
    assert status(project) == {}
    assert dvc_json(project.root, "status") == {}
    assert json.loads(ever(project, "cache", "migrate", "--json").stdout)["skipped"] == {}


def test_migration_needs_no_data_in_the_workspace(project: Workspace, clone: Workspace) -> None:
    clone.transfers.fetch()
    assert clone.migrate(records=True).skipped == {}
    clone.checkout()
    assert clone.status() == {}
    assert dvc_json(clone.root, "status", "data.dvc", "one.txt.dvc") == {}


def test_migration_tells_what_it_leaves(project: Workspace) -> None:
    write(project.root, {"data/unix.csv": "mine\n"})
    done = ever(project, "cache", "migrate", "--dvc-files", "--json")
    assert done.exit_code == 1
    assert list(json.loads(done.stdout)["skipped"]) == ["data.dvc"]
    assert "hash" not in (project.root / "data.dvc").read_text()
