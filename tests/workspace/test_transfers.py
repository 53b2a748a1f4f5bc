from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path

import pytest

from everloop.errors import InvalidError, NotFoundError
from everloop.workspace import Workspace, remotes
from everloop.workspace.configuration import Configuration
from everloop.workspace.parallel import Patience
from everloop.workspace.remote_store import RemoteStore
from everloop.workspace.transfers import Transfers
from tests.workspace.buckets import Flaky

NO_PAUSE = Patience(first_pause_s=0.0)


@pytest.fixture
def shared(workspace: Workspace, tmp_path: Path) -> Path:
    """The folder of the default remote of a workspace with a directory and a file."""
    remotes.add(Configuration(workspace.layout.dvc_dir), "shared", str(tmp_path / "shared"), default=True)
    for path, text in {"data/a": "1", "data/sub/b": "2", "data/sub/ü c": "3", "one.txt": "4"}.items():
        target = workspace.root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
        os.utime(target, ns=(10**18 + 1, 10**18 + 1))
    workspace.add(["data", "one.txt"])
    return tmp_path / "shared"


@pytest.fixture
def colleague(workspace: Workspace, shared: Path, tmp_path: Path) -> Workspace:
    """The same project on another machine: records and configuration, no data and no cache."""
    root = tmp_path / "colleague"
    shutil.copytree(workspace.root, root, ignore=shutil.ignore_patterns("cache", "data", "one.txt", "tmp", ".git"))
    return Workspace.open(root)


def patient(workspace: Workspace) -> Transfers:
    return Transfers(workspace, patience=NO_PAUSE)


def use_bucket(monkeypatch: pytest.MonkeyPatch, bucket: Flaky) -> None:
    """Every remote is this bucket now."""
    monkeypatch.setattr("everloop.storage.bucket.open_bucket", lambda *_: bucket)


def objects(root: Path) -> set[str]:
    return {path.parent.name + path.name for path in (root / "files/md5").glob("*/*")}


def check_objects(root: Path) -> None:
    for path in (root / "files/md5").glob("*/*"):
        name = path.parent.name + path.name
        assert hashlib.md5(path.read_bytes()).hexdigest() == name.removesuffix(".dir")
        assert path.stat().st_mode & 0o777 == 0o444


def contents(workspace: Workspace) -> dict[str, str]:
    files = [*(workspace.root / "data").rglob("*"), workspace.root / "one.txt"]
    return {str(path.relative_to(workspace.root)): path.read_text() for path in files if path.is_file()}


def test_push_brings_all_objects_in_dvc_layout(workspace: Workspace, shared: Path) -> None:
    report = patient(workspace).push()
    assert report.failed == ()
    assert sorted(report.done.values()) == ["data", "data/a", "data/sub/b", "data/sub/ü c", "one.txt"]
    assert objects(shared) == objects(workspace.cache.root)
    check_objects(shared)
    assert [path.name for path in shared.iterdir() if path.name != "files"] == [".everloop-incoming"]
    assert list((shared / ".everloop-incoming").iterdir()) == []


def test_push_again_moves_nothing(workspace: Workspace, shared: Path) -> None:
    patient(workspace).push()
    assert patient(workspace).push().done == {}
    assert patient(workspace).push(recheck=True).done == {}


def test_pull_puts_everything_in_place(workspace: Workspace, colleague: Workspace) -> None:
    patient(workspace).push()
    report = patient(colleague).pull()
    assert len(report.fetched.done) == 5
    assert set(report.checkout.restored) == {"data", "one.txt"}
    assert contents(colleague) == contents(workspace)
    check_objects(colleague.cache.root)
    again = patient(colleague).pull()
    assert (again.fetched.done, again.checkout.restored) == ({}, ())


def test_nothing_to_fetch_needs_no_remote(workspace: Workspace, shared: Path) -> None:
    remotes.remove(Configuration(workspace.layout.dvc_dir), "shared")
    assert patient(workspace).fetch().done == {}
    with pytest.raises(NotFoundError, match="ever remote add"):
        patient(workspace).push()


def test_an_object_deleted_behind_our_back_is_found_by_recheck(workspace: Workspace, shared: Path) -> None:
    patient(workspace).push()
    md5 = hashlib.md5(b"2").hexdigest()
    (shared / RemoteStore.key(md5)).unlink()
    assert patient(workspace).push(recheck=True).done == {md5: "data/sub/b"}


def test_a_listing_deleted_in_the_remote_makes_all_be_looked_at(workspace: Workspace, shared: Path) -> None:
    patient(workspace).push()
    (listing,) = (shared / "files/md5").glob("*/*.dir")
    listing.unlink()
    (shared / RemoteStore.key(hashlib.md5(b"2").hexdigest())).unlink()
    assert set(patient(workspace).push().done.values()) == {"data", "data/sub/b"}


