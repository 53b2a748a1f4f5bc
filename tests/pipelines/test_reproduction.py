from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner

from everloop import pipelines
from everloop.cli.group import cli
from everloop.errors import FailedError, InvalidError, NotFoundError
from everloop.pipelines.certificate import Certificate, Verdict
from everloop.pipelines.reproduction import reproduce
from everloop.workspace import Workspace

PIPELINE = """\
stages:
  prepare:
    cmd: mkdir -p ready && cp data/a ready/a && cp data/b ready/b
    deps: [data]
    params: [rate]
    outs: [ready]
  train:
    cmd: sh train.sh
    deps: [ready, train.sh]
    outs: [model]
    metrics: [m.json: {cache: false}]
"""


def commit(workspace: Workspace, tag: str) -> None:
    who = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
    for words in (["add", "-A"], ["commit", "-qm", tag], ["tag", tag]):
        subprocess.run(["git", *who, *words], cwd=workspace.root, check=True)


def everything(root: Path) -> dict[str, str]:
    """All files of a workspace, but those that only speed it up."""
    files = (file for file in root.rglob("*") if file.is_file() and ".dvc/tmp/" not in str(file))
    return {str(file.relative_to(root)): hashlib.md5(file.read_bytes()).hexdigest() for file in files}


@pytest.fixture
def project(workspace: Workspace, tmp_path: Path) -> Workspace:
    """One revision, `v1`; `../noise`, which no pipeline should read, decides what comes out."""
    noise = tmp_path / "noise"
    noise.write_text("0.7")
    script = f'cat ready/a > model\necho "{{\\"auc\\": $(cat {noise}), \\"kind\\": \\"rf\\"}}" > m.json\n'
    for path, text in {
        "data/a": "a",
        "data/b": "b",
        "params.yaml": "rate: 1\n",
        "train.sh": script,
        "dvc.yaml": PIPELINE,
    }.items():
        (workspace.root / path).parent.mkdir(exist_ok=True)
        (workspace.root / path).write_text(text)
    workspace.add(["data"])
    pipelines.repro(workspace)
    commit(workspace, "v1")
    return workspace


def verdicts(certificate: Certificate) -> dict[str, str]:
    return {check.path: check.verdict for check in certificate.outputs}


def test_the_same_comes_out_and_nothing_is_touched(project: Workspace) -> None:
    # The workspace has gone on since, and is not clean.
    (project.root / "data/a").write_text("other")
    (project.root / "params.yaml").write_text("rate: 2\n")
    (project.root / "model").unlink()
    before = everything(project.root)
    certificate = reproduce(project, "v1")
    assert certificate.verdict is Verdict.IDENTICAL
    assert set(verdicts(certificate)) == {"ready", "model", "m.json"}
    assert (certificate.inputs, certificate.not_run) == ((), ())
    assert certificate.commit == project.git.resolve("v1")
    assert everything(project.root) == before
    listed = subprocess.check_output(["git", "worktree", "list"], cwd=project.root, text=True)
    assert len(listed.splitlines()) == 1


def test_metrics_agree_within_the_tolerance(project: Workspace, tmp_path: Path) -> None:
    (tmp_path / "noise").write_text("0.7000001")
    certificate = reproduce(project, "v1", tolerance=1e-6)
    assert certificate.verdict is Verdict.WITHIN
    assert verdicts(certificate)["m.json"] == "within tolerance"
    assert certificate.outputs[-1].where == ("auc: 0.7 -> 0.7000001",)
    assert reproduce(project, "v1", tolerance=1e-9).verdict is Verdict.DIFFERENT


def test_what_differs_is_named(project: Workspace) -> None:
    script = "echo 1 > extra && cp data/a ready/a && date +%N > ready/b && rm extra"
    file = project.root / "dvc.yaml"
    file.write_text(file.read_text().replace("cp data/a ready/a && cp data/b ready/b", script))
    pipelines.repro(project)
    commit(project, "v2")
    certificate = reproduce(project, "v2")
    assert verdicts(certificate) == {"ready": "different", "model": "identical", "m.json": "identical"}
    assert certificate.outputs[0].where == ("b differs",)


