from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest

from everloop.errors import InvalidError
from everloop.pipelines import bundle
from everloop.workspace import Workspace


def files(data: bytes, folder: Path) -> dict[str, str]:
    bundle.unpack(data, folder)
    return {path.relative_to(folder).as_posix(): path.read_text() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("scm", [True, False])
def test_plain_files_go_and_data_stay(tmp_path: Path, scm: bool) -> None:
    workspace = Workspace.init(tmp_path / "project", scm=scm)
    for name in ("code/train.py", "data/a", "loose", "ü x"):
        (workspace.root / name).parent.mkdir(exist_ok=True)
        (workspace.root / name).write_text(name)
    (workspace.root / "code/train.py").chmod(0o755)
    workspace.add(["data"])
    with (workspace.root / ".gitignore").open("a") as file:
        file.write("/loose\n")
    found = files(bundle.Bundles(workspace).bundle(["loose"]), tmp_path / "there")
    assert {"code/train.py", "data.dvc", "loose", "ü x", ".gitignore"} <= found.keys()
    assert not any(name.startswith(("data/", ".dvc/", ".git/")) for name in found)
    assert (tmp_path / "there/code/train.py").stat().st_mode & 0o100
    if scm:
        assert "loose" not in files(bundle.Bundles(workspace).bundle(), tmp_path / "without")


def test_an_unchanged_bundle_is_the_same_object(workspace: Workspace) -> None:
    (workspace.root / "a").write_text("1")
    bundles = bundle.Bundles(workspace)
    first = bundles.bundle()
    assert bundles.bundle() is first
    (workspace.root / "a").write_text("22")
    assert bundles.bundle() != first


def test_too_much_is_refused(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bundle, "LIMIT_BYTES", 10)
    (workspace.root / "large.bin").write_bytes(bytes(2000))
    with pytest.raises(InvalidError, match=r"the largest is large.bin with 0 MB"):
        bundle.Bundles(workspace).bundle()


def test_nothing_leaves_the_folder(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("../outside"))
    with pytest.raises(tarfile.OutsideDestinationError):
        bundle.unpack(buffer.getvalue(), tmp_path / "there")
