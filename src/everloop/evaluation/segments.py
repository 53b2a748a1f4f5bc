"""The metrics of each segment: the rows that share one value of one column.

It says where a model is weak, with intervals, and says "not enough data" where a number would be noise. Searching
for segments nobody named, and fairness between groups, are left to others.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import msgspec
import numpy as np
from numpy.typing import ArrayLike, NDArray

from everloop.errors import InvalidError
from everloop.evaluation.inputs import Floats, labels_and_scores
from everloop.evaluation.metrics import METRICS, Estimate, metric

MISSING = "(missing)"
OTHER = "(other)"


class Segment(msgspec.Struct, frozen=True, kw_only=True):
    """The metrics of one segment.

    Attributes:
        n: Rows.
        positive_share: Share of label 1 in [0, 1].
        metrics: Metric name to estimate; empty when there is not enough data.
        skipped: Metric name to the reason why it is not there.
    """

    n: int
    positive_share: float
    metrics: dict[str, Estimate]
    skipped: dict[str, str]

    @property
    def is_enough(self) -> bool:
        """Whether the segment has enough rows for at least one metric."""
        return bool(self.metrics)


def segment_metrics(
    y: ArrayLike,
    p: ArrayLike,
    segments: Mapping[str, ArrayLike],
    *,
    metrics: Sequence[str] = tuple(METRICS),
    min_rows: int = 100,
    max_values: int = 50,
) -> dict[str, dict[str, Segment]]:
    """Return column name to value (as text) to its `Segment`, the largest segments first.

    Args:
        y: Labels 0 or 1, shape (n,).
        p: Probabilities of label 1, shape (n,).
        segments: Column name to values, each of shape (n,). None and NaN form the segment `(missing)`.
        metrics: Names of the metrics wanted.
        min_rows: A segment with fewer rows gets no numbers; AUC also needs 10 rows of each label.
        max_values: Beyond the most frequent this many values, the rest together form the segment `(other)`.

    Raises:
        InvalidError: Malformed input, or a column of another length.
        NotFoundError: An unknown metric.
    """
    labels, scores = labels_and_scores(y, p)
    for name in metrics:
        metric(name)
    return {
        column: {
            value: _segment(labels[rows], scores[rows], metrics, min_rows)
            for value, rows in _groups(column, values, labels.size, max_values).items()
        }
        for column, values in segments.items()
    }


def _segment(labels: Floats, scores: Floats, metrics: Sequence[str], min_rows: int) -> Segment:
    done: dict[str, Estimate] = {}
    skipped: dict[str, str] = {}
    positives = int(labels.sum())
    for name in metrics:
        if labels.size < max(min_rows, 2):
            skipped[name] = f"not enough data: {labels.size} of {min_rows} rows"
        elif name == "auc" and min(positives, labels.size - positives) < 10:
            skipped[name] = f"not enough data: {positives} rows of label 1, {labels.size - positives} of label 0"
        else:
            done[name] = metric(name).compute(labels, scores)
    return Segment(n=labels.size, positive_share=positives / labels.size, metrics=done, skipped=skipped)


def _groups(column: str, values: ArrayLike, n: int, max_values: int) -> dict[str, NDArray[np.intp]]:
    """Return value to its row numbers, the largest group first and `(other)` last."""
    array = np.asarray(values, dtype=object)
    if array.shape != (n,):
        raise InvalidError(f"segment column {column!r} must have shape ({n},) like y, but it has {array.shape}")
    names = np.array([MISSING if _is_missing(v) else str(v) for v in array], dtype=str)
    distinct, inverse, counts = np.unique(names, return_inverse=True, return_counts=True)
    order = np.argsort(-counts, kind="stable")
    kept, rest = order[:max_values], order[max_values:]
    groups = {str(distinct[k]): np.flatnonzero(inverse == k) for k in kept}
    if rest.size:
        groups[OTHER] = np.flatnonzero(np.isin(inverse, rest))
    return groups


def _is_missing(value: object) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value))
