"""The run cache: a stage that ran before with the same inputs is restored, whichever of the two tools ran it."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from everloop import pipelines
from everloop.pipelines import Outcome
from everloop.workspace import Workspace
from tests.workspace.dvcpeer import commit, dvc, needs_dvc, run, write

PIPELINE = """\
stages:
  make:
    cmd: cat in > out && mkdir -p folder && cp in folder/one && cat in > m.json && echo ran >> ../ran
    deps: [in]
    params: [lr, {other.json: [a]}]
    outs: [out, folder]
    metrics:
    - m.json:
        cache: false
"""
FILES: dict[str, str | None] = {
    "in": "1",
    "params.yaml": "lr: 1e-3\n",
    "other.json": '{"a": {"b": [1, 2.5]}}',
    "dvc.yaml": PIPELINE,
}


@pytest.fixture
def project(workspace: Workspace) -> Workspace:
    write(workspace.root, FILES)
    return workspace


def times_run(workspace: Workspace) -> int:
    ran = workspace.root.parent / "ran"
    return len(ran.read_text().splitlines()) if ran.exists() else 0


def runs(root: Path) -> dict[str, bytes]:
    found = (path for path in (root / "runs").rglob("*") if path.is_file())
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in found}


def outcome(report: pipelines.Report) -> Outcome:
    return report.stages[-1].outcome


def forth_and_back(workspace: Workspace, **options: Any) -> pipelines.Report:
    """Run with another input, then with the first one again."""
    for text in ("1", "2", "1"):
        (workspace.root / "in").write_text(text)
        report = pipelines.repro(workspace, **options)
    return report


def test_stage_that_ran_before_is_restored(project: Workspace) -> None:
    report = forth_and_back(project)
    assert outcome(report) is Outcome.RESTORED
    assert report.stages[-1].reasons == ("dependency in changed",)
    assert times_run(project) == 2
    assert {name: (project.root / name).read_text() for name in ("out", "folder/one", "m.json")} == {
        "out": "1", "folder/one": "1", "m.json": "1",
    }  # fmt: skip
    assert pipelines.status(project) == {}
    assert outcome(pipelines.repro(project)) is Outcome.UNCHANGED


def test_dry_says_that_it_would_be_restored(project: Workspace) -> None:
    pipelines.repro(project)
    (project.root / "dvc.lock").unlink()
    assert outcome(pipelines.repro(project, dry=True)) is Outcome.WOULD_RESTORE
    assert not (project.root / "dvc.lock").exists()


@pytest.mark.parametrize("options", [{"run_cache": False}, {"force": True}])
def test_who_wants_it_run_gets_it_run(project: Workspace, options: dict[str, bool]) -> None:
    assert outcome(forth_and_back(project, **options)) is Outcome.RAN
    assert times_run(project) == 3


def test_run_with_another_parameter_is_not_taken(project: Workspace) -> None:
    pipelines.repro(project)
    (project.root / "params.yaml").write_text("lr: 2\n")
    assert outcome(pipelines.repro(project)) is Outcome.RAN
    (project.root / "params.yaml").write_text("lr: 0.001\n")
    assert outcome(pipelines.repro(project)) is Outcome.RESTORED


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("    deps: [in]", "    deps: [in]\n    always_changed: true"),
        ("outs: [out,", "outs: [out: {persist: true},"),
        ("outs: [out,", "outs: [out: {cache: false},"),
        ("    deps: [in]\n    params: [lr, {other.json: [a]}]\n", ""),
    ],
    ids=["always changed", "persist", "output outside of the cache", "nothing to read"],
)
def test_what_dvc_does_not_trust_is_not_restored(project: Workspace, before: str, after: str) -> None:
    (project.root / "dvc.yaml").write_text(PIPELINE.replace(before, after))
    pipelines.repro(project)
    assert runs(project.cache.root) == {}
    for name in ("dvc.lock", "out"):
        (project.root / name).unlink()
    assert outcome(pipelines.repro(project)) is Outcome.RAN


def test_newest_of_several_runs_is_restored(project: Workspace) -> None:
    text = PIPELINE.replace("cat in > out", "cat salt in > out")
    (project.root / "dvc.yaml").write_text(text)
    hashes = {}
    for salt in ("a", "b"):
        (project.root / "salt").write_text(salt)
        pipelines.repro(project, force=True)
        content = project.measure("out")
        assert content is not None
        hashes[salt] = content.md5
    entries = [project.cache.root / place for place in runs(project.cache.root)]
    assert len({path.parent for path in entries}) == 1
    for newest, md5 in hashes.items():
        for path in entries:
            time_ns = 10**18 + (md5 in path.read_text())
            os.utime(path, ns=(time_ns, time_ns))
        (project.root / "dvc.lock").unlink()
        assert outcome(pipelines.repro(project)) is Outcome.RESTORED
        assert (project.root / "out").read_text() == f"{newest}1"


def test_run_whose_bytes_are_gone_is_run_again(project: Workspace) -> None:
    pipelines.repro(project)
    (project.root / "dvc.lock").unlink()
    shutil.rmtree(project.cache.root / "files")
    (project.root / "out").unlink()
    assert outcome(pipelines.repro(project)) is Outcome.RAN


def test_damaged_entry_goes_and_the_stage_runs(project: Workspace) -> None:
    pipelines.repro(project)
    (place,) = runs(project.cache.root)
    (project.root / "dvc.lock").unlink()
    (project.cache.root / place).write_text("cmd: [")
    assert outcome(pipelines.repro(project)) is Outcome.RAN
    assert list(runs(project.cache.root)) == [place]


def test_no_commit_keeps_neither_bytes_nor_run(project: Workspace) -> None:
    pipelines.repro(project, commit=False)
    assert runs(project.cache.root) == {}
    assert not (project.cache.root / "files").exists()
    assert outcome(pipelines.repro(project)) is Outcome.RESTORED
    assert pipelines.status(project) == {}


def test_pull_brings_the_run_of_a_colleague(project: Workspace, tmp_path: Path) -> None:
    write(project.root, {".dvc/config": f"[core]\n    remote = far\n['remote \"far\"']\n    url = {tmp_path}/far\n"})
    pipelines.repro(project)
    project.transfers.push(run_cache=True)
    clone = Workspace.init(tmp_path / "clone")
    write(clone.root, {**FILES, ".dvc/config": (project.root / ".dvc/config").read_text()})
    assert outcome(pipelines.repro(clone, dry=True)) is Outcome.WOULD_RUN
    assert outcome(pipelines.repro(clone, pull=True)) is Outcome.RESTORED
    assert (clone.root / "folder/one").read_text() == "1"
    assert times_run(project) == 1


@needs_dvc
@pytest.mark.peer
def test_both_tools_restore_the_runs_of_the_other(tmp_path: Path) -> None:
    by_dvc = tmp_path / "by-dvc"
    by_dvc.mkdir()
    run(by_dvc, "git", "init", "--quiet")
    dvc(by_dvc, "init", "--quiet")
    write(by_dvc, FILES)
    dvc(by_dvc, "repro", "--quiet")
    by_ever = Workspace.init(tmp_path / "by-ever")
    write(by_ever.root, FILES)
    pipelines.repro(by_ever)
    assert times_run(by_ever) == 2
    # The same names, the same bytes, and the same objects for them.
    assert runs(by_ever.cache.root) == runs(by_dvc / ".dvc/cache")
    assert len(runs(by_ever.cache.root)) == 1
    assert objects(by_ever.root) == objects(by_dvc)

    for folder in (by_dvc, by_ever.root):
        commit(folder)
        for name in ("dvc.lock", "out", "m.json"):
            (folder / name).unlink()
        shutil.rmtree(folder / "folder")
    assert outcome(pipelines.repro(Workspace.open(by_dvc))) is Outcome.RESTORED
    dvc(by_ever.root, "repro")
    assert times_run(by_ever) == 2
    for folder in (by_dvc, by_ever.root):
        assert (folder / "out").read_text() == (folder / "m.json").read_text() == "1"
        assert run(folder, "git", "status", "--porcelain", "dvc.lock") == ""
    assert pipelines.status(by_ever) == {}


def objects(folder: Path) -> set[str]:
    top = folder / ".dvc/cache/files"
    return {str(path.relative_to(top)) for path in top.rglob("*") if path.is_file()}
