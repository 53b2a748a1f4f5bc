"""A tick watches, judges and may ask for a retraining; done again after a crash anywhere, it changes nothing more."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from everloop.config import Settings
from everloop.loop import traffic
from everloop.loop.store import Retraining, TickOutcome
from everloop.loop.tick import tick
from everloop.server.platform import Platform
from tests.loop.worlds import DAY, MONDAY, PROJECT, World


@pytest.fixture
def watched(world: World) -> World:
    """A champion that is watched since Monday."""
    world.champion()
    at(world, 0)
    return world


def at(world: World, day: int) -> TickOutcome:
    return tick(world.rooms, "delay", MONDAY + day * DAY)


def end(world: World, retraining_id: str, state: str = "failed") -> None:
    """End a retraining as the worker would."""
    with world.rooms.database.write() as connection:
        world.rooms.loop.change_retraining_in(connection, retraining_id, state=state)


def asked(world: World) -> list[Retraining]:
    """The retrainings that the loop itself asked for."""
    return [each for each in world.rooms.loop.list_retrainings("delay") if each.actor == "everloop/loop"]


def decayed_day(world: World, day: int, skill: float = -1.0) -> TickOutcome:
    """A day of bad predictions, and the tick of its evening."""
    world.traffic_of(MONDAY + day * DAY, {world.deployment.champion: skill})
    return at(world, day + 1)


# --- what it does


def test_before_the_first_champion_there_is_nothing_to_do(world: World) -> None:
    outcome = at(world, 0)
    assert outcome == TickOutcome(endpoint="delay", at=MONDAY)


def test_a_quiet_tick_only_tells_who_is_in_charge(watched: World) -> None:
    watched.traffic_of(MONDAY, {1: 1.0})
    outcome = at(watched, 1)
    assert outcome == TickOutcome(
        endpoint="delay",
        at=MONDAY + DAY,
        alerts=[],
        decision="",
        retraining="",
        champion=1,
        challenger=None,
    )
    assert asked(watched) == []


def test_decay_asks_for_a_retraining_on_what_is_known_now(watched: World) -> None:
    outcome = decayed_day(watched, 0)
    (retraining,) = asked(watched)
    assert (outcome.retraining, outcome.alerts) == (retraining.retraining_id, ["decay/delay/2013-03-04/1"])
    assert (retraining.trigger, retraining.at, retraining.state) == ("decay", MONDAY + DAY, "requested")
    assert retraining.data_up_to == 0


def test_without_the_trigger_decay_is_only_an_alert(world: World) -> None:
    world.apply(PROJECT.replace("triggers: {", "triggers: {decay: false, "))
    world.champion()
    at(world, 0)
    outcome = decayed_day(world, 0)
    assert (len(outcome.alerts), outcome.retraining) == (1, "")


def test_drift_asks_for_a_retraining_only_when_the_project_says_so(world: World) -> None:
    world.champion()
    at(world, 0)
    world.traffic_of(MONDAY, {1: 1.0}, shift=3.0)
    assert at(world, 1).retraining == ""
    world.apply(PROJECT.replace("triggers: {", "triggers: {drift: true, "))
    # The state lasts, so the trigger fires at the next look although there is no new alert.
    assert at(world, 2).retraining == ""  # a day without traffic has no drift
    world.traffic_of(MONDAY + 2 * DAY, {1: 1.0}, shift=3.0)
    assert at(world, 3).retraining == "delay-20130307T0000-drift"


def test_age_asks_for_a_retraining_when_the_champions_data_is_old(world: World) -> None:
    world.apply(PROJECT.replace("triggers: {", "triggers: {max_age_days: 10, "))
    world.champion(MONDAY)
    assert [at(world, day).retraining for day in (0, 9)] == ["", ""]
    assert at(world, 10).retraining == "delay-20130314T0000-age"


def test_after_a_retraining_the_loop_waits_for_the_cooldown(watched: World) -> None:
    first = decayed_day(watched, 0).retraining
    end(watched, first)
    assert [decayed_day(watched, day).retraining for day in (1, 2)] == ["", ""]
    second = decayed_day(watched, 3).retraining  # three days after the first
    assert second == "delay-20130308T0000-decay"
    assert [each.retraining_id for each in asked(watched)] == [first, second]


def test_what_a_person_asked_for_does_not_count_for_the_cooldown(watched: World) -> None:
    watched.challenge("by-hand", MONDAY + DAY)
    traffic.promote(watched.rooms, watched.applied, 2, "person/ada", "")
    assert decayed_day(watched, 0).retraining != ""


def test_while_a_retraining_runs_no_other_is_asked_for(world: World) -> None:
    world.apply(PROJECT.replace("cooldown_days: 3", "cooldown_days: 0"))
    world.champion()
    at(world, 0)
    first = decayed_day(world, 0).retraining
    assert decayed_day(world, 1).retraining == ""
    end(world, first)
    assert decayed_day(world, 2).retraining == "delay-20130307T0000-decay"


def test_while_a_challenger_is_on_trial_nothing_is_retrained(watched: World) -> None:
    watched.challenge()
    watched.traffic_of(MONDAY, {1: -1.0, 2: -1.0})
    outcome = at(watched, 1)
    assert (outcome.decision, outcome.challenger, outcome.retraining) == ("hold", 2, "")
    assert len(outcome.alerts) == 1


def test_a_promotion_is_told_and_the_new_champion_is_given_time(watched: World) -> None:
    watched.challenge()
    for day in (0, 1):
        watched.traffic_of(MONDAY + day * DAY, {1: -1.0, 2: 1.0})
    outcome = at(watched, 2)
    assert (outcome.decision, outcome.champion, outcome.challenger, outcome.retraining) == ("promote", 2, None, "")
    assert watched.deployment.champion == 2


# --- done again


def replay_is_harmless(world: World, day: int) -> TickOutcome:
    first = at(world, day)
    once = world.state()
    again = at(world, day)
    assert (again.decision, again.retraining, again.champion, again.challenger) == (
        first.decision,
        first.retraining,
        first.champion,
        first.challenger,
    )
    # The watch may say of the new champion what it said of the old one: nothing is known of it either way.
    watch = 4
    for place, (now, before) in enumerate(zip(world.state(), once, strict=True)):
        assert now == before or (place == watch and first.decision == "promote")
    return first


def test_a_quiet_tick_twice_changes_nothing(watched: World) -> None:
    watched.traffic_of(MONDAY, {1: 1.0})
    replay_is_harmless(watched, 1)


def test_a_tick_that_asked_for_a_retraining_asks_for_the_same_again(watched: World) -> None:
    watched.traffic_of(MONDAY, {1: -1.0})
    assert replay_is_harmless(watched, 1).retraining
    assert len(asked(watched)) == 1


@pytest.mark.parametrize(("champion", "challenger", "decision"), [(-1.0, 1.0, "promote"), (1.0, -1.0, "reject")])
def test_a_tick_that_decided_tells_the_same_decision_again(
    world: World, champion: float, challenger: float, decision: str
) -> None:
    # Age would fire, if the replay took the champion of now for one that has been there before.
    world.apply(PROJECT.replace("cooldown_days: 3", "cooldown_days: 0, max_age_days: 1"))
    world.champion()
    at(world, 0)
    world.challenge()
    for day in (0, 1):
        world.traffic_of(MONDAY + day * DAY, {1: champion, 2: challenger})
    outcome = replay_is_harmless(world, 2)
    assert outcome.decision == decision
    assert bool(outcome.retraining) == (decision == "reject")


def test_a_tick_of_a_time_that_is_past_takes_nothing_back(watched: World) -> None:
    for day in range(3):
        watched.traffic_of(MONDAY + day * DAY, {1: 1.0})
    at(watched, 3)
    once = watched.state()
    at(watched, 1)
    assert watched.state() == once


class KilledError(Exception):
    """What the tests throw where a crash could be."""


@contextmanager
def killed_at(room: Any, method: str, *, after: bool) -> Iterator[None]:
    """Let a method of a room die, before or after it has done its work."""
    real = getattr(room, method)

    def die(*arguments: Any, **named: Any) -> Any:
        if after:
            real(*arguments, **named)
        raise KilledError

    setattr(room, method, die)
    try:
        yield
    finally:
        delattr(room, method)


POINTS = [
    ("predictions", "captured"),
    ("monitoring", "close_window"),
    ("monitoring", "raise_alert"),
    ("loop", "put_watch"),
    ("predictions", "labelled"),
    ("registry", "move_alias_in"),
    ("serving", "deploy_in"),
    ("datasets", "list_batches"),
    ("loop", "put_retraining"),
]


def trial(world: World) -> None:
    """A champion that decays for two days while its challenger shines."""
    world.champion()
    at(world, 0)
    world.challenge()
    for day in (0, 1):
        world.traffic_of(MONDAY + day * DAY, {1: -1.0, 2: 1.0})


def shape(world: World) -> dict[str, object]:
    """What a world came to, without the times at which rows were written and the order of two ledger entries."""
    deployments = [(each.revision, each.champion, each.shadows) for each in world.rooms.serving.history("delay")]
    challenges = [(each.state, each.paired, each.verdict) for each in world.rooms.loop.list_challenges("delay")]
    ledger = sorted((each.key, each.kind, each.subject) for each in world.rooms.ledger.entries())
    windows = world.rooms.monitoring.list_windows("delay")
    retrainings = [(each.retraining_id, each.state, each.trigger) for each in asked(world)]
    return {
        "deployments": deployments,
        "challenges": challenges,
        "ledger": ledger,
        "windows": windows,
        "retrainings": retrainings,
    }


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, migrated_sqlite: Path) -> dict[str, object]:
    """What the trial comes to without a crash."""
    home = tmp_path_factory.mktemp("undisturbed")
    shutil.copyfile(migrated_sqlite, home / "everloop.db")
    local = Platform(Settings(home=str(home)))
    world = World(local.rooms)
    trial(world)
    at(world, 2)
    found = shape(world)
    local.close()
    return found


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize(("room", "method"), POINTS)
def test_a_promotion_survives_a_crash_at_every_point(
    world: World, undisturbed: dict[str, object], room: str, method: str, after: bool
) -> None:
    trial(world)
    with killed_at(getattr(world.rooms, room), method, after=after), suppress(KilledError):
        at(world, 2)
    outcome = at(world, 2)
    assert (outcome.decision, outcome.champion, outcome.retraining) == ("promote", 2, "")
    assert shape(world) == undisturbed
    assert world.rooms.ledger.verify().ok


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize(("room", "method"), POINTS)
def test_a_trigger_survives_a_crash_at_every_point(watched: World, room: str, method: str, after: bool) -> None:
    watched.traffic_of(MONDAY, {1: -1.0})
    with killed_at(getattr(watched.rooms, room), method, after=after), suppress(KilledError):
        at(watched, 1)
    assert at(watched, 1).retraining == "delay-20130305T0000-decay"
    assert len(asked(watched)) == 1
    assert [alert.key for alert in watched.rooms.monitoring.list_alerts()] == ["decay/delay/2013-03-04/1"]
    assert len(watched.rooms.monitoring.list_windows("delay")) == 1
