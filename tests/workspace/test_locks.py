from __future__ import annotations

import fcntl
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from everloop.errors import ConflictError
from everloop.workspace import locks
from everloop.workspace.locks import WorkspaceLock, claimed

DEAD_PID = 2**22 + 1  # above the largest process id that Linux gives


@pytest.fixture(autouse=True)
def no_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locks, "PATIENCE_S", 0.0)


def test_second_holder_is_refused_and_told_who_holds_it(tmp_path: Path) -> None:
    with (
        WorkspaceLock(tmp_path).held(),
        pytest.raises(ConflictError, match=f"pid {os.getpid()}"),
        WorkspaceLock(tmp_path).held(),
    ):
        raise AssertionError


def test_holder_may_take_it_again_and_others_get_it_at_the_end(tmp_path: Path) -> None:
    lock = WorkspaceLock(tmp_path)
    with lock.held(), lock.held():
        pass
    with WorkspaceLock(tmp_path).held():
        assert (tmp_path / "lock").read_text() == f" {os.getpid()}\n"


def test_lent_lock_is_free_for_others_and_taken_back(tmp_path: Path) -> None:
    lock = WorkspaceLock(tmp_path)
    with lock.held():
        with lock.lent(), WorkspaceLock(tmp_path).held():
            pass
        with pytest.raises(ConflictError), WorkspaceLock(tmp_path).held():
            raise AssertionError


def test_lock_is_the_one_that_dvc_takes(tmp_path: Path) -> None:
    """zc.lockfile: flock on the file."""
    with WorkspaceLock(tmp_path).held(), (tmp_path / "lock").open("r+") as file, pytest.raises(BlockingIOError):
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_claims_are_written_as_dvc_writes_them_and_removed(tmp_path: Path) -> None:
    with claimed(tmp_path, reads=[Path("/w/a")], writes=[Path("/w/b")]):
        table = json.loads((tmp_path / "rwlock").read_text())
        assert [info["pid"] for info in table["read"]["/w/a"]] == [os.getpid()]
        assert table["write"]["/w/b"]["pid"] == os.getpid()
    assert json.loads((tmp_path / "rwlock").read_text()) == {"read": {}, "write": {}}


@pytest.mark.parametrize("claim", [{"write": {"/w/d": 1}}, {"write": {"/w/d/x/y": 1}}, {"read": {"/w/d/x": 1}}])
def test_path_that_another_process_uses_is_refused(tmp_path: Path, claim: dict[str, dict[str, int]]) -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as other:
        info = {"pid": other.pid, "cmd": "dvc repro"}
        table = {
            "read": {path: [info] for path in claim.get("read", {})},
            "write": dict.fromkeys(claim.get("write", {}), info),
        }
        (tmp_path / "rwlock").write_text(json.dumps(table))
        with pytest.raises(ConflictError, match="dvc repro"), claimed(tmp_path, writes=[Path("/w/d/x")]):
            raise AssertionError
        other.kill()


def test_claims_of_the_dead_count_no_more(tmp_path: Path) -> None:
    info = {"pid": DEAD_PID, "cmd": "dvc repro"}
    (tmp_path / "rwlock").write_text(json.dumps({"read": {"/w": [info]}, "write": {"/w": info}}))
    with claimed(tmp_path, writes=[Path("/w")]):
        pass
    assert json.loads((tmp_path / "rwlock").read_text()) == {"read": {}, "write": {}}


def test_damaged_claims_are_named(tmp_path: Path) -> None:
    (tmp_path / "rwlock").write_text("{")
    with pytest.raises(ConflictError, match="delete it"), claimed(tmp_path, reads=[Path("/w")]):
        raise AssertionError
