"""No room left on the disk: a clear error, nothing of the user's lost, nothing half-made that looks whole."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from everloop.workspace import Workspace

SIZE_BYTES = 2_200_000
# Of a process that may write no file larger than this, as on a disk that fills up while it writes.
LIMITED = """
import resource, sys
from everloop.cli import main
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
sys.argv = ["ever", *sys.argv[1:]]
main()
"""


def ever(root: Path, *words: str, limited: bool) -> subprocess.CompletedProcess[str]:
    command = ["-c", LIMITED] if limited else ["-m", "everloop"]
    return subprocess.run([sys.executable, *command, *words], cwd=root, capture_output=True, text=True, check=False)


@pytest.fixture
def tiny(tmp_path: Path) -> Iterator[Path]:
    """A filesystem of four megabytes."""
    folder = tmp_path / "tiny"
    folder.mkdir()
    if os.geteuid() != 0 or shutil.which("mount") is None:
        pytest.skip("only root may mount a tiny filesystem")
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(folder)], check=False)
    if done.returncode != 0:
        pytest.skip("this machine lets nobody mount")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def check(root: Path, data: dict[str, bytes]) -> None:
    for path, expected in data.items():
        assert (root / path).read_bytes() == expected
    workspace = Workspace.open(root)
    for found in (workspace.cache.root / "files/md5").glob("*/*"):
        assert hashlib.md5(found.read_bytes()).hexdigest() == (found.parent.name + found.name).removesuffix(".dir")
    assert not list((workspace.cache.root / "everloop-incoming").glob("*"))


@pytest.mark.parametrize("target", ["big", "d"])
def test_add_that_cannot_write_leaves_the_data(workspace: Workspace, target: str) -> None:
    data = {"big": os.urandom(SIZE_BYTES), "d/big": os.urandom(SIZE_BYTES), "d/small": b"small"}
    (workspace.root / "d").mkdir()
    for path, content in data.items():
        (workspace.root / path).write_bytes(content)
    failed = ever(workspace.root, "add", target, limited=True)
    assert failed.returncode == 1
    assert "File too large" in failed.stderr
    assert "Traceback" not in failed.stderr
    assert not (workspace.root / f"{target}.dvc").exists()
    check(workspace.root, data)
    assert ever(workspace.root, "add", target, limited=False).returncode == 0
    assert Workspace.open(workspace.root).status() == {}


def test_checkout_that_cannot_write_leaves_what_was_there(workspace: Workspace) -> None:
    old = os.urandom(SIZE_BYTES)
    (workspace.root / "a").write_bytes(old)
    workspace.add(["a"])
    (workspace.root / "a").write_bytes(b"mine")
    failed = ever(workspace.root, "checkout", "--force", limited=True)
    assert failed.returncode == 1
    assert "File too large" in failed.stderr
    check(workspace.root, {"a": b"mine"})
    assert ever(workspace.root, "checkout", "--force", limited=False).returncode == 0
    check(workspace.root, {"a": old})


def test_add_on_a_full_disk_leaves_the_data(tiny: Path) -> None:
    workspace = Workspace.init(tiny / "p", scm=False)
    data = os.urandom(SIZE_BYTES)
    (workspace.root / "a").write_bytes(data)
    failed = ever(workspace.root, "add", "a", limited=False)
    assert failed.returncode == 1
    assert "No space left" in failed.stderr
    assert "Traceback" not in failed.stderr
    check(workspace.root, {"a": data})
    assert not (workspace.root / "a.dvc").exists()


def test_checkout_on_a_full_disk_leaves_what_was_there(tiny: Path) -> None:
    workspace = Workspace.init(tiny / "p", scm=False)
    data = os.urandom(SIZE_BYTES // 2)
    (workspace.root / "a").write_bytes(data)
    workspace.add(["a"])
    (workspace.root / "a").write_bytes(b"mine")
    filler = tiny / "filler"
    with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while file.write(bytes(4096)):
            pass
    failed = ever(workspace.root, "checkout", "--force", limited=False)
    assert failed.returncode == 1
    assert "No space left" in failed.stderr
    check(workspace.root, {"a": b"mine"})
    filler.unlink()
    assert ever(workspace.root, "checkout", "--force", limited=False).returncode == 0
    check(workspace.root, {"a": data})
