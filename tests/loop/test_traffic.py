"""Moving traffic: each move is whole or not at all, and doing it twice changes nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest

from everloop.access import Decision, Entry
from everloop.errors import ConflictError, NotFoundError
from everloop.evaluation import PairedState, PromotionPolicy, Verdict, judge, start, update
from everloop.loop import traffic
from everloop.loop.controller import new_retraining
from everloop.loop.rooms import Rooms
from everloop.loop.store import Challenge
from tests.loop.worlds import DAY, MONDAY, World
from tests.stores import Stores

pytestmark = pytest.mark.parametrize("platform", ["sqlite", "postgresql"], indirect=True)


@pytest.fixture
def rooms(platform: Stores) -> Rooms:
    return platform.local.rooms


def verdict(difference: float) -> Verdict:
    """A verdict on 2000 pairs that all differ by this much."""
    policy = PromotionPolicy()
    state: PairedState = update(start(policy), [difference] * 2000)
    return judge(state, policy)


def running(world: World) -> Challenge:
    challenge = world.running
    assert challenge is not None
    return challenge


def decide(world: World, difference: float) -> None:
    traffic.decide(world.rooms, world.applied, running(world), verdict(difference), MONDAY + 3 * DAY)


def by_hand(world: World, version: int) -> None:
    traffic.promote(world.rooms, world.applied, version, "person/ada", "I say so")


def back(world: World) -> None:
    traffic.rollback(world.rooms, world.applied, "person/ada", "complaints")


# --- what each move does


def test_the_first_version_becomes_champion_without_a_challenge(world: World) -> None:
    assert traffic.current(world.rooms, "delay") is None
    version = world.champion()
    assert (world.deployment.champion, world.alias, world.running) == (version, version, None)
    found = world.rooms.loop.retraining("first")
    assert (found.state, found.version) == ("champion", version)
    assert world.kinds() == ["version_registered", "alias_moved", "traffic_changed"]


def test_the_next_version_goes_into_shadow_and_the_champion_stays(world: World) -> None:
    first = world.champion()
    second = world.challenge()
    assert (world.deployment.champion, world.deployment.shadows, world.alias) == (first, (second,), first)
    challenge = running(world)
    assert (challenge.champion, challenge.challenger, challenge.policy) == (first, second, world.applied.policy)
    assert (challenge.started_at, challenge.judged_until, challenge.verdict) == (MONDAY, MONDAY, {})
    assert world.rooms.loop.retraining("second").state == "shadow"
    assert world.kinds()[-2:] == ["traffic_changed", "challenge_started"]


def test_the_alias_of_the_endpoints_shadows_always_scores_too(world: World) -> None:
    first = world.champion()
    world.rooms.registry.set_alias("late", "baseline", first, "person/ada", "")
    second = world.challenge()
    assert world.deployment.shadows == (second,)  # the baseline is the champion itself
    decide(world, 0.5)
    assert (world.deployment.champion, world.deployment.shadows) == (second, (first,))
    third = world.challenge("third")
    assert list(world.deployment.shadows) == [third, first]


def test_a_promotion_moves_alias_traffic_and_challenge(world: World) -> None:
    first, second = world.champion(), world.challenge()
    decide(world, 0.5)
    deployed = world.deployment
    assert (deployed.champion, deployed.previous, deployed.shadows, world.alias) == (second, first, (), second)
    (challenge,) = world.rooms.loop.list_challenges("delay")
    assert (challenge.state, challenge.decided_at) == ("promoted", MONDAY + 3 * DAY)
    assert challenge.verdict["decision"] == "promote"
    entry = world.rooms.ledger.entries(kind="promoted")[0]
    assert (entry.subject, entry.policy) == (f"models/late@{second}", world.applied.policy)
    assert entry.values()["n"] == 2000


def test_a_rejection_takes_the_challenger_out_of_the_traffic(world: World) -> None:
    first, second = world.champion(), world.challenge()
    decide(world, -0.5)
    assert (world.deployment.champion, world.deployment.shadows, world.alias) == (first, (), first)
    assert world.rooms.loop.list_challenges("delay")[0].state == "rejected"
    assert world.rooms.ledger.entries(kind="rejected")[0].subject == f"models/late@{second}"


def test_rollback_puts_the_previous_champion_back_and_forward_again(world: World) -> None:
    first, second = world.champion(), world.challenge()
    decide(world, 0.5)
    back(world)
    assert (world.deployment.champion, world.alias) == (first, first)
    back(world)
    assert (world.deployment.champion, world.alias) == (second, second)
    assert [entry.actor for entry in world.rooms.ledger.entries(kind="rolled_back")] == ["person/ada"] * 2


def test_rollback_asked_again_for_the_same_revision_is_done_once(world: World) -> None:
    first = world.champion()
    world.challenge()
    decide(world, 0.5)
    revision = world.deployment.revision
    made = traffic.rollback(world.rooms, world.applied, "person/ada", "complaints", revision)
    assert traffic.rollback(world.rooms, world.applied, "person/ada", "complaints", revision) == made
    assert world.deployment.champion == first
    with pytest.raises(ConflictError, match=f"from revision {revision}, but it is at {revision + 1}"):
        traffic.rollback(world.rooms, world.applied, "person/bob", "other", revision)


def test_rollback_without_a_previous_champion_is_a_conflict_and_changes_nothing(world: World) -> None:
    with pytest.raises(ConflictError, match="no previous champion"):
        back(world)
    assert traffic.current(world.rooms, "delay") is None
    world.champion()
    before = world.state()
    with pytest.raises(ConflictError, match="no previous champion"):
        back(world)
    assert world.state() == before


def test_rollback_withdraws_a_running_challenge(world: World) -> None:
    world.champion()
    world.challenge()
    decide(world, 0.5)
    third = world.challenge("third")
    back(world)
    assert world.running is None
    assert [each.state for each in world.rooms.loop.list_challenges("delay")] == ["promoted", "withdrawn"]
    assert third not in world.deployment.shadows
    (entry,) = world.rooms.ledger.entries(kind="withdrawn")
    assert (entry.subject, entry.values()["reason"]) == (f"models/late@{third}", "complaints")


def test_promotion_by_hand_makes_any_version_champion(world: World) -> None:
    first, challenger, other = world.champion(), world.challenge(), world.register()
    by_hand(world, other)
    deployed = world.deployment
    assert (deployed.champion, deployed.previous, deployed.shadows, world.alias) == (other, first, (), other)
    assert world.rooms.loop.list_challenges("delay")[0].state == "withdrawn"
    assert world.rooms.ledger.entries(kind="promoted_by_hand")[0].values()["reason"] == "I say so"
    assert challenger != other


def test_promotion_by_hand_makes_a_first_champion(world: World) -> None:
    version = world.register()
    by_hand(world, version)
    assert (world.deployment.champion, world.alias) == (version, version)


def test_promotion_by_hand_of_an_unknown_version_changes_nothing(world: World) -> None:
    with pytest.raises(NotFoundError):
        by_hand(world, 1)
    world.champion()
    world.challenge()
    before = world.state()
    with pytest.raises(NotFoundError, match="version 9"):
        by_hand(world, 9)
    assert world.state() == before


def test_a_new_challenger_replaces_the_running_one_which_is_withdrawn(world: World) -> None:
    world.champion()
    second = world.challenge("second")
    third = world.challenge("third", MONDAY + DAY)
    challenge = running(world)
    assert (challenge.challenger, challenge.started_at) == (third, MONDAY + DAY)
    assert world.deployment.shadows == (third,)
    assert [(each.challenger, each.state) for each in world.rooms.loop.list_challenges("delay")] == [
        (second, "withdrawn"),
        (third, "shadow"),
    ]


# --- twice


def test_entering_twice_changes_nothing(world: World) -> None:
    first = world.champion()
    once = world.state()
    assert world.enter("first", first) == "champion"
    assert world.state() == once
    second = world.challenge()
    once = world.state()
    assert world.enter("second", second) == "shadow"
    assert world.state() == once


def test_entering_again_after_the_decision_does_not_bring_the_challenger_back(world: World) -> None:
    world.champion()
    second = world.challenge()
    decide(world, -0.5)
    decided = world.state()
    assert world.enter("second", second) == "shadow"
    assert world.state() == decided


def test_entering_a_version_that_a_person_has_promoted_meanwhile_ends_its_retraining(world: World) -> None:
    world.champion()
    second = world.register()
    by_hand(world, second)
    assert world.enter("second", second) == "champion"
    assert world.rooms.loop.retraining("second").state == "champion"
    assert world.rooms.loop.list_challenges("delay") == []


@pytest.mark.parametrize("difference", [0.5, -0.5])
def test_deciding_twice_changes_nothing(world: World, difference: float) -> None:
    world.champion()
    world.challenge()
    challenge = running(world)
    decide(world, difference)
    once = world.state()
    traffic.decide(world.rooms, world.applied, challenge, verdict(difference), MONDAY + 4 * DAY)
    assert world.state() == once


def test_a_verdict_on_a_challenge_that_was_replaced_does_not_touch_the_new_one(world: World) -> None:
    world.champion()
    world.challenge("second")
    old = running(world)
    world.challenge("third")
    before = world.state()
    traffic.decide(world.rooms, world.applied, old, verdict(0.5), MONDAY + DAY)
    assert world.state() == before


def test_promoting_the_champion_by_hand_changes_nothing(world: World) -> None:
    version = world.champion()
    world.challenge()
    before = world.state()
    by_hand(world, version)
    assert world.state() == before


# --- in the middle


class BrokenError(Exception):
    """What the tests throw in the middle of a move."""


@contextmanager
def ledger_that_breaks(rooms: Rooms, kind: str) -> Iterator[None]:
    """Let the ledger fail at the entry of that kind, after everything before it in the transaction was done."""
    real: Callable[[Any, Decision], Entry] = rooms.ledger.record_in

    def record_in(connection: Any, decision: Decision) -> Entry:
        if decision.kind == kind:
            raise BrokenError
        return real(connection, decision)

    rooms.ledger.record_in = record_in  # type: ignore[method-assign]
    try:
        yield
    finally:
        del rooms.ledger.record_in


@pytest.mark.parametrize("kind", ["alias_moved", "traffic_changed"])
def test_a_first_champion_that_breaks_in_the_middle_leaves_nothing(world: World, kind: str) -> None:
    version = world.register()
    new_retraining(world.rooms, "delay", "first", MONDAY, actor="person/ada", trigger="manual")
    before = world.state()
    with ledger_that_breaks(world.rooms, kind), pytest.raises(BrokenError):
        world.enter("first", version)
    assert world.state() == before
    assert world.enter("first", version) == "champion"
    assert (world.deployment.champion, world.alias) == (version, version)


@pytest.mark.parametrize("kind", ["withdrawn", "traffic_changed", "challenge_started"])
def test_a_challenge_that_breaks_in_the_middle_leaves_the_former_one(world: World, kind: str) -> None:
    world.champion()
    world.challenge("second")
    third = world.register()
    new_retraining(world.rooms, "delay", "third", MONDAY, actor="person/ada", trigger="manual")
    before = world.state()
    with ledger_that_breaks(world.rooms, kind), pytest.raises(BrokenError):
        world.enter("third", third)
    assert world.state() == before
    assert world.enter("third", third) == "shadow"
    assert world.deployment.shadows == (third,)


@pytest.mark.parametrize(
    ("kind", "move"),
    [
        ("alias_moved", lambda world: decide(world, 0.5)),
        ("traffic_changed", lambda world: decide(world, 0.5)),
        ("promoted", lambda world: decide(world, 0.5)),
        ("traffic_changed", lambda world: decide(world, -0.5)),
        ("rejected", lambda world: decide(world, -0.5)),
        ("withdrawn", back),
        ("alias_moved", back),
        ("traffic_changed", back),
        ("rolled_back", back),
        ("promoted_by_hand", lambda world: by_hand(world, 3)),
    ],
)
def test_a_move_that_breaks_in_the_middle_changes_nothing(
    world: World, kind: str, move: Callable[[World], None]
) -> None:
    world.champion()
    by_hand(world, world.register())
    world.challenge("third")
    before = world.state()
    with ledger_that_breaks(world.rooms, kind), pytest.raises(BrokenError):
        move(world)
    assert world.state() == before
    assert world.rooms.ledger.verify().ok


# --- several at once


def test_of_a_promotion_by_hand_and_a_challenger_that_enters_neither_is_lost(world: World) -> None:
    world.champion()
    other = world.register()
    new_retraining(world.rooms, "delay", "third", MONDAY, actor="person/ada", trigger="manual")
    third = world.register()
    with ThreadPoolExecutor(2) as pool:
        promoted, entered = pool.submit(by_hand, world, other), pool.submit(world.enter, "third", third)
        promoted.result()
        assert entered.result() == "shadow"
    assert (world.deployment.champion, world.alias) == (other, other)
    challenge = world.rooms.loop.list_challenges("delay")[0]
    # Either the person was first, and the challenger meets their champion, or their promotion has withdrawn it.
    assert challenge.state == ("shadow" if challenge.champion == other else "withdrawn")
    assert world.deployment.shadows == ((third,) if challenge.state == "shadow" else ())


def test_several_rollbacks_of_one_revision_at_once_make_one(world: World) -> None:
    first = world.champion()
    by_hand(world, world.register())
    revision = world.deployment.revision

    def roll(_: int) -> int:
        return traffic.rollback(world.rooms, world.applied, "person/ada", "complaints", revision).revision

    with ThreadPoolExecutor(4) as pool:
        assert set(pool.map(roll, range(4))) == {revision + 1}
    assert world.deployment.champion == first


def test_decided_at_is_event_time_and_ledger_says_so(world: World) -> None:
    world.champion()
    world.challenge()
    decide(world, 0.5)
    values = world.rooms.ledger.entries(kind="promoted")[0].values()
    assert values["at"] == (MONDAY + timedelta(days=3)).isoformat().replace("+00:00", "Z")
    assert (values["champion"], values["challenger"]) == (1, 2)
