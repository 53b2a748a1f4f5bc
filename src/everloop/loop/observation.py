"""Closing an endpoint's windows: what the champion's inputs and losses looked like, and the alerts that follow."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec
import numpy as np

from everloop import refs
from everloop.datasets import Profile, profile_columns
from everloop.errors import InvalidError
from everloop.evaluation import auc, losses
from everloop.loop.project import Project
from everloop.loop.rooms import ACTOR, Rooms
from everloop.loop.sql import now
from everloop.loop.store import AppliedProject
from everloop.monitoring import DecayReport, DriftReport, LossSummary, Span, decay, drift, summarise, windows_closed
from everloop.monitoring.store import Alert, Window
from everloop.registry import ModelVersion
from everloop.serving import Deployment
from everloop.serving.prediction import Predictions


class Watch(msgspec.Struct, frozen=True, kw_only=True):
    """The state of a champion by its last closed windows."""

    decayed: bool = False
    drifted: bool = False


class Observation(msgspec.Struct, frozen=True, kw_only=True):
    """What closing windows found: the state now, and the keys of the alerts that were raised."""

    watch: Watch
    alerts: list[str]


def close_windows(
    rooms: Rooms,
    applied: AppliedProject,
    project: Project,
    deployment: Deployment,
    since: datetime,
    horizon: datetime,
    watch: Watch,
) -> Observation:
    """Close every window that ends in (since, horizon]; keep what was found and raise the alerts that follow.

    An alert is raised when a state begins, not in each window in which it lasts: one incident, one alert. The champion
    is judged on every row it scored, also those it scored in shadow before it was champion.
    """
    champion = rooms.registry.get_version(deployment.model, deployment.champion)
    monitors = project.monitors
    alerts: list[Alert] = []
    for kind in dict.fromkeys([monitors.decay.window, monitors.drift.window]):
        for span in windows_closed(since, horizon, kind):
            window, found_drift, found_decay = _look(rooms, project, champion, deployment.endpoint, span)
            rooms.monitoring.close_window(window)
            decayed = found_decay.status == "alert" if kind == monitors.decay.window else watch.decayed
            drifted = found_drift.status == "drift" if kind == monitors.drift.window else watch.drifted
            if decayed and not watch.decayed:
                alerts.append(_decay_alert(deployment, span, found_decay))
            if drifted and not watch.drifted:
                alerts.append(_drift_alert(deployment, span, found_drift))
            watch = Watch(decayed=decayed, drifted=drifted)
    for alert in alerts:
        rooms.monitoring.raise_alert(alert, policy=applied.policy, actor=ACTOR)
    return Observation(watch=watch, alerts=[alert.key for alert in alerts])


def _look(
    rooms: Rooms, project: Project, champion: ModelVersion, endpoint: str, span: Span
) -> tuple[Window, DriftReport, DecayReport]:
    seen = rooms.predictions.captured(endpoint, span.start, span.end)
    reference = msgspec.convert(champion.evidence["profile"], Profile)
    # An input that no request of the window had, because the champion before did without it, is missing in every row.
    columns = {name: seen.inputs.get(name) or [None] * len(seen.ids) for name in reference.columns}
    found_drift = drift(reference, profile_columns(columns, reference), project.monitors.drift.policy())
    labels, scores = _judged(seen, champion.version)
    policy = project.monitors.decay
    rows = losses(labels, scores, policy.metric, project.promotion.clip) if labels.size else np.zeros(0)
    expected = msgspec.convert(champion.evidence["reference"], LossSummary)
    found_decay = decay(summarise(rows), expected, policy.policy())
    window = Window(
        endpoint=endpoint,
        kind=span.kind,
        start=span.start,
        end=span.end,
        version=champion.version,
        n_predictions=len(seen.ids),
        n_labelled=int(labels.size),
        loss=float(rows.mean()) if rows.size else None,
        auc=_auc(labels, scores),
        drift=_brief(found_drift),
        decay=msgspec.to_builtins(found_decay),
    )
    return window, found_drift, found_decay


def _judged(seen: Predictions, version: int) -> tuple[np.ndarray, np.ndarray]:
    """Return labels and the version's scores, each (n,), of the rows that have both."""
    scores = seen.scores.get(version)
    if scores is None:
        return np.zeros(0), np.zeros(0)
    both = ~(np.isnan(scores) | np.isnan(seen.labels))
    return seen.labels[both], scores[both]


def _auc(labels: np.ndarray, scores: np.ndarray) -> float | None:
    try:
        return auc(labels, scores).value
    except InvalidError:
        return None  # a window with one class only, or none, has no AUC


def _brief(report: DriftReport) -> dict[str, Any]:
    effects = {name: report.columns[name].effect for name in report.drifted}
    return {"status": report.status, "drifted": effects, "share": report.drifted_share}


def _decay_alert(deployment: Deployment, span: Span, report: DecayReport) -> Alert:
    return Alert(
        key=f"decay/{deployment.endpoint}/{span.name}/{deployment.champion}",
        kind="decay",
        severity="critical",
        subject=refs.endpoint(deployment.endpoint),
        message=f"version {deployment.champion} decayed in {span.name}: {report.reason}",
        happened_at=span.end,
        raised_at=now(),
        body={"window": span.name, "difference": report.difference, "low": report.low, "n": report.n},
    )


def _drift_alert(deployment: Deployment, span: Span, report: DriftReport) -> Alert:
    moved = ", ".join(f"{name} ({report.columns[name].effect or 0.0:.2f})" for name in report.drifted[:5])
    return Alert(
        key=f"drift/{deployment.endpoint}/{span.name}/{deployment.champion}",
        kind="drift",
        severity="warning",
        subject=refs.endpoint(deployment.endpoint),
        message=f"inputs drifted in {span.name} from what version {deployment.champion} knew: {moved}",
        happened_at=span.end,
        raised_at=now(),
        body={"window": span.name, "drifted": report.drifted, "share": report.drifted_share, "n": report.n_rows},
    )
