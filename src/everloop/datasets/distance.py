"""How far the profile of a window is from the reference's: PSI and Jensen-Shannon distance, corrected for chance.

A plain PSI or JS distance is never zero on samples, and grows with the number of bins over the number of rows, so a
fixed threshold alarms on small windows and sleeps on large ones. Here the part that chance alone would give is taken
off, and a p-value stands beside the effect. When to raise an alarm is left to monitoring.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from everloop.datasets.profile import CategoricalProfile, ColumnProfile, NumericProfile
from everloop.datasets.tails import chi_square_tail, normal_tail
from everloop.errors import InvalidError

Floats = NDArray[np.float64]

_MIN_EXPECTED = 5.0


class Distance(msgspec.Struct, frozen=True, kw_only=True):
    """How far a window is from the reference in one column.

    Attributes:
        measure: `psi` for numeric columns, `js` for categorical ones.
        value: The bias-corrected distance: PSI* >= 0, or JS* in [0, sqrt(ln 2)].
        p_value: Of the G-test that both samples have one distribution.
        n_reference: Values of the reference.
        n_window: Values of the window.
    """

    measure: Literal["psi", "js"]
    value: float
    p_value: float
    n_reference: int
    n_window: int


class NullShift(msgspec.Struct, frozen=True, kw_only=True):
    """How the share of nulls changed: window minus reference, in [-1, 1], and the p-value of no change."""

    change: float
    p_value: float


def distance(reference: ColumnProfile, window: ColumnProfile) -> Distance:
    """Return how far `window` is from `reference`: PSI* for numeric columns, JS* for categorical ones.

    Both need values; nulls are compared by `null_shift`.

    Raises:
        InvalidError: The two were not made with the same bins, or one has no values.
    """
    _check_same_bins(reference, window)
    is_numeric = isinstance(reference, NumericProfile)
    return Distance(
        measure="psi" if is_numeric else "js",
        value=(psi if is_numeric else js)(reference.cells, window.cells),
        p_value=g_test(reference.cells, window.cells, has_other=not is_numeric),
        n_reference=reference.count,
        n_window=window.count,
    )


def psi(reference: Sequence[int], window: Sequence[int]) -> float:
    """Return the population stability index of two samples minus what chance alone gives, not below 0.

    PSI* = sum (p - q) ln(p / q) - (B - 1)(1/n + 1/m), in nats, B cells. Half a row is added to each cell, so that an
    empty cell counts by how many rows could have been in it and not by an arbitrary tiny share.

    Args:
        reference: Rows per cell, shape (B,), sum m > 0.
        window: Rows per cell, shape (B,), sum n > 0.

    Raises:
        InvalidError: Different cells, negative counts, or no rows.

    Source: Yurdakul & Naranjo, Statistical properties of the population stability index, Journal of Risk Model
        Validation 2020: without a change PSI / (1/n + 1/m) tends to chi-square with B - 1 degrees of freedom.
    """
    a, b = _used_cells(reference, window)
    m, n = float(a.sum()), float(b.sum())
    q = (a + 0.5) / (m + 0.5 * a.size)
    p = (b + 0.5) / (n + 0.5 * b.size)
    value = float(np.sum((p - q) * np.log(p / q)))
    return max(0.0, value - (a.size - 1) * (1.0 / n + 1.0 / m))


def js(reference: Sequence[int], window: Sequence[int]) -> float:
    """Return the Jensen-Shannon distance of two samples, corrected for chance, in [0, sqrt(ln 2)].

    JS* = sqrt(max(0, JSD - (k - 1)(1/n + 1/m) / 8)), natural logarithm, k cells that any row is in; the correction
    is the expectation of JSD without a change, to second order.

    Args:
        reference: Rows per cell, shape (k,), sum m > 0.
        window: Rows per cell, shape (k,), sum n > 0.

    Raises:
        InvalidError: Different cells, negative counts, or no rows.

    Source: Lin, Divergence measures based on the Shannon entropy, IEEE Transactions on Information Theory 1991.
    """
    a, b = _used_cells(reference, window)
    m, n = float(a.sum()), float(b.sum())
    q, p = a / m, b / n
    middle = (p + q) / 2.0
    divergence = (_relative_entropy(p, middle) + _relative_entropy(q, middle)) / 2.0
    return math.sqrt(max(0.0, divergence - (a.size - 1) * (1.0 / n + 1.0 / m) / 8.0))


def g_test(reference: Sequence[int], window: Sequence[int], *, has_other: bool = False) -> float:
    """Return the p-value of the G-test that both samples come from one distribution over the cells.

    Cells that expect fewer than 5 rows in either sample are pooled first.

    Args:
        reference: Rows per cell, shape (k,).
        window: Rows per cell, shape (k,).
        has_other: Whether the last cell holds all other values; then it takes part in the pool. Apart from it, rare
            values that a reference keeps because they happened to be frequent there would seem to have become rarer.

    Raises:
        InvalidError: Different cells, negative counts, or no rows.

    Source: Sokal & Rohlf, Biometry; the pooling rule is Cochran's, Biometrics 1954.
    """
    a, b = _used_cells(reference, window)
    a, b = _pooled(a, b, has_other=has_other and bool(reference[-1] + window[-1]))
    if a.size < 2:
        return 1.0
    table = np.stack([a, b])
    expected = table.sum(axis=1, keepdims=True) * table.sum(axis=0) / table.sum()
    parts = np.where(table > 0, table * np.log(np.where(table > 0, table, 1.0) / expected), 0.0)
    return chi_square_tail(2.0 * float(parts.sum()), a.size - 1)


def null_shift(reference: ColumnProfile, window: ColumnProfile) -> NullShift:
    """Return the change of the share of nulls, with the two-sided p-value that there is none.

    The p-value is of the pooled two-proportion z-test, or of Fisher's exact test where a cell expects fewer than 5.

    Raises:
        InvalidError: One of the two has no rows.

    Source: Fisher, Journal of the Royal Statistical Society 1922; tables at most as probable as the one seen count.
    """
    m, n = reference.count + reference.nulls, window.count + window.nulls
    if not m or not n:
        raise InvalidError(f"a share of nulls needs rows, but the reference has {m} and the window {n}")
    change = window.nulls / n - reference.nulls / m
    share = (window.nulls + reference.nulls) / (n + m)
    if min(share, 1.0 - share) * min(n, m) < _MIN_EXPECTED:
        return NullShift(change=change, p_value=_fisher(window.nulls, n, reference.nulls, m))
    spread = math.sqrt(share * (1.0 - share) * (1.0 / n + 1.0 / m))
    return NullShift(change=change, p_value=2.0 * normal_tail(abs(change) / spread))


def _fisher(k: int, n: int, k_other: int, m: int) -> float:
    """Return the two-sided p-value of k in n against k_other in m."""
    if k + k_other > (n + m) / 2:
        # Counting the rarer outcome keeps the table short, with the same result.
        k, k_other = n - k, m - k_other
    total = k + k_other
    low, high = max(0, total - m), min(total, n)
    i = np.arange(low, high, dtype=np.float64)
    # The ratio of neighbouring hypergeometric probabilities.
    steps = np.log(total - i) + np.log(n - i) - np.log(i + 1.0) - np.log(m - total + i + 1.0)
    logs = np.concatenate([[0.0], np.cumsum(steps)])
    weights = np.exp(logs - logs.max())
    seen = weights[k - low]
    return min(1.0, float(weights[weights <= seen * (1.0 + 1e-9)].sum() / weights.sum()))


def _check_same_bins(reference: ColumnProfile, window: ColumnProfile) -> None:
    if isinstance(reference, NumericProfile) and isinstance(window, NumericProfile):
        is_same = reference.edges == window.edges
    elif isinstance(reference, CategoricalProfile) and isinstance(window, CategoricalProfile):
        is_same = list(reference.counts) == list(window.counts)
    else:
        is_same = False
    if not is_same:
        raise InvalidError(
            "the two columns were profiled with different bins and cannot be compared",
            hint="Make the window's profile with profile_columns(..., reference=...).",
        )


def _used_cells(reference: Sequence[int], window: Sequence[int]) -> tuple[Floats, Floats]:
    """Return the counts of the cells that any row is in."""
    a, b = np.asarray(reference, dtype=np.float64), np.asarray(window, dtype=np.float64)
    if a.shape != b.shape or a.ndim != 1:
        raise InvalidError(f"both samples need the same cells, but they have shapes {a.shape} and {b.shape}")
    if np.any(a < 0) or np.any(b < 0):
        raise InvalidError("counts must be 0 or more")
    if not a.sum() or not b.sum():
        raise InvalidError(f"a distance needs rows on both sides, but there are {a.sum():g} and {b.sum():g}")
    used = (a + b) > 0
    return a[used], b[used]


def _pooled(a: Floats, b: Floats, *, has_other: bool) -> tuple[Floats, Floats]:
    expected = (a + b) * min(a.sum(), b.sum()) / (a.sum() + b.sum())
    order = np.argsort(expected, kind="stable")
    rare = int(np.count_nonzero(expected < _MIN_EXPECTED))
    # Where all rare cells together are still rare, the next larger one joins them.
    while 0 < rare < order.size and expected[order[:rare]].sum() < _MIN_EXPECTED:
        rare += 1
    if not rare:
        return a, b
    pool = np.zeros(a.size, dtype=bool)
    pool[order[:rare]] = True
    pool[-1] |= has_other
    return np.append(a[~pool], a[pool].sum()), np.append(b[~pool], b[pool].sum())


def _relative_entropy(p: Floats, q: Floats) -> float:
    there = p > 0
    return float(np.sum(p[there] * np.log(p[there] / q[there])))
