from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from everloop.errors import ConflictError, FailedError, InvalidError
from everloop.workspace import Workspace
from everloop.workspace.cache import Cache
from everloop.workspace.state import identity

HELLO = "5d41402abc4b2a76b9719d911017c592"


def keep(cache: Cache, path: Path) -> str:
    with cache.incoming() as incoming:
        return incoming.add_file(path, path.stat())


@pytest.fixture
def hello(tmp_path: Path) -> Path:
    path = tmp_path / "hello"
    path.write_text("hello")
    return path


@pytest.mark.parametrize("link_type", ["reflink", "hardlink", "copy"])
def test_object_has_the_bytes_and_is_read_only(tmp_path: Path, hello: Path, link_type: str) -> None:
    cache = Cache(tmp_path / "cache", [link_type, "copy"])
    assert keep(cache, hello) == HELLO
    assert cache.path(HELLO).read_text() == "hello"
    assert cache.path(HELLO).stat().st_mode & 0o777 == 0o444
    assert hello.read_text() == "hello"


def test_hardlink_shares_the_inode(tmp_path: Path, hello: Path) -> None:
    cache = Cache(tmp_path / "cache", ["hardlink", "copy"])
    keep(cache, hello)
    assert hello.samefile(cache.path(HELLO))


def test_executable_is_copied_instead_of_hardlinked(tmp_path: Path, hello: Path) -> None:
    hello.chmod(0o755)
    keep(Cache(tmp_path / "cache", ["hardlink", "copy"]), hello)
    assert os.access(hello, os.X_OK)


def test_many_objects_are_taken_in_one_batch(tmp_path: Path) -> None:
    cache = Cache(tmp_path / "cache", ["copy"])
    paths = [tmp_path / str(i) for i in range(40)]
    for path in paths:
        path.write_text(path.name)
    with cache.incoming() as incoming:
        files = {path.name: incoming.add_file(path, path.stat()) for path in paths}
        directory = incoming.add_directory(files)
    assert cache.missing(directory) == []
    assert cache.read_directory(directory) == files


def test_directory_object_appears_only_after_its_files(tmp_path: Path, hello: Path) -> None:
    cache = Cache(tmp_path / "cache", ["copy"])
    with cache.incoming() as incoming:
        directory = incoming.add_directory({"x": incoming.add_file(hello, hello.stat())})
        assert cache.has(HELLO)
        assert not cache.has(directory)
    assert cache.has(directory)


def test_writable_object_under_the_name_is_replaced(tmp_path: Path, hello: Path) -> None:
    cache = Cache(tmp_path / "cache", ["copy"])
    cache.path(HELLO).parent.mkdir(parents=True)
    cache.path(HELLO).write_text("wrong")
    keep(cache, hello)
    assert cache.path(HELLO).read_text() == "hello"


def test_file_that_changes_meanwhile_is_refused(tmp_path: Path, hello: Path) -> None:
    before = hello.stat()
    hello.write_text("other bytes")
    with (
        pytest.raises(ConflictError, match="changed while it was read"),
        Cache(tmp_path / "cache", ["copy"]).incoming() as incoming,
    ):
        incoming.add_file(hello, before)


def test_leftovers_of_a_dead_writer_are_removed_and_a_living_one_is_left(tmp_path: Path, hello: Path) -> None:
    cache = Cache(tmp_path / "cache", ["copy"])
    dead = tmp_path / "cache/everloop-incoming/dead"
    dead.mkdir(parents=True)
    with cache.incoming() as first:
        first.add_file(hello, hello.stat())
        keep(cache, hello)
        assert not dead.exists()
    assert cache.path(HELLO).read_text() == "hello"


def test_damaged_object_is_named_at_checkout(workspace: Workspace) -> None:
    target = workspace.root / "a"
    target.write_text("hello")
    workspace.add(["a"])
    stored = workspace.cache.path(HELLO)
    stored.chmod(0o644)
    stored.write_text("jello")
    target.unlink()
    with pytest.raises(FailedError, match="is damaged"):
        workspace.checkout()
    assert not target.exists()


