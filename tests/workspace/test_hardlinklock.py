"""`core.hardlink_lock`: Everloop and the real DVC exclude each other by hard links, too."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from everloop.errors import ConflictError
from everloop.workspace import Workspace, locks
from everloop.workspace.locks import WorkspaceLock
from tests.workspace.dvcpeer import DVC, dvc, dvc_json, environment, needs_dvc, write

PEER = """
import sys
from dvc.lock import make_lock
lock = make_lock(sys.argv[1] + "/lock", tmp_dir=sys.argv[1], hardlink_lock=True)
lock.lock()
print("held", flush=True)
sys.stdin.read()
lock.unlock()
"""
DIES = """
import os, sys
from pathlib import Path
from everloop.workspace import hardlinklock
hardlinklock.acquire(Path(sys.argv[1]) / "lock", patience_s=0.0)
os._exit(0)
"""


@contextmanager
def held_by_dvc(folder: Path) -> Iterator[None]:
    python = str(DVC.with_name("python"))
    with subprocess.Popen(
        [python, "-c", PEER, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield
        process.communicate()
        assert process.returncode == 0


def lock(folder: Path) -> WorkspaceLock:
    return WorkspaceLock(folder, hardlink=True)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture
def no_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locks, "PATIENCE_S", 0.0)


@pytest.mark.usefixtures("no_patience")
def test_second_holder_is_refused_and_told_who_holds_it(tmp_path: Path) -> None:
    first = lock(tmp_path)
    with first.held(), first.held():
        with pytest.raises(ConflictError, match=f"pid {os.getpid()}"), lock(tmp_path).held():
            raise AssertionError
        with first.lent(), lock(tmp_path).held():
            pass
    assert names(tmp_path) == []


@pytest.mark.usefixtures("no_patience")
def test_lock_of_a_dead_process_counts_no_more(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-c", DIES, str(tmp_path)], check=True)
    assert "lock" in names(tmp_path)
    with lock(tmp_path).held(), pytest.raises(ConflictError), lock(tmp_path).held():
        raise AssertionError
    assert names(tmp_path) == []


def test_file_of_the_usual_lock_is_no_obstacle(tmp_path: Path) -> None:
    with WorkspaceLock(tmp_path).held():
        pass
    (tmp_path / "lock").write_text(f" {2**22 + 1}\n")
    with lock(tmp_path).held():
        pass
    assert names(tmp_path) == []


@pytest.mark.usefixtures("no_patience")
def test_file_that_is_no_lock_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "lock").write_text("mine")
    with pytest.raises(ConflictError, match="dvc does not say"), lock(tmp_path).held():
        raise AssertionError
    assert (tmp_path / "lock").read_text() == "mine"
    assert names(tmp_path) == ["lock"]


@needs_dvc
@pytest.mark.usefixtures("no_patience")
def test_lock_of_dvc_is_respected(tmp_path: Path) -> None:
    with held_by_dvc(tmp_path), pytest.raises(ConflictError, match="dvc does not say"), lock(tmp_path).held():
        raise AssertionError
    with lock(tmp_path).held():
        pass


@needs_dvc
def test_dvc_respects_the_lock_and_both_work_in_turn(workspace: Workspace) -> None:
    (workspace.layout.dvc_dir / "config").write_text("[core]\n    hardlink_lock = true\n")
    both = Workspace.open(workspace.root)
    write(workspace.root, {"a": "1", "b": "2"})
    both.add(["a"])
    with both.locked():
        done = subprocess.run(
            [str(DVC), "add", "b"],
            cwd=workspace.root,
            env=environment(workspace.root.parent / "home"),
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode != 0
        assert "Unable to acquire lock" in done.stderr
    dvc(workspace.root, "add", "b")
    write(workspace.root, {"a": "11"})
    both.add(["a"])
    assert dvc_json(workspace.root, "status") == {}
    assert [name for name in names(workspace.layout.lock_dir) if name.endswith("lock")] == ["rwlock"]
