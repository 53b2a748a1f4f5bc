"""The sequential test keeps its error rate under peeking at every pair, and decides at realistic sizes."""

from __future__ import annotations

import math

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from everloop.errors import InvalidError
from everloop.evaluation import PairedState, PromotionPolicy, evidence, interval, judge, losses, start, update
from everloop.evaluation.sequential import log_evidence

Floats = NDArray[np.float64]
POLICY = PromotionPolicy()
REACH = start(POLICY).reach


def paths_squares(x: Floats) -> Floats:
    """V of the lower bound after each pair for many paths at once, shape of x: (n_paths, n_pairs)."""
    sums = np.cumsum(x, axis=1)
    centre = np.minimum((sums - x) / np.arange(1, x.shape[1] + 1), 0.0)
    return np.cumsum((x - centre) ** 2, axis=1)


def first_crossing(x: Floats, reach: float, alpha: float) -> NDArray[np.intp]:
    """Pairs until the lower bound of the mean difference passes 0, per path; n_pairs + 1 if it never does."""
    parts = [log_evidence(np.cumsum(part, axis=1), paths_squares(part), reach) for part in np.array_split(x, 20)]
    found = np.concatenate(parts) >= math.log(2 / alpha)
    crossing: NDArray[np.intp] = np.where(found.any(axis=1), found.argmax(axis=1) + 1, x.shape[1] + 1)
    return crossing


def test_the_simulation_runs_the_test_that_is_shipped() -> None:
    x = np.random.default_rng(1).normal(0.2, 0.3, (3, 400))
    final = [update(PairedState(reach=REACH), row).squares_low for row in x]
    assert paths_squares(x)[:, -1].tolist() == pytest.approx(final)
    crossing = int(first_crossing(x, REACH, 0.05)[0])
    before, after = (update(PairedState(reach=REACH), x[0, :n]) for n in (crossing - 1, crossing))
    assert interval(before, 0.05)[1] <= 0 < interval(after, 0.05)[1]


def fair_coin(rng: np.random.Generator, shape: tuple[int, int]) -> Floats:
    return rng.choice([-1.0, 1.0], shape)


def heavy_in_range(rng: np.random.Generator, shape: tuple[int, int]) -> Floats:
    """Nearly always a small gain, rarely the worst possible loss: mean 0, as skewed as the range allows."""
    return np.where(rng.uniform(size=shape) < 0.01, -1.0, 0.01 / 0.99)


def heavy_other_way(rng: np.random.Generator, shape: tuple[int, int]) -> Floats:
    return -heavy_in_range(rng, shape)


def log_losses(rng: np.random.Generator, shape: tuple[int, int]) -> Floats:
    """Two equally wrong models around a true probability."""
    truth = rng.beta(1.2, 4, shape)
    y = rng.uniform(size=shape) < truth
    logit = np.log(truth / (1 - truth))
    p = [1 / (1 + np.exp(-logit - rng.normal(0, 0.6, shape))) for _ in range(2)]
    a, b = (losses(y.ravel(), q.ravel(), "log_loss").reshape(shape) for q in p)
    return (a - b) / REACH


def drifting(rng: np.random.Generator, shape: tuple[int, int]) -> Floats:
    """Expected differences swing, down first, so that their running mean is at most 0 at every time."""
    wave = -0.1 * np.sin(np.arange(shape[1]) / 150.0)
    return wave + rng.uniform(-0.3, 0.3, shape)


def adaptive(rng: np.random.Generator, shape: tuple[int, int]) -> Floats:
    """Dependent on the past: the spread grows as soon as the sum is above 0; the conditional mean stays 0."""
    x = np.empty(shape)
    total = np.zeros(shape[0])
    for i in range(shape[1]):
        x[:, i] = np.where(total > 0, 1.0, 0.1) * rng.choice([-1.0, 1.0], shape[0])
        total += x[:, i]
    return x


@pytest.mark.parametrize("draw", [fair_coin, heavy_in_range, heavy_other_way, log_losses, drifting, adaptive])
def test_false_promotions_stay_below_half_of_alpha_when_looking_after_every_pair(draw: object) -> None:
    assert callable(draw)
    x = draw(np.random.default_rng(11), (400, 1000))
    alpha = 0.2
    # A rate of alpha / 2 plus three standard errors of 400 paths.
    limit = alpha / 2 + 3 * math.sqrt(alpha / 2 / 400)
    assert np.mean(first_crossing(x, 1.0, alpha) <= x.shape[1]) <= limit


def test_both_ends_hold_at_all_times_for_the_running_mean_of_expectations() -> None:
    rng = np.random.default_rng(5)
    misses = 0
    for _ in range(60):
        means = np.repeat(rng.uniform(-0.5, 0.5, 10), 50)
        x = np.clip(means + rng.uniform(-0.5, 0.5, 500), -1, 1)
        state, seen, missed = PairedState(reach=1.0), 0, False
        for chunk in np.split(x, 25):
            state, seen = update(state, chunk), seen + chunk.size
            _, low, high = interval(state, 0.2)
            missed |= not low <= means[:seen].mean() <= high
        misses += missed
    assert misses <= 12