def test_damaged_directory_object_is_named(tmp_path: Path) -> None:
    cache = Cache(tmp_path, ["copy"])
    md5 = "0" * 32 + ".dir"
    cache.path(md5).parent.mkdir(parents=True)
    cache.path(md5).write_text("[]")
    with pytest.raises(FailedError, match="is damaged"):
        cache.read_directory(md5)


def test_restored_hardlinks_are_made_writable_on_request(workspace: Workspace) -> None:
    (workspace.root / ".dvc/config").write_text('[cache]\n    type = "hardlink,copy"\n')
    (workspace.root / "d").mkdir()
    (workspace.root / "d/x").write_text("hello")
    workspace.add(["d"])
    (workspace.root / "d/x").unlink()
    workspace.checkout()
    assert (workspace.root / "d/x").samefile(workspace.cache.path(HELLO))
    workspace.unprotect("d")
    (workspace.root / "d/x").write_text("mine")
    assert workspace.cache.path(HELLO).read_text() == "hello"


def test_unknown_link_type_is_refused(workspace: Workspace) -> None:
    (workspace.root / ".dvc/config").write_text("[cache]\n    type = softlink\n")
    with pytest.raises(InvalidError, match="softlink"):
        _ = workspace.cache


def test_absent_objects_are_found_in_full_and_in_small_folders(tmp_path: Path) -> None:
    cache = Cache(tmp_path, ["copy"])
    there = [f"aa{number:030x}" for number in range(20)] + [f"bb{number:030x}" for number in range(2)]
    for md5 in there:
        cache.path(md5).parent.mkdir(parents=True, exist_ok=True)
        cache.path(md5).touch()
    gone = {"aa" + "f" * 30, "bb" + "f" * 30, *(f"cc{number:030x}" for number in range(20))}
    assert cache.absent([*there, *gone]) == gone


def test_stamp_changes_with_every_object_and_not_without(tmp_path: Path) -> None:
    cache = Cache(tmp_path, ["copy"])
    stored = cache.path(HELLO)
    stored.parent.mkdir(parents=True)
    assert cache.stamp() == b"", "so soon after a change, a second one would not show"
    seen = []
    for age_ns in (10**11, 10**10):
        os.utime(stored.parent, ns=(10**18 - age_ns, 10**18 - age_ns))
        seen += [cache.stamp(), cache.stamp()]
    assert seen[0] == seen[1] != seen[2] == seen[3]
    assert b"" not in seen


def test_object_that_vanishes_after_it_was_seen_is_missed(workspace: Workspace) -> None:
    (workspace.root / "d").mkdir()
    (workspace.root / "d/x").write_text("hello")
    workspace.add(["d"])
    stored = workspace.cache.path(HELLO)
    for folder in stored.parent.parent.iterdir():
        os.utime(folder, ns=(10**18, 10**18))
    assert workspace.status() == {}
    assert workspace.status() == {}, "known by the stamp"
    stored.unlink()
    assert workspace.status() == {"d.dvc": {"d": "not in cache"}}


def test_copied_bytes_are_those_that_were_hashed_also_of_a_large_file(tmp_path: Path) -> None:
    cache = Cache(tmp_path / "cache", ["copy"])
    path = tmp_path / "large"
    path.write_bytes(os.urandom(1 << 20) * 17 + b"end")
    md5 = keep(cache, path)
    assert cache.path(md5).read_bytes() == path.read_bytes()
    assert hashlib.md5(path.read_bytes()).hexdigest() == md5
    assert cache.path(md5).stat().st_mode & 0o777 == 0o444


def test_equal_files_are_stored_once(tmp_path: Path) -> None:
    cache = Cache(tmp_path / "cache", ["copy"])
    paths = [tmp_path / str(number) for number in range(200)]
    for path in paths:
        path.write_text("hello")
    with cache.incoming() as incoming:
        md5s = incoming.add_files(paths, lambda path: (str(path), identity(path.stat())))
    assert set(md5s) == {HELLO}
    assert list(cache.path(HELLO).parent.iterdir()) == [cache.path(HELLO)]
