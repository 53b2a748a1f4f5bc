"""Distances are near zero without a change at any size, grow with one, and their p-values are right."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from scipy.spatial.distance import jensenshannon

from everloop.datasets import distance, g_test, js, null_shift, profile_columns, psi
from everloop.datasets.profile import NumericProfile
from everloop.errors import InvalidError

RNG = np.random.default_rng(4)
COUNTS = st.lists(st.tuples(st.integers(0, 500), st.integers(0, 500)), min_size=2, max_size=12)


@given(COUNTS)
def test_js_without_its_correction_agrees_with_scipy(cells: list[tuple[int, int]]) -> None:
    a, b = np.array(cells).T
    if not a.sum() or not b.sum():
        return
    k = int(np.count_nonzero(a + b))
    corrected = js(a.tolist(), b.tolist())
    plain = jensenshannon(a, b) ** 2 - (k - 1) * (1 / a.sum() + 1 / b.sum()) / 8
    assert corrected == pytest.approx(math.sqrt(max(0.0, plain)), abs=1e-6)
    assert corrected == pytest.approx(js(b.tolist(), a.tolist()))


def test_g_test_agrees_with_scipy_where_nothing_is_pooled() -> None:
    a, b = [100, 50, 30], [80, 70, 20]
    expected = stats.chi2_contingency([a, b], lambda_="log-likelihood", correction=False).pvalue
    assert g_test(a, b) == pytest.approx(expected)


@pytest.mark.parametrize(("n", "m", "cells"), [(300, 5000, 10), (2000, 2000, 10), (1000, 5000, 50), (5000, 5000, 500)])
def test_without_a_change_the_threshold_is_hardly_ever_reached_and_p_is_uniform(n: int, m: int, cells: int) -> None:
    share = RNG.dirichlet(np.full(cells, 2.0))
    pairs = [(RNG.multinomial(m, share).tolist(), RNG.multinomial(n, share).tolist()) for _ in range(300)]
    assert np.mean([js(a, b) >= 0.1 for a, b in pairs]) <= 0.01
    assert np.mean([g_test(a, b) <= 0.05 for a, b in pairs]) == pytest.approx(0.05, abs=0.045)
    if cells == 10:
        assert np.mean([psi(a, b) >= 0.1 for a, b in pairs]) <= 0.01


def test_psi_with_reference_deciles_is_unbiased_and_its_test_keeps_its_level() -> None:
    values, p_values = [], []
    for _ in range(300):
        reference = profile_columns({"x": RNG.normal(size=1000)})
        found = distance(reference.columns["x"], profile_columns({"x": RNG.normal(size=500)}, reference).columns["x"])
        assert found.measure == "psi"
        values.append(found.value)
        p_values.append(found.p_value)
    assert np.mean(values) < 0.015
    assert np.mean(np.array(p_values) <= 0.05) <= 0.1


def test_a_change_is_far_and_improbable() -> None:
    reference = profile_columns({"x": RNG.normal(size=5000), "c": RNG.choice(["a", "b"], 5000)})
    window = profile_columns({"x": RNG.normal(0.7, 1, 1000), "c": RNG.choice(["a", "z"], 1000)}, reference)
    for name in ("x", "c"):
        found = distance(reference.columns[name], window.columns[name])
        assert found.value > 0.1
        assert found.p_value < 1e-9


def test_rare_cells_are_pooled_before_the_test() -> None:
    # A hundred cells of one row each say nothing about each other.
    assert g_test([100] + [1, 0] * 50, [100] + [0, 1] * 50) > 0.5
    # Kept for their luck in the reference, ten rare values seem to fade; in one pool with the others they do not.
    assert g_test([16] * 10 + [840], [1] * 10 + [90]) < 0.5
    assert g_test([16] * 10 + [840], [1] * 10 + [90], has_other=True) == 1.0
    assert g_test([10], [20]) == 1.0
    assert g_test([1, 0], [0, 1]) == 1.0


def test_null_shift_agrees_with_the_chi_square_test() -> None:
    reference = profile_columns({"x": [None] * 10 + [1] * 990})
    window = profile_columns({"x": [None] * 30 + [1] * 470}, reference)
    found = null_shift(reference.columns["x"], window.columns["x"])
    assert found.change == pytest.approx(0.05)
    expected = stats.chi2_contingency([[10, 990], [30, 470]], correction=False).pvalue
    assert found.p_value == pytest.approx(expected, rel=1e-6)
    assert null_shift(window.columns["x"], window.columns["x"]).p_value == 1.0


@given(st.integers(0, 300), st.integers(0, 40), st.integers(1, 300), st.integers(1, 40))
def test_few_nulls_are_tested_exactly(nulls: int, few: int, values: int, some: int) -> None:
    reference = profile_columns({"x": [None] * nulls + [1] * values})
    window = profile_columns({"x": [None] * few + [1] * some}, reference)
    share = (nulls + few) / (nulls + few + values + some)
    if min(share, 1 - share) * min(nulls + values, few + some) < 5:
        found = null_shift(reference.columns["x"], window.columns["x"]).p_value
        assert found == pytest.approx(stats.fisher_exact([[nulls, values], [few, some]]).pvalue, rel=1e-6)


def test_different_bins_and_empty_sides_are_refused() -> None:
    one, other = profile_columns({"x": [1, 2, 3]}).columns["x"], profile_columns({"x": [4, 5, 6]}).columns["x"]
    assert isinstance(one, NumericProfile)
    with pytest.raises(InvalidError, match="different bins"):
        distance(one, other)
    with pytest.raises(InvalidError, match="rows on both sides"):
        psi([1, 2], [0, 0])
    with pytest.raises(InvalidError, match="same cells"):
        js([1, 2], [1])
    with pytest.raises(InvalidError, match="0 or more"):
        js([1, -2], [1, 1])
    with pytest.raises(InvalidError, match="needs rows"):
        null_shift(one, profile_columns({"x": []}).columns["x"])
