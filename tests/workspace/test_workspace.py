from __future__ import annotations

import itertools
import os
from pathlib import Path

import pytest

from everloop.errors import ConflictError, InvalidError, NotFoundError
from everloop.workspace import Change, Workspace

_WRITES = itertools.count()


def write(workspace: Workspace, path: str, text: str = "hello\n") -> Path:
    target = workspace.root / path
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(text)
    # As old as data usually are; a file of this very moment is hashed once more by the next command. No two have one
    # time: they may have one size, and one inode after the other.
    time_ns = 10**18 + 1000 * next(_WRITES) + 1
    os.utime(target, ns=(time_ns, time_ns))
    return target


def test_init_makes_what_dvc_makes(workspace: Workspace) -> None:
    assert (workspace.root / ".dvc/config").read_text() == ""
    assert (workspace.root / ".dvc/.gitignore").read_text() == "/config.local\n/tmp\n/cache\n"
    assert (workspace.root / ".dvc/tmp/btime").exists()
    assert (workspace.root / ".dvcignore").exists()
    assert workspace.git.is_repository()


def test_init_twice_is_refused(workspace: Workspace) -> None:
    with pytest.raises(ConflictError, match="is a workspace already"):
        Workspace.init(workspace.root)


def test_init_without_git_says_so_in_the_configuration(tmp_path: Path) -> None:
    workspace = Workspace.init(tmp_path / "plain", scm=False)
    assert not workspace.git.is_repository()
    assert "no_scm = True" in (workspace.root / ".dvc/config").read_text()


def test_open_finds_the_workspace_from_a_folder_inside(workspace: Workspace) -> None:
    inner = workspace.root / "a/b"
    inner.mkdir(parents=True)
    assert Workspace.open(inner).root == workspace.root


def test_open_elsewhere_names_ever_init(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="ever init"):
        Workspace.open(tmp_path)


def test_add_file_writes_record_object_and_gitignore(workspace: Workspace) -> None:
    write(workspace, "data/é.csv")
    report = workspace.add(["data/é.csv"])
    assert [file.path for file in report.added] == ["data/é.csv.dvc"]
    assert (workspace.root / "data/é.csv.dvc").read_text() == (
        "outs:\n- md5: b1946ac92492d2347c6235b4d2611184\n  size: 6\n  hash: md5\n  path: é.csv\n"
    )
    assert (workspace.root / "data/.gitignore").read_text() == "/é.csv\n"
    stored = workspace.cache.path("b1946ac92492d2347c6235b4d2611184")
    assert stored.read_text() == "hello\n"
    assert stored.stat().st_mode & 0o777 == 0o444


def test_added_file_stays_the_same_file(workspace: Workspace) -> None:
    before = write(workspace, "a.txt").stat()
    workspace.add(["a.txt"])
    after = (workspace.root / "a.txt").stat()
    assert (after.st_ino, after.st_mtime_ns, after.st_mode) == (before.st_ino, before.st_mtime_ns, before.st_mode)


def test_add_directory_counts_its_files(workspace: Workspace) -> None:
    write(workspace, "d/ü", "1")
    write(workspace, "d/sub/x", "22")
    content = workspace.add(["d"]).added[0].outs[0].content
    assert content is not None
    assert (content.n_files, content.size_bytes, content.is_directory) == (2, 3, True)
    assert workspace.status() == {}


def test_add_again_changes_nothing(workspace: Workspace) -> None:
    write(workspace, "d/x")
    workspace.add(["d"])
    report = Workspace.open(workspace.root).add(["d"])
    assert report.added == ()
    assert [file.path for file in report.unchanged] == ["d.dvc"]


def test_unchanged_files_are_not_read_again(workspace: Workspace) -> None:
    target = write(workspace, "d/x", "old")
    workspace.add(["d"])
    found = target.stat()
    # Other bytes behind the same inode, time and size: only one who reads would notice.
    target.write_text("new")
    os.utime(target, ns=(found.st_atime_ns, found.st_mtime_ns))
    assert Workspace.open(workspace.root).status() == {}


def test_add_heals_an_object_that_vanished(workspace: Workspace) -> None:
    write(workspace, "a")
    workspace.add(["a"])
    workspace.cache.path("b1946ac92492d2347c6235b4d2611184").unlink()
    assert workspace.status() == {"a.dvc": {"a": Change.NOT_IN_CACHE}}
    workspace.add(["a"])
    assert workspace.status() == {}


def test_executable_bit_is_recorded_and_restored(workspace: Workspace) -> None:
    write(workspace, "run.sh").chmod(0o755)
    workspace.add(["run.sh"])
    assert "isexec: true" in (workspace.root / "run.sh.dvc").read_text()
    (workspace.root / "run.sh").unlink()
    workspace.checkout()
    assert os.access(workspace.root / "run.sh", os.X_OK)


def test_status_tells_modified_and_deleted(workspace: Workspace) -> None:
    write(workspace, "a")
    write(workspace, "d/x")
    workspace.add(["a", "d"])
    (workspace.root / "a").unlink()
    (workspace.root / "d/y").write_text("more")
    assert workspace.status() == {"a.dvc": {"a": Change.DELETED}, "d.dvc": {"d": Change.MODIFIED}}


@pytest.mark.parametrize("target", ["missing", "a.dvc", "../outside", "."])
def test_what_cannot_be_added_is_refused(workspace: Workspace, target: str) -> None:
    write(workspace, "a.dvc", "outs: []\n")
    with pytest.raises((NotFoundError, InvalidError)):
        workspace.add([target])


