from __future__ import annotations

import os
from pathlib import Path
from typing import NoReturn

import pytest

from everloop.errors import FailedError
from everloop.workspace import Workspace, hashing


@pytest.fixture(params=["copy", "hardlink"])
def filled(workspace: Workspace, request: pytest.FixtureRequest) -> Workspace:
    """A workspace with the directory `d` under version, for each kind of link."""
    (workspace.root / ".dvc/config").write_text(f"[cache]\n    type = {request.param}\n")
    for number in range(5):
        path = workspace.root / f"d/{number % 2}/{number}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"file {number}")
        os.utime(path, ns=(10**18 + 1, 10**18 + 1))
    workspace.add(["d"])
    return Workspace.open(workspace.root)


def texts(workspace: Workspace) -> dict[str, str]:
    top = workspace.root / "d"
    return {path.relative_to(top).as_posix(): path.read_text() for path in top.rglob("*") if path.is_file()}


WHOLE = {f"{number % 2}/{number}": f"file {number}" for number in range(5)}


def test_directory_that_is_gone_comes_back(filled: Workspace) -> None:
    (filled.root / "d").rename(filled.root.parent / "aside")
    assert filled.checkout().restored == ("d",)
    assert texts(filled) == WHOLE
    assert filled.status() == {}


def test_missing_file_comes_back_and_the_others_are_left_alone(filled: Workspace) -> None:
    others = {name: (filled.root / "d" / name).stat().st_ino for name in WHOLE if name != "1/3"}
    (filled.root / "d/1/3").unlink()
    filled.checkout()
    assert texts(filled) == WHOLE
    assert {name: (filled.root / "d" / name).stat().st_ino for name in others} == others
    assert filled.status() == {}


def test_nothing_is_read_again_after_a_checkout(filled: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    (filled.root / "d").rename(filled.root.parent / "aside")
    filled.checkout()

    def refuse(path: Path) -> NoReturn:
        raise AssertionError(f"{path} is read")

    monkeypatch.setattr(hashing, "md5_of_file", refuse)
    assert Workspace.open(filled.root).status() == {}


def test_damaged_object_leaves_nothing_half_made(filled: Workspace) -> None:
    (filled.root / "d").rename(filled.root.parent / "aside")
    stored = filled.cache.path(hashing.directory_md5(b"file 3").removesuffix(".dir"))
    stored.chmod(0o644)
    stored.write_text("FILE 3")
    with pytest.raises(FailedError, match="is damaged"):
        filled.checkout()
    assert not (filled.root / "d").exists()
    assert [path for path in filled.layout.scratch_dir.iterdir() if path.is_dir() and path.suffix == ".tmp"] == []


def test_change_right_after_a_checkout_is_seen(filled: Workspace) -> None:
    (filled.root / "d").rename(filled.root.parent / "aside")
    filled.checkout()
    filled.unprotect("d")
    (filled.root / "d/0/0").write_text("FILE 0")
    assert Workspace.open(filled.root).status() == {"d.dvc": {"d": "modified"}}
