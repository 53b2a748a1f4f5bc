"""Moving traffic: a first champion, a challenger into shadow, a promotion, a rejection, a rollback.

Each is one transaction over traffic, alias, challenge and ledger: a crash leaves all of it or none.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy.engine import Connection

from everloop import refs
from everloop.access import Decision
from everloop.errors import ConflictError, NotFoundError
from everloop.evaluation import Verdict, start
from everloop.loop.project import Project, parse_project
from everloop.loop.rooms import ACTOR, Rooms
from everloop.loop.sql import now
from everloop.loop.store import AppliedProject, Challenge, RetrainingState
from everloop.serving import Deployment

CHAMPION = "champion"


def current(rooms: Rooms, endpoint: str) -> Deployment | None:
    """Return what an endpoint serves, or None before its first champion."""
    try:
        return rooms.serving.deployment(endpoint)
    except NotFoundError:
        return None


def enter(rooms: Rooms, applied: AppliedProject, retraining_id: str, version: int, at: datetime) -> str:
    """Let a version that passed its gates in: as champion when there is none, else into shadow as the challenger.

    Returns:
        "champion" or "shadow"; the same again when it is done already, whatever happened to the version since.
    """
    project = parse_project(applied.text)
    with rooms.database.write() as connection:
        deployment = rooms.serving.deployment_in(connection, applied.endpoint)
        before = rooms.loop.retraining_in(connection, retraining_id).state
        if before in ("champion", "shadow"):
            return before
        entered: RetrainingState = "shadow"
        if deployment is None:
            _change(rooms, connection, applied, project, version, None, f"first champion, by {retraining_id}", ACTOR)
            entered = "champion"
        elif deployment.champion == version:
            entered = "champion"  # a person promoted it in the moment between its registration and now
        else:
            _challenge(rooms, connection, applied, project, deployment.champion, version, retraining_id, at)
        rooms.loop.change_retraining_in(connection, retraining_id, state=entered, version=version)
    return entered


def _challenge(
    rooms: Rooms,
    connection: Connection,
    applied: AppliedProject,
    project: Project,
    champion: int,
    challenger: int,
    challenge_id: str,
    at: datetime,
) -> None:
    """Put a challenger into shadow, in place of the one that may be there."""
    _withdraw(rooms, connection, applied, at, ACTOR, f"replaced by {challenge_id}")
    challenge = Challenge(
        challenge_id=challenge_id,
        endpoint=applied.endpoint,
        champion=champion,
        challenger=challenger,
        state="shadow",
        started_at=at,
        decided_at=None,
        policy=applied.policy,
        paired=msgspec.to_builtins(start(project.promotion)),
        judged_until=at,
        verdict={},
    )
    rooms.loop.put_challenge_in(connection, challenge)
    _change(rooms, connection, applied, project, champion, challenger, f"challenger of {challenge_id}", ACTOR)
    body = {"champion": champion}
    _record(rooms, connection, "challenge_started", applied, challenger, at, ACTOR, body, challenge_id)


def decide(rooms: Rooms, applied: AppliedProject, challenge: Challenge, verdict: Verdict, at: datetime) -> None:
    """Carry out the verdict on a challenge: promote or reject. Doing it again changes nothing."""
    project = parse_project(applied.text)
    promoted = verdict.decision == "promote"
    champion = challenge.challenger if promoted else challenge.champion
    body = msgspec.to_builtins(verdict) | {"champion": challenge.champion, "challenger": challenge.challenger}
    kind = "promoted" if promoted else "rejected"
    with rooms.database.write() as connection:
        rooms.serving.deployment_in(connection, challenge.endpoint)
        running = rooms.loop.open_challenge_in(connection, challenge.endpoint)
        if running is None or running.challenge_id != challenge.challenge_id:
            return  # decided already, or a person withdrew it meanwhile
        rooms.loop.change_challenge_in(
            connection, challenge.challenge_id, state=kind, decided_at=at, verdict=msgspec.to_builtins(verdict)
        )
        _change(rooms, connection, applied, project, champion, None, f"{kind}: {verdict.reason}", ACTOR)
        _record(rooms, connection, kind, applied, challenge.challenger, at, ACTOR, body, challenge.challenge_id)


def promote(rooms: Rooms, applied: AppliedProject, version: int, actor: str, reason: str) -> Deployment:
    """Make a version the champion because a person says so; a running challenge is withdrawn."""
    with rooms.database.write() as connection:
        deployment = rooms.serving.deployment_in(connection, applied.endpoint)
        if deployment is not None and deployment.champion == version:
            return deployment
        return _by_hand(rooms, connection, applied, version, actor, reason, "promoted_by_hand")


def rollback(rooms: Rooms, applied: AppliedProject, actor: str, reason: str, revision: int | None = None) -> Deployment:
    """Put the previous champion back, which every gateway still holds in memory.

    Args:
        revision: the endpoint's revision that is rolled back from; asking again then returns what was done. None takes
            the newest, so asking twice goes back and forth.

    Raises:
        ConflictError: there is no previous champion, or the endpoint has another revision than `revision`.
    """
    with rooms.database.write() as connection:
        deployment = rooms.serving.deployment_in(connection, applied.endpoint)
        if deployment is None or deployment.previous is None:
            raise ConflictError(
                f"asked to roll {applied.endpoint!r} back, but it has no previous champion",
                hint="`ever promote` makes any version the champion.",
            )
        if revision is not None and deployment.revision != revision:
            if deployment.revision == revision + 1 and (deployment.actor, deployment.reason) == (actor, reason):
                return deployment
            raise ConflictError(
                f"asked to roll {applied.endpoint!r} back from revision {revision}, but it is at {deployment.revision}",
                hint="Someone changed it meanwhile; look again and repeat.",
            )
        return _by_hand(rooms, connection, applied, deployment.previous, actor, reason, "rolled_back")


def _by_hand(
    rooms: Rooms,
    connection: Connection,
    applied: AppliedProject,
    version: int,
    actor: str,
    reason: str,
    kind: str,
) -> Deployment:
    at = now()
    _withdraw(rooms, connection, applied, at, actor, reason)
    project = parse_project(applied.text)
    made = _change(rooms, connection, applied, project, version, None, reason, actor)
    body = {"reason": reason, "previous": made.previous, "revision": made.revision}
    _record(rooms, connection, kind, applied, version, at, actor, body, f"r{made.revision}")
    return made


def _withdraw(
    rooms: Rooms, connection: Connection, applied: AppliedProject, at: datetime, actor: str, reason: str
) -> None:
    """End the open challenge, if there is one, without a verdict: its question is no longer asked."""
    challenge = rooms.loop.open_challenge_in(connection, applied.endpoint)
    if challenge is None:
        return
    rooms.loop.change_challenge_in(connection, challenge.challenge_id, state="withdrawn", decided_at=at)
    body = {"reason": reason, "verdict": challenge.verdict}
    _record(rooms, connection, "withdrawn", applied, challenge.challenger, at, actor, body, challenge.challenge_id)


def _change(
    rooms: Rooms,
    connection: Connection,
    applied: AppliedProject,
    project: Project,
    champion: int,
    challenger: int | None,
    reason: str,
    actor: str,
) -> Deployment:
    """Move the alias and the traffic together."""
    deployment = rooms.serving.deployment_in(connection, applied.endpoint)
    revision = deployment.revision if deployment is not None else 0
    model = rooms.registry.model_in(connection, applied.model)
    always = [model.aliases[alias] for alias in project.endpoint.shadows if alias in model.aliases]
    wanted = [*([challenger] if challenger is not None else []), *always]
    shadows = tuple(version for version in dict.fromkeys(wanted) if version != champion)
    rooms.registry.move_alias_in(connection, applied.model, CHAMPION, champion, actor=actor, reason=reason)
    return rooms.serving.deploy_in(
        connection,
        applied.endpoint,
        revision,
        applied.model,
        champion,
        shadows=shadows,
        reason=reason,
        actor=actor,
    )


def _record(
    rooms: Rooms,
    connection: Connection,
    kind: str,
    applied: AppliedProject,
    version: int,
    at: datetime,
    actor: str,
    body: dict[str, Any],
    key: str,
) -> None:
    decision = Decision(
        key=f"{kind}/{applied.endpoint}/{key}",
        kind=kind,
        subject=refs.model(applied.model, version),
        actor=actor,
        policy=applied.policy,
        body={"endpoint": applied.endpoint, "at": at} | body,
    )
    rooms.ledger.record_in(connection, decision)
