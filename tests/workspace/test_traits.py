"""What a tracked directory has besides bytes comes back: executable bits, links, empty folders."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from everloop.errors import ConflictError, InvalidError
from everloop.pipelines.commit import commit
from everloop.workspace import Workspace, dvcfile, traitrecord
from everloop.workspace.traits import Seen, Traits, fitting, stays_inside


def write(workspace: Workspace, path: str, text: str = "x", *, mode: int = 0o644) -> Path:
    target = workspace.root / path
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(text)
    target.chmod(mode)
    return target


def shape(folder: Path) -> dict[str, str]:
    """All that is in a folder: of links their target, of files their bit and text."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_symlink():
            found[name] = f"-> {path.readlink()}"
        elif path.is_dir():
            found[name] = "folder"
        else:
            found[name] = ("x " if path.stat().st_mode & 0o100 else "- ") + path.read_text()
    return found


def make(workspace: Workspace) -> dict[str, str]:
    write(workspace, "d/run.sh", "run", mode=0o755)
    write(workspace, "d/sub/t", "t")
    (workspace.root / "d/empty/inner").mkdir(parents=True)
    for name, target in {"l": "run.sh", "s": "sub", "sub/up": "../run.sh", "through": "s/t", "self": "."}.items():
        (workspace.root / "d" / name).symlink_to(target)
    return shape(workspace.root / "d")


def record(workspace: Workspace) -> Traits | None:
    return dvcfile.read(workspace.root, "d.dvc").outs[0].traits


def linked(workspace: Workspace, types: str) -> Workspace:
    """The same with another cache.type."""
    (workspace.root / ".dvc/config").write_text(f'[cache]\n    type = "{types}"\n')
    return Workspace.open(workspace.root)


@pytest.fixture
def made(workspace: Workspace) -> Workspace:
    make(workspace)
    workspace.add(["d"])
    return workspace


@pytest.mark.parametrize("types", ["reflink,copy", "copy", "hardlink", "hardlink,copy"])
def test_everything_comes_back(workspace: Workspace, types: str) -> None:
    workspace = linked(workspace, types)
    before = make(workspace)
    workspace.add(["d"])
    shutil.rmtree(workspace.root / "d")
    assert workspace.checkout().restored == ("d",)
    assert shape(workspace.root / "d") == before
    assert workspace.status() == {}
    assert workspace.checkout().restored == ()
    assert workspace.add(["d"]).added == ()


def test_nothing_is_written_where_there_is_nothing_of_the_kind(workspace: Workspace) -> None:
    write(workspace, "d/x")
    workspace.add(["d"])
    assert "meta" not in (workspace.root / "d.dvc").read_text()


def test_second_add_rewrites_nothing(made: Workspace) -> None:
    before = (made.root / "d.dvc").stat()
    report = made.add(["d"])
    assert (report.added, len(report.unchanged)) == ((), 1)
    assert (made.root / "d.dvc").stat().st_mtime_ns == before.st_mtime_ns


@pytest.mark.parametrize("what", ["bit", "link", "folder link", "empty"])
def test_change_of_a_trait_alone_is_recorded(made: Workspace, what: str) -> None:
    place = made.root / "d"
    if what == "bit":
        (place / "sub/t").chmod(0o755)
    elif what == "link":
        (place / "l").unlink()
        shutil.copyfile(place / "run.sh", place / "l")
    elif what == "folder link":
        (place / "s2").symlink_to("sub")
    else:
        (place / "empty/inner").rmdir()
    md5 = dvcfile.read(made.root, "d.dvc").outs[0].content
    after = shape(place)
    (file,) = made.add(["d"]).added
    assert file.outs[0].content == md5
    shutil.rmtree(place)
    made.checkout()
    assert shape(place) == after


def test_commit_records_a_trait_alone(made: Workspace) -> None:
    (made.root / "d/sub/t").chmod(0o755)
    commit(made, confirm=lambda _: False)
    traits = record(made)
    assert traits is not None
    assert traits.executable == ("run.sh", "sub/t")


