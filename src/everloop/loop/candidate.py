"""From a trained candidate to a registered version: gates on held-out rows, then registration with its evidence."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import duckdb
import msgspec

from everloop import refs
from everloop.access import Decision
from everloop.datasets import Profile, profile_columns, read_profile
from everloop.loop.gates import GateReport, judge_gates, read_holdout, reference_loss
from everloop.loop.project import Project, parse_project
from everloop.loop.retraining import Trained
from everloop.loop.rooms import ACTOR, Rooms
from everloop.loop.store import AppliedProject, Retraining
from everloop.loop.traffic import current
from everloop.monitoring import LossSummary
from everloop.registry import ModelVersion
from everloop.registry.package import Column, read_package
from everloop.registry.transfer import fetch_package, listing_digest
from everloop.tracking import Edge

_SQL_TYPES = {"string": "VARCHAR", "double": "DOUBLE", "long": "BIGINT", "boolean": "BOOLEAN"}


class Judged(msgspec.Struct, frozen=True, kw_only=True):
    """The gates' report on a candidate, and what its monitors will compare with: loss and profile of held-out rows."""

    report: GateReport
    reference: LossSummary
    profile: Profile


def judge(rooms: Rooms, applied: AppliedProject, retraining: Retraining, trained: Trained) -> Judged:
    """Score the holdout with the candidate and the champion in a job, judge the gates, and keep the report.

    Raises:
        FailedError: a package could not be scored.
    """
    project = parse_project(applied.text)
    folder = rooms.scratch / "gates" / retraining.retraining_id
    shutil.rmtree(folder, ignore_errors=True)
    try:
        judged = _judge(rooms, applied, project, trained, folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    _keep(rooms, applied, retraining, trained, judged.report)
    return judged


def _judge(rooms: Rooms, applied: AppliedProject, project: Project, trained: Trained, folder: Path) -> Judged:
    candidate = fetch_package(rooms.objects, trained.package, folder / "candidate")
    rooms.objects.fetch(trained.holdout.digest, folder / "holdout.csv")
    packages = [candidate]
    deployment = current(rooms, applied.endpoint)
    if deployment is not None:
        champion = rooms.registry.get_version(applied.model, deployment.champion)
        packages.append(fetch_package(rooms.objects, champion.files, folder / "champion"))
    scores = rooms.scorer.score(packages, folder / "holdout.csv", folder / "scores.json")
    holdout = read_holdout(folder / "holdout.csv", project.pipeline)
    report = judge_gates(project.gates, holdout, scores[0], scores[1] if len(scores) > 1 else None)
    decay = project.monitors.decay
    return Judged(
        report=report,
        reference=reference_loss(holdout, scores[0], decay.metric, project.promotion.clip),
        profile=_reference_profile(candidate, folder / "holdout.csv"),
    )


def _reference_profile(package: Path, holdout: Path) -> Profile:
    """Return what the model's inputs looked like: of its training rows if the package says so, else of the holdout."""
    kept = package / "profile.json"
    if kept.is_file():
        return read_profile(kept.read_bytes())
    return profile_columns(_columns(holdout, read_package(package).inputs))


def _columns(path: Path, inputs: Sequence[Column]) -> dict[str, Any]:
    """Read the model's inputs as the types it takes them in, as its requests will have them: a code `01` stays text."""
    types = {column.name: _SQL_TYPES[column.type] for column in inputs}
    with duckdb.connect() as connection:
        connection.execute("SET threads = 1")
        wanted = ", ".join('"' + name.replace('"', '""') + '"' for name in types)
        query = f"SELECT {wanted} FROM read_csv(?, delim = ',', header = true, types = ?)"  # noqa: S608  quoted names
        rows = connection.execute(query, [str(path), types]).fetchall()
        return dict(zip(types, zip(*rows, strict=True), strict=True))


def _keep(rooms: Rooms, applied: AppliedProject, retraining: Retraining, trained: Trained, report: GateReport) -> None:
    data = msgspec.json.encode(report)
    rooms.tracking.log_artifact(trained.run_id, "gates.json", rooms.objects.put(data), len(data))
    results = msgspec.to_builtins(report.results)
    with rooms.database.write() as connection:
        rooms.loop.change_retraining_in(
            connection,
            retraining.retraining_id,
            run_id=trained.run_id,
            gates={"passed": report.passed, "results": results},
            **({} if report.passed else {"state": "gates_failed", "message": _failures(report)}),
        )
        rooms.ledger.record_in(
            connection,
            Decision(
                key=f"gates/{retraining.retraining_id}",
                kind="gates_passed" if report.passed else "gates_failed",
                subject=refs.run(trained.run_id),
                actor=ACTOR,
                policy=applied.policy,
                body={"retraining": retraining.retraining_id, "results": results, "rows": report.candidate.n},
            ),
        )


def _failures(report: GateReport) -> str:
    return "; ".join(
        f"{result.gate}, found {'nothing' if result.found is None else format(result.found, '.4f')}"
        for result in report.results
        if not result.passed
    )


def register(
    rooms: Rooms, applied: AppliedProject, retraining: Retraining, trained: Trained, judged: Judged
) -> ModelVersion:
    """Register a candidate that passed its gates, with the evidence that monitors and people need later."""
    evidence: dict[str, Any] = {
        "commit": trained.commit,
        "datasets": trained.datasets,
        "retraining": retraining.retraining_id,
        "trained_at": retraining.at,
        "metrics": {name: estimate.value for name, estimate in judged.report.candidate.metrics.items()},
        "gates": msgspec.to_builtins(judged.report.results),
        "reference": msgspec.to_builtins(judged.reference),
        "profile": msgspec.to_builtins(judged.profile),
    }
    version = rooms.registry.register(
        applied.model, trained.run_id, listing_digest(trained.package), trained.package, evidence, ACTOR
    )
    address = refs.model(version.model, version.version)
    rooms.tracking.link([Edge(source=refs.run(trained.run_id), relation="made", target=address)])
    return version


def trained_at(version: ModelVersion) -> datetime:
    """Return the event time up to which a version knew its data."""
    return msgspec.convert(version.evidence["trained_at"], datetime)
