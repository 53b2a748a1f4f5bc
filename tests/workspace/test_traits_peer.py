"""Traits of directories beside the real DVC, which keeps their record without reading it, from the command line."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.workspace.dvcpeer import commit, dvc, environment, needs_dvc, run, write

pytestmark = needs_dvc

EVER = Path(sys.executable).parent / "ever"


def ever(folder: Path, *words: str) -> str:
    return run(folder, str(EVER), *words)


def ever_json(folder: Path, *words: str) -> Any:
    return json.loads(ever(folder, *words, "--json"))


def kinds(folder: Path) -> dict[str, str]:
    found = {}
    for path in sorted(folder.rglob("*")):
        kind = f"-> {path.readlink()}" if path.is_symlink() else "folder" if path.is_dir() else path.read_text()
        found[path.relative_to(folder).as_posix()] = f"{kind} x" if os.access(path, os.X_OK) else kind
    return found


def make(folder: Path) -> dict[str, str]:
    write(folder, {"d/run.sh": "run", "d/sub/t": "t"})
    (folder / "d/run.sh").chmod(0o755)
    (folder / "d/empty").mkdir()
    for name, target in {"l": "run.sh", "s": "sub", "sub/up": "../run.sh"}.items():
        (folder / "d" / name).symlink_to(target)
    return kinds(folder / "d")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    folder.mkdir()
    ever(folder, "init")
    return folder


def listing(folder: Path, md5: str) -> bytes:
    return (folder / ".dvc/cache/files/md5" / md5[:2] / md5[2:]).read_bytes()


def test_listing_is_that_of_dvc(folder: Path, tmp_path: Path) -> None:
    make(folder)
    (folder / "d/out").symlink_to(tmp_path)
    (folder / "d/self").symlink_to(".")
    twin = tmp_path / "twin"
    shutil.copytree(folder, twin, symlinks=True)
    (out,) = ever_json(folder, "add", "d")["added"][0]["outs"]
    dvc(twin, "add", "-q", "d")
    text = (folder / "d.dvc").read_text()
    assert text[: text.index("  meta:")] == (twin / "d.dvc").read_text()
    assert listing(folder, out["content"]["md5"]) == listing(twin, out["content"]["md5"])


def test_workspace_is_clean_in_both_tools_after_add_and_checkout(folder: Path) -> None:
    before = make(folder)
    ever(folder, "add", "d")
    shutil.rmtree(folder / "d")
    ever(folder, "checkout")
    assert kinds(folder / "d") == before
    assert ever_json(folder, "status") == {}
    assert json.loads(dvc(folder, "status", "--json")) == {}


def test_record_survives_every_verb_of_dvc_and_what_still_fits_comes_back(folder: Path, tmp_path: Path) -> None:
    before = make(folder)
    ever(folder, "add", "d")
    commit(folder, "one")
    colleague = tmp_path / "colleague"
    run(tmp_path, "git", "clone", "--quiet", str(folder), str(colleague))
    dvc(colleague, "cache", "dir", str(folder / ".dvc/cache"))
    dvc(colleague, "checkout", "-q")
    assert "l" in kinds(colleague / "d")
    write(colleague, {"d/new": "new", "d/l": "no link any more"})
    dvc(colleague, "add", "-q", "d")
    write(colleague, {"d/newer": "newer"})
    dvc(colleague, "commit", "-q", "-f", "d.dvc")
    dvc(colleague, "move", "-q", "d", "e")
    dvc(colleague, "move", "-q", "e", "d")
    commit(colleague, "two")
    run(folder, "git", "fetch", "--quiet", str(colleague))
    run(folder, "git", "reset", "--quiet", "--hard", "FETCH_HEAD")
    ever(folder, "checkout")
    assert kinds(folder / "d") == before | {"new": "new", "newer": "newer", "l": "no link any more"}
    assert ever_json(folder, "status") == {}
    (out,) = ever_json(folder, "add", "d")["added"][0]["outs"]
    assert out["traits"]["links"] == {"s": "sub", "sub/up": "../run.sh"}


def test_what_cannot_be_kept_is_said(folder: Path, tmp_path: Path) -> None:
    write(folder, {"d/x": "x"})
    (tmp_path / "far.txt").write_text("far")
    (folder / "d/far").symlink_to(tmp_path / "far.txt")
    (folder / "d/folder").symlink_to(tmp_path)
    done = subprocess.run(
        [EVER, "add", "d", "--json"],
        cwd=folder,
        env=environment(tmp_path / "home"),
        capture_output=True,
        text=True,
        check=True,
    )
    report = json.loads(done.stdout)
    assert report["flattened"] == {"d/far": str(tmp_path / "far.txt")}
    assert report["left_out"] == {"d/folder": str(tmp_path)}
    assert "d/far leads out of its directory" in done.stderr
    assert "d/folder leads to a folder elsewhere" in done.stderr
    assert json.loads(dvc(folder, "status", "--json")) == {}


def test_traits_travel_through_a_remote(folder: Path, tmp_path: Path) -> None:
    before = make(folder)
    ever(folder, "remote", "add", "-d", "far", str(tmp_path / "remote"))
    ever(folder, "add", "d")
    ever(folder, "push")
    commit(folder)
    run(tmp_path, "git", "clone", "--quiet", str(folder), str(tmp_path / "clone"))
    ever(tmp_path / "clone", "pull")
    assert kinds(tmp_path / "clone/d") == before
