from __future__ import annotations

from pathlib import Path

import pytest

from everloop.workspace import Change, Workspace
from everloop.workspace.routes import open_store


@pytest.fixture
def filled(workspace: Workspace) -> Workspace:
    (workspace.root / "d").mkdir()
    for number in range(40):
        (workspace.root / f"d/{number:02}").write_text(f"text {number}")
    (workspace.root / "twin").write_text("text 7")
    workspace.add(["d", "twin"])
    return workspace


def damage(workspace: Workspace, path: str, data: bytes = b"rotten") -> Path:
    (md5,) = workspace.contents.files(path).values()
    found = workspace.cache.path(md5)
    found.chmod(0o644)
    found.write_bytes(data)
    found.chmod(0o444)
    return found


def test_whole_cache_is_found_whole(filled: Workspace) -> None:
    report = filled.verify()
    assert (report.n_objects, report.corrupt, report.missing) == (41, (), {})


@pytest.mark.parametrize("jobs", [1, 4])
def test_damaged_object_is_moved_aside_and_its_paths_are_named(filled: Workspace, jobs: int) -> None:
    found = damage(filled, "d/07")
    report = filled.verify(jobs=jobs)
    (item,) = report.corrupt
    assert set(item.paths) == {"d/07", "twin"}
    assert not found.exists()
    assert Path(item.moved_to).read_bytes() == b"rotten"
    assert set(report.missing) == {"d/07", "twin"}
    assert filled.verify().corrupt == ()


def test_add_heals_what_was_moved_aside(filled: Workspace) -> None:
    damage(filled, "d/07")
    filled.verify()
    assert filled.status() == {"d.dvc": {"d": Change.NOT_IN_CACHE}, "twin.dvc": {"twin": Change.NOT_IN_CACHE}}
    filled.add(["d"])
    assert filled.status() == {}


def test_damaged_listing_is_found(filled: Workspace) -> None:
    (content,) = [out.content for out in filled.outs() if out.path == "d"]
    assert content is not None
    path = filled.cache.path(content.md5)
    path.chmod(0o644)
    path.write_text("[]")
    (item,) = filled.verify().corrupt
    assert (item.md5, item.paths) == (content.md5, ("d",))


def test_object_that_is_absent_is_told_and_is_no_damage(filled: Workspace) -> None:
    (md5,) = filled.contents.files("d/03").values()
    filled.cache.path(md5).unlink()
    report = filled.verify()
    assert report.corrupt == ()
    assert report.missing == {"d/03": (md5,)}


def test_empty_cache_is_whole(workspace: Workspace) -> None:
    assert workspace.verify().n_objects == 0


@pytest.fixture
def with_remote(filled: Workspace, tmp_path: Path) -> Workspace:
    (filled.root / ".dvc/config").write_text(f"[core]\n    remote = r\n['remote \"r\"']\n    url = {tmp_path}/r\n")
    opened = Workspace.open(filled.root)
    opened.transfers.push()
    return Workspace.open(filled.root)


def damage_remote(workspace: Workspace, path: str) -> Path:
    (md5,) = workspace.contents.files(path).values()
    store = open_store(workspace)
    found = Path(store.url.removeprefix("file://")) / store.key(md5)
    found.chmod(0o644)
    found.write_bytes(b"rotten")
    return found


def test_good_copy_is_fetched_when_asked_for(with_remote: Workspace) -> None:
    found = damage(with_remote, "d/07")
    (item,) = with_remote.verify(fetch=True).corrupt
    assert item.is_healed
    assert found.read_text() == "text 7"
    assert with_remote.status() == {}


def test_what_is_damaged_on_both_sides_is_not_healed(with_remote: Workspace) -> None:
    damage(with_remote, "d/07")
    damage_remote(with_remote, "d/07")
    (item,) = with_remote.verify(fetch=True).corrupt
    assert not item.is_healed
    (item,) = with_remote.verify(cloud=True).corrupt
    assert not item.is_healed


def test_remote_is_healed_out_of_the_cache(with_remote: Workspace) -> None:
    found = damage_remote(with_remote, "d/07")
    report = with_remote.verify(cloud=True)
    (item,) = report.corrupt
    assert (report.n_objects, item.is_healed) == (41, True)
    assert set(item.paths) == {"d/07", "twin"}
    assert found.read_text() == "text 7"
    assert Path(item.moved_to.removeprefix("file://")).read_bytes() == b"rotten"
    assert with_remote.verify(cloud=True).corrupt == ()


def test_remote_that_cannot_be_healed_lacks_the_object_then(with_remote: Workspace) -> None:
    found = damage_remote(with_remote, "d/07")
    damage(with_remote, "d/07")
    (item,) = with_remote.verify(cloud=True).corrupt
    assert not item.is_healed
    assert not found.exists()
    # The file in the workspace is still right: from there it comes back on both sides.
    with_remote.verify()
    with_remote.add(["d"])
    with_remote.transfers.push()
    assert with_remote.verify(cloud=True).corrupt == ()
    assert found.read_text() == "text 7"
