"""Drift is called when it is improbable and large, and hardly ever when there is none."""

from __future__ import annotations

import math

import msgspec
import numpy as np
import pytest
from scipy import stats

from everloop.datasets import Profile, profile_columns
from everloop.errors import InvalidError
from everloop.monitoring import DriftPolicy, DriftReport, adjusted, drift, persisting


def table(rng: np.random.Generator, n: int, **changes: float) -> dict[str, np.ndarray]:
    shift, share, nulls = changes.get("shift", 0.0), changes.get("share", 0.5), changes.get("nulls", 0.02)
    temp = rng.normal(shift, 1.0, n)
    temp[rng.uniform(size=n) < nulls] = math.nan
    return {
        "temp": temp,
        "heavy": rng.pareto(1.5, n),
        "hour": rng.integers(0, 24, n),
        "carrier": np.where(rng.uniform(size=n) < share, "AA", rng.choice(["UA", "DL", "B6"], n)),
        "plane": rng.choice([f"N{k}" for k in range(400)], n),
    }


RNG = np.random.default_rng(8)
REFERENCE = profile_columns(table(RNG, 20_000))


def window(n: int = 2000, **changes: float) -> Profile:
    return profile_columns(table(RNG, n, **changes), REFERENCE)


def test_without_a_change_hardly_any_window_alarms() -> None:
    reports = [drift(REFERENCE, window(n)) for n in (200, 500, 2000) for _ in range(60)]
    assert sum(bool(report.drifted) for report in reports) <= 2
    assert all(report.status == "ok" for report in reports)


def test_a_trifle_in_many_rows_is_no_drift() -> None:
    report = drift(REFERENCE, window(50_000, shift=0.05))
    assert report.columns["temp"].q_value is not None
    assert report.columns["temp"].q_value < 0.01
    assert report.columns["temp"].status == "ok"


def test_a_shift_is_found_with_its_direction() -> None:
    up, down = drift(REFERENCE, window(shift=0.7)), drift(REFERENCE, window(shift=-0.7))
    assert up.drifted == down.drifted == ["temp"]
    assert (up.columns["temp"].direction, down.columns["temp"].direction) == ("up", "down")
    assert up.columns["temp"].reason.startswith("psi 0.")
    assert up.drifted_share == pytest.approx(0.2)
    assert up.status == "ok"


def test_categories_and_nulls_drift_too() -> None:
    report = drift(REFERENCE, window(share=0.9, nulls=0.2))
    assert set(report.drifted) == {"carrier", "temp"}
    assert report.status == "drift"
    assert report.columns["temp"].null_change == pytest.approx(0.18, abs=0.03)
    assert "share of nulls +1" in report.columns["temp"].reason
    assert report.columns["carrier"].direction is None


def test_a_column_that_became_null_altogether_is_drift() -> None:
    report = drift(REFERENCE, window(nulls=1.0))
    assert report.columns["temp"].status == "drift"
    assert report.columns["temp"].n_window == 0


def test_importance_weighs_the_verdict() -> None:
    light = DriftPolicy(importance={"temp": 1, "hour": 9})
    heavy = DriftPolicy(importance={"temp": 9, "hour": 1})
    moved = window(shift=0.7)
    assert drift(REFERENCE, moved, light).status == "ok"
    assert drift(REFERENCE, moved, heavy).status == "drift"


def test_a_small_window_is_not_judged() -> None:
    report = drift(REFERENCE, window(50, shift=5))
    assert report.status == "not_enough_data"
    assert report.columns["temp"].reason == "window and reference need 200 rows each, the window has 50"


def test_persisting_asks_for_several_windows() -> None:
    quiet, loud = drift(REFERENCE, window()), drift(REFERENCE, window(shift=1))
    assert persisting([loud, quiet, quiet]) == []
    assert persisting([loud, quiet, loud]) == ["temp"]
    assert persisting([loud, loud, quiet, quiet]) == []


def test_adjusted_p_values_agree_with_scipy() -> None:
    p = RNG.uniform(size=30) ** 3
    assert adjusted(p.tolist()) == pytest.approx(stats.false_discovery_control(p).tolist())
    assert adjusted([]) == []


def test_a_report_survives_json() -> None:
    report = drift(REFERENCE, window(shift=1))
    assert msgspec.json.decode(msgspec.json.encode(report), type=DriftReport) == report


def test_mistakes_are_named() -> None:
    with pytest.raises(InvalidError, match="lacks columns of the reference: temp"):
        drift(profile_columns({"temp": [1.0]}), profile_columns({"x": [1.0]}))
    with pytest.raises(InvalidError, match="different bins"):
        drift(REFERENCE, profile_columns(table(RNG, 500)))
    with pytest.raises(InvalidError):
        DriftPolicy(q=0)
    with pytest.raises(InvalidError):
        DriftPolicy(min_rows=0)
    with pytest.raises(InvalidError):
        DriftPolicy(importance={"x": -1})
