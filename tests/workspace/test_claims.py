from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from everloop.errors import ConflictError
from everloop.workspace import Workspace
from everloop.workspace.claims import Holder


@pytest.fixture
def stranger() -> Iterator[int]:
    """A process that lives."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        yield process.pid
        process.communicate(b"\n")


def table(workspace: Workspace) -> Any:
    return json.loads((workspace.layout.lock_dir / "rwlock").read_bytes())


def claim(workspace: Workspace, kind: str, path: str, pid: int) -> None:
    who = {"pid": pid, "cmd": "dvc repro"}
    claims: dict[str, Any] = {"read": {}, "write": {}}
    claims[kind] = {f"{workspace.root}/{path}": [who] if kind == "read" else who}
    (workspace.layout.lock_dir / "rwlock").write_text(json.dumps(claims))


def test_what_is_taken_is_in_dvcs_file_until_it_is_given_back_as_often(workspace: Workspace) -> None:
    claims = workspace.claims()
    claims.take(["in"], ["out"])
    claims.take(["in"], ["other"])
    root = workspace.root
    assert set(table(workspace)["read"]) == {f"{root}/in"}
    assert set(table(workspace)["write"]) == {f"{root}/out", f"{root}/other"}
    claims.release(["in"], ["out"])
    assert set(table(workspace)["read"]) == {f"{root}/in"}
    claims.release(["in"], ["other"])
    assert table(workspace) == {"read": {}, "write": {}}


def test_own_claims_hold_nobody_up(workspace: Workspace) -> None:
    workspace.claims().take([], ["out"])
    assert workspace.claims().holder(["out"], ["out"]) is None


@pytest.mark.parametrize(
    ("kind", "claimed", "reads", "writes", "is_held"),
    [
        ("write", "a", ["a"], [], True),
        ("write", "a", ["a/b"], [], True),
        ("write", "a/b", [], ["a"], True),
        ("read", "a", [], ["a"], True),
        ("read", "a", ["a"], [], False),
        ("write", "a", ["ab"], ["b"], False),
    ],
)
def test_claims_of_others_hold_up_what_they_touch(
    workspace: Workspace, stranger: int, kind: str, claimed: str, reads: list[str], writes: list[str], is_held: bool
) -> None:
    claim(workspace, kind, claimed, stranger)
    claims = workspace.claims()
    holder = Holder(path=f"{workspace.root}/{claimed}", pid=stranger, command="dvc repro")
    assert claims.holder(reads, writes) == (holder if is_held else None)
    if is_held:
        with pytest.raises(ConflictError, match=f"in use by another process .pid {stranger}: dvc repro"):
            claims.take(reads, writes)


def test_claims_are_seen_when_they_come_and_when_their_process_is_gone(workspace: Workspace) -> None:
    claims = workspace.claims()
    assert claims.holder(["a"]) is None
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        claim(workspace, "write", "a", process.pid)
        assert claims.holder(["a"]) is not None
        process.communicate(b"\n")
    assert claims.holder(["a"]) is None


def test_process_above_is_known(stranger: int) -> None:
    assert Holder(path="a", pid=os.getppid(), command="x").is_above
    assert not Holder(path="a", pid=stranger, command="x").is_above
