"""Kill whole commands at random moments, with so many files that several processes work on them.

`test_kill.py` chooses system calls; here the clock chooses, and whatever it chooses must be harmless: no file of the
user's is lost, no object lies, both tools read what is left, and the same command finishes the work. `make soak` does
hundreds of rounds.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from everloop.workspace import Workspace, hashing
from tests.workspace.dvcpeer import called, needs_dvc

ROUNDS = int(os.environ.get("KILL_ANYTIME_ROUNDS", "2"))
# Enough for several processes.
FILES = 1200
EVER = [sys.executable, "-m", "everloop"]


class Scene:
    """A project with many files, its remote, and what must never be lost."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "project"
        self.remote = folder / "remote"
        self.data: dict[str, bytes] = {}

    def ever(self, *words: str) -> None:
        done = subprocess.run([*EVER, *words], cwd=self.root, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{words}: {done.stdout}{done.stderr}"

    def killed(self, *words: str, after_s: float) -> None:
        """Start a command and kill it; one that is done before is no failure."""
        with subprocess.Popen(
            [*EVER, *words], cwd=self.root, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        ) as process:
            try:
                process.wait(after_s)
            except subprocess.TimeoutExpired:
                process.kill()

    def held(self, folder: str = "data") -> dict[str, bytes]:
        top = self.root / folder
        return {str(path.relative_to(top)): path.read_bytes() for path in top.rglob("*") if path.is_file()}


def make(folder: Path) -> Scene:
    scene = Scene(folder)
    Workspace.init(scene.root)
    generator = random.Random(11)
    for number in range(FILES):
        path = scene.root / f"data/{number % 10}/{number}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(generator.randbytes(60))
    scene.data = scene.held()
    scene.ever("remote", "add", "-d", "shared", str(scene.remote))
    return scene


def check_store(root: Path) -> None:
    """No object lies, and no listing is there without its files."""
    names = {path.parent.name + path.name: path for path in (root / "files/md5").glob("??/*")}
    for name, path in names.items():
        data = path.read_bytes()
        assert hashlib.md5(data).hexdigest() == name.removesuffix(".dir"), f"{name} lies"
        if name.endswith(".dir"):
            assert set(hashing.decode_directory(data, name).values()) <= names.keys()


def lose_data(scene: Scene) -> None:
    (scene.root / "data").rename(scene.root.parent / f"aside-{time.monotonic_ns()}")


def lose_cache(scene: Scene) -> None:
    (scene.root / ".dvc/cache").rename(scene.root.parent / f"cache-{time.monotonic_ns()}")


def lose_both(scene: Scene) -> None:
    lose_cache(scene)
    lose_data(scene)


# What has to be so before the command: commands, then changes.
BEFORE: dict[str, tuple[tuple[tuple[str, ...], ...], Callable[[Scene], None]]] = {
    "add data": ((), lambda _: None),
    "checkout": ((("add", "data"),), lose_data),
    "push": ((("add", "data"),), lambda _: None),
    "fetch": ((("add", "data"), ("push",)), lose_cache),
    "pull": ((("add", "data"), ("push",)), lose_both),
    "move data other": ((("add", "data"),), lambda _: None),
    "gc --workspace --force": ((("add", "data"), ("remove", "data.dvc")), lambda _: None),
}


@needs_dvc
@pytest.mark.parametrize("command", BEFORE)
def test_command_that_is_killed_at_any_moment_loses_nothing(tmp_path: Path, command: str) -> None:
    scene = make(tmp_path)
    setup, change = BEFORE[command]
    for words in setup:
        scene.ever(*words)
    change(scene)
    pristine = shutil.copytree(tmp_path / "project", tmp_path / "pristine", symlinks=True)
    has_remote = scene.remote.exists()
    started = time.monotonic()
    scene.ever(*command.split())
    whole_s = time.monotonic() - started
    generator = random.Random(command)
    for _ in range(ROUNDS):
        shutil.rmtree(scene.root)
        shutil.copytree(pristine, scene.root, symlinks=True)
        if not has_remote:
            shutil.rmtree(scene.remote, ignore_errors=True)
        scene.killed(*command.split(), after_s=generator.uniform(0.05, 1.1) * whole_s)
        keeps_data = command.split(maxsplit=1)[0] in ("add", "push", "gc", "fetch")
        assert not keeps_data or scene.held() == scene.data
        for store in (scene.root / ".dvc/cache", scene.remote):
            check_store(store)
        said = called(scene.root, "status", "--json")
        assert said.returncode == 0, said.stderr
        json.loads(said.stdout)
        if command.startswith("move") and not (scene.root / "data.dvc").exists():
            # It was killed after its last step, so there is nothing to move any more.
            assert (scene.root / "other.dvc").exists()
        else:
            scene.ever(*command.split())
        finished(scene, command)


def finished(scene: Scene, command: str) -> None:
    for store in (scene.root / ".dvc/cache", scene.remote):
        check_store(store)
    if command.startswith("gc"):
        assert scene.held() == scene.data
        scene.ever("undo")
        scene.ever("add", "data")
        return
    assert scene.held("other" if command.startswith("move") else "data") == scene.data
    assert Workspace.open(scene.root).status() == {}
    if command in ("push", "pull", "fetch"):
        assert Workspace.open(scene.root).transfers.status() == {}
    assert not list((scene.root / ".dvc/cache").glob("everloop-incoming/*"))
