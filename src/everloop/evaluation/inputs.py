"""Labels and probabilities as they come from outside, checked once before anything is computed from them.

Every verb of this room starts here, so that a NaN or a shape mistake is named at the door instead of becoming a
wrong number. It leaves to the metrics what they need beyond that (both classes, a minimum of rows).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from everloop.errors import InvalidError

Floats = NDArray[np.float64]


def vector(values: ArrayLike, name: str) -> Floats:
    """Return `values` as a float64 array of shape (n,), n >= 1, without NaN or infinity.

    Raises:
        InvalidError: Not numeric, not one-dimensional, empty, or not finite; the message names `name` and the row.
    """
    try:
        array = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise InvalidError(f"{name} must be numbers, but they could not be read as such: {error}") from error
    if array.ndim != 1:
        raise InvalidError(f"{name} must have shape (n,), but it has shape {array.shape}")
    if array.size == 0:
        raise InvalidError(f"{name} is empty: there is nothing to evaluate")
    bad = np.flatnonzero(~np.isfinite(array))
    if bad.size:
        raise InvalidError(
            f"{name} has {bad.size} values that are NaN or infinite, the first at row {bad[0]}",
            hint="Drop the rows without a label or a score first, and report how many there were.",
        )
    return array


def labels_and_scores(y: ArrayLike, p: ArrayLike) -> tuple[Floats, Floats]:
    """Return labels and probabilities as two checked float64 arrays of the same shape (n,).

    Args:
        y: Labels, each 0 or 1 (booleans pass).
        p: Probability of label 1, each in [0, 1].

    Raises:
        InvalidError: As `vector`, or different lengths, a label other than 0 and 1, a probability outside [0, 1].
    """
    labels, scores = vector(y, "y"), vector(p, "p")
    if labels.shape != scores.shape:
        raise InvalidError(f"y and p must have the same length, but y has {labels.size} rows and p has {scores.size}")
    bad = np.flatnonzero((labels != 0.0) & (labels != 1.0))
    if bad.size:
        raise InvalidError(f"y must hold 0 and 1 only, but row {bad[0]} is {labels[bad[0]]:g}")
    bad = np.flatnonzero((scores < 0.0) | (scores > 1.0))
    if bad.size:
        raise InvalidError(
            f"p must lie in [0, 1], but row {bad[0]} is {scores[bad[0]]:g}",
            hint="Pass probabilities of label 1, not raw scores or logits.",
        )
    return labels, scores
