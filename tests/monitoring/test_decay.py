"""A year of looks without a change alarms with at most the stated probability, and a real rise is found."""

from __future__ import annotations

import math

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from everloop.errors import InvalidError
from everloop.evaluation import losses
from everloop.monitoring import (
    LOOKS_PER_YEAR,
    DecayPolicy,
    DecayReport,
    LossSummary,
    decay,
    summarise,
    summarise_windows,
)


def log_losses(rng: np.random.Generator, n: int) -> np.ndarray:
    truth = rng.beta(1.2, 4, n)
    score = np.clip(truth * np.exp(rng.normal(0, 0.5, n)), 0.001, 0.999)
    return losses(rng.uniform(size=n) < truth, score, "log_loss")


POOL = log_losses(np.random.default_rng(0), 200_000)


def windows(rng: np.random.Generator, count: int, n: int, spread: float = 0.0, rise: float = 0.0) -> list[LossSummary]:
    """Summaries of `count` windows of `n` losses each, whose expected losses differ by `spread` (one sd)."""
    rows = rng.choice(POOL, (count, n))
    means, variances = rows.mean(axis=1), rows.var(axis=1, ddof=1)
    moves = rng.normal(0, spread, count) + rise
    return [
        LossSummary(n=n, mean=float(m + move), variance=float(v))
        for m, v, move in zip(means, variances, moves, strict=True)
    ]


@pytest.mark.parametrize(
    ("looks", "n", "reference_windows", "spread"),
    [
        ("day", 200, 1, 0.0),
        ("week", 1000, 1, 0.0),
        ("day", 200, 30, 0.0),
        ("day", 300, 59, 0.05),
        ("week", 1000, 8, 0.05),
    ],
)
def test_a_year_without_a_change_hardly_ever_alarms(looks: str, n: int, reference_windows: int, spread: float) -> None:
    rng = np.random.default_rng(1)
    # No tolerance is the hardest case: the true difference lies on the edge.
    policy = DecayPolicy(tolerance=0.0, alpha=0.05, looks=LOOKS_PER_YEAR[looks])
    years, alarms = 60, 0
    for _ in range(years):
        parts = windows(rng, reference_windows, n * (1 if reference_windows > 1 else 10), spread)
        reference = summarise_windows(parts) if reference_windows > 1 else parts[0]
        year = windows(rng, LOOKS_PER_YEAR[looks], n, spread)
        # The window that is highest in its own standard errors decides whether the year alarms.
        year.sort(key=lambda w: (w.mean - reference.mean) / math.sqrt(w.variance / w.n + reference.between))
        alarms += any(decay(window, reference, policy).status == "alert" for window in year[-3:])
    # 60 years at 5% or less: eight or more false alarms have probability below 1%.
    assert alarms <= 7


def test_a_rise_beyond_the_tolerance_is_found() -> None:
    rng = np.random.default_rng(2)
    reference = summarise_windows(windows(rng, 59, 900))
    policy = DecayPolicy(tolerance=0.02)
    found = [decay(window, reference, policy).status for window in windows(rng, 100, 900, rise=0.2)]
    assert found.count("alert") >= 95
    weekly = DecayPolicy(tolerance=0.02, looks=LOOKS_PER_YEAR["week"])
    assert all(decay(w, reference, weekly).status == "alert" for w in windows(rng, 100, 6000, rise=0.1))


def test_a_rise_within_the_tolerance_is_put_up_with() -> None:
    rng = np.random.default_rng(3)
    reference = summarise_windows(windows(rng, 59, 900))
    found = [decay(w, reference, DecayPolicy(tolerance=0.05)).status for w in windows(rng, 366, 900, rise=0.05)]
    assert "alert" not in found


def test_differences_between_the_references_windows_widen_the_bound() -> None:
    rng = np.random.default_rng(4)
    calm, stormy = (summarise_windows(windows(rng, 200, 500, spread)) for spread in (0.0, 0.1))
    assert math.sqrt(stormy.between) == pytest.approx(0.1, rel=0.2)
    assert math.sqrt(calm.between) < 0.02
    window = LossSummary(n=500, mean=calm.mean + 0.2, variance=calm.variance)
    assert decay(window, calm).status == "alert"
    assert decay(window, stormy).status != "alert"


@given(st.lists(st.lists(st.floats(0, 5), min_size=2, max_size=9), min_size=1, max_size=6))
def test_windows_together_have_the_mean_and_variance_of_all_rows(parts: list[list[float]]) -> None:
    merged = summarise_windows([summarise(part) for part in parts])
    whole = summarise([value for part in parts for value in part])
    assert (merged.n, merged.windows) == (whole.n, len(parts))
    assert merged.mean == pytest.approx(whole.mean, abs=1e-9)
    assert merged.variance == pytest.approx(whole.variance, abs=1e-9)


def test_a_warning_comes_before_an_alert() -> None:
    reference = LossSummary(n=50_000, mean=0.5, variance=0.25)
    found = [decay(LossSummary(n=1000, mean=0.5 + rise, variance=0.25), reference).status for rise in (0.0, 0.06, 0.12)]
    assert found == ["ok", "warning", "alert"]


def test_a_report_says_its_numbers() -> None:
    report = decay(LossSummary(n=1000, mean=0.62, variance=0.25), LossSummary(n=50_000, mean=0.5, variance=0.25))
    assert report.difference == pytest.approx(0.12)
    assert report.low is not None
    assert report.low < 0.12
    assert report.reason.startswith("the mean loss is +0.1200 against the reference, at least +0.0")
    assert msgspec.json.decode(msgspec.json.encode(report), type=DecayReport) == report


def test_too_few_rows_are_not_judged() -> None:
    reference = LossSummary(n=50_000, mean=0.5, variance=0.25)
    report = decay(LossSummary(n=199, mean=5.0, variance=0.25), reference)
    assert (report.status, report.difference) == ("not_enough_data", None)
    assert decay(reference, LossSummary(n=10, mean=0.5, variance=0.2)).status == "not_enough_data"
    assert decay(summarise([]), reference).status == "not_enough_data"


def test_losses_without_spread_need_no_bound() -> None:
    flat = LossSummary(n=500, mean=0.5, variance=0.0)
    assert decay(LossSummary(n=500, mean=0.6, variance=0.0), flat).low == pytest.approx(0.1)


def test_mistakes_are_named() -> None:
    with pytest.raises(InvalidError, match="finite"):
        summarise([1.0, math.nan])
    with pytest.raises(InvalidError, match="variance >= 0"):
        LossSummary(n=1, mean=0.0, variance=-1.0)
    with pytest.raises(InvalidError, match="at least one window"):
        summarise_windows([LossSummary(n=1, mean=0.0, variance=0.0)])
    for wrong in ({"alpha": 0}, {"looks": 0}, {"tolerance": -1}, {"min_rows": 1}):
        with pytest.raises(InvalidError):
            DecayPolicy(**wrong)