def test_directory_around_tracked_file_is_refused(workspace: Workspace) -> None:
    write(workspace, "d/x")
    workspace.add(["d/x"])
    with pytest.raises(InvalidError, match="contains d/x"):
        workspace.add(["d"])


def test_file_that_git_tracks_is_refused(workspace: Workspace) -> None:
    write(workspace, "a")
    workspace.git.commit(["a"], "track")
    with pytest.raises(ConflictError, match="git rm -r --cached a"):
        workspace.add(["a"])


def test_broken_link_in_data_is_named(workspace: Workspace) -> None:
    write(workspace, "d/x")
    (workspace.root / "d/link").symlink_to("nowhere")
    for commit in (True, False):
        with pytest.raises(InvalidError, match="d/link is a link to 'nowhere'"):
            workspace.add(["d"], commit=commit)


def test_pipe_in_data_is_named(workspace: Workspace) -> None:
    write(workspace, "d/x")
    os.mkfifo(workspace.root / "d/pipe")
    with pytest.raises(InvalidError, match="d/pipe is neither a file nor a folder"):
        workspace.add(["d"])


def test_ignored_files_are_not_part_of_a_directory(workspace: Workspace) -> None:
    (workspace.root / ".dvcignore").write_text("*.tmp\n")
    write(workspace, "d/x")
    write(workspace, "d/y.tmp")
    content = workspace.add(["d"]).added[0].outs[0].content
    assert content is not None
    assert content.n_files == 1


def test_checkout_restores_what_is_missing(workspace: Workspace) -> None:
    write(workspace, "d/x", "1")
    write(workspace, "d/sub/y", "2")
    workspace.add(["d"])
    (workspace.root / "d/sub/y").unlink()
    (workspace.root / "d/sub").rmdir()
    assert workspace.checkout(["d"]).restored == ("d",)
    assert (workspace.root / "d/sub/y").read_text() == "2"
    assert workspace.checkout(["d.dvc"]).unchanged == ("d",)


def test_checkout_removes_what_a_crash_has_left(workspace: Workspace) -> None:
    write(workspace, "a")
    workspace.add(["a"])
    (workspace.root / "a").unlink()
    leftover = workspace.layout.scratch_dir / ".0123.tmp"
    leftover.mkdir(parents=True)
    workspace.checkout()
    assert not leftover.exists()


def test_checkout_refuses_to_lose_a_change(workspace: Workspace) -> None:
    write(workspace, "d/x", "1")
    write(workspace, "d/y", "2")
    workspace.add(["d"])
    (workspace.root / "d/x").write_text("mine")
    (workspace.root / "d/y").unlink()
    with pytest.raises(ConflictError, match=r"the first is d/x"):
        workspace.checkout()
    assert (workspace.root / "d/x").read_text() == "mine"
    assert not (workspace.root / "d/y").exists()
    workspace.checkout(force=True)
    assert (workspace.root / "d/x").read_text() == "1"


def test_checkout_goes_back_to_an_older_version(workspace: Workspace) -> None:
    write(workspace, "d/x", "1")
    write(workspace, "d/sub/gone", "g")
    workspace.add(["d"])
    old = (workspace.root / "d.dvc").read_text()
    write(workspace, "d/x", "2")
    (workspace.root / "d/sub/gone").unlink()
    write(workspace, "d/new/file", "n")
    workspace.add(["d"])
    (workspace.root / "d.dvc").write_text(old)
    workspace.checkout()
    assert {str(p.relative_to(workspace.root)) for p in (workspace.root / "d").rglob("*")} == {
        "d/x", "d/sub", "d/sub/gone",
    }  # fmt: skip
    assert workspace.status() == {}


def test_checkout_turns_a_file_into_a_directory_and_back(workspace: Workspace) -> None:
    write(workspace, "d/x", "1")
    workspace.add(["d"])
    as_directory = (workspace.root / "d.dvc").read_text()
    (workspace.root / "d/x").unlink()
    (workspace.root / "d").rmdir()
    write(workspace, "d", "now a file")
    workspace.add(["d"])
    as_file = (workspace.root / "d.dvc").read_text()
    (workspace.root / "d.dvc").write_text(as_directory)
    workspace.checkout()
    assert (workspace.root / "d/x").read_text() == "1"
    (workspace.root / "d.dvc").write_text(as_file)
    workspace.checkout()
    assert (workspace.root / "d").read_text() == "now a file"


def test_checkout_of_lost_bytes_names_the_way_out(workspace: Workspace) -> None:
    write(workspace, "a")
    workspace.add(["a"])
    (workspace.root / "a").unlink()
    workspace.cache.path("b1946ac92492d2347c6235b4d2611184").unlink()
    with pytest.raises(NotFoundError, match="ever pull"):
        workspace.checkout()


def test_checked_out_files_are_not_read_again_and_changes_to_them_seen(workspace: Workspace) -> None:
    write(workspace, "a", "1234")
    workspace.add(["a"])
    (workspace.root / "a").unlink()
    workspace.checkout()
    (workspace.root / "a").write_text("5678")
    assert workspace.status() == {"a.dvc": {"a": Change.MODIFIED}}


def test_cache_folder_of_local_configuration_is_used(workspace: Workspace, tmp_path: Path) -> None:
    (workspace.root / ".dvc/config.local").write_text(f"[cache]\n    dir = {tmp_path / 'elsewhere'}\n")
    write(workspace, "a")
    workspace.add(["a"])
    assert (tmp_path / "elsewhere/files/md5/b1/946ac92492d2347c6235b4d2611184").exists()