def test_own_meta_of_a_person_stays(made: Workspace) -> None:
    path = made.root / "d.dvc"
    path.write_text(path.read_text().replace("  meta:\n", "  meta:\n    owner: me  # mine\n"))
    write(made, "d/sub/t", "t", mode=0o755)
    assert made.add(["d"]).added
    assert "owner: me  # mine\n" in path.read_text()
    shutil.rmtree(made.root / "d")
    write(made, "d/plain")
    made.add(["d"])
    assert path.read_text().endswith("  meta:\n    owner: me  # mine\n")


def test_meta_goes_when_there_is_nothing_to_record(made: Workspace) -> None:
    shutil.rmtree(made.root / "d")
    write(made, "d/plain")
    made.add(["d"])
    assert "meta" not in (made.root / "d.dvc").read_text()


def test_links_that_lead_out_are_named(workspace: Workspace, tmp_path: Path) -> None:
    write(workspace, "d/x")
    (tmp_path / "far").mkdir()
    (tmp_path / "far/y").write_text("y")
    links = {"absolute": str(workspace.root / "d/x"), "out": "../../far/y", "folder": "../../far", "odd": "x/../x"}
    write(workspace, "d/sub/y")
    links["odd"] = "sub/../x"
    for name, target in links.items():
        (workspace.root / "d" / name).symlink_to(target)
    report = workspace.add(["d"])
    assert report.flattened == {f"d/{name}": links[name] for name in ("absolute", "odd", "out")}
    assert report.left_out == {"d/folder": "../../far"}
    assert record(workspace) is None
    assert workspace.status() == {}
    shutil.rmtree(workspace.root / "d")
    workspace.checkout()
    assert shape(workspace.root / "d") == {
        "absolute": "- x",
        "odd": "- x",
        "out": "- y",
        "sub": "folder",
        "sub/y": "- x",
        "x": "- x",
    }


def test_what_dvc_has_lost_is_made_again(made: Workspace) -> None:
    before = shape(made.root / "d")
    place = made.root / "d"
    (place / "run.sh").chmod(0o644)
    for name, source in {"l": "run.sh", "through": "sub/t", "sub/up": "run.sh"}.items():
        (place / name).unlink()
        shutil.copyfile(place / source, place / name)
    shutil.rmtree(place / "empty")
    (place / "s").unlink()
    assert made.status() == {}
    assert made.checkout().restored == ("d",)
    assert shape(place) == before


def test_link_whose_target_was_deleted_does_not_stop_anyone(made: Workspace) -> None:
    before = shape(made.root / "d")
    (made.root / "d/run.sh").unlink()
    shutil.rmtree(made.root / "d/sub")
    assert made.status() == {"d.dvc": {"d": "modified"}}
    made.checkout()
    assert shape(made.root / "d") == before


def test_bit_of_a_hard_link_is_not_set_on_the_cache(workspace: Workspace) -> None:
    workspace = linked(workspace, "hardlink,copy")
    write(workspace, "d/a", "same")
    write(workspace, "d/b", "same", mode=0o755)
    workspace.add(["d"])
    (workspace.root / "d/b").unlink()
    os.link(workspace.root / "d/a", workspace.root / "d/b")
    workspace.checkout()
    assert (workspace.root / "d/b").stat().st_mode & 0o111
    assert not (workspace.root / "d/a").stat().st_mode & 0o111
    content = workspace.contents.files("d")
    assert not workspace.cache.path(content["a"]).stat().st_mode & 0o333


