"""`cache.type = symlink`: files of the workspace are links into the cache, and no verb loses what they lead to."""

from __future__ import annotations

import os
import shutil
import stat
from pathlib import Path

import pytest

from everloop.errors import ConflictError, FailedError, InvalidError, NotFoundError
from everloop.pipelines.commit import commit
from everloop.workspace import Workspace, checkout, doctor
from everloop.workspace.gc import Scope


def write(workspace: Workspace, path: str, text: str, *, mode: int = 0o644) -> Path:
    target = workspace.root / path
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(text)
    target.chmod(mode)
    os.utime(target, ns=(10**18 + 1, 10**18 + 1))
    return target


def configured(workspace: Workspace, **options: str) -> Workspace:
    lines = [f'    {key} = "{value}"\n' for key, value in options.items()]
    (workspace.root / ".dvc/config").write_text("[cache]\n" + "".join(lines))
    return Workspace.open(workspace.root)


def is_linked(workspace: Workspace, path: str) -> bool:
    """Whether it is a link to a read-only object of the cache, in its absolute spelling."""
    place = workspace.root / path
    if not place.is_symlink():
        return False
    target = place.readlink()
    assert target.is_absolute()
    assert target.is_relative_to(workspace.cache.root / "files/md5")
    assert not target.stat().st_mode & 0o222
    return True


@pytest.fixture
def linked(workspace: Workspace) -> Workspace:
    """A directory and a file, added with symlinks."""
    workspace = configured(workspace, type="symlink")
    write(workspace, "d/x", "x")
    write(workspace, "d/sub/y", "y")
    write(workspace, "a.csv", "a")
    workspace.add(["d", "a.csv"])
    return workspace


ALL = ("d/x", "d/sub/y", "a.csv")


def texts(workspace: Workspace) -> list[str]:
    return [(workspace.root / path).read_text() for path in ALL]


def test_add_leaves_links_to_the_cache(linked: Workspace) -> None:
    assert all(is_linked(linked, path) for path in ALL)
    assert texts(linked) == ["x", "y", "a"]
    assert linked.status() == {}
    assert linked.add(["d", "a.csv"]).added == ()
    assert "meta" not in (linked.root / "d.dvc").read_text()


def test_checkout_makes_links(linked: Workspace) -> None:
    shutil.rmtree(linked.root / "d")
    (linked.root / "a.csv").unlink()
    linked.checkout()
    assert all(is_linked(linked, path) for path in ALL)
    assert linked.status() == {}