def test_a_revision_whose_files_are_not_those_of_its_run(project: Workspace) -> None:
    (project.root / "params.yaml").write_text("rate: 3\n")
    script = project.root / "train.sh"
    script.write_text(script.read_text() + "echo more >> model\n")
    commit(project, "v3")
    certificate = reproduce(project, "v3")
    assert certificate.verdict is Verdict.DIFFERENT
    assert certificate.inputs == (
        "the params of prepare in params.yaml are not those of its recorded run",
        "train.sh, which train reads, is not that of its recorded run",
    )


def test_data_that_the_cache_lacks_come_from_the_remote(project: Workspace, tmp_path: Path) -> None:
    (project.root / ".dvc/config").write_text("[core]\n    remote = far\n['remote \"far\"']\n    url = ../../far\n")
    again = Workspace.open(project.root)
    again.transfers.push()
    shutil.rmtree(again.cache.root)
    assert reproduce(Workspace.open(project.root), "v1").verdict is Verdict.IDENTICAL


def test_data_that_are_nowhere_are_named(project: Workspace) -> None:
    shutil.rmtree(project.cache.root)
    with pytest.raises(NotFoundError, match="data of v1 is not in the cache, and no remote"):
        reproduce(project, "v1")
    (project.root / ".dvc/config").write_text("[core]\n    remote = far\n['remote \"far\"']\n    url = ../../far\n")
    with pytest.raises(NotFoundError, match="data of v1 is neither in the cache nor in the remote"):
        reproduce(Workspace.open(project.root), "v1")


def test_a_frozen_stage_is_not_run(project: Workspace) -> None:
    file = project.root / "dvc.yaml"
    file.write_text(file.read_text().replace("    outs: [ready]\n", "    outs: [ready]\n    frozen: true\n"))
    commit(project, "v4")
    certificate = reproduce(project, "v4")
    assert (certificate.verdict, certificate.not_run) == (Verdict.IDENTICAL, ("prepare",))


def test_a_stage_that_fails_leaves_nothing(project: Workspace, tmp_path: Path) -> None:
    (tmp_path / "noise").unlink()
    file = project.root / "train.sh"
    file.write_text("set -e\n" + file.read_text() + "exit 3\n")
    commit(project, "v5")
    with pytest.raises(FailedError, match="exit code 3"):
        reproduce(project, "v5")
    assert not (project.layout.scratch_dir / "reproduce/worktree").exists()


def test_what_a_killed_run_left_does_not_matter(project: Workspace) -> None:
    folder = project.layout.scratch_dir / "reproduce/worktree"
    project.git.add_worktree(folder, "v1")
    (folder / "data").mkdir()
    (folder / "data/a").write_text("half")
    assert reproduce(project, "v1").verdict is Verdict.IDENTICAL


def test_a_workspace_in_a_folder_of_its_repository(tmp_path: Path) -> None:
    subprocess.run(["git", "init", "-q", str(tmp_path / "repository")], check=True)
    workspace = Workspace.init(tmp_path / "repository/part", subdir=True)
    (workspace.root / "dvc.yaml").write_text("stages:\n  a:\n    cmd: pwd > ../where && echo 1 > o\n    outs: [o]\n")
    pipelines.repro(workspace)
    where = tmp_path / "repository/where"
    here = where.read_text()
    commit(workspace, "v1")
    certificate = reproduce(workspace, "v1")
    assert (certificate.verdict, verdicts(certificate)) == (Verdict.IDENTICAL, {"o": "identical"})
    assert where.read_text() == here


def test_a_revision_without_stages_is_refused(workspace: Workspace) -> None:
    commit(workspace, "v0")
    with pytest.raises(InvalidError, match="v0 has no stages"):
        reproduce(workspace, "v0")
    with pytest.raises(NotFoundError, match="nope"):
        reproduce(workspace, "nope")


def test_the_command_ends_with_1_when_something_differs(
    project: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(project.root)
    same = CliRunner().invoke(cli, ["reproduce", "v1", "-o", str(tmp_path / "c.json")])
    assert same.exit_code == 0, same.output
    assert same.stdout.startswith(f"v1 ({project.git.resolve('v1')[:12]}) was run again: identical\n")
    assert json.loads((tmp_path / "c.json").read_text())["verdict"] == "identical"
    (tmp_path / "noise").write_text("0.9")
    other = CliRunner().invoke(cli, ["reproduce", "v1", "--json"])
    assert other.exit_code == 1
    assert json.loads(other.stdout)["verdict"] == "different"
