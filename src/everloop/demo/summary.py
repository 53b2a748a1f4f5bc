"""What the year came to, read back from what was captured: months, decisions, counts, gains."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import msgspec

from everloop.demo.progress import Counts, Progress
from everloop.demo.stage import ENDPOINT
from everloop.demo.world import YEAR
from everloop.loop.store import Challenge, Performance, Retraining
from everloop.server.client import Hub

START = datetime(YEAR, 3, 1, tzinfo=UTC)
END = datetime(YEAR + 1, 1, 1, tzinfo=UTC)


class Captured(msgspec.Struct, frozen=True, kw_only=True):
    """What the prediction log holds: requests, rows of predictions, labels."""

    requests: int
    rows: int
    labels: int


class Gain(msgspec.Struct, frozen=True, kw_only=True):
    """The year's answers against the model that was never retrained, on the same labelled rows."""

    labelled: int
    log_loss: float
    baseline_log_loss: float
    auc_by_month: float
    """Mean over months of the monthly AUC, weighted by labelled rows."""
    baseline_auc_by_month: float


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """One decision of the loop or of a person, from the ledger, without what differs from one machine to another."""

    at: str
    kind: str
    subject: str
    reason: str


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """All that `ever demo --json` prints."""

    months: list[Performance]
    decisions: list[Decision]
    challenges: list[Challenge]
    retrainings: list[Retraining]
    quarantined: list[str]
    alerts: dict[str, int]
    sent: Counts
    captured: Captured
    gain: Gain
    rollback_s: float | None
    ledger_entries: int
    ledger_head: str
    seconds: dict[str, float]
    sample_prediction: str


DECISION_KINDS = (
    "gates_passed",
    "gates_failed",
    "challenge_started",
    "promoted",
    "rejected",
    "withdrawn",
    "rolled_back",
    "promoted_by_hand",
    "batch_quarantined",
    "alert_decay",
    "alert_drift",
    "alert_contract",
)


def summarise(hub: Hub, progress: Progress) -> Summary:
    """Read the summary back from the hub."""
    months = hub.loop.performance(ENDPOINT, START, END)
    counts = hub.serving.counts(ENDPOINT)
    verified = hub.ledger.verify()
    challenges = hub.loop.list_challenges(ENDPOINT)
    alerts: dict[str, int] = {}
    for alert in hub.monitoring.list_alerts(limit=10_000):
        alerts[alert.kind] = alerts.get(alert.kind, 0) + 1
    return Summary(
        months=months,
        decisions=_decisions(hub),
        challenges=challenges,
        retrainings=hub.loop.list_retrainings(ENDPOINT),
        quarantined=[f"{b.dataset}/{b.name}" for b in hub.datasets.list_batches(state="quarantined")],
        alerts=alerts,
        sent=progress.counts,
        captured=Captured(requests=counts.requests, rows=counts.rows, labels=counts.labels),
        gain=_gain(months),
        rollback_s=progress.rollback_s,
        ledger_entries=verified.entries,
        ledger_head=verified.head,
        seconds={name: round(value, 2) for name, value in progress.seconds.items()},
        sample_prediction=_sample(challenges, fast=progress.fast),
    )


def _decisions(hub: Hub) -> list[Decision]:
    entries = [entry for entry in hub.ledger.entries(limit=100_000) if entry.kind in DECISION_KINDS]
    return [_decision(entry.kind, entry.subject, entry.values()) for entry in entries]


def _decision(kind: str, subject: str, body: dict[str, Any]) -> Decision:
    at = str(body.get("at") or body.get("happened_at") or body.get("retraining") or body.get("batch") or "")
    reason = str(body.get("reason") or body.get("message") or "")
    if kind in ("rolled_back", "promoted_by_hand"):
        at = ""  # people act by the wall clock
    return Decision(at=at, kind=kind, subject=subject, reason=reason)


def _gain(months: list[Performance]) -> Gain:
    def mean(name: str) -> float:
        known = [(getattr(m, name), m.n_labelled) for m in months if getattr(m, name) is not None]
        weight = sum(n for _, n in known)
        return sum(value * n for value, n in known) / weight if weight else float("nan")

    return Gain(
        labelled=sum(month.n_labelled for month in months),
        log_loss=mean("log_loss"),
        baseline_log_loss=mean("reference_log_loss"),
        auc_by_month=mean("auc"),
        baseline_auc_by_month=mean("reference_auc"),
    )


def _sample(challenges: list[Challenge], *, fast: bool) -> str:
    """Name a prediction that a promoted champion answered, for `ever explain`."""
    promoted = [each.decided_at for each in challenges if each.state == "promoted" and each.decided_at is not None]
    day = promoted[0] if promoted else START
    return f"{day:%Y-%m-%d}-3" if fast else f"{day:%Y-%m-%d}T12-3"
