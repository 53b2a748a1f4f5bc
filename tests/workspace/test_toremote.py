from __future__ import annotations

import hashlib
import os
import tracemalloc
from pathlib import Path

import pytest

from everloop.errors import ConflictError, InvalidError, NotFoundError, UnavailableError
from everloop.workspace import Workspace, remotes, toremote
from everloop.workspace.configuration import Configuration
from everloop.workspace.origin import BucketOrigin, OriginFile, Sink
from everloop.workspace.parallel import Patience
from everloop.workspace.remote_store import RemoteStore
from everloop.workspace.remotes import Remote
from tests.workspace.buckets import Flaky

LARGE = os.urandom(1 << 20) * 40


def far(folder: Path) -> BucketOrigin:
    """A folder that counts as another machine's."""
    return BucketOrigin("far", folder.as_uri(), {})


def store(tmp_path: Path, *, every: int = 10**9) -> RemoteStore:
    return RemoteStore(
        Remote(name="shared", url=str(tmp_path / "shared")),
        tmp_path / "memory",
        patience=Patience(first_pause_s=0.0),
        bucket=Flaky(tmp_path / "shared", every=every),
    )


def objects(root: Path) -> set[str]:
    found = {path.parent.name + path.name: path for path in (root / "files/md5").glob("*/*")}
    for md5, path in found.items():
        assert hashlib.md5(path.read_bytes()).hexdigest() == md5.removesuffix(".dir")
    return set(found)


@pytest.mark.parametrize("has_room", [True, False], ids=["waits on the disk", "comes twice"])
def test_large_files_need_little_memory_and_leave_nothing(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, has_room: bool
) -> None:
    (tmp_path / "far").mkdir()
    (tmp_path / "far/large").write_bytes(LARGE)
    origin = far(tmp_path / "far")
    shared = RemoteStore(Remote(name="shared", url=str(tmp_path / "shared")), tmp_path / "memory")
    if not has_room:
        monkeypatch.setattr(toremote, "_SPARE_BYTES", 1 << 60)
    tracemalloc.start()
    content = toremote.send(workspace, origin, shared)
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak_bytes < len(LARGE) / 2
    assert content.size_bytes == len(LARGE)
    assert objects(tmp_path / "shared") == {hashlib.md5(LARGE).hexdigest(), content.md5}
    assert list(workspace.layout.scratch_dir.glob("to-remote-*")) == []


def test_a_flaky_remote_gets_all_of_it_in_the_end(workspace: Workspace, tmp_path: Path) -> None:
    (tmp_path / "far/sub").mkdir(parents=True)
    (tmp_path / "far/sub/small").write_bytes(b"small")
    (tmp_path / "far/other").write_bytes(b"other")
    content = toremote.send(workspace, far(tmp_path / "far"), store(tmp_path, every=3))
    assert content.n_files == 2
    assert len(objects(tmp_path / "shared")) == 3


def test_what_does_not_arrive_is_named_and_nothing_is_recorded(workspace: Workspace, tmp_path: Path) -> None:
    (tmp_path / "far").mkdir()
    (tmp_path / "far/a").write_bytes(b"a")
    with pytest.raises(UnavailableError, match=r"a: .*503"):
        toremote.add(workspace, far(tmp_path / "far"), "d", store(tmp_path, every=1))
    assert not (workspace.root / "d.dvc").exists()


def test_a_file_that_changes_between_hash_and_transfer_is_refused(workspace: Workspace, tmp_path: Path) -> None:
    source = tmp_path / "growing"
    source.write_bytes(LARGE)

    class Growing:
        address, is_here, patience, mark = "growing", True, Patience(attempts=1), None
        n_reads = 0

        def files(self) -> list[OriginFile]:
            return [OriginFile(name="", size_bytes=len(LARGE))]

        def read(self, name: str, sink: Sink) -> None:
            self.n_reads += 1
            for start in range(0, len(LARGE), 1 << 20):
                sink(LARGE[start : start + (1 << 20)])
            sink(b"x" * self.n_reads)

    with pytest.raises(ConflictError, match="changed while it was read"):
        toremote.send(workspace, Growing(), store(tmp_path))  # type: ignore[arg-type]
    assert objects(tmp_path / "shared") == set()


def test_where_something_else_lies_or_belongs_nothing_is_added(workspace: Workspace, tmp_path: Path) -> None:
    remotes.add(Configuration(workspace.layout.dvc_dir), "shared", str(tmp_path / "shared"), default=True)
    source = tmp_path / "x"
    source.write_text("x")
    (workspace.root / "taken").write_text("other")
    (workspace.root / "d").mkdir()
    (workspace.root / "d/a").write_text("a")
    workspace.add(["d"])
    with pytest.raises(ConflictError, match="taken exists already"):
        workspace.add_to_remote(str(source), "taken")
    with pytest.raises(InvalidError, match="lies inside d"):
        workspace.add_to_remote(str(source), "d/b")
    with pytest.raises(NotFoundError, match="does not exist"):
        workspace.add_to_remote(str(tmp_path / "none"), "y")
    assert not (tmp_path / "shared").exists()
    assert workspace.add_to_remote(str(source), "taken", force=True).added[0].path == "taken.dvc"
