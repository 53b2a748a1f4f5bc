"""Metrics of a binary classifier, each with its interval, and the per-row losses that tests are made on.

A metric without an interval invites decisions on noise, so every one here returns an `Estimate`. Rows are taken as
independent; where they come in clusters (one bad day), the intervals are too narrow, and comparing windows
(`everloop.monitoring`) is the honest way. What to do about a number is left to gates and promotion policies.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from statistics import NormalDist
from types import MappingProxyType

import msgspec
import numpy as np
from numpy.typing import ArrayLike

from everloop.errors import InvalidError, NotFoundError
from everloop.evaluation.inputs import Floats, labels_and_scores

EXACT_CLIP = 1e-15
"""Clip of the reported log loss: only keeps log(0) away."""

BOUNDED_CLIP = 0.01
"""Clip of per-row log losses in tests: bounds one row's loss to log(100) = 4.61, which tests need to be exact."""


class Estimate(msgspec.Struct, frozen=True, kw_only=True):
    """A number with the interval that covers the true one with probability `confidence` (two-sided)."""

    value: float
    low: float
    high: float
    n: int
    confidence: float


def log_loss(y: ArrayLike, p: ArrayLike, *, clip: float = EXACT_CLIP, confidence: float = 0.95) -> Estimate:
    """Return the mean of -log(probability given to what happened), in nats, with a normal interval.

    Args:
        y: Labels 0 or 1, shape (n,), n >= 2.
        p: Probabilities of label 1, shape (n,), moved into [clip, 1 - clip] first.
        clip: In (0, 0.5).
        confidence: In (0, 1).

    Raises:
        InvalidError: Malformed input.
    """
    return mean_estimate(losses(y, p, "log_loss", clip), confidence=confidence)


def brier(y: ArrayLike, p: ArrayLike, *, confidence: float = 0.95) -> Estimate:
    """Return the mean squared distance between probability and label, in [0, 1], with a normal interval.

    Args:
        y: Labels 0 or 1, shape (n,), n >= 2.
        p: Probabilities of label 1, shape (n,).
        confidence: In (0, 1).

    Raises:
        InvalidError: Malformed input.

    Source: Brier, Monthly Weather Review 1950 (the half of his score that is used for binary labels).
    """
    return mean_estimate(losses(y, p, "brier"), confidence=confidence)


def accuracy(y: ArrayLike, p: ArrayLike, *, threshold: float = 0.5, confidence: float = 0.95) -> Estimate:
    """Return the share of rows where (p >= threshold) is the label, with Wilson's interval.

    Raises:
        InvalidError: Malformed input.

    Source: Wilson, JASA 1927.
    """
    labels, scores = labels_and_scores(y, p)
    hits = int(np.count_nonzero((scores >= threshold) == (labels == 1.0)))
    low, high = wilson(hits / labels.size, labels.size, confidence)
    return Estimate(
        value=hits / labels.size,
        low=low,
        high=high,
        n=labels.size,
        confidence=confidence,
    )


def auc(y: ArrayLike, p: ArrayLike, *, confidence: float = 0.95) -> Estimate:
    """Return the area under the ROC curve with DeLong's interval, in O(n log n).

    It is the probability that a random row of label 1 is scored above a random row of label 0, ties counting half.
    The interval is normal on the logit scale, so it stays within [0, 1]. When the classes are separated perfectly
    DeLong's variance is zero and says nothing: then it is Wilson's interval for as many trials as the rarer class
    has rows, which is cautious.

    Args:
        y: Labels 0 or 1, shape (n,), both present.
        p: Probabilities of label 1, shape (n,); only their order matters.
        confidence: In (0, 1).

    Raises:
        InvalidError: Malformed input, or only one class.

    Source: DeLong, DeLong & Clarke-Pearson, Biometrics 1988; mid-rank algorithm of Sun & Xu, IEEE Signal Processing
        Letters 2014, equations 5 to 10.
    """
    labels, scores = labels_and_scores(y, p)
    positive, negative = scores[labels == 1.0], scores[labels == 0.0]
    m, n = positive.size, negative.size
    if m == 0 or n == 0:
        raise InvalidError(f"AUC needs both labels, but all {labels.size} rows are {labels[0]:g}")
    pooled = _midranks(np.concatenate([positive, negative]))
    v10 = (pooled[:m] - _midranks(positive)) / n
    v01 = 1.0 - (pooled[m:] - _midranks(negative)) / m
    value = float(v10.mean())
    variance = _variance(v10) / m + _variance(v01) / n
    if value <= 0.0 or value >= 1.0 or variance <= 0.0:
        low, high = wilson(value, min(m, n), confidence)
    else:
        logit = math.log(value / (1.0 - value))
        half = _z(confidence) * math.sqrt(variance) / (value * (1.0 - value))
        low, high = _expit(logit - half), _expit(logit + half)
    return Estimate(value=value, low=low, high=high, n=labels.size, confidence=confidence)


