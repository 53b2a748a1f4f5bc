"""The challenger's trial: pairs from the real log of predictions and labels, judged look by look."""

from __future__ import annotations

import pytest

from everloop.evaluation import PairedState, Verdict
from everloop.loop.challenge import look
from everloop.loop.store import Challenge
from tests.loop.worlds import DAY, MONDAY, PROJECT, ROWS, World


@pytest.fixture
def trial(world: World) -> World:
    """Champion 1 and challenger 2 in shadow, since Monday."""
    world.champion()
    world.challenge()
    return world


def look_on(world: World, day: int) -> Verdict | None:
    at = MONDAY + day * DAY
    return look(world.rooms, world.applied, at, at)


def challenge(world: World) -> Challenge:
    (found,) = world.rooms.loop.list_challenges("delay")
    return found


def n_pairs(world: World) -> int:
    return int(challenge(world).paired["n"])


def test_without_a_challenge_there_is_nothing_to_judge(world: World) -> None:
    world.champion()
    assert look_on(world, 1) is None


def test_a_better_challenger_is_promoted_once_pairs_and_days_are_enough(trial: World) -> None:
    decisions = []
    for day in range(3):
        trial.traffic_of(MONDAY + day * DAY, {1: -1.0, 2: 1.0})
        found = look_on(trial, day + 1)
        assert found is not None
        decisions.append(found.decision)
        if found.decision == "promote":
            break
    assert decisions == ["hold", "promote"]  # min_pairs 500 and min_days 2 are both reached on the second evening
    assert (trial.deployment.champion, trial.alias, trial.deployment.shadows) == (2, 2, ())
    kept = challenge(trial)
    assert (kept.state, kept.decided_at, kept.judged_until) == ("promoted", MONDAY + 2 * DAY, MONDAY + 2 * DAY)
    assert kept.verdict["n"] == 2 * ROWS
    assert kept.verdict["low"] > 0.0
    assert trial.rooms.ledger.entries(kind="promoted")[0].values()["evidence"] >= 40.0


def test_a_worse_challenger_is_rejected_once_its_days_are_enough(trial: World) -> None:
    trial.traffic_of(MONDAY, {1: 1.0, 2: -1.0})
    early = look_on(trial, 1)
    assert early is not None
    assert early.decision == "hold"
    found = look_on(trial, 2)
    assert found is not None
    assert (found.decision, found.high < 0.0) == ("reject", True)
    assert "the challenger is worse" in found.reason
    assert (trial.deployment.champion, trial.deployment.shadows, challenge(trial).state) == (1, (), "rejected")


def test_an_equal_challenger_is_held_and_rejected_when_its_days_are_over(trial: World) -> None:
    decisions = []
    for day in range(5):
        trial.traffic_of(MONDAY + day * DAY, {1: 0.9, 2: 0.9})
        found = look_on(trial, day + 1)
        assert found is not None
        decisions.append(found.decision)
    assert decisions == ["hold"] * 4 + ["reject"]
    assert "time ran out: after 1500 pairs and 5 days" in challenge(trial).verdict["reason"]
    assert trial.deployment.champion == 1


def test_looking_twice_counts_pairs_once(trial: World) -> None:
    trial.traffic_of(MONDAY, {1: 0.9, 2: 0.9})
    first = look_on(trial, 1)
    once = trial.state()
    assert look_on(trial, 1) == first
    assert trial.state() == once
    assert n_pairs(trial) == ROWS
    # An older horizon, of a tick that came late, takes nothing back.
    assert look_on(trial, 0) is not None
    assert (n_pairs(trial), challenge(trial).judged_until) == (ROWS, MONDAY + DAY)


def test_daily_looks_end_in_the_state_of_one_look_over_all(trial: World) -> None:
    for day in range(3):
        trial.traffic_of(MONDAY + day * DAY, {1: 0.9, 2: 0.8})
    daily = [look_on(trial, day + 1) for day in range(3)][-1]
    other = World(trial.rooms, PROJECT.replace("tolerance: 0.05", "tolerance: 0.06"))
    # The policy changed, so all pairs are judged again, at once.
    again = look_on(other, 3)
    assert daily is not None
    assert again is not None
    assert (again.n, again.mean, again.low, again.high) == (daily.n, daily.mean, daily.low, daily.high)


def test_a_look_that_was_cut_off_before_its_decision_decides_the_next_time(trial: World) -> None:
    class KilledError(Exception):
        pass

    trial.traffic_of(MONDAY, {1: 1.0, 2: -1.0})
    real = trial.rooms.serving.deploy_in

    def deploy_in(*_: object, **__: object) -> None:
        raise KilledError

    trial.rooms.serving.deploy_in = deploy_in  # type: ignore[assignment,method-assign]
    with pytest.raises(KilledError):
        look_on(trial, 2)
    trial.rooms.serving.deploy_in = real  # type: ignore[method-assign]
    assert (challenge(trial).state, n_pairs(trial)) == ("shadow", ROWS)
    found = look_on(trial, 2)
    assert found is not None
    assert (found.decision, found.n, challenge(trial).state) == ("reject", ROWS, "rejected")


def test_a_look_repeated_after_its_decision_gives_the_same_verdict(trial: World) -> None:
    trial.traffic_of(MONDAY, {1: 1.0, 2: -1.0})
    first = look_on(trial, 2)
    once = trial.state()
    assert look_on(trial, 2) == first
    assert trial.state() == once
    assert look_on(trial, 3) is None


def test_rows_that_the_shadow_failed_on_are_no_pairs(trial: World) -> None:
    trial.traffic_of(MONDAY, {1: 1.0, 2: 0.9})
    trial.traffic_of(MONDAY + DAY, {1: 1.0}, failed=[2])
    trial.traffic_of(MONDAY + 2 * DAY, {1: 1.0})
    look_on(trial, 3)
    assert n_pairs(trial) == ROWS


def test_a_shadow_that_never_scored_is_held_until_its_days_are_over(trial: World) -> None:
    trial.traffic_of(MONDAY, {1: 1.0}, failed=[2])
    found = look_on(trial, 4)
    assert found is not None
    assert (found.decision, found.n) == ("hold", 0)
    found = look_on(trial, 5)
    assert found is not None
    assert found.decision == "reject"


def test_only_labelled_rows_since_the_start_are_pairs(trial: World) -> None:
    trial.traffic_of(MONDAY - DAY, {1: 1.0, 2: 0.9})
    trial.traffic_of(MONDAY, {1: 1.0, 2: 0.9}, labelled=False)
    trial.label(MONDAY, [1.0] * 7)
    trial.traffic_of(MONDAY + DAY, {1: 1.0, 2: 0.9})
    look_on(trial, 1)
    assert n_pairs(trial) == 7


def test_a_new_metric_in_the_middle_starts_the_test_again_on_all_pairs(trial: World) -> None:
    trial.traffic_of(MONDAY, {1: 0.9, 2: 0.9})
    look_on(trial, 1)
    reach = PairedState(**challenge(trial).paired).reach
    trial.apply(PROJECT.replace("promotion: {", "promotion: {metric: brier, "))
    trial.traffic_of(MONDAY + DAY, {1: 0.9, 2: 0.9})
    found = look_on(trial, 2)
    assert found is not None
    assert (found.n, found.policy.metric) == (2 * ROWS, "brier")
    assert challenge(trial).policy == trial.applied.policy
    assert PairedState(**challenge(trial).paired).reach < reach
