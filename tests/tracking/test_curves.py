"""The curves are scikit-learn's."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import calibration, metrics

from everloop.errors import InvalidError
from everloop.tracking.curves import curve

ROWS = st.lists(
    st.tuples(st.integers(0, 1), st.sampled_from([0.0, 0.1, 0.25, 0.4, 0.4000001, 0.8, 1.0])), min_size=2
).filter(lambda rows: len({label for label, _ in rows}) == 2)


def columns(kind: str, rows: list[tuple[int, float]]) -> dict[str, list[float]]:
    found: Any = curve(kind, [label for label, _ in rows], [score for _, score in rows])
    return {key: [record[key] for record in found[kind]] for key in found[kind][0]}


def arrays(rows: list[tuple[int, float]]) -> tuple[Any, Any]:
    return np.array([label for label, _ in rows]), np.array([score for _, score in rows])


@given(rows=ROWS)
def test_roc_is_scikit_learn_s(rows: list[tuple[int, float]]) -> None:
    fpr, tpr, thresholds = metrics.roc_curve(*arrays(rows))
    found = columns("roc", rows)
    assert (found["fpr"], found["tpr"], found["threshold"]) == (list(fpr), list(tpr), list(thresholds))


@given(rows=ROWS)
def test_precision_and_recall_are_scikit_learn_s(rows: list[tuple[int, float]]) -> None:
    precision, recall, thresholds = metrics.precision_recall_curve(*arrays(rows))
    found = columns("precision_recall", rows)
    # The lists are zipped by DVCLive, so the last point, which has no threshold, falls away.
    assert (found["precision"], found["recall"]) == (list(precision[:-1]), list(recall[:-1]))
    assert found["threshold"] == list(thresholds)


@given(rows=ROWS)
def test_det_is_scikit_learn_s(rows: list[tuple[int, float]]) -> None:
    fpr, fnr, thresholds = metrics.det_curve(*arrays(rows))
    found = columns("det", rows)
    assert (found["fpr"], found["threshold"]) == (list(fpr), list(thresholds))
    assert found["fnr"] == pytest.approx(list(fnr))


@given(rows=ROWS)
def test_calibration_is_scikit_learn_s(rows: list[tuple[int, float]]) -> None:
    prob_true, prob_pred = calibration.calibration_curve(*arrays(rows))
    found = columns("calibration", rows)
    assert found["prob_true"] == pytest.approx(list(prob_true))
    assert found["prob_pred"] == pytest.approx(list(prob_pred))


def test_a_confusion_matrix_has_a_record_a_row() -> None:
    assert curve("confusion_matrix", np.array(["a", "b"]), ["b", "b"]) == [
        {"actual": "a", "predicted": "b"},
        {"actual": "b", "predicted": "b"},
    ]


def test_labels_of_any_kind_are_two_classes_in_their_order() -> None:
    found: Any = curve("roc", ["late", "early", "late"], [0.9, 0.1, 0.8])
    assert found["roc"][0]["threshold"] == math.inf
    assert found["roc"][-1] == {"fpr": 1.0, "tpr": 1.0, "threshold": 0.1}


@pytest.mark.parametrize(
    ("kind", "truth", "scores", "words"),
    [
        ("lift", [0, 1], [0, 1], "there are: calibration|There are: calibration"),
        ("roc", [0, 1], [1], "2 true labels and 1 predictions"),
        ("roc", [], [], "0 true labels"),
        ("roc", [1, 1], [0, 1], "two classes, found 1"),
        ("calibration", [0, 1], [0, 3], "probabilities"),
    ],
)
def test_what_makes_no_curve_is_named(kind: str, truth: list[Any], scores: list[Any], words: str) -> None:
    with pytest.raises(InvalidError, match=words):
        curve(kind, truth, scores)
