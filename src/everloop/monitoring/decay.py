"""Decay of a model: is the loss of a window really above the loss on the reference, by more than is tolerated?

Windows are looked at again and again, day after day, so a bound that is right for one look would cry wolf every few
weeks. The error rate here is for a whole series of looks (a year of days or weeks), shared out evenly among them. It
looks at labelled rows only; when labels are complete enough, and what to do on an alert, is left to others.

Rows within a window resemble one another (a stormy day delays all its flights), and windows differ by more than the
spread of their rows explains. `summarise_windows` learns that from the reference's own windows, and the bound then
allows for it; with a reference that was taken as one lump, rows are taken as independent.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import msgspec
import numpy as np
from numpy.typing import ArrayLike

from everloop.datasets.tails import t_quantile
from everloop.errors import InvalidError

LOOKS_PER_YEAR = {"day": 366, "week": 53}


class LossSummary(msgspec.Struct, frozen=True, kw_only=True):
    """The losses of a set of rows in a few numbers.

    Attributes:
        n: Rows.
        mean: Their mean loss.
        variance: Variance of the rows' losses (n - 1 in the denominator).
        windows: In how many windows the rows came, when `between` was learnt from them; else 1.
        between: Variance of windows' expected losses around their common mean; 0 when unknown.
    """

    n: int
    mean: float
    variance: float
    windows: int = 1
    between: float = 0.0

    def __post_init__(self) -> None:
        if self.n < 0 or self.windows < 1 or not min(self.variance, self.between) >= 0.0:
            raise InvalidError("a loss summary needs n >= 0, windows >= 1, variance >= 0 and between >= 0")
        if not all(map(math.isfinite, (self.mean, self.variance, self.between))):
            raise InvalidError("a loss summary needs finite numbers")


class DecayPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """When a loss is called decayed.

    Attributes:
        tolerance: Rise of the mean loss that is put up with, >= 0.
        alpha: Probability of any false alert in the whole series of looks.
        looks: Looks in the series: see `LOOKS_PER_YEAR`.
        warning_alpha: Probability of a false warning in a single look.
        min_rows: A window, or reference, with fewer labelled rows is not judged.
    """

    tolerance: float = 0.02
    alpha: float = 0.05
    looks: int = LOOKS_PER_YEAR["day"]
    warning_alpha: float = 0.05
    min_rows: int = 200

    def __post_init__(self) -> None:
        if self.tolerance < 0.0 or self.looks < 1 or self.min_rows < 2:
            raise InvalidError("a decay policy needs tolerance >= 0, looks >= 1 and min_rows >= 2")
        if not 0.0 < self.alpha < 1.0 or not 0.0 < self.warning_alpha < 1.0:
            raise InvalidError("alpha and warning_alpha must lie in (0, 1)")


class DecayReport(msgspec.Struct, frozen=True, kw_only=True):
    """The finding for one window.

    Attributes:
        status: `alert` when `low` is above the tolerance; `warning` when only the bound for a single look is.
        difference: Mean loss of the window minus that of the reference; None when there is not enough data, as for
            `low` and `high`.
        low: Lower bound of the difference, valid for all looks of the series together with probability 1 - alpha.
        high: Upper bound, likewise (each bound alone).
        n: Labelled rows of the window.
        threshold: The tolerance that `low` is held against.
        reason: In one sentence, with numbers.
        policy: The policy.
    """

    status: Literal["ok", "warning", "alert", "not_enough_data"]
    difference: float | None
    low: float | None
    high: float | None
    n: int
    threshold: float
    reason: str
    policy: DecayPolicy


def summarise(losses: ArrayLike) -> LossSummary:
    """Return the summary of per-row losses, shape (n,), finite; fewer than 2 rows have variance 0."""
    values = np.asarray(losses, dtype=np.float64)
    if values.ndim != 1 or not np.all(np.isfinite(values)):
        raise InvalidError("losses must be finite numbers of shape (n,)")
    return LossSummary(
        n=values.size,
        mean=float(values.mean()) if values.size else 0.0,
        variance=float(values.var(ddof=1)) if values.size > 1 else 0.0,
    )


def summarise_windows(windows: Sequence[LossSummary]) -> LossSummary:
    """Return the summary of a reference from its windows (days or weeks, of the kind that will be watched).

    `between` is the variance of the windows' means beyond what the rows' own spread explains, by the method of
    moments. Windows without two rows are left out; with fewer than two windows nothing is known of `between`.

    Raises:
        InvalidError: No window has two rows.

    Source: DerSimonian & Laird, Controlled Clinical Trials 1986, equation 8, with weights n.
    """
    used = [window for window in windows if window.n >= 2]
    if not used:
        raise InvalidError("a reference needs at least one window with two labelled rows")
    n = np.array([w.n for w in used], dtype=np.float64)
    means = np.array([w.mean for w in used])
    inside = np.array([w.variance for w in used])
    total, mean = n.sum(), float(np.average(means, weights=n))
    squares = float(np.sum(n * (means - mean) ** 2))
    expected = float(np.sum(inside * (1.0 - n / total)))
    between = max(0.0, (squares - expected) / float(total - np.sum(n * n) / total)) if len(used) > 1 else 0.0
    variance = (float(np.sum((n - 1.0) * inside)) + squares) / float(total - 1.0)
    return LossSummary(n=int(total), mean=mean, variance=variance, windows=len(used), between=between)


def decay(window: LossSummary, reference: LossSummary, policy: DecayPolicy | None = None) -> DecayReport:
    """Return whether the loss of a window rose above the reference's by more than the tolerance.

    Alert when the lower bound of (window mean - reference mean) is above the tolerance. The bound is Student's, at
    level alpha / looks: by Bonferroni the probability that any of the series of looks alerts without a rise is at
    most alpha, however the windows depend on one another and on the shared reference, as far as the t distribution
    fits the mean of at least `min_rows` losses. Losses are skewed to the right, which makes this bound err on the
    quiet side (a window that is high by chance has a high variance too).

    With a reference from several windows, its degrees of freedom are their number less one: eight weeks teach little
    about how weeks differ, and the bound is wide accordingly. With a reference in one lump they are Welch's.

    Args:
        window: Losses of the window's labelled rows.
        reference: Losses on the reference; best from `summarise_windows`.
        policy: Thresholds; None means the defaults.

    Source: Welch, Biometrika 1947; Satterthwaite, Biometrics Bulletin 1946, equation 17, for the degrees of freedom.
    """
    policy = policy or DecayPolicy()
    if min(window.n, reference.n) < policy.min_rows:
        return _not_enough(window, reference, policy)
    difference = window.mean - reference.mean
    variance, freedom = _spread(window, reference)
    half = math.sqrt(variance) * t_quantile(policy.alpha / policy.looks, freedom)
    low, high = difference - half, difference + half
    early = difference - math.sqrt(variance) * t_quantile(policy.warning_alpha, freedom)
    status: Literal["ok", "warning", "alert"] = (
        "alert" if low > policy.tolerance else "warning" if early > policy.tolerance else "ok"
    )
    found = f"the mean loss is {difference:+.4f} against the reference, at least {low:+.4f} over all looks"
    return DecayReport(
        status=status,
        difference=difference,
        low=low,
        high=high,
        n=window.n,
        threshold=policy.tolerance,
        reason=f"{found}; tolerated is {policy.tolerance:+.4f} ({window.n} rows)",
        policy=policy,
    )


def _spread(window: LossSummary, reference: LossSummary) -> tuple[float, float]:
    """Return the variance of the difference of the two means, and the degrees of freedom it is known with."""
    inside = window.variance / window.n, reference.variance / reference.n
    if reference.windows > 1:
        # What one more window does beside m others of its size is Student's with m - 1 degrees of freedom; cutting
        # `between` off at 0 only makes the variance larger, so the bound holds.
        return sum(inside) + reference.between * (1.0 + 1.0 / reference.windows), reference.windows - 1.0
    variance = sum(inside)
    if variance <= 0.0:
        return 0.0, math.inf
    # Satterthwaite's formula in shares of the variance, which neither underflow nor overflow.
    shares = (inside[0] / variance) ** 2 / (window.n - 1) + (inside[1] / variance) ** 2 / (reference.n - 1)
    return variance, 1.0 / shares


def _not_enough(window: LossSummary, reference: LossSummary, policy: DecayPolicy) -> DecayReport:
    return DecayReport(
        status="not_enough_data",
        difference=None,
        low=None,
        high=None,
        n=window.n,
        threshold=policy.tolerance,
        reason=f"{policy.min_rows} labelled rows are needed; the window has {window.n}, the reference {reference.n}",
        policy=policy,
    )
