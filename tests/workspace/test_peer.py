"""Each verb beside the real DVC: what one has done, the other finds right, in both directions."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from everloop.pipelines.commit import commit
from everloop.workspace import Workspace, checkignore
from everloop.workspace.gc import Scope
from everloop.workspace.inventory import objects
from tests.workspace.dvcpeer import called

pytestmark = pytest.mark.peer

IDENTITY = {f"GIT_{role}_{key}": "a@b" for role in ("AUTHOR", "COMMITTER") for key in ("NAME", "EMAIL")}


def dvc(folder: Path, *words: str, code: int = 0) -> str:
    done = called(folder, *words, env=os.environ | IDENTITY)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout


def write(folder: Path, path: str, text: str) -> None:
    target = folder / path
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(text)


def git(folder: Path, *words: str) -> None:
    subprocess.run(["git", *words], cwd=folder, env=os.environ | IDENTITY, capture_output=True, check=True)


def texts(folder: Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): path.read_text() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.fixture(scope="module")
def made_by_dvc(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory in two versions, a file, and the first version in Git; made once, as the tool is slow."""
    folder = tmp_path_factory.mktemp("peer") / "made"
    folder.mkdir()
    git(folder, "init", "-q", "-b", "main")
    dvc(folder, "init", "-q")
    write(folder, "d/x", "old")
    write(folder, "d/sub/ü y", "same")
    write(folder, "a.csv", "a")
    dvc(folder, "add", "-q", "d", "a.csv")
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "-m", "one")
    write(folder, "d/x", "new")
    dvc(folder, "add", "-q", "d")
    return folder


@pytest.fixture
def folder(made_by_dvc: Path, tmp_path: Path) -> Path:
    return shutil.copytree(made_by_dvc, tmp_path / "project", symlinks=True)


def remove_file(workspace: Workspace) -> None:
    workspace.remove(["a.csv.dvc"], outs=True)


def remove_and_undo(workspace: Workspace) -> None:
    workspace.remove(["d", "a.csv"], outs=True)
    workspace.undo()


def add_part(workspace: Workspace) -> None:
    shutil.rmtree(workspace.root / "d/sub")
    write(workspace.root, "d/z", "z")
    workspace.add(["d/z", "d/x"])
    write(workspace.root, "d/sub/ü y", "same")


def add_many(workspace: Workspace) -> None:
    write(workspace.root, "raw/1.csv", "1")
    write(workspace.root, "raw/deep/2.csv", "2")
    workspace.add(["raw/**/*.csv"], glob=True)
    workspace.add(["a.csv"], out="b.csv")


def move_both(workspace: Workspace) -> None:
    workspace.move("d", "new place/e")
    workspace.move("a.csv", "new place")


def collect(workspace: Workspace) -> None:
    assert len(workspace.gc(Scope(workspace=True)).removed) == 2


def collect_and_undo(workspace: Workspace) -> None:
    workspace.gc(Scope(workspace=True))
    workspace.undo()


def checkout_and_undo(workspace: Workspace) -> None:
    write(workspace.root, "d/x", "mine")
    workspace.checkout(force=True)
    workspace.undo()
    assert texts(workspace.root / "d")["x"] == "mine"
    workspace.checkout(force=True)


def no_commit_and_commit(workspace: Workspace) -> None:
    write(workspace.root, "later", "later")
    workspace.add(["later"], commit=False)
    commit(workspace, ["later"], confirm=lambda _: False)


@pytest.mark.parametrize(
    "change",
    [
        remove_file, remove_and_undo, add_part, add_many, move_both, collect, collect_and_undo, checkout_and_undo,
        no_commit_and_commit,
    ],
)  # fmt: skip
def test_dvc_finds_all_right_after(folder: Path, change: Callable[[Workspace], None]) -> None:
    change(Workspace.open(folder))
    assert json.loads(dvc(folder, "status", "--json")) == {}
    data = [out.path for out in Workspace.open(folder).outs()]
    before = {path: texts(folder / path) if (folder / path).is_dir() else (folder / path).read_text() for path in data}
    for path in data:
        if (folder / path).is_dir():
            shutil.rmtree(folder / path)
        else:
            (folder / path).unlink()
    dvc(folder, "checkout", "-q")
    after = {path: texts(folder / path) if (folder / path).is_dir() else (folder / path).read_text() for path in data}
    assert after == before


@pytest.mark.parametrize(
    "words",
    [("remove", "a.csv.dvc"), ("move", "d", "e"), ("gc", "-w", "-f"), ("gc", "-A", "-f"), ("commit", "-f", "d")],
    ids=" ".join,
)
def test_ever_finds_all_right_after_dvc(folder: Path, words: tuple[str, ...]) -> None:
    if words[0] == "commit":
        write(folder, "d/x", "changed")
    dvc(folder, *words)
    workspace = Workspace.open(folder)
    assert workspace.status() == {}
    assert workspace.verify().corrupt == ()
    for out in workspace.outs():
        shutil.rmtree(folder / out.path, ignore_errors=True)
    workspace.checkout()
    assert workspace.status() == {}


