"""The profile of a table: per column a few hundred numbers that later data can be compared with.

A profile is made once from the reference data (it fixes the bins) and then once per window with the same bins, so
windows can be added up and compared without the rows. Distances between profiles are in `distance`; alarms are left
to monitoring.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Literal, TypeAlias

import msgspec
import numpy as np
from numpy.typing import NDArray

from everloop.errors import InvalidError

ColumnData: TypeAlias = "Sequence[object] | NDArray[np.generic]"
Floats = NDArray[np.float64]

_BINS = 10


class NumericProfile(msgspec.Struct, frozen=True, kw_only=True, tag="numeric", tag_field="kind"):
    """A numeric column.

    Attributes:
        count: Values that are there, infinite ones included.
        nulls: Values that are not.
        infinite: How many of `count` are infinite; they are in the outer counts and in nothing else.
        mean: Mean of the finite values; None without any, as for the next four.
        std: Standard deviation (n - 1) of the finite values; None with fewer than two.
        min: Least finite value.
        max: Greatest finite value.
        median: Median of the finite values; after `merge` it is interpolated within its bin.
        edges: Ascending bin edges, the reference's least value, deciles and greatest value; ties make them fewer, a
            constant has itself twice.
        counts: Values below edges[0], in (edges[k-1], edges[k]] (the first bin includes edges[0]), above edges[-1];
            len(edges) + 1 numbers.
    """

    count: int
    nulls: int
    infinite: int
    mean: float | None
    std: float | None
    min: float | None
    max: float | None
    median: float | None
    edges: tuple[float, ...]
    counts: tuple[int, ...]

    @property
    def cells(self) -> tuple[int, ...]:
        """Counts for comparing: what lies outside the reference's range is added to the first and the last bin.

        With fewer than three bins it stays apart, or a change of a constant column would not be seen.
        """
        if len(self.counts) < 5:
            return self.counts
        inner = list(self.counts[1:-1])
        inner[0] += self.counts[0]
        inner[-1] += self.counts[-1]
        return tuple(inner)

    @property
    def outside(self) -> int:
        """Values outside the reference's range."""
        return self.counts[0] + self.counts[-1]


class CategoricalProfile(msgspec.Struct, frozen=True, kw_only=True, tag="categorical", tag_field="kind"):
    """A column of categories (text, booleans).

    Attributes:
        count: Values that are there.
        nulls: Values that are not.
        counts: Value to how often it came, for the values that the reference keeps (its most frequent ones).
        other: How often any other value came.
    """

    count: int
    nulls: int
    counts: dict[str, int]
    other: int

    @property
    def cells(self) -> tuple[int, ...]:
        """Counts for comparing: of the kept values in order, then of all others."""
        return (*self.counts.values(), self.other)


ColumnProfile: TypeAlias = NumericProfile | CategoricalProfile


class Profile(msgspec.Struct, frozen=True, kw_only=True):
    """A table: number of rows and the profile of each column."""

    rows: int
    columns: dict[str, NumericProfile | CategoricalProfile]


def profile_columns(
    columns: Mapping[str, ColumnData], reference: Profile | None = None, *, max_values: int = 50
) -> Profile:
    """Return the profile of a table given by columns.

    Args:
        columns: Name to values, all of one length n: lists or arrays. None, NaN, NaT and masked values are nulls.
            Numbers make a numeric column, times too (seconds since 1970, UTC where no zone is given), anything else a
            categorical one with values as text (booleans too).
        reference: Take bins, kept values and kind of each column from this profile, so that the result can be
            compared and merged with it. Columns that it does not have are profiled on their own; a column that is
            numeric there and does not hold numbers here is an error.
        max_values: Without a reference: how many of the most frequent values of a categorical column are kept.

    Raises:
        InvalidError: Columns of different lengths, or not of the reference's kind.
    """
    lengths = {name: len(values) for name, values in columns.items()}
    if len(set(lengths.values())) > 1:
        raise InvalidError(f"columns must have one length, but they have {lengths}")
    known = reference.columns if reference else {}
    return Profile(
        rows=next(iter(lengths.values()), 0),
        columns={name: _column(name, values, known.get(name), max_values) for name, values in columns.items()},
    )


