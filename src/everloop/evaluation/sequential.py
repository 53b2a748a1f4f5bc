"""The champion-challenger test that may be looked at after every pair, on losses of both models on the same rows.

The difference of a pair is loss(champion) - loss(challenger): positive means that the challenger did better. The
test keeps a small state, so pairs can arrive in batches of any size for months, and anyone may look, or stop, at any
time without raising the error rate. Who collects the pairs, and what happens on a verdict, is left to others.

**What is estimated.** The mean, over the pairs seen so far, of each pair's expected difference given all pairs before
it. Nothing is assumed to be independent, identically distributed or stationary; only the range of a difference is
known, because losses are clipped. If differences drift, the estimated mean moves too. So intervals of different
times are never intersected: that would be right for one fixed mean only. The guarantee speaks of the traffic seen so
far; that the coming weeks resemble it is a judgement, for which the policy asks a least number of days.

**The bound.** Let X_i be the differences within [-r, r], mu_i = E[X_i | past], S = sum(X_i - mu_i), and c_i a centre
known before X_i, with X_i - c_i >= -c. For 0 <= g < 1, psi(g) = -log(1-g) - g, and x >= -1, it holds that
exp(g x - psi(g) x^2) <= 1 + g x (Fan, Grama & Liu, Electronic Journal of Probability 2015). With x = (X_i - c_i)/c
and 1 + u <= exp(u) it follows that exp(g S/c - psi(g) V/c^2), V = sum (X_i - c_i)^2, is a supermartingale that starts
at most at 1 for every g, and so is any mixture over g with fixed weights. By Ville's inequality the mixture ever
reaches 1/a with probability at most a. That is Theorem 4 of Howard, Ramdas, McAuliffe & Sekhon, Annals of Statistics
2021 (the empirical-Bernstein confidence sequence), used with a discrete mixture (their section 3.3) in place of the
stitched boundary of equation 10, which is twice as wide at the sizes that matter here.

One refinement follows from the same proof: the centre is the running mean, but not above 0 for the lower bound and
not below 0 for the upper. Then c is r and not the whole width 2 r, which halves the part of the bound that the
range causes, at the cost of the mean's square in V, which is negligible where models are close.
"""

from __future__ import annotations

import math
from typing import Literal, TypeAlias

import msgspec
import numpy as np
from numpy.typing import ArrayLike

from everloop.errors import InvalidError
from everloop.evaluation.inputs import Floats, vector
from everloop.evaluation.metrics import BOUNDED_CLIP, loss_range

# Rates g of the mixture, from strong evidence in few pairs (0.9) to small gains in many (3e-5), and their weights.
# Fixed once for all tests: choosing them after seeing the data would void the bound.
_STEPS = np.arange(40, dtype=np.float64)
_RATES: Floats = 0.9 * 1.3**-_STEPS
_PSI: Floats = -np.log1p(-_RATES) - _RATES
_LOG_WEIGHTS: Floats = -1.2 * np.log(_STEPS + 1.0) - math.log(float(np.sum((_STEPS + 1.0) ** -1.2)))


Decision: TypeAlias = Literal["promote", "hold", "reject"]


class PairedState(msgspec.Struct, frozen=True, kw_only=True):
    """What the test remembers of the pairs so far; start with `start`, go on with `update`.

    `reach` is r: a difference lies within [-reach, reach]. `squares_low` and `squares_high` are the sums of squared
    distances to the centres that the lower and the upper bound use.
    """

    reach: float
    n: int = 0
    total: float = 0.0
    squares_low: float = 0.0
    squares_high: float = 0.0

    @property
    def mean(self) -> float:
        """The mean difference so far; 0 without pairs."""
        return self.total / self.n if self.n else 0.0


