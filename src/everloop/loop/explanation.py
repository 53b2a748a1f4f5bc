"""Tracing one prediction back to everything it stands on."""

from __future__ import annotations

from typing import Any

from everloop import refs
from everloop.errors import NotFoundError
from everloop.loop.rooms import Rooms
from everloop.loop.store import Explanation


def explain(rooms: Rooms, prediction_id: str) -> Explanation:
    """Return a prediction's lineage: capture → version → run → commit and data → gates → decision → label.

    Raises:
        NotFoundError: no prediction of that id was captured.
    """
    found = rooms.serving.explain(prediction_id)
    version = rooms.registry.get_version(found.model, found.version)
    run = rooms.tracking.get_run(version.run_id)
    used = [edge.target for edge in rooms.tracking.edges_of(refs.run(run.run_id)) if edge.relation == "used"]
    return Explanation(
        prediction_id=prediction_id,
        endpoint=found.endpoint,
        occurred_at=found.occurred_at,
        inputs=found.inputs,
        score=found.score,
        label=found.label,
        labelled_at=found.labelled_at,
        model=refs.model(found.model, found.version),
        shadows={refs.model(found.model, shadow): score for shadow, score in found.shadows.items()},
        run_id=run.run_id,
        commit=run.tags.get("commit", ""),
        datasets=sorted(used),
        gates=_gates(rooms, run.run_id),
        decision=_decision(rooms, found.endpoint, found.revision),
    )


def _gates(rooms: Rooms, run_id: str) -> dict[str, Any]:
    entries = rooms.ledger.entries(subject=refs.run(run_id))
    for entry in entries:
        if entry.kind in ("gates_passed", "gates_failed"):
            return {"ledger": entry.seq, "kind": entry.kind} | entry.values()
    return {}


def _decision(rooms: Rooms, endpoint: str, revision: int) -> dict[str, Any]:
    """Return the change of traffic that put the answering champion in charge."""
    history = rooms.serving.history(endpoint)
    answered = [each for each in history if each.revision <= revision]
    if not answered:
        raise NotFoundError(f"endpoint {endpoint!r} has no revision {revision}")
    champion = answered[-1].champion
    chosen = answered[-1]
    for each in reversed(answered):
        if each.champion != champion:
            break
        chosen = each
    return {
        "revision": chosen.revision,
        "reason": chosen.reason,
        "actor": chosen.actor,
        "changed_at": chosen.changed_at.isoformat(),
    }