@pytest.mark.parametrize(("gain", "limit"), [(0.02, 5_000), (0.05, 1_500)])
def test_a_real_gain_is_found_within_days_of_traffic(gain: float, limit: int) -> None:
    rng = np.random.default_rng(2)
    x = np.clip(rng.normal(gain, 0.2, (100, limit)), -REACH, REACH)
    assert np.mean(first_crossing(x, REACH, 0.05) <= limit) >= 0.9


@settings(max_examples=60)
@given(
    st.lists(st.floats(-REACH, REACH), max_size=80),
    st.lists(st.integers(0, 80), max_size=6),
)
def test_any_split_into_batches_gives_the_same_state(values: list[float], cuts: list[int]) -> None:
    whole = update(start(POLICY), values)
    state = start(POLICY)
    for chunk in np.split(np.array(values, dtype=np.float64), sorted(min(c, len(values)) for c in cuts)):
        state = update(state, chunk)
    assert state == whole


@given(st.lists(st.floats(-1, 1), min_size=1, max_size=60))
def test_swapping_the_models_mirrors_the_interval(values: list[float]) -> None:
    x = np.array(values)
    mean, low, high = interval(update(PairedState(reach=1.0), x))
    assert interval(update(PairedState(reach=1.0), -x)) == pytest.approx((-mean, -high, -low))
    assert -1 <= low <= mean <= high <= 1


def test_evidence_reaches_two_over_alpha_exactly_when_the_interval_clears_the_margin() -> None:
    state = update(start(POLICY), np.random.default_rng(0).normal(0.05, 0.2, 1500))
    _, low, _ = interval(state, 0.05)
    assert evidence(state, low) == pytest.approx(40, rel=1e-6)
    assert evidence(start(POLICY)) == pytest.approx(1.0)


def test_a_state_survives_json_and_goes_on() -> None:
    x = np.random.default_rng(0).normal(0, 0.2, 100)
    half = msgspec.json.decode(msgspec.json.encode(update(start(POLICY), x[:50])), type=PairedState)
    assert update(half, x[50:]) == update(start(POLICY), x)


def decide(mean: float, n: int, days: float | None = None, **changes: float | None) -> tuple[str, str]:
    noise = np.tile([-0.1, 0.1], n // 2)
    verdict = judge(update(start(POLICY), mean + noise), msgspec.structs.replace(POLICY, **changes), days=days)
    return verdict.decision, verdict.reason


def test_verdicts() -> None:
    assert decide(0.05, 2000)[0] == "promote"
    assert decide(-0.05, 2000) == ("reject", decide(-0.05, 2000)[1])
    assert "is worse" in decide(-0.05, 2000)[1]
    assert decide(0.0, 2000)[0] == "hold"
    assert "undecided" in decide(0.0, 2000)[1]


def test_a_gain_below_the_least_wanted_is_rejected_though_it_is_one() -> None:
    assert decide(0.05, 2000, min_gain=0.2)[0] == "reject"
    assert "less than the 0.2 asked for" in decide(0.05, 2000, min_gain=0.2)[1]


def test_a_shown_gain_waits_for_the_least_traffic() -> None:
    assert decide(0.2, 400)[0] == "hold"
    assert decide(0.05, 2000, days=3, min_days=7) == (
        "hold",
        decide(0.05, 2000, days=3, min_days=7)[1],
    )
    assert "waits for 500 pairs and 7 days" in decide(0.05, 2000, days=3, min_days=7)[1]
    # Pairs beyond the maximum do not reject what only waits for its week.
    assert decide(0.05, 2000, days=3, min_days=7, max_pairs=1000)[0] == "hold"
    assert decide(0.05, 2000, days=7, min_days=7)[0] == "promote"


def test_an_endless_test_ends_in_rejection() -> None:
    assert decide(0.0, 2000, max_pairs=2000)[0] == "reject"
    assert decide(0.0, 2000, days=30, max_days=30)[0] == "reject"
    assert decide(0.0, 2000, days=29, max_days=30)[0] == "hold"


def test_a_verdict_carries_its_numbers() -> None:
    state = update(start(POLICY), np.full(600, 0.3))
    verdict = judge(state, POLICY)
    assert (verdict.n, verdict.policy) == (600, POLICY)
    assert verdict.mean == pytest.approx(0.3)
    assert verdict.low < verdict.mean < verdict.high
    assert verdict.evidence > 40


def test_mistakes_are_refused() -> None:
    with pytest.raises(InvalidError, match="outside"):
        update(start(POLICY), [REACH * 1.01])
    with pytest.raises(InvalidError, match="NaN"):
        update(start(POLICY), [math.nan])
    with pytest.raises(InvalidError, match="Start a new test"):
        judge(start(PromotionPolicy(metric="brier")), POLICY)
    with pytest.raises(InvalidError, match="needs days="):
        judge(start(POLICY), PromotionPolicy(min_days=7))
    for wrong in ({"alpha": 0}, {"min_gain": -1}, {"min_pairs": 0}, {"max_pairs": 10}, {"min_days": 9, "max_days": 8}):
        with pytest.raises(InvalidError):
            PromotionPolicy(**wrong)  # type: ignore[arg-type]


def test_without_pairs_nothing_is_known() -> None:
    assert interval(start(POLICY)) == (0.0, -REACH, REACH)
    assert judge(start(POLICY), POLICY).decision == "hold"
    assert update(start(POLICY), []) == start(POLICY)