def test_listing_wins_over_stale_traits(made: Workspace) -> None:
    """A colleague with DVC has changed the files, and the record has the old traits."""
    place = made.root / "d"
    old = (made.root / "d.dvc").read_text()
    (place / "l").unlink()
    write(made, "d/l", "own text")
    (place / "s").unlink()
    write(made, "d/s/t", "a folder now")
    write(made, "d/empty/inner/y", "full now")
    (place / "run.sh").unlink()
    (place / "sub/up").unlink()
    (place / "through").unlink()
    made.add(["d"])
    new = dvcfile.read(made.root, "d.dvc").outs[0]
    stale = old[old.index("  meta:") :]
    text = (made.root / "d.dvc").read_text()
    (made.root / "d.dvc").write_text(text[: text.index("  meta:")] + stale)
    shutil.rmtree(place)
    made.checkout()
    assert shape(place) == {
        "empty": "folder",
        "empty/inner": "folder",
        "empty/inner/y": "- full now",
        "l": "- own text",
        "s": "folder",
        "s/t": "- a folder now",
        "self": "-> .",
        "sub": "folder",
        "sub/t": "- t",
    }
    assert new.content == dvcfile.read(made.root, "d.dvc").outs[0].content
    assert made.status() == {}


def test_between_revisions_everything_follows_and_undo_brings_it_back(made: Workspace) -> None:
    first = shape(made.root / "d")
    made.git.commit(["."], "one")
    place = made.root / "d"
    (place / "s").unlink()
    write(made, "d/s/t", "a folder now")
    (place / "l").unlink()
    (place / "l").symlink_to("sub/t")
    (place / "run.sh").unlink()
    (place / "sub/up").unlink()
    write(made, "d/new.sh", "new", mode=0o755)
    made.add(["d"])
    second = shape(place)
    assert made.checkout(rev="HEAD").restored == ("d",)
    assert shape(place) == first
    made.undo()
    assert shape(place) == second
    made.checkout(rev="HEAD")
    made.checkout()
    assert shape(place) == second
    assert made.status() == {}


def test_nothing_is_written_behind_a_link(made: Workspace, tmp_path: Path) -> None:
    """The record has a folder where the user has put a link that leads elsewhere."""
    far = tmp_path / "far"
    shutil.copytree(made.root / "d/sub", far, symlinks=True)
    shutil.rmtree(made.root / "d/sub")
    (made.root / "d/sub").symlink_to(far)
    (far / "t").write_text("mine")
    made.checkout(force=True)
    assert (far / "t").read_text() == "mine"
    assert (made.root / "d/sub/t").read_text() == "t"
    assert not (made.root / "d/sub").is_symlink()
    made.undo()
    assert (made.root / "d/sub").readlink() == far


@pytest.mark.parametrize("target", ["/nowhere/at/all", "../../nowhere", "missing"])
def test_link_to_nowhere_gives_way(made: Workspace, target: str) -> None:
    before = shape(made.root / "d")
    for path in ("sub", "empty", "run.sh"):
        place = made.root / "d" / path
        shutil.rmtree(place) if place.is_dir() else place.unlink()
        place.symlink_to(target)
    made.checkout()
    assert shape(made.root / "d") == before
    assert made.status() == {}
    made.undo()
    assert (made.root / "d/sub").readlink() == Path(target)


def test_link_that_is_recorded_as_a_file_does_not_follow_its_target(workspace: Workspace) -> None:
    write(workspace, "d/a", "1")
    write(workspace, "d/l", "1")
    workspace.add(["d"])
    write(workspace, "d/a", "2")
    workspace.add(["d"])
    workspace.git.commit(["."], "two")
    write(workspace, "d/a", "1")
    (workspace.root / "d/l").unlink()
    (workspace.root / "d/l").symlink_to("a")
    workspace.checkout(force=True)
    assert shape(workspace.root / "d") == {"a": "- 2", "l": "- 1"}
    assert workspace.status() == {}


def test_remove_and_undo_keep_everything(made: Workspace) -> None:
    before = shape(made.root / "d")
    made.remove(["d"], outs=True)
    assert not (made.root / "d").exists()
    made.undo()
    assert shape(made.root / "d") == before
    assert made.status() == {}
    assert made.add(["d"]).added == ()


