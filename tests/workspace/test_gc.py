from __future__ import annotations

import os
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest

from everloop.errors import ConflictError, FailedError, InvalidError, NotFoundError
from everloop.workspace import Workspace
from everloop.workspace.gc import Cloud, Scope
from everloop.workspace.inventory import objects
from everloop.workspace.routes import open_store

CLEAN = {"GIT_AUTHOR_NAME": "a", "GIT_AUTHOR_EMAIL": "a@b", "GIT_COMMITTER_NAME": "a", "GIT_COMMITTER_EMAIL": "a@b"}


def write(workspace: Workspace, path: str, text: str) -> Path:
    target = workspace.root / path
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(text)
    return target


def git(workspace: Workspace, *words: str, date: str = "2026-01-01T12:00:00+00:00") -> str:
    dates = {"GIT_AUTHOR_DATE": date, "GIT_COMMITTER_DATE": date}
    done = subprocess.run(
        ["git", *words], cwd=workspace.root, env=os.environ | CLEAN | dates, capture_output=True, text=True, check=True
    )
    return done.stdout


def version(workspace: Workspace, text: str, *, date: str = "2026-01-01T12:00:00+00:00") -> None:
    """Commit one more version of `d`, of which `d/same` never changes."""
    write(workspace, "d/same", "same")
    write(workspace, "d/x", text)
    workspace.add(["d"])
    git(workspace, "add", "-A")
    git(workspace, "commit", "-q", "-m", text, date=date)


def kept(workspace: Workspace) -> set[str]:
    """The texts of files that the cache has."""
    return {workspace.cache.path(md5).read_text() for md5, _ in objects(workspace.cache) if not md5.endswith(".dir")}


@pytest.fixture
def history(workspace: Workspace) -> Workspace:
    """Three commits on `main`, the first one tagged; one more on `side`; a fifth version not committed."""
    version(workspace, "one", date="2026-01-01T12:00:00+00:00")
    git(workspace, "tag", "v1")
    version(workspace, "two", date="2026-02-01T12:00:00+00:00")
    git(workspace, "checkout", "-q", "-b", "side")
    version(workspace, "side", date="2026-01-15T12:00:00+00:00")
    git(workspace, "checkout", "-q", "main")
    version(workspace, "three", date="2026-03-01T12:00:00+00:00")
    write(workspace, "d/x", "now")
    workspace.add(["d"])
    return Workspace.open(workspace.root)


@pytest.mark.parametrize(
    ("scope", "expected"),
    [
        (Scope(workspace=True), {"now"}),
        (Scope(revs=("HEAD",)), {"now", "three"}),
        (Scope(revs=("HEAD",), n=2), {"now", "three", "two"}),
        (Scope(all_branches=True), {"now", "three", "side"}),
        (Scope(all_tags=True), {"now", "one"}),
        (Scope(all_commits=True), {"now", "one", "two", "three", "side"}),
        (Scope(since=datetime(2026, 2, 1, tzinfo=UTC)), {"now", "two", "three"}),
        (Scope(all_tags=True, revs=("side",)), {"now", "one", "side"}),
    ],
)
def test_each_scope_keeps_what_it_names_and_nothing_more(history: Workspace, scope: Scope, expected: set[str]) -> None:
    history.gc(scope)
    assert kept(history) == expected | {"same"}
    assert history.status() == {}


def test_experiments_are_a_scope(history: Workspace) -> None:
    sha = git(history, "rev-parse", "v1").strip()
    git(history, "update-ref", f"refs/exps/{sha[:2]}/{sha[2:]}/puny-ruff", sha)
    git(history, "update-ref", "refs/exps/exec/EXEC_HEAD", git(history, "rev-parse", "side").strip())
    history.gc(Scope(all_experiments=True))
    assert kept(history) == {"now", "one", "same"}


def test_dry_removes_nothing_and_tells_the_same(history: Workspace) -> None:
    before = kept(history)
    told = history.gc(Scope(workspace=True), dry=True)
    assert kept(history) == before
    assert history.trash.operations() == []
    assert history.gc(Scope(workspace=True)).removed == told.removed
    # The listings of the other four versions, and their files.
    assert len(told.removed) == 8


def test_nothing_named_is_refused(workspace: Workspace) -> None:
    with pytest.raises(InvalidError, match="told what to keep"):
        workspace.gc(Scope())
    with pytest.raises(InvalidError, match="--num"):
        workspace.gc(Scope(workspace=True, n=2))


def test_unknown_revision_is_refused(history: Workspace) -> None:
    with pytest.raises(NotFoundError, match="nonsense"):
        history.gc(Scope(revs=("nonsense",)))


@pytest.mark.parametrize("path", ["bad.dvc", "sub/dvc.yaml"])
def test_record_on_disk_that_cannot_be_read_stops_it(history: Workspace, path: str) -> None:
    before = kept(history)
    write(history, path, "outs: [unclosed")
    with pytest.raises(InvalidError, match=Path(path).name):
        history.gc(Scope(workspace=True))
    assert kept(history) == before


def test_record_of_a_revision_that_cannot_be_read_stops_it(history: Workspace) -> None:
    before = kept(history)
    write(history, "bad.dvc", "outs: [unclosed")
    git(history, "add", "bad.dvc")
    git(history, "commit", "-q", "-m", "bad")
    (history.root / "bad.dvc").unlink()
    with pytest.raises(InvalidError, match=r"bad.dvc .*cannot be read"):
        history.gc(Scope(all_branches=True))
    assert kept(history) == before