def test_a_path_inside_of_a_directory_moves_alone(workspace: Workspace, colleague: Workspace, shared: Path) -> None:
    assert set(patient(workspace).push(["data/sub"]).done.values()) == {"data/sub/b", "data/sub/ü c"}
    assert not list((shared / "files/md5").glob("*/*.dir")), "a listing promises files that are not there"
    patient(workspace).push()
    report = patient(colleague).pull(["data/sub/b"])
    assert set(report.fetched.done.values()) == {"data/sub/b"}
    assert [path.name for path in (colleague.root / "data").rglob("*") if path.is_file()] == ["b"]
    with pytest.raises(NotFoundError, match="data/none is not under version"):
        patient(colleague).pull(["data/none"])


def test_targets_may_be_records_folders_and_patterns(workspace: Workspace, shared: Path) -> None:
    assert set(patient(workspace).push(["one.txt.dvc"]).done.values()) == {"one.txt"}
    assert len(patient(workspace).push(["dat?"], glob=True).done) == 4
    assert patient(workspace).push(["."], recursive=True).done == {}


def test_data_may_stay_or_have_a_remote_of_their_own(workspace: Workspace, shared: Path, tmp_path: Path) -> None:
    remotes.add(Configuration(workspace.layout.dvc_dir), "second", str(tmp_path / "second"))
    for path, line in {"data.dvc": "  push: false\n", "one.txt.dvc": "  remote: second\n"}.items():
        record = workspace.root / path
        record.write_text(record.read_text() + line)
    assert set(patient(workspace).push().done.values()) == {"one.txt"}
    assert not shared.exists()
    assert len(objects(tmp_path / "second")) == 1
    assert patient(workspace).push(remote="shared").done == {}


def test_what_is_never_pushed_and_not_here_is_no_failure(workspace: Workspace, colleague: Workspace) -> None:
    record = colleague.root / "data.dvc"
    record.write_text(record.read_text() + "  push: false\n")
    patient(workspace).push(["one.txt"])
    report = patient(colleague).pull()
    assert report.fetched.failed == ()
    assert report.checkout.restored == ("one.txt",)


def test_status_tells_who_has_what(workspace: Workspace, colleague: Workspace, shared: Path) -> None:
    assert patient(workspace).status() == dict.fromkeys(
        ("data", "data/a", "data/sub/b", "data/sub/ü c", "one.txt"), "new"
    )
    patient(workspace).push()
    assert patient(workspace).status() == {}
    assert set(patient(colleague).status().values()) == {"deleted"}
    shutil.rmtree(shared)
    assert patient(colleague).status(["one.txt"]) == {"one.txt": "missing"}


def test_data_of_other_branches_go_along(workspace: Workspace, colleague: Workspace) -> None:
    git = workspace.git
    git.ask("add", ".")
    git.ask("-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qm", "first")
    git.ask("branch", "old")
    (workspace.root / "one.txt").write_text("newer")
    workspace.add(["one.txt"])
    revisions = workspace.revisions(all_branches=True)
    assert patient(workspace).push(["one.txt"], revisions=revisions).done == {
        hashlib.md5(b"4").hexdigest(): "one.txt",
        hashlib.md5(b"newer").hexdigest(): "one.txt",
    }


