"""A small world for the loop: one applied project, registered versions, and a year of synthetic traffic with labels.

Nothing is faked but the scores: predictions go through the real log, labels through real feedback.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from everloop import refs
from everloop.datasets import profile_columns
from everloop.evaluation import losses
from everloop.loop import traffic
from everloop.loop.controller import new_retraining
from everloop.loop.project import parse_project, policy_digest
from everloop.loop.rooms import ACTOR, Rooms
from everloop.loop.store import AppliedProject, Challenge
from everloop.monitoring import summarise
from everloop.registry import ModelVersion, PackageFile
from everloop.serving import Capture, Deployment, Label
from everloop.serving.prediction import pack, prediction_ids

MONDAY = datetime(2013, 3, 4, tzinfo=UTC)
DAY = timedelta(days=1)
ROWS = 300

PROJECT = """\
project: flights
model: late
endpoint: {name: delay, shadows: [baseline]}
monitors:
  decay: {window: day, tolerance: 0.05}
  drift: {window: day}
promotion: {min_pairs: 500, min_days: 2, max_days: 5}
triggers: {cooldown_days: 3}
"""

Floats = NDArray[np.float64]


class World:
    """One project `flights` with its endpoint `delay`, and the verbs that its tests need."""

    def __init__(self, rooms: Rooms, text: str = PROJECT) -> None:
        self.rooms = rooms
        self.applied = self.apply(text)

    def apply(self, text: str) -> AppliedProject:
        """Take over another everloop.yaml."""
        project = parse_project(text)
        self.applied = AppliedProject(
            name=project.project,
            endpoint=project.endpoint.name,
            model=project.model,
            workspace="/nowhere",
            text=text,
            policy=policy_digest(text),
            applied_at=MONDAY,
        )
        with self.rooms.database.write() as connection:
            self.rooms.loop.put_project_in(connection, self.applied)
        return self.applied

    def register(self, trained_at: datetime = MONDAY) -> int:
        """Register a version that knew x around 0 and lost what `traffic_of` lets it lose; return its number."""
        rng = np.random.default_rng(0)
        truth = rng.uniform(0.05, 0.95, 2000)
        labels = (rng.random(2000) < truth).astype(float)
        evidence: dict[str, Any] = {
            "trained_at": trained_at,
            "reference": msgspec.to_builtins(summarise(losses(labels, truth, "log_loss", 0.05))),
            "profile": msgspec.to_builtins(profile_columns({"x": rng.normal(size=2000).tolist()})),
        }
        files = [PackageFile(path="MLmodel", digest="0" * 64, size_bytes=1)]
        run_id = refs.new_run_id()
        version: ModelVersion = self.rooms.registry.register("late", run_id, "0" * 64, files, evidence, ACTOR)
        return version.version

    def enter(self, retraining_id: str, version: int, at: datetime = MONDAY) -> str:
        """Let a version in by a retraining of that id."""
        new_retraining(self.rooms, "delay", retraining_id, at, actor="person/ada", trigger="manual")
        return traffic.enter(self.rooms, self.applied, retraining_id, version, at)

    def champion(self, at: datetime = MONDAY) -> int:
        """Make a first champion; return its version."""
        version = self.register(at)
        assert self.enter("first", version, at) == "champion"
        return version

    def challenge(self, retraining_id: str = "second", at: datetime = MONDAY) -> int:
        """Put a new version into shadow; return it."""
        version = self.register(at)
        assert self.enter(retraining_id, version, at) == "shadow"
        return version

    @property
    def deployment(self) -> Deployment:
        return self.rooms.serving.deployment("delay")

    @property
    def alias(self) -> int:
        """What the alias `champion` points at."""
        return self.rooms.registry.resolve("late", "champion").version

    @property
    def running(self) -> Challenge | None:
        return self.rooms.loop.open_challenge("delay")

    def kinds(self) -> list[str]:
        """The kinds of all ledger entries, in order."""
        return [entry.kind for entry in self.rooms.ledger.entries()]

    def state(self) -> tuple[object, ...]:
        """Everything that a decision may change."""
        loop, ledger = self.rooms.loop, self.rooms.ledger
        return (
            self.rooms.serving.history("delay"),
            self.rooms.registry.list_versions("late"),
            loop.list_challenges("delay"),
            loop.list_retrainings("delay"),
            loop.watch("delay"),
            self.rooms.monitoring.list_windows("delay"),
            self.rooms.monitoring.list_alerts(),
            ledger.entries(),
        )

    def traffic_of(
        self,
        day: datetime,
        skill: dict[int, float],
        *,
        rows: int = ROWS,
        shift: float = 0.0,
        labelled: bool = True,
        failed: Sequence[int] = (),
    ) -> None:
        """Capture a day of predictions and label them.

        Args:
            skill: version to how much it knows: 1 says the true probability, 0 says one half, -1 the opposite.
            shift: added to the input x, which is standard normal else.
            failed: shadows whose scores are missing that day.
        """
        rng = np.random.default_rng(day.toordinal())
        truth = rng.uniform(0.05, 0.95, rows)
        labels = (rng.random(rows) < truth).astype(float)
        scores: dict[int, list[float] | None] = {
            version: (0.5 + known * (truth - 0.5)).tolist() for version, known in skill.items()
        }
        scores |= dict.fromkeys(failed)
        deployed = self.deployment
        request_id = f"{day:%Y%m%d}"
        capture = Capture(
            endpoint="delay",
            request_id=request_id,
            digest=request_id,
            occurred_at=day + timedelta(hours=12),
            received_at=day + timedelta(hours=12),
            n_rows=rows,
            seen_revision=deployed.revision,
            revision=deployed.revision,
            version=deployed.champion,
            inputs=pack({"x": (rng.normal(size=rows) + shift).tolist()}),
            scores=scores,
        )
        (outcome,) = self.rooms.predictions.capture([capture])
        assert outcome.kind == "stored"
        if labelled:
            self.label(day, labels.tolist())

    def label(self, day: datetime, labels: Sequence[float]) -> None:
        ids = prediction_ids(f"{day:%Y%m%d}", len(labels))
        found = self.rooms.serving.add_labels(
            "delay", [Label(prediction_id=name, label=value) for name, value in zip(ids, labels, strict=True)]
        )
        assert found.failed == []
