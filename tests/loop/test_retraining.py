"""A candidate is trained, judged, registered and let in; the project's own folder is never touched."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from everloop import refs
from everloop.config import Settings
from everloop.datasets import CategoricalProfile, NumericProfile, Profile
from everloop.errors import EverloopError, FailedError, NotFoundError
from everloop.loop import candidate, traffic
from everloop.loop.retraining import run_id_of, train
from everloop.registry.transfer import fetch_package, listing_digest
from everloop.server.platform import Platform
from everloop.workspace import Git
from tests.loop.projects import TinyProject


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TinyProject]:
    """The project after its first model was trained and became champion, which takes seconds: one for all tests."""
    folder = tmp_path_factory.mktemp("tiny")
    local = Platform(Settings(home=str(folder / "home")))
    made = TinyProject(folder / "project", local.rooms)
    asked = made.ask("first")
    made.hand_in("2013-03-02", 500)  # after it was asked for: not what it trains on
    local.rooms.scorer.warm()
    trained = train(local.rooms, made.applied, asked)
    judged = candidate.judge(local.rooms, made.applied, asked, trained)
    version = candidate.register(local.rooms, made.applied, asked, trained, judged)
    traffic.enter(local.rooms, made.applied, "first", version.version, asked.at)
    yield made
    local.close()


def snapshot(project: TinyProject) -> tuple[str, ...]:
    """What a person would notice in the project's folder."""
    return (
        project.run("status", "--porcelain"),
        project.run("rev-parse", "HEAD"),
        project.run("worktree", "list"),
        project.run("branch", "--all"),
        "\n".join(sorted(str(path) for path in project.workspace.root.iterdir())),
    )


def trained_of(project: TinyProject, retraining_id: str) -> str:
    """The commit that a reference keeps of a retraining."""
    return project.run("rev-parse", f"refs/everloop/retrainings/{retraining_id}").strip()


# --- what became of the first one


def test_the_working_tree_is_untouched_and_a_reference_keeps_what_was_trained(project: TinyProject) -> None:
    status, head, worktrees, branches, files = snapshot(project)
    assert (status, len(worktrees.splitlines()), branches.split()) == ("", 1, ["*", "main"])
    assert not (project.workspace.root / "data").exists()
    assert "model" not in files.split("/")
    commit = trained_of(project, "first")
    assert commit != head.strip()
    assert project.run("rev-parse", f"{commit}^").strip() == head.strip()
    message = project.run("log", "-1", "--format=%B", commit)
    assert message.startswith("Retrain tiny: manual\n")
    assert "Retraining: first" in message
    assert set(project.run("show", "--format=", "--name-only", commit).split()) >= {"dvc.lock", "data/rows.dvc"}
    assert list((project.rooms.scratch / "checkouts").iterdir()) == []
    assert list((project.rooms.scratch / "gates").iterdir()) == []


def test_the_run_is_on_record_with_commit_data_logs_and_lineage(project: TinyProject) -> None:
    tracking = project.rooms.tracking
    run = tracking.get_run(run_id_of("first"))
    assert (run.status, run.experiment, run.name) == ("finished", "tiny", "first")
    assert run.tags["commit"] == trained_of(project, "first")
    assert (run.tags["trigger"], run.tags["retraining"]) == ("manual", "first")
    paths = {artifact.path: artifact for artifact in tracking.list_artifacts(run.run_id)}
    assert set(paths) == {"dvc.lock", "gates.json", "logs/train.log"}
    log = project.rooms.objects.get(paths["logs/train.log"].digest).decode()
    assert log == "training begins\ntrained on 400 rows\n"
    edges = {edge.relation: edge.target for edge in tracking.edges_of(refs.run(run.run_id))}
    assert edges["used"] == refs.dataset("rows", run.tags["dataset.rows"])
    assert edges["made"] == "models/tiny@1"


def test_the_version_has_its_package_and_the_evidence_that_monitors_need(project: TinyProject, tmp_path: Path) -> None:
    version = project.rooms.registry.get_version("tiny", 1)
    assert version.aliases == ["champion"]
    assert version.digest == listing_digest(version.files)
    assert (fetch_package(project.rooms.objects, version.files, tmp_path / "model") / "MLmodel").is_file()
    assert version.evidence["retraining"] == "first"
    assert version.evidence["commit"] == trained_of(project, "first")
    assert version.evidence["metrics"]["auc"] > 0.7
    assert version.evidence["reference"]["n"] == 400
    assert [gate["passed"] for gate in version.evidence["gates"]] == [True, True]
    columns = version.evidence["profile"]["columns"]
    assert set(columns) == {"x", "code"}


def test_a_code_that_looks_like_a_number_keeps_its_type_in_the_profile(project: TinyProject, tmp_path: Path) -> None:
    """Requests bring it as text, and drift compares like with like."""
    version = project.rooms.registry.get_version("tiny", 1)
    profile = msgspec.convert(version.evidence["profile"], Profile)
    assert isinstance(profile.columns["code"], CategoricalProfile)
    assert isinstance(profile.columns["x"], NumericProfile)