def numeric_profile(values: Floats, nulls: int = 0, edges: Sequence[float] | None = None) -> NumericProfile:
    """Return the profile of numbers without NaN, shape (n,); `edges` None means deciles of these values."""
    finite = values[np.isfinite(values)]
    bins = np.asarray(_deciles(finite) if edges is None else edges, dtype=np.float64)
    return NumericProfile(
        count=values.size,
        nulls=nulls,
        infinite=values.size - finite.size,
        mean=float(finite.mean()) if finite.size else None,
        std=float(finite.std(ddof=1)) if finite.size > 1 else None,
        min=float(finite.min()) if finite.size else None,
        max=float(finite.max()) if finite.size else None,
        median=float(np.median(finite)) if finite.size else None,
        edges=tuple(bins.tolist()),
        counts=_bin(values, bins),
    )


def categorical_profile(
    counts: Mapping[str, int], nulls: int = 0, kept: Sequence[str] | None = None, *, max_values: int = 50
) -> CategoricalProfile:
    """Return the profile of a column from the count of each value; `kept` None means its most frequent values."""
    if kept is None:
        kept = sorted(counts, key=lambda value: (-counts[value], value))[:max_values]
    total = sum(counts.values())
    found = {value: counts.get(value, 0) for value in kept}
    return CategoricalProfile(count=total, nulls=nulls, counts=found, other=total - sum(found.values()))


def merge(first: Profile, second: Profile) -> Profile:
    """Return the profile of both tables together; exact but for the median, which is interpolated.

    Raises:
        InvalidError: The profiles do not have the same columns, kinds and bins.
    """
    if list(first.columns) != list(second.columns):
        raise InvalidError(
            f"profiles of different columns cannot be merged: {list(first.columns)} and {list(second.columns)}",
            hint="Make both with profile_columns(..., reference=...).",
        )
    return Profile(
        rows=first.rows + second.rows,
        columns={name: _merge(name, one, second.columns[name]) for name, one in first.columns.items()},
    )


def profile_json(profile: Profile) -> bytes:
    """Return the profile as JSON."""
    return msgspec.json.encode(profile)


def read_profile(data: bytes) -> Profile:
    """Return the profile that `profile_json` wrote.

    Raises:
        InvalidError: The bytes are not such a profile; the message names the field.
    """
    try:
        return msgspec.json.decode(data, type=Profile)
    except msgspec.DecodeError as error:
        raise InvalidError(f"this is not a profile: {error}") from error


def _column(name: str, values: ColumnData, reference: ColumnProfile | None, max_values: int) -> ColumnProfile:
    array, nulls = _split_nulls(name, values)
    kind = _kind(array) if reference is None or array.size else _kind_of(reference)
    if reference is not None and _kind_of(reference) == "numeric" and kind != "numeric":
        raise InvalidError(
            f"column {name!r} is numeric in the reference, but here it holds {array.flat[0]!r}",
            hint="Check the data against its contract before profiling it.",
        )
    if kind == "numeric" and not isinstance(reference, CategoricalProfile):
        edges = reference.edges if reference else None
        return numeric_profile(array.astype(np.float64), nulls, edges)
    texts, counts = np.unique(array.astype(str), return_counts=True)
    kept = list(reference.counts) if isinstance(reference, CategoricalProfile) else None
    found = dict(zip(texts.tolist(), counts.tolist(), strict=True))
    return categorical_profile(found, nulls, kept, max_values=max_values)


def _split_nulls(name: str, values: ColumnData) -> tuple[NDArray[np.generic], int]:
    """Return the values that are there, and how many are not."""
    if isinstance(values, np.ma.MaskedArray):
        there: NDArray[np.generic] = values.compressed()
        rest, nulls = _split_nulls(name, there)
        return rest, nulls + len(values) - there.size
    array = values if isinstance(values, np.ndarray) else _as_array(values)
    if array.ndim != 1:
        raise InvalidError(f"column {name!r} must have shape (n,), but it has shape {array.shape}")
    if array.dtype.kind == "O":
        # pandas' NA and NaT are unequal to themselves or have no truth value; both print as one of these names.
        missing = np.array([v is None or (not isinstance(v, str) and str(v) in _NULLS) for v in array], dtype=bool)
    elif array.dtype.kind == "f":
        missing = np.isnan(array)
    elif array.dtype.kind in "mM":
        missing = np.isnat(array)
    else:
        missing = np.zeros(array.shape, dtype=bool)
    rest = array[~missing]
    if rest.dtype.kind == "O":
        rest = _as_array(rest.tolist())
    if rest.dtype.kind == "M":
        rest = rest.astype("datetime64[us]").astype(np.int64) / 1e6
    return rest, int(np.count_nonzero(missing))


