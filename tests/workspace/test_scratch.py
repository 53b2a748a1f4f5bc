from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from everloop.workspace import Workspace, scratch
from everloop.workspace.checkout import restore
from tests.workspace.test_workspace import write

DIE = """
import os, sys
from pathlib import Path
from everloop.workspace import scratch
with scratch.private(Path(sys.argv[1]), ".{}.tmp") as folder:
    (folder / "half").write_text("x")
    os._exit(1)
"""


def test_folder_is_gone_with_the_block(tmp_path: Path) -> None:
    with scratch.beside(tmp_path / "scratch", tmp_path / "data/x") as folder:
        assert folder.parent == tmp_path / "scratch"
        (folder / "half").write_text("x")
    assert list((tmp_path / "scratch").iterdir()) == []
    assert (tmp_path / "data").is_dir()


def test_what_the_dead_left_goes_and_what_the_living_hold_stays(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-c", DIE, str(tmp_path)], check=False)
    (left,) = tmp_path.iterdir()
    assert (left / "half").exists()
    with scratch.beside(tmp_path, tmp_path / "x") as first, scratch.beside(tmp_path, tmp_path / "y") as second:
        assert not left.exists()
        assert first.is_dir()
        assert second.is_dir()


def test_no_file_is_taken_for_a_folder(tmp_path: Path) -> None:
    (tmp_path / ".note.tmp").write_text("mine")
    (tmp_path / ".link.tmp").symlink_to(tmp_path)
    scratch.remove_leftovers(tmp_path)
    assert (tmp_path / ".note.tmp").read_text() == "mine"
    assert (tmp_path / ".link.tmp").is_symlink()


@pytest.mark.parametrize("n_threads", [8])
def test_many_restore_at_once(workspace: Workspace, n_threads: int) -> None:
    names = [f"f{number}" for number in range(n_threads)]
    for name in names:
        write(workspace, name, name)
    workspace.add(names)
    contents = {out.path: out for out in workspace.outs()}

    def take_back(name: str) -> None:
        own = Workspace.open(workspace.root)
        for _ in range(25):
            (workspace.root / name).unlink()
            restore(own, [contents[name]], force=True)

    with ThreadPoolExecutor(n_threads) as pool:
        list(pool.map(take_back, names))
    assert [(workspace.root / name).read_text() for name in names] == names
