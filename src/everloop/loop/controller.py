"""The loop as those outside see it: `LoopStore` over the rooms, with durable requests handed to the runner."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Protocol, TypeVar

from everloop import refs
from everloop.access import Decision
from everloop.datasets import parse_contract
from everloop.datasets.store import Batch
from everloop.errors import ConflictError, InvalidError
from everloop.loop import explanation, performance, traffic
from everloop.loop.project import parse_project, policy_digest
from everloop.loop.retraining import run_id_of
from everloop.loop.rooms import Rooms
from everloop.loop.sql import now
from everloop.loop.store import AppliedProject, Challenge, Explanation, Performance, Retraining, TickOutcome
from everloop.monitoring.store import Alert
from everloop.serving import Deployment

Found = TypeVar("Found")
LONGEST_WAIT_S = 20.0
_LOOK_S = 0.02


class Requests(Protocol):
    """Where durable work is asked for. Asking again under the same id changes nothing."""

    def tick(self, endpoint: str, at: datetime) -> None:
        """Ask a worker for a tick."""

    def retraining(self, retraining_id: str) -> None:
        """Ask a worker for a retraining that is on record."""


class LoopController:
    """`LoopStore` over the rooms of this process. Thread-safe."""

    def __init__(self, rooms: Rooms, requests: Requests) -> None:
        self.rooms = rooms
        self.requests = requests

    def apply(self, text: str, contracts: dict[str, str], workspace: str, actor: str) -> AppliedProject:
        project = parse_project(text)
        missing = sorted(set(project.datasets) - set(contracts))
        if missing:
            raise InvalidError(f"everloop.yaml declares datasets without a contract: {', '.join(missing)}")
        known = [each for each in self.rooms.loop.list_projects() if each.endpoint == project.endpoint.name]
        if known and known[0].name != project.project:
            raise ConflictError(f"endpoint {project.endpoint.name!r} belongs to project {known[0].name!r}")
        for dataset in project.datasets:
            parse_contract(contracts[dataset], name=project.datasets[dataset].contract)
        for dataset in project.datasets:
            self.rooms.datasets.define(dataset, contracts[dataset], actor)
        applied = AppliedProject(
            name=project.project,
            endpoint=project.endpoint.name,
            model=project.model,
            workspace=workspace,
            text=text,
            policy=policy_digest(text),
            applied_at=now(),
        )
        if known and (known[0].policy, known[0].workspace) == (applied.policy, workspace):
            return known[0]
        with self.rooms.database.write() as connection:
            self.rooms.loop.put_project_in(connection, applied)
            self.rooms.ledger.record_in(
                connection,
                Decision(
                    key=f"policy/{applied.endpoint}/{applied.policy}/{applied.applied_at.isoformat()}",
                    kind="policy_applied",
                    subject=refs.endpoint(applied.endpoint),
                    actor=actor,
                    policy=applied.policy,
                    body={"project": applied.name, "workspace": workspace},
                ),
            )
        return applied

    def project_of(self, endpoint: str) -> AppliedProject:
        return self.rooms.loop.project_of(endpoint)

    def ingest(self, dataset: str, batch: str, digest: str, actor: str, happened_at: datetime | None = None) -> Batch:
        judged = self.rooms.datasets.ingest(dataset, batch, digest, actor)
        if judged.state == "quarantined":
            alert = Alert(
                key=f"contract/{dataset}/{batch}/{digest[:16]}",
                kind="contract",
                severity="critical",
                subject=f"datasets/{dataset}",
                message=f"batch {batch!r} of {dataset!r} breaks its contract and is quarantined whole: "
                + "; ".join(violation.message for violation in judged.violations[:5]),
                happened_at=happened_at or judged.received_at,
                raised_at=now(),
                body={"batch": batch, "rows": judged.n_rows},
            )
            self.rooms.monitoring.raise_alert(alert, policy=judged.contract_digest[:16], actor=actor)
        return judged

    def request_tick(self, endpoint: str, at: datetime) -> None:
        self.rooms.loop.project_of(endpoint)
        at = _utc(at)
        self.rooms.loop.put_tick(endpoint, at)
        self.requests.tick(endpoint, at)

    def tick_outcome(self, endpoint: str, at: datetime, wait_s: float = 0.0) -> TickOutcome | None:
        return _wait(lambda: self.rooms.loop.tick_outcome(endpoint, _utc(at)), wait_s)

    def last_tick(self, endpoint: str) -> TickOutcome | None:
        return self.rooms.loop.last_tick(endpoint)

    def request_retraining(
        self,
        endpoint: str,
        retraining_id: str,
        at: datetime,
        actor: str,
        trigger: str = "manual",
        overrides: dict[str, Any] | None = None,
    ) -> Retraining:
        self.rooms.loop.project_of(endpoint)
        asked = new_retraining(
            self.rooms, endpoint, retraining_id, _utc(at), actor=actor, trigger=trigger, overrides=overrides
        )
        self.requests.retraining(retraining_id)
        return asked

    def get_retraining(self, retraining_id: str, wait_s: float = 0.0) -> Retraining:
        def ended() -> Retraining | None:
            found = self.rooms.loop.retraining(retraining_id)
            return None if found.state == "requested" else found

        return _wait(ended, wait_s) or self.rooms.loop.retraining(retraining_id)

    def list_retrainings(self, endpoint: str) -> list[Retraining]:
        return self.rooms.loop.list_retrainings(endpoint)

    def list_challenges(self, endpoint: str) -> list[Challenge]:
        return self.rooms.loop.list_challenges(endpoint)

    def promote(self, endpoint: str, version: int, actor: str, reason: str) -> Deployment:
        return traffic.promote(self.rooms, self.rooms.loop.project_of(endpoint), version, actor, reason)

    def rollback(self, endpoint: str, actor: str, reason: str, revision: int | None = None) -> Deployment:
        return traffic.rollback(self.rooms, self.rooms.loop.project_of(endpoint), actor, reason, revision)

    def performance(self, endpoint: str, start: datetime, end: datetime, alias: str = "baseline") -> list[Performance]:
        applied = self.rooms.loop.project_of(endpoint)
        return performance.by_month(self.rooms, applied, _utc(start), _utc(end), alias)

    def explain(self, prediction_id: str) -> Explanation:
        return explanation.explain(self.rooms, prediction_id)


def new_retraining(
    rooms: Rooms,
    endpoint: str,
    retraining_id: str,
    at: datetime,
    *,
    actor: str,
    trigger: str,
    overrides: dict[str, Any] | None = None,
) -> Retraining:
    """Put a retraining on record, on the batches that are known now; return the one of that id when there is one."""
    refs.check_name(retraining_id, "retraining")
    batches = rooms.datasets.list_batches(state="accepted")
    return rooms.loop.put_retraining(
        Retraining(
            retraining_id=retraining_id,
            endpoint=endpoint,
            at=at,
            trigger=trigger,
            overrides=overrides or {},
            data_up_to=batches[-1].seq if batches else 0,
            actor=actor,
            state="requested",
            run_id=run_id_of(retraining_id),
            version=None,
            gates={},
            message="",
        )
    )


def _utc(time: datetime) -> datetime:
    if time.tzinfo is None:
        raise InvalidError(f"event time {time.isoformat()} has no time zone", hint="Write it with Z or an offset.")
    return time.astimezone(UTC)


def _wait(look: Callable[[], Found | None], wait_s: float) -> Found | None:
    """Look until there is something or the time is over; another process is the one that works."""
    deadline = time.monotonic() + min(wait_s, LONGEST_WAIT_S)
    while True:
        found = look()
        if found is not None or time.monotonic() >= deadline:
            return found
        time.sleep(_LOOK_S)