_NULLS = frozenset({"nan", "NaT", "<NA>"})


def _as_array(values: Sequence[object]) -> NDArray[np.generic]:
    """Return numbers and times as numbers and anything mixed as objects, so that 1 never turns into "1" by company."""
    if values and all(isinstance(v, (int, float, np.number)) and not isinstance(v, bool) for v in values):
        return np.array(values, dtype=np.float64)
    if values and all(isinstance(v, datetime) for v in values):
        return np.array([_seconds(v) for v in values if isinstance(v, datetime)], dtype=np.float64)
    array = np.empty(len(values), dtype=object)
    array[:] = values
    return array


def _seconds(time: datetime) -> float:
    return (time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp()


def _kind(array: NDArray[np.generic]) -> Literal["numeric", "categorical"]:
    return "numeric" if array.dtype.kind in "iuf" else "categorical"


def _kind_of(profile: ColumnProfile) -> Literal["numeric", "categorical"]:
    return "numeric" if isinstance(profile, NumericProfile) else "categorical"


def _deciles(finite: Floats) -> list[float]:
    if not finite.size:
        return []
    # Edges are values of the data, not points between two: rounding never puts a frequent value beside its edge.
    levels = np.linspace(0.0, 1.0, _BINS + 1)
    edges: list[float] = np.unique(np.quantile(finite, levels, method="inverted_cdf")).tolist()
    return edges if len(edges) > 1 else edges * 2


def _bin(values: Floats, edges: Floats) -> tuple[int, ...]:
    place = np.searchsorted(edges, values, side="left")
    if edges.size > 1:
        place[values == edges[0]] = 1
    counts: list[int] = np.bincount(place, minlength=edges.size + 1).tolist()
    return tuple(counts)


def _merge(name: str, one: ColumnProfile, two: ColumnProfile) -> ColumnProfile:
    if isinstance(one, NumericProfile) and isinstance(two, NumericProfile) and one.edges == two.edges:
        return _merge_numeric(one, two)
    if isinstance(one, CategoricalProfile) and isinstance(two, CategoricalProfile) and [*one.counts] == [*two.counts]:
        return CategoricalProfile(
            count=one.count + two.count,
            nulls=one.nulls + two.nulls,
            counts={value: n + two.counts[value] for value, n in one.counts.items()},
            other=one.other + two.other,
        )
    raise InvalidError(
        f"the profiles of column {name!r} have different bins and cannot be merged",
        hint="Make both with profile_columns(..., reference=...).",
    )


def _merge_numeric(one: NumericProfile, two: NumericProfile) -> NumericProfile:
    counts = tuple(a + b for a, b in zip(one.counts, two.counts, strict=True))
    whole = {"count": one.count + two.count, "nulls": one.nulls + two.nulls, "infinite": one.infinite + two.infinite}
    if one.mean is None or two.mean is None:
        return msgspec.structs.replace(one if two.mean is None else two, counts=counts, **whole)
    n, m = one.count - one.infinite, two.count - two.infinite
    gap = two.mean - one.mean
    # Chan, Golub & LeVeque 1979: sums of squares around the common mean, without cancellation.
    squares = (one.std or 0.0) ** 2 * (n - 1) + (two.std or 0.0) ** 2 * (m - 1) + gap * gap * n * m / (n + m)
    low = min(v for v in (one.min, two.min) if v is not None)
    high = max(v for v in (one.max, two.max) if v is not None)
    return NumericProfile(
        **whole,
        mean=one.mean + gap * m / (n + m),
        std=math.sqrt(squares / (n + m - 1)),
        min=low,
        max=high,
        median=_median(one.edges, counts, low, high),
        edges=one.edges,
        counts=counts,
    )


def _median(edges: Sequence[float], counts: Sequence[int], low: float, high: float) -> float:
    """Return the median by linear interpolation within its bin, between the least and the greatest value."""
    bounds = np.concatenate([[min([low, *edges[:1]])], edges, [max([high, *edges[-1:]])]])
    cumulative = np.concatenate([[0], np.cumsum(counts)])
    k = int(np.searchsorted(cumulative, cumulative[-1] / 2.0, side="left"))
    share = (cumulative[-1] / 2.0 - cumulative[k - 1]) / counts[k - 1]
    value = bounds[k - 1] + share * (bounds[k] - bounds[k - 1])
    return float(min(max(value, low), high))