def test_the_gates_are_in_the_ledger_and_the_retraining(project: TinyProject) -> None:
    found = project.rooms.loop.retraining("first")
    assert (found.state, found.version, found.gates["passed"]) == ("champion", 1, True)
    (entry,) = project.rooms.ledger.entries(subject=refs.run(found.run_id))
    assert (entry.kind, entry.policy) == ("gates_passed", project.applied.policy)
    assert entry.values()["rows"] == 400


# --- others


def test_shuffled_labels_are_stopped_by_a_gate_and_stay_in_their_commit(project: TinyProject) -> None:
    before = snapshot(project)
    asked = project.ask("shuffled", shuffle=True)
    project.rooms.scorer.warm()
    trained = train(project.rooms, project.applied, asked)
    report = candidate.judge(project.rooms, project.applied, asked, trained).report
    assert not report.passed
    assert report.champion is not None
    assert report.champion.metrics["auc"].value > 0.7
    found = project.rooms.loop.retraining("shuffled")
    assert found.state == "gates_failed"
    assert "auc at least 0.7, found 0." in found.message
    assert "worse than the champion's by at most 0.1, found" in found.message
    assert project.rooms.ledger.entries(kind="gates_failed")[0].values()["retraining"] == "shuffled"
    assert [version.version for version in project.rooms.registry.list_versions("tiny")] == [1]
    # The override is in that commit and nowhere else; the data is what was known, both batches.
    assert "shuffle: true" in project.run("show", f"{trained.commit}:params.yaml")
    assert "shuffle: false" in (project.workspace.root / "params.yaml").read_text()
    assert project.rooms.tracking.get_run(trained.run_id).params["train.shuffle"] == "true"
    assert report.candidate.n == 900
    assert snapshot(project) == before


def test_a_stage_that_fails_is_a_failed_run_whose_log_is_kept(project: TinyProject) -> None:
    before = snapshot(project)
    with pytest.raises(FailedError, match=r"stage train failed with exit code 1: (.*\n)+.*the disk is on fire"):
        train(project.rooms, project.applied, project.ask("failing", fail="code"))
    tracking = project.rooms.tracking
    run = tracking.get_run(run_id_of("failing"))
    assert run.status == "failed"
    (artifact,) = tracking.list_artifacts(run.run_id)
    assert artifact.path == "logs/train.log"
    assert project.rooms.objects.get(artifact.digest) == b"training begins\nthe disk is on fire\n"
    assert snapshot(project) == before
    assert list((project.rooms.scratch / "checkouts").iterdir()) == []


def test_a_pipeline_that_makes_no_model_package_is_a_failed_run(project: TinyProject) -> None:
    with pytest.raises(NotFoundError, match="no model package"):
        train(project.rooms, project.applied, project.ask("empty", fail="outs"))
    assert project.rooms.tracking.get_run(run_id_of("empty")).status == "failed"


def test_an_override_that_names_no_parameter_is_a_failed_run(project: TinyProject) -> None:
    with pytest.raises(EverloopError, match="train"):
        train(project.rooms, project.applied, project.ask("strange", **{"shuffle.deep": 1}))
    assert project.rooms.tracking.get_run(run_id_of("strange")).status == "failed"


def test_a_checkout_that_a_killed_worker_left_behind_is_cleared_away(project: TinyProject) -> None:
    before = snapshot(project)
    left = project.rooms.scratch / "checkouts" / "failing" / "12345"
    project.workspace.git.add_worktree(left, project.workspace.git.head())
    other = project.rooms.scratch / "checkouts" / "failing-too" / "12345"
    other.mkdir(parents=True)
    with pytest.raises(FailedError):
        train(project.rooms, project.applied, project.ask("failing", fail="code"))
    assert not left.exists()
    assert other.exists()
    other.rmdir()
    other.parent.rmdir()
    assert snapshot(project) == before


def test_a_project_that_moved_away_is_a_clear_error(project: TinyProject, tmp_path: Path) -> None:
    moved = msgspec.structs.replace(project.applied, workspace=str(tmp_path / "gone"))
    with pytest.raises(NotFoundError, match=r"gone is not inside a workspace"):
        train(project.rooms, moved, project.ask("moved"))


def test_a_project_in_a_subfolder_of_its_repository_is_trained(tmp_path: Path) -> None:
    repository = tmp_path / "repository"
    repository.mkdir()
    Git(repository).init()
    local = Platform(Settings(home=str(tmp_path / "home")))
    made = TinyProject(repository / "models" / "tiny", local.rooms)
    trained = train(local.rooms, made.applied, made.ask("below"))
    listed = made.run("ls-tree", "-r", "--name-only", "--full-tree", trained.commit).split()
    assert "models/tiny/dvc.lock" in listed
    local.close()