def test_both_move_to_the_same_files(folder: Path, tmp_path: Path) -> None:
    twin = shutil.copytree(folder, tmp_path / "twin", symlinks=True)
    for root in (folder, twin):
        (root / "sub").mkdir()
    dvc(twin, "move", "d", "sub/e")
    Workspace.open(folder).move("d", "sub/e")
    for name in ("sub/e.dvc", "sub/.gitignore", ".gitignore", "sub/e/x"):
        assert (folder / name).read_text() == (twin / name).read_text(), name
    assert not (folder / "d.dvc").exists()


def test_import_moves_to_the_same_record(folder: Path, tmp_path: Path) -> None:
    write(tmp_path, "far.csv", "far")
    dvc(folder, "import-url", "-q", "../far.csv", "near.csv")
    twin = shutil.copytree(folder, tmp_path / "twin", symlinks=True)
    for root in (folder, twin):
        (root / "sub").mkdir()
    dvc(twin, "move", "near.csv", "sub/moved.csv")
    Workspace.open(folder).move("near.csv", "sub/moved.csv")
    assert (folder / "sub/moved.csv.dvc").read_text() == (twin / "sub/moved.csv.dvc").read_text()
    assert json.loads(dvc(folder, "status", "--json")) == {}


def test_both_add_a_part_to_the_same_record(folder: Path, tmp_path: Path) -> None:
    twin = shutil.copytree(folder, tmp_path / "twin", symlinks=True)
    for root in (folder, twin):
        write(root, "d/more/z", "zz")
    dvc(twin, "add", "-q", "d/more/z")
    Workspace.open(folder).add(["d/more/z"])
    assert (folder / "d.dvc").read_text() == (twin / "d.dvc").read_text()


@pytest.mark.parametrize("scope", [("-w",), ("-A",), ("--rev", "HEAD")], ids=" ".join)
def test_both_collect_the_same(folder: Path, tmp_path: Path, scope: tuple[str, ...]) -> None:
    twin = shutil.copytree(folder, tmp_path / "twin", symlinks=True)
    dvc(twin, "gc", *scope, "-f")
    named = {"-w": Scope(workspace=True), "-A": Scope(all_commits=True), "--rev": Scope(revs=("HEAD",))}[scope[0]]
    mine = Workspace.open(folder)
    mine.gc(named)
    assert set(objects(mine.cache)) == set(objects(Workspace.open(twin).cache))


def test_dvc_collects_beside_the_trash(folder: Path) -> None:
    workspace = Workspace.open(folder)
    write(folder, "stray", "stray")
    workspace.add(["stray"])
    workspace.remove(["stray"], outs=True)
    workspace.gc(Scope(workspace=True))
    dvc(folder, "gc", "-w", "-f")
    workspace.undo()
    assert json.loads(dvc(folder, "status", "--json")) == {}


def test_dvc_brings_back_what_verify_moved_aside(folder: Path, tmp_path: Path) -> None:
    dvc(folder, "remote", "add", "-q", "-d", "store", str(tmp_path / "store"))
    dvc(folder, "push", "-q")
    workspace = Workspace.open(folder)
    (md5,) = workspace.contents.files("d/x").values()
    damaged = workspace.cache.path(md5)
    damaged.chmod(0o644)
    damaged.write_text("rotten")
    damaged.chmod(0o444)
    assert [item.md5 for item in workspace.verify().corrupt] == [md5]
    dvc(folder, "pull", "-q")
    assert workspace.cache.path(md5).read_text() == "new"
    assert workspace.verify().corrupt == ()


def test_both_name_the_deciding_pattern(folder: Path) -> None:
    write(folder, ".dvcignore", "# c\n*.log\n!keep.log\ntmp/\n")
    write(folder, "sub/.dvcignore", "b.log\n")
    words = ["a.log", "keep.log", "tmp/x", "sub/b.log", "other"]
    said = dvc(folder, "check-ignore", "--details", "--non-matching", *words)
    ours = [(str(found[-1]) if (found := checkignore.matches(folder, word)) else "::") + f"\t{word}" for word in words]
    assert said.splitlines() == ours


TEMPLATED = """\
vars:
- name: model
- in: {folder: made}
stages:
  plain:
    cmd: echo 1 > ${name}.bin
    outs: ["${name}.bin"]
  each:
    foreach: [a, b]
    do:
      cmd: mkdir -p ${in.folder} && echo ${item} > ${in.folder}/${item}
      outs: ["${in.folder}/${item}"]
  crossed:
    matrix: {x: [1, 2], y: [3]}
    cmd: echo ${item.x}${item.y} > m${item.x}-${item.y}
    outs: ["m${item.x}-${item.y}"]
  below:
    wdir: sub
    cmd: echo sub > out && echo '{"a":1}' > score.json
    outs: [./out]
    metrics: [score.json: {cache: false}]
    plots: [{out.csv: {x: a}}]
"""


def test_nothing_of_a_templated_pipeline_is_collected(folder: Path) -> None:
    write(folder, "dvc.yaml", TEMPLATED.replace("> out &&", "> out && echo a > out.csv &&"))
    (folder / "sub").mkdir()
    dvc(folder, "repro", "-q")
    workspace = Workspace.open(folder)
    workspace.gc(Scope(workspace=True))
    assert json.loads(dvc(folder, "status", "--json")) == {}
    for out in workspace.outs():
        if out.is_cached:
            shutil.rmtree(folder / out.path, ignore_errors=True)
    dvc(folder, "checkout", "-q")
    assert (folder / "made/b").read_text() == "b\n"
    assert (folder / "sub/out.csv").read_text() == "a\n"
