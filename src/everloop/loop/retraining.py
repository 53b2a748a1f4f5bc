"""Training a candidate: a checkout of its own, the data known now, the project's pipeline, and the record of it all.

The project's working tree is never touched: each attempt has its own Git worktree, which shares the data cache. What
was trained is kept by a Git reference, `refs/everloop/retrainings/<id>`, so its commit can always be checked out again.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager

import msgspec

from everloop.errors import FailedError
from everloop.loop.project import Project, parse_project
from everloop.loop.rooms import Rooms
from everloop.loop.store import AppliedProject, Retraining
from everloop.pipelines import repro, set_params
from everloop.pipelines.record import record
from everloop.registry import PackageFile
from everloop.registry.transfer import put_package
from everloop.workspace import Workspace
from everloop.workspace.objectid import digits

ENVIRONMENT = {"OMP_NUM_THREADS": "1"}
"""For the stages: one thread each, so that the same data gives the same bytes on every machine."""


class Trained(msgspec.Struct, frozen=True, kw_only=True):
    """What a training left in the object store and on record; enough for the gates, without the checkout."""

    run_id: str
    commit: str
    package: list[PackageFile]
    holdout: PackageFile
    datasets: dict[str, str]


def run_id_of(retraining_id: str) -> str:
    """Return the run id of a retraining: the same after a crash, so that the run is made once."""
    return hashlib.sha256(f"retraining/{retraining_id}".encode()).hexdigest()[:32]


def train(rooms: Rooms, applied: AppliedProject, retraining: Retraining) -> Trained:
    """Run the project's pipeline on the data of the retraining; record it as a run.

    Doing it again after a crash starts afresh, and finds in the data cache the stages that had finished.

    Raises:
        EverloopError: the pipeline failed; the run is on record as failed.
    """
    project = parse_project(applied.text)
    run_id = run_id_of(retraining.retraining_id)
    rooms.tracking.create_run(run_id, project.project, name=retraining.retraining_id)
    try:
        with _checkout(rooms, applied, retraining) as workspace:
            trained = _train(rooms, project, retraining, workspace, run_id)
    except Exception:
        rooms.tracking.finish_run(run_id, "failed")
        raise
    rooms.tracking.finish_run(run_id, "finished")
    return trained


def _train(rooms: Rooms, project: Project, retraining: Retraining, workspace: Workspace, run_id: str) -> Trained:
    if retraining.overrides:
        set_params(workspace.root / "params.yaml", retraining.overrides)
    versions = _bring_data(rooms, project, retraining, workspace)
    try:
        report = repro(workspace, environment=ENVIRONMENT)
    except FailedError:
        _keep_logs(rooms, workspace, run_id)
        raise
    message = f"Retrain {project.model}: {retraining.trigger}\n\nRetraining: {retraining.retraining_id}"
    commit = workspace.git.commit(["."], message)
    workspace.git.update_ref(f"refs/everloop/retrainings/{retraining.retraining_id}", commit)
    record(
        rooms.tracking,
        rooms.objects.put_file,
        workspace,
        report,
        run_id,
        commit=commit,
        tags={"trigger": retraining.trigger, "retraining": retraining.retraining_id},
        datasets=versions,
    )
    holdout = workspace.root / project.pipeline.holdout
    if not holdout.is_file():
        raise FailedError(
            f"the pipeline left no {project.pipeline.holdout}", hint="everloop.yaml names it under `pipeline.holdout`."
        )
    kept = PackageFile(path=holdout.name, digest=rooms.objects.put_file(holdout), size_bytes=holdout.stat().st_size)
    package = put_package(workspace.root / project.pipeline.model, rooms.objects.put_file)
    return Trained(run_id=run_id, commit=commit, package=package, holdout=kept, datasets=versions)


def _keep_logs(rooms: Rooms, workspace: Workspace, run_id: str) -> None:
    """Keep what the stages printed before one failed: the checkout is about to go."""
    for log in sorted((workspace.layout.scratch_dir / "logs").glob("*.log")):
        rooms.tracking.log_artifact(run_id, f"logs/{log.name}", rooms.objects.put_file(log), log.stat().st_size)


@contextmanager
def _checkout(rooms: Rooms, applied: AppliedProject, retraining: Retraining) -> Iterator[Workspace]:
    """A worktree of the project's commit, on the project's own data cache."""
    home = Workspace.open(applied.workspace)
    # A name of its own for each process: a stage that a killed worker left behind cannot write into the next attempt.
    folder = rooms.scratch / "checkouts" / retraining.retraining_id / str(os.getpid())
    for stale in folder.parent.glob("*"):
        home.git.remove_worktree(stale)
    home.git.add_worktree(folder, home.git.head())
    try:
        # The workspace may be a subfolder of its repository.
        inside = folder / home.root.resolve().relative_to(home.git.top().resolve())
        local = inside / ".dvc" / "config.local"
        local.write_text(f"[cache]\n    dir = {home.cache.root}\n", encoding="utf-8")
        yield Workspace.open(inside)
    finally:
        home.git.remove_worktree(folder)
        shutil.rmtree(folder.parent, ignore_errors=True)


def _bring_data(rooms: Rooms, project: Project, retraining: Retraining, workspace: Workspace) -> dict[str, str]:
    """Put every accepted batch that was known when the retraining was asked for in place; return dataset versions."""
    folders = {name: workspace.relative(source.path) for name, source in project.datasets.items()}
    others = [path.removesuffix(".dvc") for path in workspace.dvc_files()]
    workspace.checkout([path for path in others if path not in folders.values()])
    for name, path in folders.items():
        target = workspace.root / path
        shutil.rmtree(target, ignore_errors=True)
        for batch in rooms.datasets.list_batches(name, "accepted", retraining.data_up_to):
            rooms.objects.fetch(batch.digest, target / f"{batch.name}.csv")
    report = workspace.add(folders.values())
    found = {out.path: out.content for file in (*report.added, *report.unchanged) for out in file.outs}
    return {name: digits(content.md5) for name, path in folders.items() if (content := found[path]) is not None}
