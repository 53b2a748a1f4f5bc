"""Reports hold together, survive JSON, and compare models on the same rows."""

from __future__ import annotations

import numpy as np
import pytest

from everloop.errors import InvalidError
from everloop.evaluation import auc, calibration, compare, evaluate, losses, read_report, report_json

RNG = np.random.default_rng(9)
P = RNG.beta(2, 4, 4000)
Y = (RNG.uniform(size=4000) < P).astype(int)


def test_a_report_holds_metrics_calibration_and_segments() -> None:
    report = evaluate(Y, P, {"half": np.arange(4000) % 2})
    assert report.metrics["auc"] == auc(Y, P)
    assert report.n == sum(s.n for s in report.segments["half"].values()) == sum(b.n for b in report.calibration)
    assert report.positive_share == pytest.approx(Y.mean())
    assert report.calibration_error < 0.03


def test_a_report_survives_json() -> None:
    report = evaluate(Y, P, {"half": np.arange(4000) % 2})
    assert read_report(report_json(report)) == report
    with pytest.raises(InvalidError, match="not an evaluation report"):
        read_report(b'{"n": "x"}')


def test_one_class_has_no_auc_but_the_rest() -> None:
    report = evaluate([0, 0, 0], [0.1, 0.2, 0.3])
    assert set(report.metrics) == {"log_loss", "brier", "accuracy"}
    assert report.skipped == {"auc": "all labels are 0"}


def test_calibration_sees_scores_that_are_too_high() -> None:
    assert evaluate(Y, np.clip(P + 0.2, 0, 1)).calibration_error == pytest.approx(0.2, abs=0.03)


def test_equal_scores_share_a_bin() -> None:
    assert [(b.n, b.mean_score) for b in calibration([0, 1, 1, 0], [0.5] * 4)] == [(4, 0.5)]


def test_the_better_model_has_a_positive_difference() -> None:
    worse = np.full(4000, Y.mean())
    result = compare(Y, worse, P)
    assert result.difference.low > 0
    assert result.difference.value == pytest.approx(result.champion.value - result.challenger.value)
    paired = losses(Y, worse, "log_loss") - losses(Y, P, "log_loss")
    assert result.difference.value == pytest.approx(paired.mean())
    assert compare(Y, P, P, metric="brier").difference.high == 0.0
