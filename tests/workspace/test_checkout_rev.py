from __future__ import annotations

import pytest

from everloop.errors import ConflictError, NotFoundError
from everloop.workspace import Workspace
from tests.workspace.test_revisions import commit
from tests.workspace.test_workspace import write


@pytest.fixture
def aged(workspace: Workspace) -> Workspace:
    """Two revisions of a file, of a directory, and of data that is gone from the second."""
    for path in ("a", "d/x", "d/y", "gone"):
        write(workspace, path, f"first {path}")
    workspace.add(["a", "d", "gone"])
    commit(workspace, "First")
    write(workspace, "a", "second")
    write(workspace, "d/x", "second")
    (workspace.root / "d/y").unlink()
    workspace.add(["a", "d"])
    for path in ("gone.dvc", "gone", ".gitignore"):
        (workspace.root / path).unlink()
    (workspace.root / ".gitignore").write_text("/a\n/d\n")
    commit(workspace, "Second")
    # The old one remembers the `.gitignore` that was.
    return Workspace.open(workspace.root)


def test_data_of_an_older_revision_come_back_and_the_records_stay(aged: Workspace) -> None:
    assert set(aged.checkout(rev="HEAD~1").restored) == {"a", "d", "gone"}
    assert (aged.root / "a").read_text() == "first a"
    assert (aged.root / "d/x").read_text() == "first d/x"
    assert (aged.root / "d/y").read_text() == "first d/y"
    assert (aged.root / "gone").read_text() == "first gone"
    assert aged.git.untracked() == []
    assert set(aged.status()) == {"a.dvc", "d.dvc"}
    aged.checkout()
    assert aged.status() == {}
    assert (aged.root / "a").read_text() == "second"
    assert not (aged.root / "d/y").exists()


def test_only_the_targets_are_taken_back(aged: Workspace) -> None:
    assert aged.checkout(["d.dvc"], rev="HEAD~1").restored == ("d",)
    assert (aged.root / "a").read_text() == "second"


def test_changes_that_are_nowhere_else_are_not_lost(aged: Workspace) -> None:
    write(aged, "a", "precious")
    with pytest.raises(ConflictError, match="nowhere else"):
        aged.checkout(rev="HEAD~1")
    assert (aged.root / "a").read_text() == "precious"
    assert (aged.root / "d/x").read_text() == "second"
    aged.checkout(rev="HEAD~1", force=True)
    assert (aged.root / "a").read_text() == "first a"


def test_file_of_git_in_the_way_is_not_lost(aged: Workspace) -> None:
    write(aged, "gone", "in Git now")
    commit(aged)
    with pytest.raises(ConflictError, match="nowhere else"):
        aged.checkout(["gone"], rev="HEAD~2")
    assert (aged.root / "gone").read_text() == "in Git now"


def test_target_that_the_revision_did_not_have_is_named(aged: Workspace) -> None:
    write(aged, "new")
    aged.add(["new"])
    with pytest.raises(NotFoundError, match="new is not under version"):
        aged.checkout(["new"], rev="HEAD")


def test_what_is_not_in_the_cache_is_passed_over_when_allowed(aged: Workspace) -> None:
    content = next(out.content for out in aged.outs("HEAD~1") if out.path == "a")
    assert content is not None
    aged.cache.path(content.md5).unlink()
    with pytest.raises(NotFoundError, match="not in the cache"):
        aged.checkout(rev="HEAD~1")
    report = aged.checkout(rev="HEAD~1", allow_missing=True)
    assert report.missing == ("a",)
    assert set(report.restored) == {"d", "gone"}
    assert (aged.root / "a").read_text() == "second"


def test_data_in_place_are_right_also_without_their_objects(aged: Workspace) -> None:
    content = next(out.content for out in aged.outs() if out.path == "a")
    assert content is not None
    aged.cache.path(content.md5).unlink()
    report = aged.checkout(allow_missing=True)
    assert (report.missing, set(report.unchanged)) == ((), {"a", "d"})


def test_outputs_of_stages_are_restored_too(workspace: Workspace) -> None:
    write(workspace, "model/w", "weights")
    content = workspace.commit(["model"])["model"]
    write(workspace, "dvc.yaml", "stages: {train: {cmd: make, outs: [model]}}")
    entry = f"{{path: model, hash: md5, md5: {content.md5}, size: 7, nfiles: 1}}"
    write(workspace, "dvc.lock", f"schema: '2.0'\nstages: {{train: {{cmd: make, outs: [{entry}]}}}}")
    (workspace.root / "model/w").unlink()
    assert workspace.checkout().restored == ("model",)
    assert (workspace.root / "model/w").read_text() == "weights"