class PromotionPolicy(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """When a challenger is promoted or rejected.

    Attributes:
        metric: Per-row loss: `log_loss` or `brier`.
        clip: Clip of the log loss; a larger one decides faster and looks away from extreme probabilities.
        alpha: Probability of error, split in equal halves: over all looks together, a challenger whose mean gain is
            not above `min_gain` is promoted with probability at most alpha / 2, and one whose mean gain is above it
            is rejected by the interval with probability at most alpha / 2.
        min_gain: The gain in mean loss that a promotion must show, >= 0.
        min_pairs: No promotion before this many pairs.
        max_pairs: Rejected when undecided at this many pairs; None for no limit.
        min_days: No decision before this many days; a week sees each weekday once, and one storm does not decide.
        max_days: Rejected when undecided after this many days; None for no limit.
    """

    metric: str = "log_loss"
    clip: float = BOUNDED_CLIP
    alpha: float = 0.05
    min_gain: float = 0.0
    min_pairs: int = 500
    max_pairs: int | None = 100_000
    min_days: float = 0.0
    max_days: float | None = None

    def __post_init__(self) -> None:
        loss_range(self.metric, self.clip)
        _check_alpha(self.alpha)
        if self.min_gain < 0.0 or not math.isfinite(self.min_gain):
            raise InvalidError(f"min_gain must be a finite number >= 0, but it is {self.min_gain:g}")
        if self.min_pairs < 1 or (self.max_pairs is not None and self.max_pairs < self.min_pairs):
            raise InvalidError(
                f"1 <= min_pairs <= max_pairs must hold, but they are {self.min_pairs}, {self.max_pairs}"
            )
        if self.min_days < 0 or (self.max_days is not None and self.max_days < self.min_days):
            raise InvalidError(f"0 <= min_days <= max_days must hold, but they are {self.min_days}, {self.max_days}")


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """A decision with every number it was taken on.

    `mean`, `low` and `high` are of loss(champion) - loss(challenger); `evidence` is the e-value against "the mean
    gain is at most min_gain": promotion needs it to reach 2 / alpha.
    """

    decision: Decision
    reason: str
    n: int
    days: float | None
    mean: float
    low: float
    high: float
    evidence: float
    policy: PromotionPolicy


def start(policy: PromotionPolicy) -> PairedState:
    """Return the state of a test without pairs."""
    low, high = loss_range(policy.metric, policy.clip)
    return PairedState(reach=high - low)


def update(state: PairedState, differences: ArrayLike) -> PairedState:
    """Return the state after more pairs; any split of the same pairs into batches gives the same state, to the bit.

    Args:
        state: The state so far.
        differences: loss(champion) - loss(challenger) per pair in the order of arrival, shape (n,), each within
            [-state.reach, state.reach]; n may be 0.

    Raises:
        InvalidError: NaN, another shape, or a difference outside the range.
    """
    if np.size(differences) == 0:
        return state
    x = vector(differences, "differences")
    worst = float(np.abs(x).max())
    # The tolerance is for rounding in a difference of two losses at opposite ends of their range.
    if worst > state.reach * (1.0 + 1e-9):
        raise InvalidError(
            f"a difference of {worst:g} is outside [-{state.reach:g}, {state.reach:g}]",
            hint="Compute both losses with losses(y, p, policy.metric, policy.clip).",
        )
    # np.cumsum adds from left to right, so starting it at the old sums makes batches invisible in the result.
    sums = np.cumsum(np.concatenate([[state.total], x]))
    centre = sums[:-1] / (state.n + 1.0 + np.arange(x.size))
    return PairedState(
        reach=state.reach,
        n=state.n + x.size,
        total=float(sums[-1]),
        squares_low=_accumulate(state.squares_low, (x - np.minimum(centre, 0.0)) ** 2),
        squares_high=_accumulate(state.squares_high, (x - np.maximum(centre, 0.0)) ** 2),
    )


def interval(state: PairedState, alpha: float = 0.05) -> tuple[float, float, float]:
    """Return mean, low and high of the difference, valid at all times together with probability 1 - alpha.

    Each end errs with probability at most alpha / 2. Without pairs the interval is the whole range.

    Raises:
        InvalidError: alpha outside (0, 1).
    """
    _check_alpha(alpha)
    if state.n == 0:
        return 0.0, -state.reach, state.reach
    low = state.mean - _boundary(state.squares_low, state.reach, alpha / 2.0) / state.n
    high = state.mean + _boundary(state.squares_high, state.reach, alpha / 2.0) / state.n
    return state.mean, max(low, -state.reach), min(high, state.reach)


def evidence(state: PairedState, min_gain: float = 0.0) -> float:
    """Return the e-value against "the mean gain is at most `min_gain`".

    If that is true at every time, the e-value ever reaches 1/a with probability at most a, so it may be read at any
    time like a bet's pay-off: 1 is nothing, 40 is what a one-sided 2.5% test asks. It reaches 2/alpha exactly when
    the lower end of `interval(state, alpha)` reaches `min_gain`.
    """
    log_value = float(log_evidence(state.total - state.n * min_gain, state.squares_low, state.reach))
    return math.exp(min(log_value, 700.0))


def log_evidence(deviation: ArrayLike, squares: ArrayLike, reach: float) -> Floats:
    """Return the log of the mixture at sums of deviations S and of squares V (arrays of one shape, or numbers).

    Used by `evidence` and `interval`; on arrays it evaluates whole paths at once, as simulations do.
    """
    s = np.asarray(deviation, dtype=np.float64)[..., None] / reach
    v = np.asarray(squares, dtype=np.float64)[..., None] / reach**2
    terms = _LOG_WEIGHTS + _RATES * s - _PSI * v
    top = terms.max(axis=-1)
    total: Floats = top + np.log(np.exp(terms - top[..., None]).sum(axis=-1))
    return total


def judge(state: PairedState, policy: PromotionPolicy, *, days: float | None = None) -> Verdict:
    """Return what to do with the challenger now; may be asked after every pair.

    Promote when the lower end of the interval is above `min_gain` and enough pairs and days have been seen. Reject
    when the upper end is below `min_gain` (so that promotion is ruled out; below 0 it is harm shown), or when pairs
    or days run out. Hold otherwise.

    Args:
        state: The pairs so far.
        policy: The policy; the state must have been started from it.
        days: Days of traffic that the pairs cover; needed when the policy sets `min_days` or `max_days`.

    Raises:
        InvalidError: The state belongs to another metric or clip, or days are needed and not given.
    """
    if not math.isclose(state.reach, start(policy).reach, rel_tol=1e-9):
        raise InvalidError(
            f"the state was started for differences within {state.reach:g}, the policy needs {start(policy).reach:g}",
            hint="Start a new test when metric or clip of the policy change.",
        )
    if days is None and (policy.min_days > 0 or policy.max_days is not None):
        raise InvalidError("the policy counts days, so judge() needs days=")
    mean, low, high = interval(state, policy.alpha)
    decision, reason = _decide(state.n, low, high, policy, days)
    return Verdict(
        decision=decision,
        reason=reason,
        n=state.n,
        days=days,
        mean=mean,
        low=low,
        high=high,
        evidence=evidence(state, policy.min_gain),
        policy=policy,
    )


def _decide(n: int, low: float, high: float, policy: PromotionPolicy, days: float | None) -> tuple[Decision, str]:
    gain = policy.min_gain
    seen = f"{n} pairs" if days is None else f"{n} pairs and {days:g} days"
    if high < gain and (days is None or days >= policy.min_days):
        finding = "the challenger is worse" if high < 0.0 else f"the gain is less than the {gain:g} asked for"
        return "reject", f"{finding}: after {seen} it is at most {high:.3g}"
    is_shown = low > gain
    if is_shown and n >= policy.min_pairs and (days is None or days >= policy.min_days):
        return "promote", f"the gain is at least {low:.3g} after {seen}, more than the {gain:g} asked for"
    is_late = days is not None and policy.max_days is not None and days >= policy.max_days
    # A gain that is shown and only waits for its least number of days is not thrown away for its many pairs.
    is_spent = policy.max_pairs is not None and n >= policy.max_pairs and not is_shown
    if is_late or is_spent:
        return "reject", f"{'time' if is_late else 'pairs'} ran out: after {seen} the gain is at least {low:.3g}"
    if is_shown:
        needed = f"{policy.min_pairs} pairs" + ("" if days is None else f" and {policy.min_days:g} days")
        return "hold", f"a gain of at least {low:.3g} is shown after {seen}; the policy waits for {needed}"
    return "hold", f"undecided after {seen}: the gain lies between {low:.3g} and {high:.3g}"


def _boundary(squares: float, reach: float, alpha: float) -> float:
    """Return the deviation S at which the mixture reaches 1 / alpha, by bisection; it grows with S."""
    target = -math.log(alpha)
    # The largest rate alone, with its weight, already exceeds the target here, so the root is below.
    top = reach * (target - _LOG_WEIGHTS[0] + _PSI[0] * squares / reach**2) / _RATES[0]
    low, high = 0.0, float(top)
    while high - low > 1e-12 * top:
        middle = (low + high) / 2.0
        if float(log_evidence(middle, squares, reach)) < target:
            low = middle
        else:
            high = middle
    return high


def _accumulate(so_far: float, values: Floats) -> float:
    return float(np.cumsum(np.concatenate([[so_far], values]))[-1])


def _check_alpha(alpha: float) -> None:
    if not 0.0 < alpha < 1.0:
        raise InvalidError(f"alpha must lie in (0, 1), but it is {alpha:g}")
