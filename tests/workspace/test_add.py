"""`add` beyond the plain one: parts of directories, patterns, copies from elsewhere, stages' outputs, Git's index."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from everloop.errors import ConflictError, InvalidError, NotFoundError
from everloop.workspace import Change, Workspace


def write(workspace: Workspace, path: str, text: str = "hello\n") -> Path:
    target = workspace.root / path
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(text)
    return target


def recorded(workspace: Workspace, path: str = "d") -> dict[str, str]:
    """The texts that the record of a directory has, by their path in it."""
    (content,) = [out.content for out in workspace.outs() if out.path == path]
    assert content is not None
    listing = workspace.cache.read_directory(content.md5)
    return {name: workspace.cache.path(md5).read_text() for name, md5 in listing.items()}


@pytest.fixture
def with_directory(workspace: Workspace) -> Workspace:
    write(workspace, "d/x", "1")
    write(workspace, "d/sub/y", "22")
    workspace.add(["d"])
    return workspace


def test_part_of_tracked_directory_changes_that_entry_alone(with_directory: Workspace) -> None:
    (with_directory.root / "d/sub/y").unlink()
    write(with_directory, "d/x", "new")
    report = with_directory.add(["d/x"])
    assert [file.path for file in report.added] == ["d.dvc"]
    assert recorded(with_directory) == {"x": "new", "sub/y": "22"}
    text = (with_directory.root / "d.dvc").read_text()
    assert "size: 5" in text
    assert "nfiles: 2" in text


def test_new_files_and_folders_join_their_directory(with_directory: Workspace) -> None:
    (with_directory.root / "d/x").unlink()
    write(with_directory, "d/z", "zz")
    write(with_directory, "d/more/a", "a")
    with_directory.add(["d/z", "d/more"])
    assert recorded(with_directory) == {"x": "1", "sub/y": "22", "z": "zz", "more/a": "a"}


def test_part_that_is_gone_goes_from_the_record(with_directory: Workspace) -> None:
    (with_directory.root / "d/sub/y").unlink()
    with_directory.add(["d/sub"])
    assert recorded(with_directory) == {"x": "1"}
    (with_directory.root / "d/sub").rmdir()
    assert with_directory.status() == {}


def test_part_that_did_not_change_writes_nothing(with_directory: Workspace) -> None:
    before = (with_directory.root / "d.dvc").stat().st_ino
    assert with_directory.add(["d/x"]).added == ()
    assert (with_directory.root / "d.dvc").stat().st_ino == before


def test_part_that_nobody_knows_is_refused(with_directory: Workspace) -> None:
    with pytest.raises(NotFoundError, match="neither on the disk nor in the record"):
        with_directory.add(["d/nothing"])


def test_part_needs_the_listing_of_its_directory(with_directory: Workspace) -> None:
    (content,) = [out.content for out in with_directory.outs()]
    assert content is not None
    with_directory.cache.path(content.md5).unlink()
    with pytest.raises(NotFoundError, match="listing of d"):
        with_directory.add(["d/x"])


def test_size_is_left_out_where_nobody_knows_it(with_directory: Workspace) -> None:
    (old,) = with_directory.contents.files("d/x").values()
    with_directory.cache.path(old).unlink()
    write(with_directory, "d/x", "new")
    with_directory.add(["d/x"])
    assert "size" not in (with_directory.root / "d.dvc").read_text()


def test_part_cannot_stay_out_of_the_cache(with_directory: Workspace) -> None:
    write(with_directory, "d/x", "new")
    with pytest.raises(InvalidError, match="always committed"):
        with_directory.add(["d/x"], commit=False)


def test_no_commit_records_the_hash_and_leaves_the_cache(workspace: Workspace) -> None:
    write(workspace, "a")
    workspace.add(["a"], commit=False)
    assert not (workspace.cache.root / "files").exists()
    assert workspace.status() == {"a.dvc": {"a": Change.NOT_IN_CACHE}}


def test_glob_takes_what_matches_and_no_descriptions(workspace: Workspace) -> None:
    for name in ("raw/1.csv", "raw/2.csv", "raw/deep/3.csv", "raw/4.txt"):
        write(workspace, name, name)
    workspace.add(["raw/1.csv"])
    report = workspace.add(["raw/**/*.csv*"], glob=True)
    assert [file.path for file in report.added] == ["raw/2.csv.dvc", "raw/deep/3.csv.dvc"]
    assert [file.path for file in report.unchanged] == ["raw/1.csv.dvc"]


def test_glob_that_matches_nothing_is_told(workspace: Workspace) -> None:
    with pytest.raises(NotFoundError, match=r"'\*.csv' matches nothing"):
        workspace.add(["*.csv"], glob=True)


def test_recursive_makes_a_record_for_each_file(workspace: Workspace) -> None:
    write(workspace, "d/x")
    write(workspace, "d/sub/y")
    report = workspace.add(["d"], recursive=True)
    assert [file.path for file in report.added] == ["d/sub/y.dvc", "d/x.dvc"]
    assert workspace.add(["d"], recursive=True).added == ()


def test_out_copies_from_elsewhere(workspace: Workspace, tmp_path: Path) -> None:
    source = tmp_path / "elsewhere"
    (source / "in").mkdir(parents=True)
    (source / "in/a").write_text("a")
    report = workspace.add([source], out="data/copy")
    assert [file.path for file in report.added] == ["data/copy.dvc"]
    assert (workspace.root / "data/copy/in/a").read_text() == "a"
    assert (source / "in/a").exists()


def test_out_that_is_a_folder_gets_the_source_inside(workspace: Workspace, tmp_path: Path) -> None:
    (workspace.root / "data").mkdir()
    (tmp_path / "a.csv").write_text("a")
    assert [file.path for file in workspace.add([tmp_path / "a.csv"], out="data").added] == ["data/a.csv.dvc"]


def test_out_replaces_only_when_forced_and_keeps_what_was_there(workspace: Workspace, tmp_path: Path) -> None:
    write(workspace, "a.csv", "mine")
    (tmp_path / "a.csv").write_text("theirs")
    with pytest.raises(ConflictError, match="exists already"):
        workspace.add([tmp_path / "a.csv"], out="a.csv")
    workspace.add([tmp_path / "a.csv"], out="a.csv", force=True)
    assert (workspace.root / "a.csv").read_text() == "theirs"
    (workspace.root / "a.csv").unlink()
    workspace.undo()
    assert (workspace.root / "a.csv").read_text() == "mine"


@pytest.mark.parametrize("path", ["model", "model/weights", "all"])
def test_output_of_a_stage_is_refused(workspace: Workspace, path: str) -> None:
    write(workspace, "model/weights")
    write(workspace, "all/model")
    write(workspace, "dvc.yaml", "stages:\n  fit:\n    cmd: x\n    outs: [model, all/model]\n")
    with pytest.raises(InvalidError, match=r"output .* of a stage in dvc.yaml"):
        workspace.add([path])


def test_autostage_hands_the_record_to_git(workspace: Workspace) -> None:
    (workspace.root / ".dvc/config").write_text("[core]\n    autostage = true\n")
    write(workspace, "data/a")
    Workspace.open(workspace.root).add(["data/a"])
    staged = subprocess.run(
        ["git", "diff", "--cached", "--name-only"], cwd=workspace.root, capture_output=True, text=True, check=True
    )
    assert staged.stdout.split() == ["data/.gitignore", "data/a.dvc"]


def test_unknown_keys_of_a_record_stay_when_a_part_is_added(with_directory: Workspace) -> None:
    record = with_directory.root / "d.dvc"
    record.write_text("# mine\n" + record.read_text() + "  desc: rows\nmeta:\n  owner: me\n")
    write(with_directory, "d/x", "new")
    with_directory.add(["d/x"])
    text = record.read_text()
    assert text.startswith("# mine\n")
    assert "desc: rows" in text
    assert "owner: me" in text


def test_link_in_a_directory_is_read_through(workspace: Workspace, tmp_path: Path) -> None:
    (tmp_path / "far").write_text("far")
    write(workspace, "d/x", "1")
    workspace.add(["d"])
    (workspace.root / "d/link").symlink_to(tmp_path / "far")
    workspace.add(["d/link"])
    assert recorded(workspace) == {"x": "1", "link": "far"}


@pytest.mark.parametrize("file", [".gitignore", ".dvcignore"])
def test_record_that_nobody_would_find_is_refused(workspace: Workspace, file: str) -> None:
    write(workspace, file, "hidden/*.dvc\n")
    write(workspace, "hidden/a")
    write(workspace, "b")
    workspace.add(["b"])
    with pytest.raises(InvalidError, match="nobody would ever find it"):
        workspace.add(["hidden/a"])
    with pytest.raises(InvalidError, match="nobody would ever find it"):
        workspace.move("b", "hidden/b")
    assert not (workspace.root / "hidden/a.dvc").exists()


def test_data_of_another_workspace_are_left_to_it(workspace: Workspace) -> None:
    Workspace.init(workspace.root / "inner", subdir=True)
    write(workspace, "inner/a")
    with pytest.raises(InvalidError, match="lies in another workspace, inner"):
        workspace.add(["inner/a"])