@pytest.mark.parametrize("way", ["refuse", "cut", "lie"])
def test_every_third_request_fails_and_all_arrives(
    workspace: Workspace, colleague: Workspace, shared: Path, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    use_bucket(monkeypatch, Flaky(shared, every=3, way=way))
    patience = Patience(attempts=20, first_pause_s=0.0)
    assert Transfers(workspace, patience=patience).push(jobs=3).failed == ()
    report = Transfers(colleague, patience=patience).pull(jobs=3)
    assert report.fetched.failed == ()
    assert contents(colleague) == contents(workspace)
    check_objects(shared)
    check_objects(colleague.cache.root)


@pytest.mark.parametrize("way", ["refuse", "cut", "lie"])
def test_a_remote_that_never_works_is_told_and_nothing_is_accepted(
    workspace: Workspace, colleague: Workspace, shared: Path, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    patient(workspace).push()
    use_bucket(monkeypatch, Flaky(shared, every=1, way=way))
    report = patient(colleague).pull()
    assert {failure.path for failure in report.fetched.failed} == {"data", "one.txt"}
    assert report.checkout.restored == ()
    assert objects(colleague.cache.root) == set()
    assert list((colleague.cache.root / "everloop-incoming").iterdir()) == []


def test_a_damaged_object_of_a_remote_is_not_accepted_and_the_rest_is(
    workspace: Workspace, colleague: Workspace, shared: Path
) -> None:
    patient(workspace).push()
    md5 = hashlib.md5(b"2").hexdigest()
    damaged = shared / RemoteStore.key(md5)
    damaged.chmod(0o644)
    damaged.write_text("x")
    report = patient(colleague).pull()
    assert [(failure.path, failure.remote) for failure in report.fetched.failed] == [("data/sub/b", "shared")]
    assert "other bytes" in report.fetched.failed[0].reason
    assert report.checkout.restored == ("one.txt",)
    assert md5 not in objects(colleague.cache.root)
    damaged.unlink()
    patient(workspace).push(recheck=True)
    assert set(patient(colleague).pull().fetched.done.values()) == {"data/sub/b", "data"}
    assert contents(colleague) == contents(workspace)


def test_a_damaged_object_of_the_cache_is_not_pushed(workspace: Workspace, shared: Path) -> None:
    damaged = workspace.cache.path(hashlib.md5(b"2").hexdigest())
    damaged.chmod(0o644)
    damaged.write_text("x")
    report = patient(workspace).push()
    assert {failure.path for failure in report.failed} == {"data", "data/sub/b"}
    assert "damaged" in report.failed[0].reason
    assert not list((shared / "files/md5").glob("*/*.dir"))


def test_an_object_that_nobody_has_is_a_failure(workspace: Workspace, shared: Path) -> None:
    workspace.cache.path(hashlib.md5(b"2").hexdigest()).unlink()
    report = patient(workspace).push()
    assert {failure.path for failure in report.failed} == {"data", "data/sub/b"}
    assert len(report.done) == 3


def test_objects_that_only_the_remote_has_do_not_stop_a_push(workspace: Workspace, shared: Path) -> None:
    patient(workspace).push()
    workspace.cache.path(hashlib.md5(b"2").hexdigest()).unlink()
    (workspace.root / "data/new").write_text("new")
    shutil.rmtree(workspace.layout.scratch_dir / "remotes")
    assert patient(workspace).push().failed == ()


def test_a_remote_that_cannot_be_written_is_told(workspace: Workspace, shared: Path) -> None:
    shared.write_text("a file is in the way")
    report = patient(workspace).push()
    assert report.done == {}
    assert {failure.path for failure in report.failed} == {"data", "data/a", "data/sub/b", "data/sub/ü c", "one.txt"}
    assert "Not a directory" in report.failed[0].reason


def test_cloud_versioned_remotes_are_refused(workspace: Workspace, shared: Path) -> None:
    remotes.modify(Configuration(workspace.layout.dvc_dir), "shared", "version_aware", "true")
    with pytest.raises(InvalidError, match="version_aware"):
        patient(workspace).push()


def test_many_objects_are_found_by_a_listing(workspace: Workspace, shared: Path) -> None:
    for number in range(700):
        (workspace.root / f"data/{number}").write_text(f"file {number}")
    workspace.add(["data"])
    assert len(patient(workspace).push().done) == 705
    assert patient(workspace).push(recheck=True).done == {}
    assert patient(workspace).status() == {}


def test_what_was_seen_in_the_remote_is_told_without_asking(
    workspace: Workspace, shared: Path, colleague: Workspace
) -> None:
    def missing(of: Workspace, *, refresh: bool, granular: bool = False) -> list[str]:
        found = of.data_status(not_in_remote=True, remote_refresh=refresh, granular=granular)
        return found.not_in_remote

    patient(workspace).push()
    assert missing(workspace, refresh=False) == []
    assert missing(workspace, refresh=False, granular=True) == []
    assert missing(colleague, refresh=False) == ["data/", "one.txt"]
    assert missing(colleague, refresh=True, granular=True) == []
    assert missing(colleague, refresh=False) == []
    shutil.rmtree(shared)
    assert missing(colleague, refresh=False) == []
    assert missing(colleague, refresh=True) == ["data/", "one.txt"]


def test_metrics_and_plots_are_fetched_alone(workspace: Workspace, shared: Path, colleague: Workspace) -> None:
    stage = "{cmd: x, outs: [data], metrics: [one.txt]}"
    (colleague.root / "one.txt.dvc").unlink()
    (colleague.root / "dvc.yaml").write_text(
        f"stages:\n  a: {stage}\nplots:\n- data/sub/b:\n    x: s\n- c: {{y: {{z: q}}}}\n"
    )
    record = (colleague.root / "data.dvc").read_text()
    (colleague.root / "data.dvc").unlink()
    md5 = record.partition("md5: ")[2].partition("\n")[0]
    one = hashlib.md5(b"4").hexdigest()
    ids = {"data": md5, "one.txt": one}
    outs = ", ".join(f"{{path: {path}, hash: md5, md5: {oid}, size: 1}}" for path, oid in ids.items())
    (colleague.root / "dvc.lock").write_text(f"schema: '2.0'\nstages:\n  a: {{cmd: x, outs: [{outs}]}}\n")
    patient(workspace).push()
    assert list(patient(colleague).fetch(kinds=["metrics"]).done.values()) == ["one.txt"]
    assert "data" in patient(colleague).fetch(kinds=["plots"]).done.values()
    assert patient(colleague).fetch().done == {}
