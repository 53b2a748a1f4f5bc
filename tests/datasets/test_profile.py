"""Profiles count every value once, merge exactly, and take data as it comes."""

from __future__ import annotations

import math
from datetime import UTC, datetime

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from everloop.datasets import (
    CategoricalProfile,
    NumericProfile,
    merge,
    profile_columns,
    profile_json,
    read_profile,
)
from everloop.errors import InvalidError

NUMBERS = st.one_of(st.none(), st.floats(-1e6, 1e6), st.integers(-3, 3), st.just(math.inf), st.just(math.nan))


def numeric(profile: object) -> NumericProfile:
    assert isinstance(profile, NumericProfile)
    return profile


def categorical(profile: object) -> CategoricalProfile:
    assert isinstance(profile, CategoricalProfile)
    return profile


def test_a_reference_has_its_deciles_as_edges() -> None:
    column = numeric(profile_columns({"x": np.arange(101.0)}).columns["x"])
    assert column.edges == tuple(float(v) for v in range(0, 101, 10))
    assert column.counts == (0, 11, 10, 10, 10, 10, 10, 10, 10, 10, 10, 0)
    assert (column.median, column.min, column.max, column.mean) == (50, 0, 100, 50)
    assert column.std == pytest.approx(np.arange(101).std(ddof=1))


def test_values_outside_the_reference_are_counted_apart_and_compared_in_the_outer_bins() -> None:
    reference = profile_columns({"x": np.arange(101.0)})
    column = numeric(profile_columns({"x": [-5, 0, 100, 200, 300]}, reference).columns["x"])
    assert (column.counts[0], column.counts[1], column.counts[-2], column.counts[-1]) == (1, 1, 1, 2)
    assert column.outside == 3
    assert column.cells[0] == 2
    assert column.cells[-1] == 3


def test_a_constant_column_sees_any_other_value() -> None:
    reference = profile_columns({"x": [5, 5, 5]})
    assert numeric(profile_columns({"x": [4, 5, 5, 6]}, reference).columns["x"]).cells == (1, 2, 1)


def test_nulls_of_every_kind() -> None:
    found = profile_columns(
        {
            "floats": np.array([1.0, math.nan, 2.0]),
            "list": [1, None, math.nan],
            "masked": np.ma.masked_array([1.0, 2.0, 3.0], [True, False, False]),
            "text": ["a", None, "nan"],
            "times": np.array(["2013-01-01", "NaT", "2013-01-02"], dtype="datetime64[s]"),
            "pandas": pd.array([1, pd.NA, 3], dtype="Int64").to_numpy(dtype=object),
        }
    )
    assert {name: column.nulls for name, column in found.columns.items()} == {
        "floats": 1,
        "list": 2,
        "masked": 1,
        "text": 1,
        "times": 1,
        "pandas": 1,
    }
    assert categorical(found.columns["text"]).counts == {"a": 1, "nan": 1}


def test_times_are_seconds_and_booleans_are_categories() -> None:
    found = profile_columns({"t": [datetime(1970, 1, 2, tzinfo=UTC), datetime(1970, 1, 2)], "b": [True, False]})
    assert numeric(found.columns["t"]).median == 86_400
    assert categorical(found.columns["b"]).counts == {"False": 1, "True": 1}


def test_rare_values_become_other_and_so_do_new_ones() -> None:
    reference = profile_columns({"c": list("aaabbc")}, max_values=2)
    assert categorical(reference.columns["c"]) == CategoricalProfile(count=6, nulls=0, counts={"a": 3, "b": 2}, other=1)
    window = profile_columns({"c": list("azz")}, reference)
    assert categorical(window.columns["c"]).cells == (1, 0, 2)


@given(st.lists(NUMBERS, min_size=1, max_size=40), st.lists(NUMBERS, max_size=40), st.lists(NUMBERS, max_size=40))
def test_merging_equals_profiling_together(reference: list[float], one: list[float], two: list[float]) -> None:
    base = profile_columns({"x": reference})
    if not isinstance(base.columns["x"], NumericProfile):
        return
    merged = numeric(merge(profile_columns({"x": one}, base), profile_columns({"x": two}, base)).columns["x"])
    whole = numeric(profile_columns({"x": one + two}, base).columns["x"])
    assert (merged.count, merged.nulls, merged.infinite, merged.counts) == (
        whole.count,
        whole.nulls,
        whole.infinite,
        whole.counts,
    )
    assert (merged.min, merged.max) == (whole.min, whole.max)
    assert (merged.mean is None, merged.std is None) == (whole.mean is None, whole.std is None)
    assert (merged.mean or 0.0) == pytest.approx(whole.mean or 0.0, rel=1e-9, abs=1e-6)
    assert (merged.std or 0.0) == pytest.approx(whole.std or 0.0, rel=1e-9, abs=1e-6)
    assert sum(merged.counts) == merged.count
    if merged.median is not None and merged.min is not None and merged.max is not None:
        assert merged.min <= merged.median <= merged.max


def test_the_median_of_a_merge_is_close() -> None:
    x = np.random.default_rng(0).normal(size=20_000)
    base = profile_columns({"x": x})
    merged = merge(profile_columns({"x": x[:9000]}, base), profile_columns({"x": x[9000:]}, base))
    assert numeric(merged.columns["x"]).median == pytest.approx(np.median(x), abs=0.02)


@given(st.lists(st.sampled_from([None, "a", "b", "c"])), st.lists(st.sampled_from([None, "a", "d"])))
def test_categories_merge_exactly(one: list[str | None], two: list[str | None]) -> None:
    base = profile_columns({"c": ["a", "b"]})
    assert merge(profile_columns({"c": one}, base), profile_columns({"c": two}, base)) == profile_columns(
        {"c": one + two}, base
    )


def test_a_profile_survives_json() -> None:
    profile = profile_columns({"x": [1, 2, math.inf, None], "c": ["a", "b", None, "a"], "empty": [None] * 4})
    assert read_profile(profile_json(profile)) == profile
    with pytest.raises(InvalidError, match="not a profile"):
        read_profile(b"{}")


def test_mistakes_are_named() -> None:
    base = profile_columns({"x": [1, 2]})
    with pytest.raises(InvalidError, match="one length"):
        profile_columns({"x": [1], "y": [1, 2]})
    with pytest.raises(InvalidError, match="'x' is numeric in the reference, but here it holds 'a'"):
        profile_columns({"x": ["a"]}, base)
    with pytest.raises(InvalidError, match="different bins"):
        merge(base, profile_columns({"x": [7, 8]}))
    with pytest.raises(InvalidError, match="different columns"):
        merge(base, profile_columns({"y": [7, 8]}))
    with pytest.raises(InvalidError, match="shape"):
        profile_columns({"x": np.zeros((2, 2))})
