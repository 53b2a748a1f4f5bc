"""Tail probabilities agree with scipy."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import special, stats

from everloop.datasets.tails import chi_square_tail, normal_tail, t_quantile, t_tail, upper_gamma


@given(st.floats(0.01, 2000), st.floats(0, 4000))
def test_upper_gamma(a: float, x: float) -> None:
    assert upper_gamma(a, x) == pytest.approx(special.gammaincc(a, x), rel=1e-8, abs=1e-290)


@given(st.floats(0, 2000), st.integers(1, 600))
def test_chi_square(value: float, freedom: int) -> None:
    assert chi_square_tail(value, freedom) == pytest.approx(stats.chi2.sf(value, freedom), rel=1e-8, abs=1e-290)


@given(st.floats(-30, 30), st.floats(0.5, 1e7))
def test_student(value: float, freedom: float) -> None:
    assert t_tail(value, freedom) == pytest.approx(stats.t.sf(value, freedom), rel=1e-6, abs=1e-250)


@given(st.floats(1e-9, 1 - 1e-9), st.floats(1, 1e6))
def test_student_quantile(tail: float, freedom: float) -> None:
    assert t_quantile(tail, freedom) == pytest.approx(stats.t.isf(tail, freedom), rel=1e-6, abs=1e-7)


def test_limits() -> None:
    assert chi_square_tail(0, 3) == 1.0
    assert normal_tail(1.6448536269514722) == pytest.approx(0.05)
    assert t_tail(1.96, math.inf) == normal_tail(1.96)
    assert t_quantile(0.025, math.inf) == pytest.approx(1.959964, abs=1e-6)
