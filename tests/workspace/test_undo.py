from __future__ import annotations

import os
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest

from everloop.errors import ConflictError, InvalidError, NotFoundError
from everloop.workspace import Workspace
from everloop.workspace.gc import Scope


def write(workspace: Workspace, path: str, text: str) -> Path:
    target = workspace.root / path
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(text)
    return target


def texts(workspace: Workspace, folder: str = "d") -> dict[str, str]:
    top = workspace.root / folder
    return {str(path.relative_to(top)): path.read_text() for path in sorted(top.rglob("*")) if path.is_file()}


@pytest.fixture
def overwritten(workspace: Workspace) -> Workspace:
    """A tracked directory whose changes, kept nowhere, `checkout --force` has overwritten."""
    write(workspace, "d/same", "same")
    write(workspace, "d/x", "1")
    write(workspace, "d/gone", "gone")
    workspace.add(["d"])
    write(workspace, "d/x", "mine").chmod(0o755)
    write(workspace, "d/sub/new", "mine too")
    (workspace.root / "d/gone").unlink()
    workspace.checkout(force=True)
    assert texts(workspace) == {"same": "same", "x": "1", "gone": "gone"}
    return workspace


MINE = {"same": "same", "x": "mine", "sub/new": "mine too"}


def test_overwritten_changes_come_back(overwritten: Workspace) -> None:
    report = overwritten.undo()
    assert texts(overwritten) == MINE
    assert (report.verb, set(report.restored), report.removed) == ("checkout", {"d/x", "d/sub/new"}, ("d/gone",))
    assert os.access(overwritten.root / "d/x", os.X_OK)
    assert overwritten.trash.operations() == []


def test_bytes_that_the_cache_has_are_not_kept_twice(workspace: Workspace) -> None:
    write(workspace, "a", "old")
    workspace.add(["a"])
    old = (workspace.root / "a.dvc").read_text()
    write(workspace, "a", "new")
    workspace.add(["a"])
    (workspace.root / "a.dvc").write_text(old)
    workspace.checkout()
    (operation,) = workspace.trash.operations()
    assert operation.size_bytes == 0
    workspace.undo()
    assert (workspace.root / "a").read_text() == "new"


def test_checkout_that_only_adds_leaves_no_trace(workspace: Workspace) -> None:
    write(workspace, "a", "1")
    workspace.add(["a"])
    (workspace.root / "a").unlink()
    workspace.checkout()
    assert workspace.trash.operations() == []


def test_operations_are_undone_from_the_last_to_the_first(overwritten: Workspace) -> None:
    write(overwritten, "d/x", "again")
    overwritten.checkout(force=True)
    overwritten.undo()
    assert texts(overwritten)["x"] == "again"
    (overwritten.root / "d/x").unlink()
    overwritten.undo()
    assert texts(overwritten) == MINE


def test_what_was_changed_since_is_not_overwritten(overwritten: Workspace) -> None:
    write(overwritten, "d/x", "changed since")
    with pytest.raises(ConflictError, match="d/x"):
        overwritten.undo()
    assert texts(overwritten)["x"] == "changed since"
    (overwritten.root / "d/x").unlink()
    overwritten.undo()
    assert texts(overwritten) == MINE


def test_file_in_the_place_of_a_directory_and_back(workspace: Workspace) -> None:
    write(workspace, "d", "a file")
    workspace.add(["d"])
    (workspace.root / "d").unlink()
    write(workspace, "d/x", "mine")
    workspace.checkout(force=True)
    assert (workspace.root / "d").read_text() == "a file"
    workspace.undo()
    assert texts(workspace) == {"x": "mine"}


def test_directory_in_the_place_of_a_file_and_back(workspace: Workspace) -> None:
    write(workspace, "d/x", "recorded")
    workspace.add(["d"])
    (workspace.root / "d/x").unlink()
    (workspace.root / "d").rmdir()
    write(workspace, "d", "mine")
    workspace.checkout(force=True)
    assert texts(workspace) == {"x": "recorded"}
    workspace.undo()
    assert (workspace.root / "d").read_text() == "mine"


def test_nothing_to_undo_is_told(workspace: Workspace) -> None:
    with pytest.raises(NotFoundError, match="nothing to undo"):
        workspace.undo()


def test_bytes_gone_from_the_cache_are_named_before_anything_is_touched(workspace: Workspace) -> None:
    write(workspace, "a", "old")
    workspace.add(["a"])
    old = (workspace.root / "a.dvc").read_text()
    write(workspace, "a", "new")
    workspace.add(["a"])
    (content,) = [out.content for out in workspace.outs()]
    assert content is not None
    (workspace.root / "a.dvc").write_text(old)
    workspace.checkout()
    workspace.cache.path(content.md5).unlink()
    with pytest.raises(NotFoundError, match="no longer in the cache"):
        workspace.undo()
    assert (workspace.root / "a").read_text() == "old"


def test_trash_forgets_by_number_and_by_age(overwritten: Workspace) -> None:
    overwritten.trash.kept_operations = 3
    for number in range(5):
        write(overwritten, "d/x", f"mine {number}")
        overwritten.checkout(force=True)
    assert len(overwritten.trash.operations()) == 3
    newest = overwritten.trash.operations()[0]
    plan = overwritten.trash.place(newest) / "plan.json"
    aged = msgspec.structs.replace(newest, at=datetime.now(UTC) - timedelta(days=8))
    plan.write_bytes(msgspec.json.encode(aged))
    overwritten.trash.prune()
    assert len(overwritten.trash.operations()) == 2


def test_emptying_frees_everything(overwritten: Workspace) -> None:
    write(overwritten, "stray", "s")
    overwritten.add(["stray"])
    overwritten.remove(["stray"], outs=True)
    overwritten.trash.empty()
    overwritten.gc(Scope(workspace=True))
    assert len(overwritten.trash.empty()) == 1
    assert list((overwritten.layout.scratch_dir / "trash").iterdir()) == []


def test_cache_on_another_filesystem_keeps_its_objects_there(workspace: Workspace) -> None:
    shm = Path("/dev/shm")
    if not shm.is_dir() or shm.stat().st_dev == workspace.root.stat().st_dev or not os.access(shm, os.W_OK):
        pytest.skip("there is no second filesystem")
    with tempfile.TemporaryDirectory(dir=shm) as folder:
        (workspace.root / ".dvc/config").write_text(f"[cache]\n    dir = {folder}\n")
        opened = Workspace.open(workspace.root)
        write(opened, "a", "1")
        opened.add(["a"])
        opened.remove(["a"])
        opened.gc(Scope(workspace=True))
        (operation,) = opened.trash.operations()
        assert Path(operation.objects_at).is_relative_to(folder)
        opened.undo()
        assert opened.cache.path(operation.objects[0]).read_text() == "1"
        assert not Path(operation.objects_at).exists()
        # What was changed and is nowhere else is copied over.
        opened.add(["a"])
        write(opened, "a", "mine")
        opened.checkout(force=True)
        opened.undo()
        assert (opened.root / "a").read_text() == "mine"


def test_plan_that_cannot_be_read_is_named(overwritten: Workspace) -> None:
    (operation,) = overwritten.trash.operations()
    plan = overwritten.trash.place(operation) / "plan.json"
    plan.write_text("{")
    with pytest.raises(InvalidError, match=r"plan\.json"):
        overwritten.undo()
