"""How an endpoint's answers turned out, month by month, from the captured predictions and labels alone."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray

from everloop.errors import InvalidError, NotFoundError
from everloop.evaluation import auc, log_loss
from everloop.loop.rooms import Rooms
from everloop.loop.store import AppliedProject, Performance

Floats = NDArray[np.float64]


def by_month(rooms: Rooms, applied: AppliedProject, start: datetime, end: datetime, alias: str) -> list[Performance]:
    """Return the performance of each month that overlaps [start, end), UTC; months without predictions are left out."""
    try:
        reference = rooms.registry.resolve(applied.model, alias).version
    except NotFoundError:
        reference = None
    found = [_month(rooms, applied.endpoint, first, last, reference) for first, last in _months(start, end)]
    return [each for each in found if each is not None]


def _months(start: datetime, end: datetime) -> list[tuple[datetime, datetime]]:
    bounds = []
    first = start
    while first < end:
        following = datetime(first.year + first.month // 12, first.month % 12 + 1, 1, tzinfo=UTC)
        bounds.append((first, min(following, end)))
        first = following
    return bounds


def _month(rooms: Rooms, endpoint: str, start: datetime, end: datetime, reference: int | None) -> Performance | None:
    seen = rooms.predictions.captured(endpoint, start, end, with_inputs=False)
    if not seen.ids:
        return None
    known = ~np.isnan(seen.labels)
    labels, answers = seen.labels[known], seen.score[known]
    compared = seen.scores.get(reference) if reference is not None else None
    both = known & ~np.isnan(compared) if compared is not None else np.zeros(0, dtype=bool)
    _, order = np.unique(seen.version, return_index=True)
    return Performance(
        month=f"{start:%Y-%m}",
        versions=[int(version) for version in seen.version[np.sort(order)]],
        n_predictions=len(seen.ids),
        n_labelled=int(known.sum()),
        auc=_auc(labels, answers),
        log_loss=_log_loss(labels, answers),
        reference_version=reference,
        reference_auc=_auc(seen.labels[both], compared[both]) if compared is not None else None,
        reference_log_loss=_log_loss(seen.labels[both], compared[both]) if compared is not None else None,
    )


def _auc(labels: Floats, scores: Floats) -> float | None:
    try:
        return auc(labels, scores).value
    except InvalidError:
        return None  # with one class only there is no AUC


def _log_loss(labels: Floats, scores: Floats) -> float | None:
    return log_loss(labels, scores).value if labels.size > 1 else None
