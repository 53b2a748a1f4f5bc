"""The evaluation of a model as one value that can be stored, compared and gated on.

`evaluate` looks at one model, `compare` at two on the same rows. Both are for a fixed set of rows, looked at once;
for looking again and again while rows arrive there is `everloop.evaluation.sequential`. Whether the numbers are good
enough is left to gates.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec
import numpy as np
from numpy.typing import ArrayLike

from everloop.errors import InvalidError
from everloop.evaluation.inputs import Floats, labels_and_scores
from everloop.evaluation.metrics import BOUNDED_CLIP, METRICS, Estimate, losses, mean_estimate, metric
from everloop.evaluation.segments import Segment, segment_metrics

_BINS = 10


class CalibrationBin(msgspec.Struct, frozen=True, kw_only=True):
    """One of about ten equally filled groups of rows by score: what was promised and what came."""

    n: int
    mean_score: float
    positive_share: float


class EvaluationReport(msgspec.Struct, frozen=True, kw_only=True):
    """How good a model is on a set of labelled rows.

    Attributes:
        n: Rows.
        positive_share: Share of label 1 in [0, 1].
        metrics: Metric name to estimate.
        skipped: Metric name to the reason why it could not be computed (AUC with one class).
        calibration: Bins by score, ascending.
        calibration_error: Mean distance between promised and observed share over the bins, weighted by rows
            (expected calibration error). Sampling noise alone makes it positive, by about 1 / sqrt(n).
        segments: Column name to value to metrics.
    """

    n: int
    positive_share: float
    metrics: dict[str, Estimate]
    skipped: dict[str, str]
    calibration: list[CalibrationBin]
    calibration_error: float
    segments: dict[str, dict[str, Segment]]


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """Champion against challenger on the same rows.

    `difference` is the mean of loss(champion) - loss(challenger): above 0 the challenger is better.
    """

    metric: str
    clip: float
    n: int
    champion: Estimate
    challenger: Estimate
    difference: Estimate


def evaluate(
    y: ArrayLike,
    p: ArrayLike,
    segments: Mapping[str, ArrayLike] | None = None,
    *,
    metrics: Sequence[str] = tuple(METRICS),
    min_segment_rows: int = 100,
) -> EvaluationReport:
    """Return the report of probabilities `p` against labels `y`.

    Args:
        y: Labels 0 or 1, shape (n,), n >= 2.
        p: Probabilities of label 1, shape (n,).
        segments: Column name to values of shape (n,); None for no segments.
        metrics: Names of the metrics wanted.
        min_segment_rows: A segment with fewer rows gets no numbers.

    Raises:
        InvalidError: Malformed input.
        NotFoundError: An unknown metric.
    """
    labels, scores = labels_and_scores(y, p)
    wanted = [metric(name) for name in metrics]
    is_one_class = labels.min() == labels.max()
    skipped = {"auc": f"all labels are {labels[0]:g}"} if is_one_class and "auc" in metrics else {}
    bins = calibration(labels, scores)
    return EvaluationReport(
        n=labels.size,
        positive_share=float(labels.mean()),
        metrics={entry.name: entry.compute(labels, scores) for entry in wanted if entry.name not in skipped},
        skipped=skipped,
        calibration=bins,
        calibration_error=sum(b.n * abs(b.mean_score - b.positive_share) for b in bins) / labels.size,
        segments=segment_metrics(labels, scores, segments or {}, metrics=metrics, min_rows=min_segment_rows),
    )


def compare(
    y: ArrayLike,
    p_champion: ArrayLike,
    p_challenger: ArrayLike,
    *,
    metric: str = "log_loss",
    clip: float = BOUNDED_CLIP,
    confidence: float = 0.95,
) -> Comparison:
    """Return the paired comparison of two models on the same rows, for one look at a fixed set of rows.

    Args:
        y: Labels 0 or 1, shape (n,), n >= 2.
        p_champion: Probabilities of label 1 by the champion, shape (n,).
        p_challenger: The same by the challenger, shape (n,).
        metric: `log_loss` or `brier`.
        clip: Clip of the log loss.
        confidence: In (0, 1).

    Raises:
        InvalidError: Malformed input.
        NotFoundError: Another loss.
    """
    champion, challenger = losses(y, p_champion, metric, clip), losses(y, p_challenger, metric, clip)
    return Comparison(
        metric=metric,
        clip=clip,
        n=champion.size,
        champion=mean_estimate(champion, confidence=confidence),
        challenger=mean_estimate(challenger, confidence=confidence),
        difference=mean_estimate(champion - challenger, confidence=confidence),
    )


def calibration(y: ArrayLike, p: ArrayLike) -> list[CalibrationBin]:
    """Return at most ten groups of rows by score with about equal counts, ascending; equal scores stay together.

    Raises:
        InvalidError: Malformed input.
    """
    labels, scores = labels_and_scores(y, p)
    cuts = np.unique(np.quantile(scores, np.arange(1, _BINS) / _BINS))
    group = np.searchsorted(cuts, scores, side="left")
    counts = np.bincount(group)
    return [
        CalibrationBin(n=int(counts[k]), mean_score=_mean(scores, group == k), positive_share=_mean(labels, group == k))
        for k in np.flatnonzero(counts)
    ]


def report_json(report: EvaluationReport) -> bytes:
    """Return the report as JSON."""
    return msgspec.json.encode(report)


def read_report(data: bytes) -> EvaluationReport:
    """Return the report that `report_json` wrote.

    Raises:
        InvalidError: The bytes are not such a report; the message names the field.
    """
    try:
        return msgspec.json.decode(data, type=EvaluationReport)
    except msgspec.DecodeError as error:
        raise InvalidError(f"this is not an evaluation report: {error}") from error


def _mean(values: Floats, rows: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> float:
    return float(values[rows].mean())