def test_revision_that_cannot_be_read_is_passed_over_when_asked(history: Workspace) -> None:
    write(history, "bad.dvc", "outs: [unclosed")
    git(history, "add", "bad.dvc")
    git(history, "commit", "-q", "-m", "bad")
    (history.root / "bad.dvc").unlink()
    report = history.gc(Scope(all_branches=True), dry=True, skip_failed=True)
    assert [name.rpartition(": ")[2] for name in report.skipped] == ["bad.dvc"]
    write(history, "bad.dvc", "outs: [unclosed")
    with pytest.raises(InvalidError, match=r"bad\.dvc"):
        # What is on the disk must be read all the same.
        history.gc(Scope(all_branches=True), skip_failed=True)


def test_missing_listing_stops_it_unless_allowed(history: Workspace) -> None:
    (content,) = [out.content for out in history.outs("v1")]
    assert content is not None
    history.cache.path(content.md5).unlink()
    with pytest.raises(ConflictError, match="listing of d"):
        history.gc(Scope(all_tags=True))
    history.gc(Scope(all_tags=True), allow_missing=True)
    assert kept(history) == {"now", "same"}


def test_damaged_listing_stops_it(history: Workspace) -> None:
    (content,) = [out.content for out in history.outs()]
    assert content is not None
    path = history.cache.path(content.md5)
    path.chmod(0o644)
    path.write_text("[]")
    with pytest.raises(FailedError, match="damaged"):
        history.gc(Scope(workspace=True))


def test_outputs_of_stages_are_kept(workspace: Workspace) -> None:
    md5 = "b1946ac92492d2347c6235b4d2611184"
    target = workspace.cache.path(md5)
    target.parent.mkdir(parents=True)
    target.write_text("hello\n")
    write(workspace, "dvc.yaml", "stages:\n  fit:\n    cmd: x\n    outs: [model]\n")
    item = f"{{path: model, md5: {md5}, hash: md5, size: 6}}"
    write(workspace, "dvc.lock", f"schema: '2.0'\nstages:\n  fit:\n    cmd: x\n    outs:\n    - {item}\n")
    assert workspace.gc(Scope(workspace=True)).removed == ()


def test_other_project_with_the_same_cache_is_kept(history: Workspace, tmp_path: Path) -> None:
    other = Workspace.init(tmp_path / "other")
    (other.root / ".dvc/config").write_text(f"[cache]\n    dir = {history.cache.root}\n")
    other = Workspace.open(other.root)
    write(other, "theirs", "theirs")
    other.add(["theirs"])
    history.gc(Scope(workspace=True, projects=(str(other.root),)))
    assert kept(history) == {"now", "same", "theirs"}


def test_what_was_removed_comes_back(history: Workspace) -> None:
    before = kept(history)
    removed = history.gc(Scope(workspace=True)).removed
    report = history.undo()
    assert report.n_objects == len(removed)
    assert kept(history) == before


def test_what_undo_would_need_is_spared(history: Workspace) -> None:
    write(history, "d/x", "two")
    history.checkout(force=True)
    history.gc(Scope(workspace=True))
    assert "two" in kept(history)
    history.trash.empty()
    history.gc(Scope(workspace=True))
    assert kept(history) == {"now", "same"}


def test_half_written_files_of_the_cache_are_left_alone(history: Workspace) -> None:
    stray = history.cache.root / "files/md5/ab/.tmp-of-somebody"
    stray.parent.mkdir(exist_ok=True)
    stray.write_text("half")
    history.gc(Scope(workspace=True))
    assert stray.exists()


@pytest.fixture
def with_remote(history: Workspace, tmp_path: Path) -> Workspace:
    """All versions are in a remote, too, but for the last one."""
    (history.root / ".dvc/config").write_text(f"[core]\n    remote = r\n['remote \"r\"']\n    url = {tmp_path}/r\n")
    opened = Workspace.open(history.root)
    opened.transfers.push(revisions=opened.revisions(all_commits=True, all_branches=True))
    write(opened, "d/x", "last")
    opened.add(["d"])
    return Workspace.open(history.root)


def in_remote(workspace: Workspace) -> set[str]:
    store = open_store(workspace)
    return {store.read(md5).decode() for md5 in store.ids() if not md5.endswith(".dir")}


def test_cloud_is_collected_by_the_same_words(with_remote: Workspace) -> None:
    report = with_remote.gc(Scope(all_tags=True), cloud=Cloud(collects=True))
    assert in_remote(with_remote) == {"one", "same"}
    assert len(report.removed_remote) == 8
    assert kept(with_remote) == {"one", "same", "last"}


def test_cloud_is_left_alone_when_dry_or_not_named(with_remote: Workspace) -> None:
    before = in_remote(with_remote)
    assert with_remote.gc(Scope(workspace=True), cloud=Cloud(collects=True), dry=True).removed_remote
    with_remote.gc(Scope(workspace=True))
    assert in_remote(with_remote) == before


def test_cloud_keeps_the_files_of_directories_that_only_it_knows(with_remote: Workspace) -> None:
    (content,) = [out.content for out in with_remote.outs("v1")]
    assert content is not None
    with_remote.cache.path(content.md5).unlink()
    with_remote.gc(Scope(all_tags=True), cloud=Cloud(collects=True))
    assert in_remote(with_remote) == {"one", "same"}


def test_not_in_remote_keeps_only_what_could_not_be_fetched(with_remote: Workspace) -> None:
    with_remote.gc(Scope(all_commits=True), cloud=Cloud(spares_remote=True))
    # The last version is in no remote, and it is kept whole.
    assert kept(with_remote) == {"last", "same"}
    with_remote.transfers.pull()
    assert with_remote.status() == {}


def test_cloud_and_not_in_remote_exclude_each_other(with_remote: Workspace) -> None:
    with pytest.raises(InvalidError, match="could not be fetched again"):
        with_remote.gc(Scope(workspace=True), cloud=Cloud(collects=True, spares_remote=True))
