"""One tick of an endpoint: watch, judge the challenger, and decide whether to retrain. All of it may be done twice."""

from __future__ import annotations

from datetime import datetime, timedelta

import msgspec

from everloop.loop import traffic
from everloop.loop.candidate import trained_at
from everloop.loop.challenge import look
from everloop.loop.controller import new_retraining
from everloop.loop.observation import Watch, close_windows
from everloop.loop.project import Project, parse_project
from everloop.loop.rooms import ACTOR, Rooms
from everloop.loop.store import TickOutcome
from everloop.monitoring import window_of
from everloop.serving import Deployment


def tick(rooms: Rooms, endpoint: str, at: datetime) -> TickOutcome:
    """Look at everything up to event time `at` and act.

    Returns:
        The outcome; `retraining` names the retraining that has to be run now, or is empty.
    """
    applied = rooms.loop.project_of(endpoint)
    project = parse_project(applied.text)
    deployment = traffic.current(rooms, endpoint)
    if deployment is None:
        return TickOutcome(endpoint=endpoint, at=at)
    horizon = at - timedelta(days=project.endpoint.label_delay_days)
    watermark, watch = _watch(rooms, project, deployment, horizon)
    observation = close_windows(rooms, applied, project, deployment, watermark, horizon, watch)
    known = msgspec.to_builtins(observation.watch)
    rooms.loop.put_watch(endpoint, max(watermark, horizon), deployment.champion, known)
    verdict = look(rooms, applied, horizon, at)
    after = traffic.current(rooms, endpoint) or deployment
    challenge = rooms.loop.open_challenge(endpoint)
    retraining = ""
    # A champion of this moment is given time, also when a crash made us look at its promotion twice.
    if challenge is None and (verdict is None or verdict.decision != "promote"):
        retraining = _trigger(rooms, project, after, observation.watch, at)
    return TickOutcome(
        endpoint=endpoint,
        at=at,
        alerts=observation.alerts,
        decision=verdict.decision if verdict is not None else "",
        retraining=retraining,
        champion=after.champion,
        challenger=challenge.challenger if challenge is not None else None,
    )


def failed_tick(endpoint: str, at: datetime, error: str) -> TickOutcome:
    """Return the outcome of a tick that failed for a reason that nobody foresaw."""
    return TickOutcome(endpoint=endpoint, at=at, error=error)


def _watch(rooms: Rooms, project: Project, deployment: Deployment, horizon: datetime) -> tuple[datetime, Watch]:
    """Return the watermark, and what is known of the present champion; nothing is, when it has just become it."""
    found = rooms.loop.watch(deployment.endpoint)
    if found is None:
        return _begin(project, horizon), Watch()
    watermark, version, kept = found
    return watermark, msgspec.convert(kept, Watch) if version == deployment.champion else Watch()


def _begin(project: Project, horizon: datetime) -> datetime:
    """Return where watching begins: windows that the endpoint has not seen from their start are left out."""
    kinds = {project.monitors.decay.window, project.monitors.drift.window}
    spans = [window_of(horizon, kind) for kind in kinds]
    return max(horizon if span.start == horizon else span.end for span in spans)


def _trigger(rooms: Rooms, project: Project, deployment: Deployment, watch: Watch, at: datetime) -> str:
    """Put a retraining on record when a trigger fires and the cooldown is over; return its id, or nothing."""
    triggers = project.triggers
    earlier = [each for each in rooms.loop.list_retrainings(deployment.endpoint) if each.actor == ACTOR]
    waiting = [each for each in rooms.loop.list_retrainings(deployment.endpoint) if each.state == "requested"]
    if waiting:
        # One at a time; the one that this very tick asked for before a crash is named again.
        return next((each.retraining_id for each in waiting if each.at == at and each.actor == ACTOR), "")
    # What a person withdrew ended by the wall clock, which the loop's own time need not be.
    challenges = rooms.loop.list_challenges(deployment.endpoint)
    ended = [each.decided_at for each in challenges if each.state in ("promoted", "rejected") and each.decided_at]
    last = max([*(each.at for each in earlier), *ended], default=None)
    if last is not None and at < last + timedelta(days=triggers.cooldown_days):
        return ""
    champion = rooms.registry.get_version(deployment.model, deployment.champion)
    too_old = triggers.max_age_days > 0 and at >= trained_at(champion) + timedelta(days=triggers.max_age_days)
    causes = {
        "decay": triggers.decay and watch.decayed,
        "drift": triggers.drift and watch.drifted,
        "age": too_old,
    }
    trigger = next((name for name, fires in causes.items() if fires), "")
    if not trigger:
        return ""
    retraining_id = f"{deployment.endpoint}-{at:%Y%m%dT%H%M}-{trigger}"
    return new_retraining(rooms, deployment.endpoint, retraining_id, at, actor=ACTOR, trigger=trigger).retraining_id
