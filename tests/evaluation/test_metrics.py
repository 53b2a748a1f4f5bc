"""Metrics agree with scikit-learn, their intervals cover, and malformed input is named."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as sk

from everloop.errors import InvalidError, NotFoundError
from everloop.evaluation import METRICS, accuracy, auc, brier, log_loss, loss_range, losses, mean_estimate, metric

RNG = np.random.default_rng(7)
P = RNG.uniform(0.02, 0.98, 500)
Y = (RNG.uniform(size=500) < P).astype(int)


def slow_delong(y: np.ndarray, p: np.ndarray) -> tuple[float, float]:
    """The definition, pair by pair, in O(n^2)."""
    x, z = p[y == 1], p[y == 0]
    kernel = (x[:, None] > z[None, :]) + 0.5 * (x[:, None] == z[None, :])
    variance = kernel.mean(1).var(ddof=1) / x.size + kernel.mean(0).var(ddof=1) / z.size
    return float(kernel.mean()), float(variance)


def test_values_agree_with_scikit_learn() -> None:
    assert log_loss(Y, P).value == pytest.approx(sk.log_loss(Y, P))
    assert brier(Y, P).value == pytest.approx(sk.brier_score_loss(Y, P))
    assert auc(Y, P).value == pytest.approx(sk.roc_auc_score(Y, P))
    assert accuracy(Y, P).value == pytest.approx(sk.accuracy_score(Y, P >= 0.5))


@given(st.lists(st.tuples(st.integers(0, 1), st.integers(0, 5)), min_size=6, max_size=60))
def test_auc_and_its_variance_agree_with_the_definition_also_with_ties(rows: list[tuple[int, int]]) -> None:
    y, p = np.array([r[0] for r in rows]), np.array([r[1] / 5 for r in rows])
    if y.sum() < 2 or (1 - y).sum() < 2:
        return
    value, variance = slow_delong(y, p)
    result = auc(y, p)
    assert result.value == pytest.approx(value)
    assert 0.0 <= result.low <= result.value + 1e-12 <= result.high + 2e-12 <= 1.0 + 3e-12
    if 0 < value < 1 and variance > 1e-9:
        # The interval is symmetric on the logit scale: its half width there gives the variance back.
        half = (math.log(result.high / (1 - result.high)) - math.log(result.low / (1 - result.low))) / 2
        assert (half / 1.959964 * value * (1 - value)) ** 2 == pytest.approx(variance, rel=1e-4)


def test_auc_of_a_million_rows_is_not_quadratic() -> None:
    p = np.random.default_rng(0).uniform(size=1_000_000)
    y = np.arange(p.size) % 2
    assert auc(y, p).value == pytest.approx(0.5, abs=0.01)


@pytest.mark.parametrize("name", ["log_loss", "brier", "auc", "accuracy"])
def test_intervals_cover_the_true_value_as_often_as_they_say(name: str) -> None:
    rng = np.random.default_rng(3)
    big_p = rng.beta(2, 5, 400_000)
    truth = metric(name).compute(rng.uniform(size=big_p.size) < big_p, big_p).value
    hits = 0
    for _ in range(300):
        p = rng.beta(2, 5, 400)
        estimate = metric(name).compute(rng.uniform(size=400) < p, p)
        hits += estimate.low <= truth <= estimate.high
    assert 0.90 <= hits / 300 <= 0.99


def test_perfect_separation_still_has_a_wide_interval_when_rows_are_few() -> None:
    result = auc([0, 0, 0, 1, 1], [0.1, 0.2, 0.3, 0.8, 0.9])
    assert result.value == 1.0
    assert result.high == 1.0
    assert result.low < 0.5


def test_losses_are_bounded_by_their_range_even_for_certain_and_wrong() -> None:
    values = losses([1, 0, 1], [0.0, 1.0, 1.0], "log_loss", 0.01)
    low, high = loss_range("log_loss", 0.01)
    assert values.tolist() == pytest.approx([high, high, low])
    assert loss_range("brier") == (0.0, 1.0)
    assert losses([1, 0], [0.25, 0.5], "brier").tolist() == [0.5625, 0.25]


def test_registry_states_the_direction() -> None:
    assert {name: m.higher_is_better for name, m in METRICS.items()} == {
        "log_loss": False,
        "brier": False,
        "auc": True,
        "accuracy": True,
    }
    with pytest.raises(NotFoundError, match="log_loss, brier, auc"):
        metric("f1")


@pytest.mark.parametrize(
    ("y", "p", "message"),
    [
        ([0, 1], [0.1, math.nan], "p has 1 values that are NaN or infinite, the first at row 1"),
        ([0, math.nan], [0.1, 0.2], "y has 1 values"),
        ([0, 1, 1], [0.1, 0.2], "y has 3 rows and p has 2"),
        ([[0, 1]], [0.1, 0.2], r"y must have shape \(n,\)"),
        ([0, 2], [0.1, 0.2], "row 1 is 2"),
        ([0, 1], [0.1, 1.2], r"p must lie in \[0, 1\], but row 1 is 1.2"),
        ([], [], "y is empty"),
        (["a", "b"], [0.1, 0.2], "y must be numbers"),
    ],
)
@pytest.mark.parametrize("name", ["log_loss", "auc"])
def test_malformed_input_is_named(name: str, y: list[float], p: list[float], message: str) -> None:
    with pytest.raises(InvalidError, match=message):
        metric(name).compute(y, p)


def test_auc_of_one_class_is_refused() -> None:
    with pytest.raises(InvalidError, match="needs both labels, but all 2 rows are 1"):
        auc([1, 1], [0.2, 0.3])


def test_bad_settings_are_refused() -> None:
    with pytest.raises(InvalidError, match="clip"):
        losses([1], [0.5], "log_loss", 0.5)
    with pytest.raises(NotFoundError, match="no per-row loss 'auc'"):
        losses([1], [0.5], "auc")
    with pytest.raises(InvalidError, match="confidence"):
        log_loss([0, 1], [0.5, 0.5], confidence=95)
    with pytest.raises(InvalidError, match="at least 2 rows"):
        mean_estimate(np.array([1.0]))