def test_links_are_not_hashed_again(linked: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    linked.status()
    for path in (linked.cache.root / "files/md5").rglob("*"):
        if path.is_file():
            os.utime(path, ns=(10**18 + 1, 10**18 + 1))
    linked.status()

    def refuse(_: object) -> str:
        raise AssertionError("hashed again")

    monkeypatch.setattr("everloop.workspace.hashing.md5_of_file", refuse)
    assert Workspace.open(linked.root).status() == {}


def test_executable_files_have_bytes_of_their_own(workspace: Workspace) -> None:
    workspace = configured(workspace, type="symlink")
    write(workspace, "d/run.sh", "run", mode=0o755)
    write(workspace, "d/same", "run")
    workspace.add(["d"])
    shutil.rmtree(workspace.root / "d")
    workspace.checkout()
    assert is_linked(workspace, "d/same")
    assert not (workspace.root / "d/run.sh").is_symlink()
    assert (workspace.root / "d/run.sh").stat().st_mode & 0o111
    assert not (workspace.root / "d/same").stat().st_mode & 0o111


def test_links_of_the_user_stay(workspace: Workspace, tmp_path: Path) -> None:
    workspace = configured(workspace, type="symlink")
    (tmp_path / "far").write_text("far")
    write(workspace, "d/x", "x")
    (workspace.root / "d/l").symlink_to("x")
    (workspace.root / "d/out").symlink_to(tmp_path / "far")
    assert workspace.add(["d"]).flattened == {"d/out": str(tmp_path / "far")}
    assert is_linked(workspace, "d/x")
    assert (workspace.root / "d/l").readlink() == Path("x")
    assert (workspace.root / "d/out").readlink() == tmp_path / "far"
    assert workspace.status() == {}


def test_relative_and_linked_cache_folder_is_known_as_the_cache(workspace: Workspace, tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "cache").symlink_to(tmp_path / "real")
    workspace = configured(workspace, type="symlink", dir="../../cache")
    write(workspace, "d/x", "x")
    workspace.add(["d"])
    assert is_linked(workspace, "d/x")
    (workspace.root / "d/x").unlink()
    (workspace.root / "d/x").symlink_to(workspace.cache.path(next(iter(workspace.contents.files("d").values()), "")))
    assert Workspace.open(workspace.root).contents.traits("d") is None


def test_unprotect_makes_files_that_can_be_edited(linked: Workspace) -> None:
    before = (linked.root / "d/x").stat()
    linked.unprotect("d")
    linked.unprotect("a.csv")
    for path in ALL:
        found = (linked.root / path).lstat()
        assert stat.S_ISREG(found.st_mode)
        assert found.st_mode & 0o200
    (linked.root / "d/x").write_text("edited")
    assert linked.cache.path("9dd4e461268c8034f5c8564e155c67a6").read_text() == "x"
    assert before.st_ino == linked.cache.path("9dd4e461268c8034f5c8564e155c67a6").stat().st_ino
    assert linked.status() == {"d.dvc": {"d": "modified"}}
    assert linked.add(["d"]).added
    assert is_linked(linked, "d/x")


def test_unprotect_leaves_links_of_the_user(linked: Workspace, tmp_path: Path) -> None:
    far = tmp_path / "far"
    far.mkdir()
    (far / "z").write_text("z")
    (far / "z").chmod(0o444)
    (linked.root / "d/out").symlink_to(far)
    (linked.root / "d/self").symlink_to(".")
    linked.unprotect("d")
    assert (linked.root / "d/out").readlink() == far
    assert not (far / "z").stat().st_mode & 0o222


def test_move_remove_and_undo(linked: Workspace) -> None:
    linked.move("d", "e")
    assert is_linked(linked, "e/x")
    assert linked.status() == {}
    linked.move("e", "d")
    linked.remove(["d", "a.csv"], outs=True)
    assert not os.path.lexists(linked.root / "a.csv")
    linked.undo()
    assert all(is_linked(linked, path) for path in ALL)
    assert linked.status() == {}


def test_gc_keeps_what_links_lead_to(linked: Workspace) -> None:
    linked.git.commit(["."], "one")
    linked.unprotect("d")
    (linked.root / "d/x").write_text("new")
    linked.add(["d"])
    linked.checkout(["d"], rev="HEAD")
    removed = linked.gc(Scope(workspace=True)).removed
    linked.trash.empty()
    assert (linked.root / "d/x").read_text() == "x"
    assert not any(md5 == "9dd4e461268c8034f5c8564e155c67a6" for md5 in removed)


def test_undo_of_a_checkout_brings_links_back(linked: Workspace) -> None:
    linked.git.commit(["."], "one")
    linked.unprotect("d")
    (linked.root / "d/x").write_text("new")
    linked.add(["d"])
    linked.checkout(["d"], rev="HEAD")
    linked.undo()
    assert (linked.root / "d/x").read_text() == "new"
    assert is_linked(linked, "d/x")
    assert linked.status() == {}


def test_lost_cache_is_told_and_brought_back(linked: Workspace, tmp_path: Path) -> None:
    (linked.root / ".dvc/config").write_text(
        f"[core]\n    remote = r\n[cache]\n    type = symlink\n['remote \"r\"']\n    url = {tmp_path / 'remote'}\n"
    )
    opened = Workspace.open(linked.root)
    opened.transfers.push()
    shutil.rmtree(opened.cache.root)
    opened = Workspace.open(linked.root)
    assert opened.status() == {"a.csv.dvc": {"a.csv": "deleted"}, "d.dvc": {"d": "modified"}}
    with pytest.raises(InvalidError, match="which does not exist"):
        opened.add(["d"])
    with pytest.raises(NotFoundError):
        opened.checkout()
    opened.transfers.pull()
    assert texts(opened) == ["x", "y", "a"]
    assert opened.status() == {}


def test_damaged_object_does_not_replace_a_good_file(workspace: Workspace) -> None:
    workspace = configured(workspace, type="symlink")
    write(workspace, "a", "good")
    workspace.add(["a"], relink=False)
    (object_,) = (path for path in (workspace.cache.root / "files/md5").rglob("*") if path.is_file())
    object_.chmod(0o644)
    object_.write_text("evil")
    object_.chmod(0o444)
    with pytest.raises(FailedError, match="damaged"):
        workspace.commit(["a"])
    assert (workspace.root / "a").read_text() == "good"
    assert not (workspace.root / "a").is_symlink()


def test_file_that_changes_meanwhile_is_not_replaced(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    workspace = configured(workspace, type="symlink")
    write(workspace, "a", "old")
    before = checkout._write

    def written(*words: object) -> object:
        (workspace.root / "a").write_text("newer than the hash")
        return before(*words)  # type: ignore[arg-type]

    monkeypatch.setattr(checkout, "_write", written)
    with pytest.raises(ConflictError, match="changed while"):
        workspace.add(["a"])
    assert (workspace.root / "a").read_text() == "newer than the hash"


def test_no_relink_leaves_the_files(workspace: Workspace) -> None:
    for types in ("symlink", "hardlink"):
        workspace = configured(workspace, type=types)
        target = write(workspace, types, types)
        workspace.add([types], relink=False)
        commit(workspace, [types], confirm=lambda _: True, relink=False)
        found = target.lstat()
        assert (stat.S_ISREG(found.st_mode), found.st_nlink, found.st_mode & 0o200) == (True, 1, 0o200)
    workspace = configured(workspace, type="symlink")
    commit(workspace, ["symlink"], confirm=lambda _: True)
    assert is_linked(workspace, "symlink")


def test_part_is_linked_too(linked: Workspace) -> None:
    write(linked, "d/new", "new")
    linked.add(["d/new"])
    assert is_linked(linked, "d/new")
    assert linked.status() == {}


def test_first_type_that_works_is_taken(workspace: Workspace) -> None:
    workspace = configured(workspace, type="hardlink,symlink")
    write(workspace, "d/x", "x")
    workspace.add(["d"])
    assert (workspace.root / "d/x").lstat().st_nlink == 2
    working = doctor.link_types(workspace)
    assert {"hardlink", "symlink", "copy"} <= set(working)
    if "reflink" not in working:
        workspace = configured(workspace, type="reflink,symlink")
        write(workspace, "e/y", "y")
        workspace.add(["e"])
        assert is_linked(workspace, "e/y")


def test_cache_of_a_group_can_be_written_by_it(workspace: Workspace, tmp_path: Path) -> None:
    workspace = configured(workspace, shared="group", type="symlink", dir="../../far/cache")
    write(workspace, "d/x", "x")
    workspace.add(["d"])
    root = workspace.cache.root
    folders = [root, *(path for path in root.rglob("*") if path.is_dir())]
    assert {oct(path.stat().st_mode & 0o7777) for path in folders} == {"0o2775"}
    assert {oct(path.stat().st_mode & 0o7777) for path in root.rglob("*") if path.is_file()} == {"0o444"}
    workspace.unprotect("d")
    assert oct((workspace.root / "d/x").stat().st_mode & 0o7777) == "0o664"
