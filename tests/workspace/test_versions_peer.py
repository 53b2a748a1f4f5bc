"""Data that the real DVC has pushed to a cloud-versioned remote (S3, started here): read, never pushed."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from everloop.errors import InvalidError
from everloop.pipelines import status
from everloop.workspace import Change, Workspace, remotes
from everloop.workspace.configuration import Configuration
from everloop.workspace.gc import Scope
from everloop.workspace.get import get
from everloop.workspace.source import open_source
from tests.s3 import S3Server
from tests.workspace.dvcpeer import commit, dvc, dvc_json, needs_dvc, run, write

pytestmark = needs_dvc

FILES: dict[str, str | None] = {
    "d/a": "1",
    "d/sub/ü b": "2",
    "one.txt": "3",
    "dvc.yaml": "stages:\n  copy:\n    cmd: cp one.txt two.txt\n    deps: [one.txt]\n    outs: [two.txt]\n",
}


@pytest.fixture(scope="module")
def pushed(s3: S3Server, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace whose first commit the real DVC has pushed, and then a second one over it."""
    folder = tmp_path_factory.mktemp("versions") / "project"
    folder.mkdir()
    url = s3.make_bucket("versions")
    s3.keep_versions("versions")
    run(folder, "git", "init", "--quiet")
    dvc(folder, "init", "--quiet")
    dvc(folder, "remote", "add", "-d", "far", f"{url}/some/folder")
    for option, value in {**s3.options, "version_aware": "true"}.items():
        dvc(folder, "remote", "modify", "far", option, value)
    write(folder, FILES)
    dvc(folder, "add", "d", "one.txt")
    dvc(folder, "repro")
    dvc(folder, "push")
    commit(folder, "First")
    write(folder, {"d/a": "11", "one.txt": "33"})
    dvc(folder, "add", "d", "one.txt")
    dvc(folder, "repro")
    dvc(folder, "push")
    commit(folder, "Second")
    return folder


@pytest.fixture
def clone(pushed: Path, tmp_path: Path) -> Workspace:
    run(tmp_path, "git", "clone", "--quiet", str(pushed), str(tmp_path / "clone"))
    return Workspace.open(tmp_path / "clone")


def files(workspace: Workspace) -> dict[str, str]:
    names = ("d/a", "d/sub/ü b", "one.txt", "two.txt")
    return {name: (workspace.root / name).read_text() for name in names if (workspace.root / name).exists()}


def test_clone_pulls_the_versions_that_its_records_name(clone: Workspace) -> None:
    assert status(clone) != {}
    pulled = clone.transfers.pull()
    assert pulled.fetched.failed == ()
    assert files(clone) == {"d/a": "11", "d/sub/ü b": "2", "one.txt": "33", "two.txt": "33"}
    assert status(clone) == {}
    assert clone.diff() == {}
    assert dvc_json(clone.root, "status") == {}
    assert run(clone.root, "git", "status", "--porcelain") == ""
    assert clone.transfers.pull().fetched.done == {}
    assert clone.transfers.fetch(remote="far").done == {}


def test_older_versions_are_under_the_same_names(clone: Workspace) -> None:
    report = clone.transfers.fetch(revisions=clone.revisions(["HEAD~1"]))
    assert report.failed == ()
    clone.checkout(rev="HEAD~1")
    assert files(clone) == {"d/a": "1", "d/sub/ü b": "2", "one.txt": "3", "two.txt": "3"}
    assert clone.gc(Scope(all_commits=True)).removed == ()


def test_parts_come_one_by_one(clone: Workspace) -> None:
    assert list(clone.transfers.fetch(["d/sub"]).done.values()) == ["d/sub/ü b"]
    assert list(clone.transfers.fetch(["d/a"]).done.values()) == ["d/a"]
    assert clone.transfers.pull(["d"]).fetched.done == {}
    assert files(clone) == {"d/a": "11", "d/sub/ü b": "2"}


def test_push_is_refused_and_no_record_changes(clone: Workspace) -> None:
    clone.transfers.pull()
    # All of it is there already.
    assert clone.transfers.push().failed == ()
    write(clone.root, {"d/a": "new"})
    clone.add(["d"])
    record = (clone.root / "d.dvc").read_text()
    with pytest.raises(InvalidError, match="version_aware"):
        clone.transfers.push()
    assert (clone.root / "d.dvc").read_text() == record
    assert " files:" not in record
    assert dvc_json(clone.root, "status") == {}
    dvc(clone.root, "push")
    assert " files:" in (clone.root / "d.dvc").read_text()
    assert clone.status() == {}


def test_other_data_go_on_beside_them(clone: Workspace, tmp_path: Path) -> None:
    configuration = Configuration(clone.layout.dvc_dir)
    remotes.add(configuration, "near", str(tmp_path / "near"), default=True)
    write(clone.root, {"other": "4", "mine": "5"})
    clone.add(["other", "mine"])
    (clone.root / "mine.dvc").write_text((clone.root / "mine.dvc").read_text() + "  remote: far\n")
    for record in ("d.dvc", "one.txt.dvc"):
        (clone.root / record).write_text((clone.root / record).read_text() + "  remote: far\n")
    clone.transfers.fetch(["d"])
    assert list(clone.transfers.push(["other", "mine", "d"]).done.values()) == ["other"]
    (failure,) = clone.transfers.push(["other", "mine", "d"]).failed
    assert failure.path == "mine"
    assert "use dvc push" in failure.reason
    assert clone.transfers.status(["other", "d"]) == {}
    shutil.rmtree(clone.cache.root)
    assert sorted(clone.transfers.fetch(["d", "other"]).done.values()) == ["d/a", "d/sub/ü b", "other"]


def test_other_workspace_gets_them(pushed: Path, tmp_path: Path) -> None:
    bare = tmp_path / "bare.git"
    run(tmp_path, "git", "clone", "--quiet", "--bare", str(pushed), str(bare))
    with open_source(str(bare), run(bare, "git", "rev-parse", "HEAD~1").strip()) as source:
        assert get(source, "d", tmp_path / "got") == 2
        with source.open("one.txt") as stream:
            assert stream.read() == b"3"
    assert (tmp_path / "got/a").read_text() == "1"


def test_lost_version_is_told(clone: Workspace, s3: S3Server) -> None:
    record = clone.root / "one.txt.dvc"
    text = record.read_text()
    version = text.rpartition("version_id: ")[2].strip()
    record.write_text(text.replace(version, "00000000-0000-0000-0000-000000000000"))
    (failure,) = clone.transfers.fetch(["one.txt"]).failed
    assert "one.txt" in failure.path
    assert clone.status()["one.txt.dvc"] == {"one.txt": Change.DELETED}


def test_commit_of_what_did_not_change_leaves_the_versions(clone: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    from everloop.pipelines.commit import commit as commit_all

    clone.transfers.pull()
    commit_all(clone, confirm=lambda _: False)
    assert run(clone.root, "git", "status", "--porcelain") == ""
    with pytest.raises(InvalidError, match="cloud-versioned"):
        clone.move("d", "e")
