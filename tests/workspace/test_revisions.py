from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from everloop.errors import InvalidError, NotFoundError
from everloop.workspace import Out, Workspace

ONE = "0cc175b9c0f1b6a831c399e269772661"
TWO = "92eb5ffee6ae2fec3ad71c777531578f"


def git(workspace: Workspace, *words: str) -> str:
    done = subprocess.run(
        ["git", "-c", "user.name=Ada", "-c", "user.email=ada@example.org", *words],
        cwd=workspace.root,
        check=True,
        capture_output=True,
        text=True,
    )
    return done.stdout.strip()


def commit(workspace: Workspace, message: str = "Change") -> str:
    git(workspace, "add", "--all")
    git(workspace, "commit", "--quiet", "--allow-empty", "-m", message)
    return git(workspace, "rev-parse", "HEAD")


def put(workspace: Workspace, path: str, text: str) -> None:
    target = workspace.root / path
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(text)


def record(workspace: Workspace, path: str, md5: str = ONE) -> None:
    name = path.rpartition("/")[2].replace("\n", "\\n")
    put(workspace, f"{path}.dvc", f'outs:\n- md5: {md5}\n  size: 1\n  hash: md5\n  path: "{name}"\n')


def hashes(outs: list[Out]) -> dict[str, str | None]:
    return {out.path: out.content.md5 if out.content else None for out in outs}


PIPELINE = """\
stages:
  train:
    wdir: sub
    cmd: make
    outs: [model, "price \\\\${x}"]
    metrics: [{metrics.json: {cache: false}}]
  each:
    foreach: [a, b]
    do:
      cmd: make ${item}
      outs: ["out/${item}.csv"]
      plots: [{"plot/${item}.csv": {cache: false}}]
  never_run:
    cmd: make
    outs: [later]
"""
LOCK = f"""\
schema: '2.0'
stages:
  train:
    cmd: make
    outs:
    - {{path: model, hash: md5, md5: {ONE}.dir, size: 3, nfiles: 2}}
    - {{path: metrics.json, hash: md5, md5: {TWO}, size: 1}}
    - {{path: declared no more, hash: md5, md5: {TWO}, size: 1}}
  each@a:
    cmd: make a
    outs:
    - {{path: out/a.csv, hash: md5, md5: {ONE}, size: 1}}
    - {{path: plot/a.csv, hash: md5, md5: {TWO}, size: 1}}
  gone:
    cmd: make
    outs:
    - {{path: old, hash: md5, md5: {ONE}, size: 1}}
"""


def test_each_revision_tells_its_own_records(workspace: Workspace) -> None:
    record(workspace, "d/a")
    first = commit(workspace)
    record(workspace, "d/a", TWO)
    record(workspace, "b")
    commit(workspace)
    (workspace.root / "b.dvc").unlink()
    assert hashes(workspace.outs(first)) == {"d/a": ONE}
    assert hashes(workspace.outs("HEAD")) == {"b": ONE, "d/a": TWO}
    assert hashes(workspace.outs()) == {"d/a": TWO}


@pytest.mark.parametrize("rev", [None, "HEAD"])
def test_outs_of_pipelines_come_from_definition_and_lock(workspace: Workspace, rev: str | None) -> None:
    put(workspace, "p/dvc.yaml", PIPELINE)
    put(workspace, "p/dvc.lock", LOCK)
    commit(workspace)
    outs = workspace.outs(rev)
    assert hashes(outs) == {
        "p/sub/model": f"{ONE}.dir",
        "p/sub/metrics.json": TWO,
        "p/sub/price ${x}": None,
        "p/out/a.csv": ONE,
        "p/plot/a.csv": TWO,
        "p/out/b.csv": None,
        "p/plot/b.csv": None,
        "p/later": None,
    }
    assert {out.path for out in outs if not out.is_cached} == {"p/sub/metrics.json", "p/plot/a.csv", "p/plot/b.csv"}


@pytest.mark.parametrize("name", ["with space", "ü日本", "new\nline", "-dash", "quo'te"])
def test_any_name_is_read(workspace: Workspace, name: str) -> None:
    record(workspace, f"{name}/{name}")
    commit(workspace)
    assert hashes(workspace.outs("HEAD")) == {f"{name}/{name}": ONE}


def test_ignored_and_foreign_files_are_left_out(workspace: Workspace) -> None:
    for path in ("a", "skip/b", "c/skipped", "other/d"):
        record(workspace, path)
    put(workspace, ".dvcignore", "/skip/\n# skip nothing else\n")
    put(workspace, "c/.dvcignore", "skipped.dvc\n")
    put(workspace, "other/.dvc/config", "")
    (workspace.root / "link.dvc").symlink_to("a.dvc")
    commit(workspace)
    assert hashes(workspace.outs("HEAD")) == {"a": ONE}