def test_parts_bring_their_traits(made: Workspace) -> None:
    place = made.root / "d"
    write(made, "d/new/a.sh", "a", mode=0o755)
    (place / "new/b").symlink_to("../run.sh")
    (place / "new/c").symlink_to("../sub")
    (place / "new/bare").mkdir()
    (place / "s").unlink()
    (place / "run.sh").chmod(0o644)
    (place / "other").symlink_to("sub")
    made.add(["d/new", "d/s", "d/run.sh", "d/other"])
    traits = record(made)
    assert traits is not None
    assert traits.executable == ("new/a.sh",)
    assert traits.links == {
        "l": "run.sh",
        "new/b": "../run.sh",
        "new/c": "../sub",
        "other": "sub",
        "self": ".",
        "sub/up": "../run.sh",
    }
    assert traits.empty == ("empty/inner", "new/bare")
    write(made, "d/run.sh", "changed")
    made.add(["d/run.sh"])
    before = shape(place)
    del before["through"]
    (place / "through").unlink()
    made.add(["d/through"])
    assert made.add(["d"]).added == ()
    shutil.rmtree(place)
    made.checkout()
    assert shape(place) == before


def test_folder_from_elsewhere_is_brought_with_its_traits(workspace: Workspace, tmp_path: Path) -> None:
    source = tmp_path / "source"
    (source / "sub").mkdir(parents=True)
    (source / "empty").mkdir()
    (tmp_path / "far").mkdir()
    (tmp_path / "far/y").write_text("y")
    (tmp_path / "run.sh").write_text("another")
    (tmp_path / "far/up").symlink_to("../run.sh")
    (source / "run.sh").write_text("run")
    (source / "run.sh").chmod(0o755)
    links = {"self": ".", "sub/up": "../run.sh", "far": "../far", "absolute": str(source / "run.sh")}
    for name, target in links.items():
        (source / name).symlink_to(target)
    assert workspace.add([source], out="d").flattened == {}
    assert shape(workspace.root / "d") == {
        "absolute": "x run",
        "empty": "folder",
        "far": "folder",
        "far/up": "- another",
        "far/y": "- y",
        "run.sh": "x run",
        "self": "-> .",
        "sub": "folder",
        "sub/up": "-> ../run.sh",
    }
    (source / "round").symlink_to(source)
    with pytest.raises(InvalidError, match="round is a link to a folder above itself"):
        workspace.add([source], out="e")
    assert not (workspace.root / "e").exists()


def test_path_behind_a_link_is_no_part(made: Workspace) -> None:
    with pytest.raises(InvalidError, match="lies behind the link d/s"):
        made.add(["d/s/t"])


def test_where_everything_is_executable_the_record_is_short(workspace: Workspace) -> None:
    for number in range(150):
        write(workspace, f"d/{number}", str(number), mode=0o755)
    (workspace.root / "d/7").chmod(0o644)
    before = shape(workspace.root / "d")
    workspace.add(["d"])
    assert record(workspace) == Traits(not_executable=("7",))
    assert len((workspace.root / "d.dvc").read_text().splitlines()) == 10
    shutil.rmtree(workspace.root / "d")
    workspace.checkout()
    assert shape(workspace.root / "d") == before
    (workspace.root / "d/7").chmod(0o755)
    workspace.add(["d"])
    assert record(workspace) == Traits(not_executable=())
    assert workspace.add(["d"]).added == ()


def test_folder_without_anything_comes_back(workspace: Workspace) -> None:
    (workspace.root / "d").mkdir()
    workspace.add(["d"])
    (workspace.root / "d").rmdir()
    workspace.checkout()
    assert shape(workspace.root / "d") == {}
    assert workspace.status() == {}


def test_name_that_is_no_text_does_not_stop_it(workspace: Workspace) -> None:
    write(workspace, "d/x")
    (workspace.root / "d" / os.fsdecode(b"\xff")).mkdir()
    write(workspace, "d/ü und 'x' : y", mode=0o755)
    workspace.add(["d"])
    assert record(workspace) == Traits(executable=("ü und 'x' : y",))
    assert workspace.add(["d"]).added == ()


def test_ignored_target_makes_the_link_a_file(workspace: Workspace) -> None:
    (workspace.root / ".dvcignore").write_text("*.tmp\n")
    write(workspace, "d/x.tmp", "hidden")
    (workspace.root / "d/l").symlink_to("x.tmp")
    report = workspace.add(["d"])
    assert report.flattened == {"d/l": "x.tmp"}
    shutil.rmtree(workspace.root / "d")
    workspace.checkout()
    assert shape(workspace.root / "d") == {"l": "- hidden"}


