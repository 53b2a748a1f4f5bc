"""Gates: what passes, what is stopped, and the numbers that are kept of both."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from everloop.errors import InvalidError
from everloop.loop.gates import Holdout, judge_gates, read_holdout, read_numbers, reference_loss
from everloop.loop.project import Gate, PipelineSpec

SPEC = PipelineSpec(label="late", segments=["origin"])
Floats = NDArray[np.float64]


def holdout(n: int = 2000) -> tuple[Holdout, Floats]:
    """Held-out rows of two airports, and the true probability of each."""
    rng = np.random.default_rng(1)
    truth = rng.uniform(0.05, 0.95, n)
    labels = (rng.random(n) < truth).astype(float)
    return Holdout(labels=labels, segments={"origin": np.where(np.arange(n) % 2 == 0, "EWR", "JFK")}), truth


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


# --- bounds


def test_a_bound_is_kept_or_broken_by_the_estimate() -> None:
    rows, truth = holdout()
    report = judge_gates(
        [
            Gate(metric="auc", at_least=0.7),
            Gate(metric="auc", at_least=0.9),
            Gate(metric="log_loss", at_most=0.6),
            Gate(metric="log_loss", at_most=0.3),
        ],
        rows,
        truth,
        None,
    )
    assert [each.passed for each in report.results] == [True, False, True, False]
    assert not report.passed
    assert [each.bound for each in report.results] == [0.7, 0.9, 0.6, 0.3]
    assert report.results[0].gate == "auc at least 0.7"
    assert report.results[0].found == report.candidate.metrics["auc"].value
    assert report.results[0].n == 2000
    assert report.champion is None


def test_no_gates_let_everything_pass() -> None:
    rows, truth = holdout()
    report = judge_gates([], rows, truth, None)
    assert (report.passed, report.results) == (True, [])


def test_a_model_without_skill_is_stopped() -> None:
    rows, truth = holdout()
    shuffled = np.random.default_rng(2).permutation(truth)
    report = judge_gates([Gate(metric="auc", at_least=0.6)], rows, shuffled, truth)
    assert not report.passed
    assert report.results[0].found == pytest.approx(0.5, abs=0.05)


def test_a_metric_that_cannot_be_computed_stops_the_model() -> None:
    rows = Holdout(labels=np.ones(50), segments={})
    report = judge_gates([Gate(metric="auc", at_least=0.6)], rows, np.full(50, 0.9), None)
    assert (report.passed, report.results[0].found, report.results[0].bound) == (False, None, 0.6)
    assert report.results[0].gate == "auc: all labels are 1"


# --- segments


def test_a_segment_gate_is_asked_of_every_value() -> None:
    rows, truth = holdout()
    report = judge_gates([Gate(metric="auc", at_least=0.6, segment="origin")], rows, truth, None)
    assert [each.gate for each in report.results] == [
        "auc where origin = EWR at least 0.6",
        "auc where origin = JFK at least 0.6",
    ]
    assert [each.n for each in report.results] == [1000, 1000]


def test_a_model_that_fails_in_one_segment_only_is_stopped() -> None:
    rows, truth = holdout()
    scores = np.where(rows.segments["origin"] == "JFK", 1.0 - truth, truth)
    report = judge_gates([Gate(metric="auc", at_least=0.55, segment="origin")], rows, scores, None)
    assert [each.passed for each in report.results] == [True, False]


def test_a_segment_breaks_a_bound_only_with_its_whole_interval() -> None:
    rows, truth = holdout(400)
    found = judge_gates([], rows, truth, None).candidate.segments["origin"]["EWR"].metrics["auc"]
    between = (found.value + found.high) / 2.0
    all_rows = judge_gates([Gate(metric="auc", at_least=between)], rows, truth, None)
    segment = judge_gates([Gate(metric="auc", at_least=between, segment="origin")], rows, truth, None)
    assert not all_rows.passed or all_rows.candidate.metrics["auc"].value > between
    assert segment.results[0].passed
    beyond = judge_gates([Gate(metric="auc", at_least=found.high + 0.001, segment="origin")], rows, truth, None)
    assert not beyond.results[0].passed


def test_segments_with_too_few_rows_are_not_judged_and_the_report_says_so() -> None:
    rows, truth = holdout(100)
    report = judge_gates([Gate(metric="auc", at_least=0.99, segment="origin")], rows, truth, None)
    assert report.passed
    assert [(each.found, each.n) for each in report.results] == [(None, 0)]
    assert "no value has enough rows" in report.results[0].gate


# --- against the champion


@pytest.mark.parametrize("metric", ["auc", "log_loss", "brier", "accuracy"])
def test_against_the_champion_worse_is_worse_whichever_way_the_metric_points(metric: str) -> None:
    rows, truth = holdout()
    dull = 0.5 + 0.2 * (truth - 0.5) + np.random.default_rng(3).normal(0.0, 0.15, truth.size)
    dull = np.clip(dull, 0.01, 0.99)
    gates = [Gate(metric=metric, against="champion", worse_by_at_most=0.001)]  # type: ignore[arg-type]
    worse = judge_gates(gates, rows, dull, truth).results[0]
    better = judge_gates(gates, rows, truth, dull).results[0]
    assert (worse.passed, better.passed) == (False, True)
    assert worse.found is not None
    assert better.found is not None
    assert worse.found == -better.found > 0.001


def test_a_model_as_good_as_the_champion_passes_with_no_allowance() -> None:
    rows, truth = holdout()
    report = judge_gates([Gate(metric="log_loss", against="champion", worse_by_at_most=0.0)], rows, truth, truth)
    assert (report.passed, report.results[0].found) == (True, 0.0)
    assert report.champion == report.candidate


def test_without_a_champion_its_gates_pass() -> None:
    rows, truth = holdout()
    report = judge_gates([Gate(metric="log_loss", against="champion", worse_by_at_most=0.0)], rows, truth, None)
    assert (report.passed, report.results[0].found, report.results[0].n) == (True, None, 0)
    assert "no champion" in report.results[0].gate


# --- reading


def test_a_holdout_is_read(tmp_path: Path) -> None:
    path = write(tmp_path / "h.csv", 'late,x,origin\n1,2,EWR\n0,,"J,FK"\n1,3,\n')
    found = read_holdout(path, SPEC)
    assert found.labels.tolist() == [1.0, 0.0, 1.0]
    assert found.segments["origin"].tolist() == ["EWR", "J,FK", ""]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x,origin\n1,EWR\n", r"h\.csv has no column late; it has x, origin"),
        ("late,x\n1,1\n", r"h\.csv has no column origin; it has late, x"),
        ("", r"h\.csv has no column late, origin; it has none"),
        ("late,origin\n1,EWR\nyes,EWR\n", r"h\.csv, line 3: label late is"),
        ("late,origin\n1,EWR\n0.5,EWR\n", r"h\.csv, line 3: label late is"),
        ("late,origin\n1,EWR\n,EWR\n", r"h\.csv, line 3: label late is"),
    ],
)
def test_a_broken_holdout_is_refused_with_its_row(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(InvalidError, match=message):
        read_holdout(write(tmp_path / "h.csv", text), SPEC)


def test_one_column_is_read_as_numbers(tmp_path: Path) -> None:
    path = write(tmp_path / "h.csv", "x,late\n1e-3,0\n-2,1\n")
    assert read_numbers(path, "x").tolist() == [0.001, -2.0]
    with pytest.raises(InvalidError, match=r"h\.csv has no column y; it has x, late"):
        read_numbers(path, "y")
    with pytest.raises(InvalidError, match=r"h\.csv, line 3: x is 'much', not a number"):
        read_numbers(write(path, "x\n1\nmuch\n"), "x")


def test_the_reference_loss_is_of_the_clipped_rows() -> None:
    rows, truth = holdout()
    found = reference_loss(rows, truth, "log_loss", 0.05)
    assert found.n == 2000
    clipped = np.clip(truth, 0.05, 0.95)
    expected = -np.log(np.where(rows.labels == 1, clipped, 1 - clipped)).mean()
    assert found.mean == pytest.approx(expected)
