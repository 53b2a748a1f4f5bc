"""The curves of a classifier as the records that DVC's plots read: ROC, precision-recall, DET, calibration, confusion.

In plain Python, so that a run needs no scikit-learn; the tests compare with it. `truth` holds 0 or 1 (the greater of
two labels counts as 1), `scores` a number for each, larger where 1 is likelier.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from everloop.errors import InvalidError

Record = Mapping[str, float | str]

OPTIONS: dict[str, dict[str, str]] = {
    "calibration": {
        "template": "simple",
        "x": "prob_pred",
        "y": "prob_true",
        "title": "Calibration Curve",
        "x_label": "Mean Predicted Probability",
        "y_label": "Fraction of Positives",
    },
    "confusion_matrix": {
        "template": "confusion",
        "x": "actual",
        "y": "predicted",
        "title": "Confusion Matrix",
        "x_label": "True Label",
        "y_label": "Predicted Label",
    },
    "det": {
        "template": "simple",
        "x": "fpr",
        "y": "fnr",
        "title": "Detection error tradeoff (DET)",
        "x_label": "False Positive Rate",
        "y_label": "False Negative Rate",
    },
    "precision_recall": {
        "template": "simple",
        "x": "recall",
        "y": "precision",
        "title": "Precision-Recall Curve",
        "x_label": "Recall",
        "y_label": "Precision",
    },
    "roc": {
        "template": "simple",
        "x": "fpr",
        "y": "tpr",
        "title": "Receiver operating characteristic (ROC)",
        "x_label": "False Positive Rate",
        "y_label": "True Positive Rate",
    },
}
"""How DVC draws each of them."""


def curve(kind: str, truth: Iterable[Any], predicted: Iterable[Any]) -> list[Record] | dict[str, list[Record]]:
    """Return what the plot's file holds.

    Args:
        kind: A key of `OPTIONS`.
        truth: `(n,)` true labels.
        predicted: `(n,)` predicted labels for `confusion_matrix`, else scores.

    Raises:
        InvalidError: The kind is unknown, the lengths differ, there are no rows, or not two classes for a curve.
    """
    if kind not in OPTIONS:
        raise InvalidError(f"no plot of kind {kind!r}", hint=f"There are: {', '.join(OPTIONS)}.")
    truths, guesses = _listed(truth), _listed(predicted)
    if not truths or len(truths) != len(guesses):
        raise InvalidError(f"{kind}: {len(truths)} true labels and {len(guesses)} predictions")
    if kind == "confusion_matrix":
        return [{"actual": str(a), "predicted": str(p)} for a, p in zip(truths, guesses, strict=True)]
    classes = sorted(set(truths))
    if len(classes) != 2:
        raise InvalidError(f"{kind} needs two classes, found {len(classes)}: {classes[:5]}")
    found = [1 if label == classes[1] else 0 for label in truths]
    return {kind: _KINDS[kind](found, [float(score) for score in guesses])}


def roc(truth: Sequence[int], scores: Sequence[float]) -> list[Record]:
    """The curve's corners, from (0, 0) at an infinite threshold on; points on a straight line are left out."""
    steps = _counts(truth, scores)
    n_false, n_true = steps[-1][1], steps[-1][2]
    corners = [step for i, step in enumerate(steps) if not 0 < i < len(steps) - 1 or _is_corner(*steps[i - 1 : i + 2])]
    start = {"fpr": 0.0, "tpr": 0.0, "threshold": math.inf}
    return [start, *({"fpr": f / n_false, "tpr": t / n_true, "threshold": at} for at, f, t in corners)]


def precision_recall(truth: Sequence[int], scores: Sequence[float]) -> list[Record]:
    """From the lowest threshold to the highest; the point without a threshold (recall 0, precision 1) is left out."""
    steps = _counts(truth, scores)
    n_true = steps[-1][2]
    return [{"precision": t / (f + t), "recall": t / n_true, "threshold": at} for at, f, t in reversed(steps)]


def det(truth: Sequence[int], scores: Sequence[float]) -> list[Record]:
    """From the lowest threshold that is worth a point to the highest."""
    steps = _counts(truth, scores)
    n_false, n_true = steps[-1][1], steps[-1][2]
    points = [(math.inf, 0, 0), *steps]
    first = next(i for i in range(len(points)) if i + 1 == len(points) or points[i + 1][1] > 0)
    last = next(i for i, point in enumerate(points) if point[2] == n_true)
    chosen = points[first : last + 1]
    return [{"fpr": f / n_false, "fnr": (n_true - t) / n_true, "threshold": at} for at, f, t in reversed(chosen)]


def calibration(truth: Sequence[int], scores: Sequence[float], n_bins: int = 5) -> list[Record]:
    """Mean prediction and share of ones in bins of equal width over [0, 1]; empty bins are left out."""
    if any(not 0 <= score <= 1 for score in scores):
        raise InvalidError("calibration needs probabilities, found scores outside of 0 to 1")
    bins: list[list[tuple[int, float]]] = [[] for _ in range(n_bins)]
    for label, score in zip(truth, scores, strict=True):
        bins[min(max(math.ceil(score * n_bins) - 1, 0), n_bins - 1)].append((label, score))
    return [
        {"prob_true": sum(label for label, _ in each) / len(each), "prob_pred": sum(s for _, s in each) / len(each)}
        for each in bins
        if each
    ]


_KINDS: dict[str, Callable[[Sequence[int], Sequence[float]], list[Record]]] = {
    "calibration": calibration,
    "det": det,
    "precision_recall": precision_recall,
    "roc": roc,
}


def _counts(truth: Sequence[int], scores: Sequence[float]) -> list[tuple[float, int, int]]:
    """(threshold, false positives, true positives) at each distinct score, the highest first."""
    steps: list[tuple[float, int, int]] = []
    n_false = n_true = 0
    for score, label in sorted(zip(scores, truth, strict=True), key=lambda pair: -pair[0]):
        n_true += label
        n_false += 1 - label
        if steps and steps[-1][0] == score:
            steps.pop()
        steps.append((score, n_false, n_true))
    return steps


def _is_corner(before: tuple[float, int, int], at: tuple[float, int, int], after: tuple[float, int, int]) -> bool:
    turns_false = at[1] - before[1] != after[1] - at[1]
    return turns_false or at[2] - before[2] != after[2] - at[2]


def _listed(values: Iterable[Any]) -> list[Any]:
    tolist = getattr(values, "tolist", None)
    return list(tolist() if tolist is not None else values)
