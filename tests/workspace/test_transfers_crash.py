"""Kill push and pull at random points: no object lies, no listing comes before its files, a repetition finishes."""

from __future__ import annotations

import hashlib
import random
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from everloop.workspace import Workspace, hashing, remotes
from everloop.workspace.configuration import Configuration

FILES = 60
# The victim counts system calls of interest on its way and dies at the one it was told, so that no clock decides.
VICTIM = """
import os, signal, sys
from everloop.workspace import Workspace
left = int(sys.argv[3])
def count(event, args):
    global left
    if event in ("open", "os.rename", "os.mkdir", "os.chmod", "os.remove", "os.rmdir", "os.listdir", "os.scandir"):
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
transfers = Workspace.open(sys.argv[1]).transfers
sys.addaudithook(count)
getattr(transfers, sys.argv[2])(jobs=2)
print(left)
"""


def run_victim(root: Path, verb: str, calls: int) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", VICTIM, str(root), verb, str(calls)], capture_output=True, text=True, check=False
    )


def check_objects(root: Path, *, complete_listings: bool) -> None:
    names = {path.parent.name + path.name: path for path in (root / "files/md5").glob("*/*")}
    for name, path in names.items():
        data = path.read_bytes()
        assert hashlib.md5(data).hexdigest() == name.removesuffix(".dir"), f"{name} lies"
        if complete_listings and name.endswith(".dir"):
            files = set(hashing.decode_directory(data, name).values())
            assert files <= names.keys(), f"{name} came before its files"


def contents(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in (root / "data").rglob("*") if path.is_file()}


@pytest.fixture
def project(workspace: Workspace, tmp_path: Path) -> Workspace:
    generator = random.Random(7)
    for number in range(FILES):
        path = workspace.root / f"data/{number % 7}/{number}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(generator.randbytes(50))
    workspace.add(["data"])
    remotes.add(Configuration(workspace.layout.dvc_dir), "shared", str(tmp_path / "shared"), default=True)
    return workspace


def test_killed_push_can_be_repeated(project: Workspace, tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    calls = 10**9 - int(run_victim(project.root, "push", 10**9).stdout)
    for point in (*random.Random(1).sample(range(1, calls), 4), calls - 5, calls - 30):
        shutil.rmtree(shared)
        shutil.rmtree(project.layout.scratch_dir / "remotes", ignore_errors=True)
        assert run_victim(project.root, "push", point).returncode == -9
        if shared.exists():
            check_objects(shared, complete_listings=True)
        assert Workspace.open(project.root).transfers.push().failed == ()
        check_objects(shared, complete_listings=True)
        assert Workspace.open(project.root).transfers.status() == {}


def test_killed_pull_can_be_repeated(project: Workspace, tmp_path: Path) -> None:
    project.transfers.push()
    before = contents(project.root)
    pristine = tmp_path / "pristine"
    shutil.copytree(project.root, pristine, ignore=shutil.ignore_patterns("cache", "data", "tmp"))
    colleague = tmp_path / "colleague"
    shutil.copytree(pristine, colleague)
    calls = 10**9 - int(run_victim(colleague, "pull", 10**9).stdout)
    for point in (*random.Random(2).sample(range(1, calls), 4), calls - 5, calls - 60):
        shutil.rmtree(colleague)
        shutil.copytree(pristine, colleague)
        assert run_victim(colleague, "pull", point).returncode == -9
        check_objects(colleague / ".dvc/cache", complete_listings=True)
        repeated = Workspace.open(colleague)
        assert repeated.transfers.pull(force=True).fetched.failed == ()
        assert contents(colleague) == before
        assert repeated.status() == {}
        assert list((repeated.cache.root / "everloop-incoming").iterdir()) == []