HOSTILE = [
    "links: {l: ../x}",
    "links: {l: /etc/passwd}",
    "links: {s/l: ../../x}",
    "links: {l: sub/../../x}",
    "links: {../l: x}",
    "links: {/l: x}",
    "links: {l: 1}",
    "links: [l]",
    "executable: [../x]",
    "executable: [/x]",
    "executable: x",
    "empty: [a/../../b]",
    "empty: ['']",
    "not_executable: [1]",
]


@pytest.mark.parametrize("line", HOSTILE)
def test_hostile_record_is_refused(workspace: Workspace, line: str) -> None:
    write(workspace, "d/x")
    workspace.add(["d"])
    path = workspace.root / "d.dvc"
    path.write_text(f"{path.read_text()}  meta:\n    everloop:\n      {line}\n")
    shutil.rmtree(workspace.root / "d")
    with pytest.raises(InvalidError, match=r"meta\.everloop"):
        workspace.checkout()
    assert not (workspace.root / "d").exists()


def test_record_of_a_later_release_is_read(workspace: Workspace) -> None:
    assert traitrecord.read({"everloop": {"owners": {"a": 1}, "empty": ["e"]}}, "here") == Traits(empty=("e",))
    assert traitrecord.read({"everloop": {}}, "here") is None
    assert traitrecord.read("free text", "here") is None


def test_failed_restoring_touches_nothing(made: Workspace) -> None:
    write(made, "d/sub/t", "mine and nowhere else")
    (made.root / "d/run.sh").chmod(0o644)
    with pytest.raises(ConflictError, match="nowhere else"):
        made.checkout()
    assert not (made.root / "d/run.sh").stat().st_mode & 0o100


NAMES = st.sampled_from(["a", "b", "c"])
PATHS = st.lists(NAMES, min_size=1, max_size=3).map("/".join)
TARGETS = st.lists(st.sampled_from(["a", "b", "c", "..", ".", ""]), min_size=1, max_size=5).map("/".join)


@settings(max_examples=200)
@given(st.dictionaries(PATHS, TARGETS, max_size=6), st.dictionaries(PATHS, st.sampled_from("12"), max_size=6))
def test_no_chain_of_recorded_links_leads_out(links: dict[str, str], files: dict[str, str]) -> None:
    files = {path: md5 for path, md5 in files.items() if not any(other.startswith(path + "/") for other in files)}
    safe = {path: target for path, target in links.items() if stays_inside(path, target)}
    found = fitting(Traits(links=safe), files)
    with tempfile.TemporaryDirectory() as name:
        root = Path(name).resolve() / "d"
        root.mkdir()
        for path, text in files.items():
            if path not in found.links:
                (root / path).parent.mkdir(parents=True, exist_ok=True)
                (root / path).write_text(text)
        for path, target in found.links.items():
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            assert (root / path).parent.resolve().is_relative_to(root)
            (root / path).symlink_to(target)
        for path in found.links:
            assert (root / path).resolve(strict=True).is_relative_to(root), path
            assert path not in files or (root / path).read_text() == files[path]


@settings(max_examples=50)
@given(st.dictionaries(PATHS, st.tuples(st.sampled_from("12"), st.booleans()), max_size=5), st.sets(PATHS, max_size=3))
def test_record_is_read_as_it_was_written(files: dict[str, tuple[str, bool]], empty: set[str]) -> None:
    seen = Seen()
    seen.executable = [path for path, (_, is_executable) in files.items() if is_executable]
    seen.empty = list(empty)
    traits = seen.traits(files)
    entry: dict[str, object] = {}
    traitrecord.write(entry, traits)
    assert traitrecord.read(entry.get("meta"), "here") == (None if traits == Traits() else traits)
    assert msgspec.json.decode(msgspec.json.encode(traits), type=Traits) == traits