def test_workspace_in_a_folder_of_the_repository(tmp_path: Path) -> None:
    outer = Workspace.init(tmp_path)
    before = commit(outer)
    inner = Workspace.init(tmp_path / "inner folder")
    record(outer, "a")
    record(inner, "b")
    commit(outer)
    assert hashes(inner.outs("HEAD")) == {"b": ONE}
    assert inner.outs(before) == []


def test_what_cannot_be_read_is_told_beside_the_rest(workspace: Workspace) -> None:
    record(workspace, "good")
    put(workspace, "bad.dvc", "outs: 3\n")
    put(workspace, "worse.dvc", "outs: [\n")
    (workspace.root / "worst.dvc").write_bytes(b"\xff\xfe")
    commit(workspace)
    (snapshot,) = workspace.snapshots(workspace.revisions(["HEAD"]))
    assert hashes(list(snapshot.outs)) == {"good": ONE}
    assert set(snapshot.unreadable) == {"bad.dvc", "worse.dvc", "worst.dvc"}
    assert "HEAD: bad.dvc" in snapshot.unreadable["bad.dvc"]
    with pytest.raises(InvalidError, match="outs must be a list"):
        workspace.outs("HEAD")


def test_out_that_leaves_the_workspace_is_refused(workspace: Workspace) -> None:
    put(workspace, "a.dvc", f"outs: [{{md5: {ONE}, size: 1, hash: md5, path: ../../etc}}]\n")
    put(workspace, "dvc.yaml", "stages: {s: {cmd: c, outs: [/etc/passwd]}}\n")
    commit(workspace)
    (snapshot,) = workspace.snapshots(workspace.revisions(["HEAD"]))
    assert set(snapshot.unreadable) == {"a.dvc", "dvc.yaml"}


def test_revisions_by_branch_tag_and_depth(workspace: Workspace) -> None:
    commits = [commit(workspace, str(number)) for number in range(4)]
    git(workspace, "branch", "side", commits[1])
    git(workspace, "tag", "light", commits[2])
    git(workspace, "tag", "-a", "-m", "words", "heavy", commits[2])
    git(workspace, "tag", "no-commit", git(workspace, "hash-object", "-w", ".dvcignore"))

    def found(**asked: object) -> dict[str, tuple[str, ...]]:
        return {revision.commit: revision.names for revision in workspace.revisions(**asked)}  # type: ignore[arg-type]

    assert found() == {}
    assert found(revs=["HEAD", "main"]) == {commits[3]: ("HEAD", "main")}
    assert found(revs=["HEAD"], n=2) == {commits[3]: ("HEAD",), commits[2]: ()}
    assert list(found(revs=["HEAD"], n=0)) == commits[::-1]
    assert found(all_branches=True) == {commits[3]: ("main",), commits[1]: ("side",)}
    assert found(all_tags=True) == {commits[2]: ("heavy", "light")}
    assert set(found(all_commits=True)) == set(commits)


def test_all_commits_include_a_head_on_no_branch(workspace: Workspace) -> None:
    assert workspace.revisions(all_commits=True) == []
    first = commit(workspace)
    git(workspace, "checkout", "--quiet", "--detach")
    second = commit(workspace)
    assert {revision.commit for revision in workspace.revisions(all_commits=True)} == {first, second}


@pytest.mark.parametrize("rev", ["nowhere", "", "--all", "HEAD:a.dvc"])
def test_unknown_revision_is_named(workspace: Workspace, rev: str) -> None:
    commit(workspace)
    with pytest.raises(NotFoundError, match="is no commit of"):
        workspace.revisions([rev])


def test_many_commits_take_one_process_for_their_objects(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    record(workspace, "a")
    for _ in range(5):
        commit(workspace)
    revisions = workspace.revisions(all_commits=True)
    started: list[object] = []
    original = subprocess.Popen.__init__

    def counted(self: subprocess.Popen[bytes], *words: object, **options: object) -> None:
        started.append(words)
        original(self, *words, **options)  # type: ignore[call-overload]

    monkeypatch.setattr(subprocess.Popen, "__init__", counted)
    assert [hashes(list(snapshot.outs)) for snapshot in workspace.snapshots(revisions)] == [{"a": ONE}] * 5
    assert len(started) == 1


def test_reading_an_abandoned_history_leaves_no_process(workspace: Workspace) -> None:
    record(workspace, "a")
    commit(workspace)
    before = _children()
    for _ in workspace.snapshots(workspace.revisions(["HEAD"])):
        break
    assert _children() <= before


def _children() -> set[str]:
    """The processes that this one has started; other tests' servers are among them."""
    listed = Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children")
    return set(listed.read_text().split()) if listed.exists() else set()
