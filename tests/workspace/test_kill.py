"""Kill each verb at chosen system calls: nothing of the user's is lost, both tools read what is left, a rerun finishes.

`test_crash.py` does the same for a large `add`.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import pytest

from everloop.workspace import Workspace
from everloop.workspace.gc import Scope
from everloop.workspace.inventory import objects
from tests.workspace.dvcpeer import called

ROUNDS = int(os.environ.get("KILL_ROUNDS", "6"))
MINE = {"same": "same", "x": "mine", "sub/new": "mine too"}
TRAITS = {"to-file": "x", "to-folder": "deep", "deep/up": "../same"}
FOREVER = 10**9


class Victims:
    """The process that kills its children."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self._asked: IO[str] = process.stdin
        self._answered: IO[str] = process.stdout

    def calls(self, verb: str, root: Path) -> int:
        """How many calls the whole verb makes."""
        status, left = self._run(verb, FOREVER, root)
        assert status == 0
        return FOREVER - int(left)

    def kill(self, verb: str, at: int, root: Path) -> None:
        """Do the verb until it dies."""
        status, _ = self._run(verb, at, root)
        assert os.WIFSIGNALED(status), f"{verb} ended by itself before call {at}"

    def _run(self, verb: str, calls: int, root: Path) -> tuple[int, str]:
        self._asked.write(f"{verb} {calls} {root}\n")
        self._asked.flush()
        status, left = self._answered.readline().split()
        return int(status), left


