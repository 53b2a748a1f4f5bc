"""Drift of inputs: which columns of a window look different from the reference, by enough to matter.

A column is called drifted only if chance is an unlikely cause after allowing for the number of columns
(Benjamini-Hochberg), and the change is large enough to matter (bias-corrected distance), and there are enough rows.
Either condition alone is noise: p-values alarm on trifles in large windows, distances on chance in small ones.

Rows are taken as independent within a window; where they are not (weather over a day), p-values are too small and the
effect threshold carries the decision. `persisting` helps there: it asks for the same column in several windows.
Alerts and retraining are left to others.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Literal

import msgspec

from everloop.datasets import (
    CategoricalProfile,
    ColumnProfile,
    NumericProfile,
    Profile,
    distance,
    null_shift,
)
from everloop.errors import InvalidError


class DriftPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """When a column, and the whole input, is called drifted.

    Attributes:
        q: Share of false ones among the alarms of a window that is tolerated (Benjamini-Hochberg), in (0, 1).
        effect: Least distance that matters: PSI* for numeric columns, JS* for categorical ones.
        null_effect: Least change of the share of nulls that matters.
        min_rows: A column with fewer values in the window, or in the reference, is not judged.
        importance: Column to its weight >= 0 in the verdict on the whole input; None weighs all alike. A column that
            is not named weighs 0.
        share: The input is called drifted when the drifted columns weigh at least this share.
    """

    q: float = 0.01
    effect: float = 0.1
    null_effect: float = 0.01
    min_rows: int = 200
    importance: dict[str, float] | None = None
    share: float = 0.3

    def __post_init__(self) -> None:
        if not 0.0 < self.q < 1.0 or not 0.0 < self.share <= 1.0:
            raise InvalidError(f"q must lie in (0, 1) and share in (0, 1], but they are {self.q:g}, {self.share:g}")
        if self.effect < 0.0 or self.null_effect < 0.0 or self.min_rows < 1:
            raise InvalidError("effect and null_effect must be >= 0 and min_rows >= 1")
        if self.importance is not None and any(weight < 0.0 for weight in self.importance.values()):
            raise InvalidError("importance must be >= 0 for every column")


class ColumnDrift(msgspec.Struct, frozen=True, kw_only=True):
    """One column of a window against the reference.

    Attributes:
        status: `drift`, `ok`, or `not_enough_data`.
        measure: `psi` or `js`; None when there was not enough data, as for the next three.
        effect: Bias-corrected distance.
        p_value: That both have one distribution.
        q_value: The p-value after Benjamini-Hochberg over all tests of this window.
        null_change: Change of the share of nulls, window minus reference.
        null_q_value: That the share of nulls is the same, after Benjamini-Hochberg.
        direction: `up` or `down`: where the median went; None for categories or no move.
        outside: Share of the window's values outside the reference's range, or of values it did not keep.
        n_window: Values in the window.
        reason: In one sentence, with numbers.
    """

    status: Literal["ok", "drift", "not_enough_data"]
    measure: Literal["psi", "js"] | None
    effect: float | None
    p_value: float | None
    q_value: float | None
    null_change: float | None
    null_q_value: float | None
    direction: Literal["up", "down"] | None
    outside: float | None
    n_window: int
    reason: str


class DriftReport(msgspec.Struct, frozen=True, kw_only=True):
    """The drift of a window.

    Attributes:
        status: `drift` when the drifted columns weigh enough; `not_enough_data` when no column could be judged.
        columns: Column name to its finding, in the reference's order.
        drifted: Names of the drifted columns, the heaviest (importance times effect) first.
        drifted_share: Weight of the drifted columns among those judged, in [0, 1].
        n_rows: Rows of the window.
        policy: The policy.
    """

    status: Literal["ok", "drift", "not_enough_data"]
    columns: dict[str, ColumnDrift]
    drifted: list[str]
    drifted_share: float
    n_rows: int
    policy: DriftPolicy


class _Tested(msgspec.Struct, frozen=True):
    """A column before the correction for the number of tests."""

    measure: Literal["psi", "js"]
    effect: float
    p_value: float
    null_change: float
    null_p_value: float


def drift(reference: Profile, window: Profile, policy: DriftPolicy | None = None) -> DriftReport:
    """Return how the inputs of a window differ from the reference.

    Args:
        reference: Profile of the reference data, such as the rows that the model was trained on.
        window: Profile of the window, made with `profile_columns(columns, reference)`.
        policy: Thresholds; None means the defaults.

    Raises:
        InvalidError: The window lacks a column of the reference, or was profiled with other bins.

    Source: Benjamini & Hochberg, Journal of the Royal Statistical Society B 1995, for the correction.
    """
    policy = policy or DriftPolicy()
    missing = [name for name in reference.columns if name not in window.columns]
    if missing:
        raise InvalidError(f"the window's profile lacks columns of the reference: {', '.join(missing)}")
    tested: dict[str, _Tested] = {}
    for name, column in reference.columns.items():
        found = window.columns[name]
        if _is_enough(column, policy) and _is_enough(found, policy):
            tested[name] = _test(column, found)
    q_values = adjusted([p for one in tested.values() for p in (one.p_value, one.null_p_value)])
    columns = {
        name: _not_enough(window.columns[name], policy)
        if name not in tested
        else _judge(column, window.columns[name], tested[name], q_values, list(tested).index(name), policy)
        for name, column in reference.columns.items()
    }
    return _report(columns, window.rows, policy)


def persisting(reports: Sequence[DriftReport], *, needed: int = 2, of: int = 3) -> list[str]:
    """Return the columns that drifted in at least `needed` of the last `of` windows, most often first.

    Args:
        reports: Reports of consecutive windows, the latest last; fewer than `of` are taken as they are.
        needed: Windows in which a column must have drifted.
        of: Windows looked at.
    """
    seen = Counter(name for report in reports[-of:] for name in report.drifted)
    return [name for name, times in seen.most_common() if times >= needed]


def adjusted(p_values: Sequence[float]) -> list[float]:
    """Return the Benjamini-Hochberg adjusted p-values: calling those <= q keeps the false discovery rate at q."""
    order = sorted(range(len(p_values)), key=lambda k: p_values[k], reverse=True)
    result, least = [1.0] * len(p_values), 1.0
    for rank, k in zip(range(len(p_values), 0, -1), order, strict=True):
        least = min(least, p_values[k] * len(p_values) / rank)
        result[k] = least
    return result


def _is_enough(column: ColumnProfile, policy: DriftPolicy) -> bool:
    # Judged by rows, so that a column that turned into nulls altogether is still seen; a distance needs values.
    return column.count + column.nulls >= policy.min_rows


def _test(reference: ColumnProfile, window: ColumnProfile) -> _Tested:
    nulls = null_shift(reference, window)
    if not reference.count or not window.count:
        measure: Literal["psi", "js"] = "psi" if isinstance(reference, NumericProfile) else "js"
        return _Tested(measure, 0.0, 1.0, nulls.change, nulls.p_value)
    found = distance(reference, window)
    return _Tested(found.measure, found.value, found.p_value, nulls.change, nulls.p_value)


def _not_enough(window: ColumnProfile, policy: DriftPolicy) -> ColumnDrift:
    return ColumnDrift(
        status="not_enough_data",
        measure=None,
        effect=None,
        p_value=None,
        q_value=None,
        null_change=None,
        null_q_value=None,
        direction=None,
        outside=None,
        n_window=window.count,
        reason=f"window and reference need {policy.min_rows} rows each, the window has {window.count + window.nulls}",
    )


def _judge(
    reference: ColumnProfile,
    window: ColumnProfile,
    tested: _Tested,
    q_values: Sequence[float],
    place: int,
    policy: DriftPolicy,
) -> ColumnDrift:
    q_value, null_q_value = q_values[2 * place], q_values[2 * place + 1]
    has_values = min(reference.count, window.count) >= policy.min_rows
    is_moved = has_values and q_value <= policy.q and tested.effect >= policy.effect
    is_emptied = null_q_value <= policy.q and abs(tested.null_change) >= policy.null_effect
    direction = _direction(reference, window)
    return ColumnDrift(
        status="drift" if is_moved or is_emptied else "ok" if has_values else "not_enough_data",
        measure=tested.measure,
        effect=tested.effect,
        p_value=tested.p_value,
        q_value=q_value,
        null_change=tested.null_change,
        null_q_value=null_q_value,
        direction=direction,
        outside=_outside(window),
        n_window=window.count,
        reason=_reason(tested, q_value, null_q_value, is_moved, is_emptied, policy),
    )


def _reason(
    tested: _Tested, q_value: float, null_q_value: float, is_moved: bool, is_emptied: bool, policy: DriftPolicy
) -> str:
    values = f"{tested.measure} {tested.effect:.3f} (threshold {policy.effect:g}, q {q_value:.2g})"
    nulls = f"share of nulls {tested.null_change:+.1%} (threshold {policy.null_effect:.1%}, q {null_q_value:.2g})"
    if is_moved and is_emptied:
        return f"{values}; {nulls}"
    return nulls if is_emptied else values


def _direction(reference: ColumnProfile, window: ColumnProfile) -> Literal["up", "down"] | None:
    if isinstance(reference, CategoricalProfile) or isinstance(window, CategoricalProfile):
        return None
    if reference.median is None or window.median is None or reference.median == window.median:
        return None
    return "up" if window.median > reference.median else "down"


def _outside(window: ColumnProfile) -> float:
    outside = window.outside if isinstance(window, NumericProfile) else window.other
    return outside / window.count if window.count else 0.0


def _report(columns: dict[str, ColumnDrift], n_rows: int, policy: DriftPolicy) -> DriftReport:
    weights = {
        name: 1.0 if policy.importance is None else policy.importance.get(name, 0.0)
        for name, column in columns.items()
        if column.status != "not_enough_data"
    }
    drifted = [name for name in weights if columns[name].status == "drift"]
    drifted.sort(key=lambda name: (-weights[name] * (columns[name].effect or 0.0), name))
    total = sum(weights.values())
    share = sum(weights[name] for name in drifted) / total if total else 0.0
    status: Literal["ok", "drift", "not_enough_data"] = "drift" if share >= policy.share else "ok"
    return DriftReport(
        status=status if weights else "not_enough_data",
        columns=columns,
        drifted=drifted,
        drifted_share=share,
        n_rows=n_rows,
        policy=policy,
    )
