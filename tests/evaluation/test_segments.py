"""Segments carry the same metrics as the whole, and small ones carry none."""

from __future__ import annotations

import math

import numpy as np
import pytest

from everloop.errors import InvalidError, NotFoundError
from everloop.evaluation import accuracy, auc, segment_metrics

RNG = np.random.default_rng(1)
P = RNG.uniform(size=1000)
Y = (RNG.uniform(size=1000) < P).astype(int)
ORIGIN = np.array(["EWR"] * 600 + ["JFK"] * 395 + ["LGA"] * 5)


def test_a_segment_has_the_metrics_of_its_rows() -> None:
    found = segment_metrics(Y, P, {"origin": ORIGIN})["origin"]
    assert list(found) == ["EWR", "JFK", "LGA"]
    assert found["EWR"].metrics["auc"] == auc(Y[:600], P[:600])
    assert found["JFK"].metrics["accuracy"] == accuracy(Y[600:995], P[600:995])
    assert found["JFK"].n == 395


def test_a_small_segment_says_not_enough_data() -> None:
    small = segment_metrics(Y, P, {"origin": ORIGIN})["origin"]["LGA"]
    assert not small.is_enough
    assert small.skipped["auc"] == "not enough data: 5 of 100 rows"


def test_auc_needs_both_labels_in_the_segment() -> None:
    found = segment_metrics(np.zeros(200, int), P[:200], {"all": ["x"] * 200})["all"]["x"]
    assert found.is_enough
    assert "0 rows of label 1" in found.skipped["auc"]


def test_missing_values_and_the_long_tail_are_segments_too() -> None:
    column = np.array([None, math.nan] * 250 + [f"v{i}" for i in range(500)], dtype=object)
    found = segment_metrics(Y, P, {"c": column}, max_values=1)["c"]
    assert {name: s.n for name, s in found.items()} == {"(missing)": 500, "(other)": 500}


def test_wrong_length_and_unknown_metric_are_named() -> None:
    with pytest.raises(InvalidError, match="'origin' must have shape"):
        segment_metrics(Y, P, {"origin": ORIGIN[:5]})
    with pytest.raises(NotFoundError, match="no metric 'f1'"):
        segment_metrics(Y, P, {"origin": ORIGIN}, metrics=["f1"])
