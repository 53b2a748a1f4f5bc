"""Kill `add` at random points: nothing of the user's is lost, no object lies, and a repetition finishes."""

from __future__ import annotations

import hashlib
import random
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from everloop.workspace import Workspace

FILES = 100
# The victim reports each system call of interest on its way and dies at the one it was told, so that no clock decides.
VICTIM = """
import os, signal, sys
from everloop.workspace import Workspace
left = int(sys.argv[2])
def count(event, args):
    global left
    if event in ("open", "os.rename", "os.mkdir", "os.chmod", "os.remove", "os.rmdir", "os.listdir", "os.scandir"):
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
workspace = Workspace.open(sys.argv[1])
sys.addaudithook(count)
workspace.add(["data"])
print(left)
"""


def run_victim(root: Path, calls: int) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", VICTIM, str(root), str(calls)], capture_output=True, text=True, check=False
    )


def fill(root: Path) -> dict[str, str]:
    generator = random.Random(7)
    for number in range(FILES):
        path = root / f"data/{number % 7}/{number}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(generator.randbytes(50))
    return contents(root)


def contents(root: Path) -> dict[str, str]:
    return {str(p.relative_to(root)): p.read_bytes().hex() for p in sorted((root / "data").rglob("*")) if p.is_file()}


def check_objects(workspace: Workspace) -> None:
    for path in (workspace.cache.root / "files/md5").glob("*/*"):
        name = path.parent.name + path.name
        assert hashlib.md5(path.read_bytes()).hexdigest() == name.removesuffix(".dir"), f"{name} lies"
        assert path.stat().st_mode & 0o222 == 0
        assert workspace.cache.missing(name) == [], f"{name} came before its files"


@pytest.mark.parametrize("link_type", ["copy", "hardlink"])
def test_killed_add_loses_nothing_and_can_be_repeated(workspace: Workspace, tmp_path: Path, link_type: str) -> None:
    (workspace.root / ".dvc/config").write_text(f"[cache]\n    type = {link_type}\n")
    before = fill(workspace.root)
    pristine = tmp_path / "pristine"
    shutil.copytree(workspace.root, pristine)
    whole = run_victim(workspace.root, 10**9)
    calls = 10**9 - int(whole.stdout)
    points = random.Random(link_type).sample(range(1, calls), 3)
    for point in (*points, calls - 5, calls - 60):
        shutil.rmtree(workspace.root)
        shutil.copytree(pristine, workspace.root)
        assert run_victim(workspace.root, point).returncode == -9
        assert contents(workspace.root) == before
        check_objects(workspace)
        repeated = Workspace.open(workspace.root)
        repeated.add(["data"])
        assert contents(workspace.root) == before
        check_objects(repeated)
        assert repeated.status() == {}
        assert list((repeated.cache.root / "everloop-incoming").iterdir()) == []