class Metric(msgspec.Struct, frozen=True, kw_only=True):
    """A metric by name: how to compute it and which direction is better."""

    name: str
    compute: Callable[[ArrayLike, ArrayLike], Estimate]
    higher_is_better: bool


METRICS: Mapping[str, Metric] = MappingProxyType(
    {
        entry.name: entry
        for entry in (
            Metric(name="log_loss", compute=log_loss, higher_is_better=False),
            Metric(name="brier", compute=brier, higher_is_better=False),
            Metric(name="auc", compute=auc, higher_is_better=True),
            Metric(name="accuracy", compute=accuracy, higher_is_better=True),
        )
    }
)
"""The metrics of this room by name, in the order in which reports show them."""


def metric(name: str) -> Metric:
    """Return the metric called `name`.

    Raises:
        NotFoundError: There is none of that name.
    """
    if name not in METRICS:
        raise NotFoundError(f"there is no metric {name!r}", hint=f"Known metrics: {', '.join(METRICS)}.")
    return METRICS[name]


def losses(y: ArrayLike, p: ArrayLike, name: str, clip: float = BOUNDED_CLIP) -> Floats:
    """Return the loss of each row, shape (n,), float64, each within `loss_range(name, clip)`.

    Args:
        y: Labels 0 or 1, shape (n,).
        p: Probabilities of label 1, shape (n,).
        name: `log_loss` or `brier`.
        clip: Log loss only: probabilities are moved into [clip, 1 - clip], clip in (0, 0.5).

    Raises:
        InvalidError: Malformed input.
        NotFoundError: Another name.
    """
    loss_range(name, clip)
    labels, scores = labels_and_scores(y, p)
    if name == "brier":
        return (scores - labels) ** 2
    scores = np.clip(scores, clip, 1.0 - clip)
    return -np.log(np.where(labels == 1.0, scores, 1.0 - scores))


def loss_range(name: str, clip: float = BOUNDED_CLIP) -> tuple[float, float]:
    """Return the least and the greatest loss that one row can have.

    Raises:
        InvalidError: `clip` outside (0, 0.5).
        NotFoundError: A name that has no per-row loss.
    """
    if name == "brier":
        return 0.0, 1.0
    if name != "log_loss":
        raise NotFoundError(f"there is no per-row loss {name!r}", hint="Known losses: log_loss, brier.")
    if not 0.0 < clip < 0.5:
        raise InvalidError(f"clip must lie in (0, 0.5), but it is {clip:g}")
    return -math.log(1.0 - clip), -math.log(clip)


def mean_estimate(values: Floats, *, confidence: float = 0.95) -> Estimate:
    """Return the mean of `values`, shape (n,), n >= 2, with the interval of the central limit theorem.

    Raises:
        InvalidError: Fewer than 2 values, or confidence outside (0, 1).
    """
    if values.size < 2:
        raise InvalidError(f"an interval needs at least 2 rows, but there are {values.size}")
    value = float(values.mean())
    half = _z(confidence) * math.sqrt(_variance(values) / values.size)
    return Estimate(
        value=value,
        low=value - half,
        high=value + half,
        n=values.size,
        confidence=confidence,
    )


def wilson(share: float, n: int, confidence: float) -> tuple[float, float]:
    """Return Wilson's score interval for a share seen in `n` trials.

    Source: Wilson, JASA 1927.
    """
    z = _z(confidence)
    scale = 1.0 + z * z / n
    centre = (share + z * z / (2 * n)) / scale
    half = z / scale * math.sqrt(share * (1.0 - share) / n + z * z / (4.0 * n * n))
    return max(0.0, centre - half), min(1.0, centre + half)


def _z(confidence: float) -> float:
    if not 0.0 < confidence < 1.0:
        raise InvalidError(f"confidence must lie in (0, 1), but it is {confidence:g}")
    return NormalDist().inv_cdf(0.5 + confidence / 2.0)


def _expit(value: float) -> float:
    # The two forms keep exp() from overflowing at either end.
    if value >= 0.0:
        return 1.0 / (1.0 + math.exp(-value))
    return math.exp(value) / (1.0 + math.exp(value))


def _variance(values: Floats) -> float:
    return float(values.var(ddof=1)) if values.size > 1 else 0.0


def _midranks(values: Floats) -> Floats:
    """Return ranks from 1 with ties sharing their mean rank, shape (n,)."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    ranks: Floats = (ends - (counts - 1) / 2.0)[inverse]
    return ranks
