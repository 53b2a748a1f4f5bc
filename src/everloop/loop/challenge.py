"""One look at the running challenge: the new pairs of losses go into its sequential test, and the verdict comes out."""

from __future__ import annotations

from datetime import datetime

import msgspec
import numpy as np

from everloop.evaluation import PairedState, Verdict, judge, losses, start, update
from everloop.loop.project import parse_project
from everloop.loop.rooms import Rooms
from everloop.loop.store import AppliedProject, Challenge
from everloop.loop.traffic import decide


def look(rooms: Rooms, applied: AppliedProject, horizon: datetime, at: datetime) -> Verdict | None:
    """Judge the endpoint's open challenge on the labelled predictions before `horizon`; None when none is open.

    A promotion or rejection is carried out at once. Doing the same look again changes nothing and returns the same:
    pairs up to the challenge's `judged_until` are not counted twice, and a challenge decided `at` this time keeps it.
    When everloop.yaml changed meanwhile, the test is done again on all pairs since the start, under the rules of now.
    """
    challenge = rooms.loop.open_challenge(applied.endpoint)
    if challenge is None:
        return _decided(rooms, applied.endpoint, at)
    policy = parse_project(applied.text).promotion
    if challenge.policy != applied.policy:
        challenge = msgspec.structs.replace(
            challenge,
            policy=applied.policy,
            paired=msgspec.to_builtins(start(policy)),
            judged_until=challenge.started_at,
        )
    state = msgspec.convert(challenge.paired, PairedState)
    until = max(horizon, challenge.judged_until)
    state = update(state, _differences(rooms, challenge, until, policy.metric, policy.clip))
    days = (until - challenge.started_at).total_seconds() / 86400.0
    verdict = judge(state, policy, days=days)
    with rooms.database.write() as connection:
        rooms.loop.change_challenge_in(
            connection,
            challenge.challenge_id,
            policy=challenge.policy,
            paired=msgspec.to_builtins(state),
            judged_until=until,
            verdict=msgspec.to_builtins(verdict),
        )
    if verdict.decision != "hold":
        decide(rooms, applied, challenge, verdict, at)
    return verdict


def _decided(rooms: Rooms, endpoint: str, at: datetime) -> Verdict | None:
    """Return the verdict that was carried out at this very time, before a crash cut the look off."""
    for challenge in rooms.loop.list_challenges(endpoint):
        if challenge.decided_at == at and challenge.state in ("promoted", "rejected"):
            return msgspec.convert(challenge.verdict, Verdict)
    return None


def _differences(rooms: Rooms, challenge: Challenge, until: datetime, metric: str, clip: float) -> np.ndarray:
    """Return loss(champion) - loss(challenger) of each new pair, shape (n,), by event time."""
    seen = rooms.predictions.labelled(challenge.endpoint, challenge.judged_until, until)
    champion, challenger = seen.scores.get(challenge.champion), seen.scores.get(challenge.challenger)
    if champion is None or challenger is None:
        return np.zeros(0)
    # A shadow that failed on a row left NaN there: no pair.
    both = ~(np.isnan(champion) | np.isnan(challenger))
    labels = seen.labels[both]
    if labels.size == 0:
        return np.zeros(0)
    return losses(labels, champion[both], metric, clip) - losses(labels, challenger[both], metric, clip)