@pytest.fixture(scope="module")
def victims() -> Iterator[Victims]:
    with subprocess.Popen(
        [sys.executable, str(Path(__file__).with_name("victim.py"))],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        yield Victims(process)


def write(workspace: Workspace, path: str, text: str) -> None:
    target = workspace.root / path
    target.parent.mkdir(parents=True, exist_ok=True)
    # Not into a second name of a cache object.
    target.unlink(missing_ok=True)
    target.write_text(text)


def texts(workspace: Workspace, folder: str = "d") -> dict[str, str]:
    top = workspace.root / folder
    return {str(path.relative_to(top)): path.read_text() for path in sorted(top.rglob("*")) if path.is_file()}


def everything(workspace: Workspace) -> set[str]:
    """The texts of all files below the workspace, wherever they lie."""
    found = set()
    for path in workspace.root.rglob("*"):
        if path.is_file() and ".git" not in path.parts:
            found.add(path.read_bytes().decode(errors="replace"))
    return found


def prepare(workspace: Workspace, verb: str) -> None:
    """A tracked directory with changes that are nowhere else, and objects that nothing needs."""
    if verb == "unprotect":
        (workspace.root / ".dvc/config").write_text("[cache]\n    type = hardlink\n")
        workspace = Workspace.open(workspace.root)
    write(workspace, "d/same", "same")
    write(workspace, "d/x", "older")
    workspace.add(["d"])
    write(workspace, "d/x", "recorded")
    write(workspace, "d/gone", "gone")
    workspace.add(["d"])
    if verb == "migrate":
        # What DVC 2 has made: of texts without a carriage return it has the same hashes, but other places, and no word
        # of the kind.
        for folder in (workspace.cache.root / "files/md5").iterdir():
            folder.rename(workspace.cache.root / folder.name)
        record = workspace.root / "d.dvc"
        record.write_text(record.read_text().replace("  hash: md5\n", ""))
    if verb in ("move", "unprotect", "migrate"):
        return
    if verb == "traits":
        place = workspace.root / "d"
        write(workspace, "d/deep/y", "y")
        for name, target in TRAITS.items():
            (place / name).symlink_to(target)
        (place / "empty").mkdir()
        (place / "same").chmod(0o755)
        workspace.add(["d"])
        shutil.rmtree(place / "deep")
        for name in TRAITS:
            (place / name).unlink(missing_ok=True)
        (place / "empty").rmdir()
        (place / "same").chmod(0o644)
        write(workspace, "d/to-file", "mine, where a link was")
    write(workspace, "d/x", "mine")
    write(workspace, "d/sub/new", "mine too")
    (workspace.root / "d/gone").unlink()
    if verb == "undo":
        workspace.checkout(force=True)
    if verb == "symlink":
        (workspace.root / ".dvc/config").write_text("[cache]\n    type = symlink\n")


def link(root: Path, verb: str) -> None:
    """A copied tree has no second names; for `unprotect` there must be some."""
    if verb == "unprotect":
        shutil.rmtree(root / "d")
        Workspace.open(root).checkout()


def undo_all(workspace: Workspace) -> None:
    while workspace.trash.operations():
        workspace.undo()


def finish_checkout(workspace: Workspace, number: int) -> None:
    if number % 2:
        workspace.checkout(force=True)
        assert texts(workspace) == {"same": "same", "x": "recorded", "gone": "gone"}
    undo_all(workspace)
    assert texts(workspace) == MINE


def finish_gc(workspace: Workspace, number: int) -> None:
    needed = {md5 for md5, _ in objects(workspace.cache)} if number % 2 else set()
    workspace.gc(Scope(workspace=True))
    held = {workspace.cache.path(md5).read_text() for md5, _ in objects(workspace.cache) if not md5.endswith(".dir")}
    assert held == {"same", "recorded", "gone"}
    undo_all(workspace)
    held = {workspace.cache.path(md5).read_text() for md5, _ in objects(workspace.cache) if not md5.endswith(".dir")}
    assert held == {"same", "recorded", "gone", "older"}
    assert needed <= {md5 for md5, _ in objects(workspace.cache)}


def finish_move(workspace: Workspace, _: int) -> None:
    if (workspace.root / "d.dvc").exists():
        workspace.move("d", "new/e")
    assert texts(workspace, "new/e") == {"same": "same", "x": "recorded", "gone": "gone"}
    assert not (workspace.root / "d").exists()
    assert (workspace.root / "new/.gitignore").read_text() == "/e\n"
    assert not (workspace.root / ".gitignore").exists()
    assert workspace.status() == {}


def finish_remove(workspace: Workspace, _: int) -> None:
    if (workspace.root / "d.dvc").exists():
        workspace.remove(["d"], outs=True)
    assert not (workspace.root / "d").exists()
    undo_all(workspace)
    assert texts(workspace) == MINE
    assert (workspace.root / "d.dvc").exists()


def finish_undo(workspace: Workspace, _: int) -> None:
    undo_all(workspace)
    assert texts(workspace) == MINE


def finish_part(workspace: Workspace, _: int) -> None:
    assert texts(workspace) == MINE
    workspace.add(["d/x", "d/sub", "d/gone"])
    assert workspace.status() == {}


def finish_unprotect(workspace: Workspace, _: int) -> None:
    assert texts(workspace) == {"same": "same", "x": "recorded", "gone": "gone"}
    workspace.unprotect("d")
    assert all(path.stat().st_nlink == 1 for path in (workspace.root / "d").iterdir())
    assert workspace.status() == {}


def finish_symlink(workspace: Workspace, _: int) -> None:
    assert texts(workspace) == MINE
    workspace.add(["d"])
    assert texts(workspace) == MINE
    assert all((workspace.root / "d" / path).is_symlink() for path in MINE)
    assert workspace.status() == {}


def finish_migrate(workspace: Workspace, _: int) -> None:
    report = workspace.migrate(records=True)
    assert report.skipped == {}
    assert "hash: md5" in (workspace.root / "d.dvc").read_text()
    assert workspace.status() == {}
    for path in (workspace.cache.root / "files/md5").glob("*/*"):
        assert path.stat().st_mode & 0o777 == 0o444
    shutil.rmtree(workspace.root / "d")
    workspace.checkout()
    assert texts(workspace) == {"same": "same", "x": "recorded", "gone": "gone"}


def finish_traits(workspace: Workspace, number: int) -> None:
    place = workspace.root / "d"
    if number % 2:
        workspace.checkout(force=True)
        assert {name: str((place / name).readlink()) for name in TRAITS} == TRAITS
        assert (place / "empty").is_dir()
        assert (place / "same").stat().st_mode & 0o111
        assert workspace.add(["d"]).added == ()
    undo_all(workspace)
    assert texts(workspace) == {**MINE, "to-file": "mine, where a link was"}
    assert not any((place / name).is_symlink() for name in TRAITS)


FINISH = {
    "traits": finish_traits,
    "symlink": finish_symlink,
    "migrate": finish_migrate,
    "unprotect": finish_unprotect,
    "checkout": finish_checkout,
    "gc": finish_gc,
    "move": finish_move,
    "remove": finish_remove,
    "undo": finish_undo,
    "part": finish_part,
}


@pytest.mark.parametrize("verb", FINISH)
def test_killed_verb_loses_nothing_and_can_be_finished(
    workspace: Workspace, tmp_path: Path, victims: Victims, verb: str
) -> None:
    prepare(workspace, verb)
    pristine = shutil.copytree(workspace.root, tmp_path / "pristine", symlinks=True)
    before = {"same", "older", "recorded", "gone"} | (
        set(MINE.values()) if verb not in ("move", "unprotect", "migrate") else set()
    )
    root = tmp_path / "round"
    shutil.copytree(pristine, root, symlinks=True)
    link(root, verb)
    calls = victims.calls(verb, root)
    points = random.Random(verb).sample(range(1, calls + 1), min(ROUNDS, calls))
    for number, point in enumerate(points):
        shutil.rmtree(root)
        shutil.copytree(pristine, root, symlinks=True)
        link(root, verb)
        victims.kill(verb, point, root)
        left = Workspace.open(root)
        assert before <= everything(left), f"{before - everything(left)} are lost at call {point}"
        left.status()
        left.outs()
        FINISH[verb](Workspace.open(root), number)


@pytest.mark.peer
@pytest.mark.parametrize("verb", FINISH)
def test_dvc_reads_what_a_killed_verb_left(workspace: Workspace, tmp_path: Path, victims: Victims, verb: str) -> None:
    prepare(workspace, verb)
    pristine = shutil.copytree(workspace.root, tmp_path / "pristine", symlinks=True)
    link(workspace.root, verb)
    calls = victims.calls(verb, workspace.root)
    shutil.rmtree(workspace.root)
    shutil.copytree(pristine, workspace.root, symlinks=True)
    link(workspace.root, verb)
    victims.kill(verb, calls * 3 // 4, workspace.root)
    said = called(workspace.root, "status", "--json")
    assert said.returncode == 0, said.stderr
    json.loads(said.stdout)
