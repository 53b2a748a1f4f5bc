"""Gates: may this candidate be deployed at all? Judged by the platform on held-out rows, not by the training code.

The candidate and the champion score the same rows in a job process (a model package is never loaded here); the numbers
of every gate are kept whether it passed or not.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from everloop.errors import InvalidError
from everloop.evaluation import METRICS, EvaluationReport, evaluate, losses
from everloop.loop.project import Gate, PipelineSpec
from everloop.monitoring import LossSummary, summarise

csv.field_size_limit(1 << 20)


class GateResult(msgspec.Struct, frozen=True, kw_only=True):
    """One gate's outcome: what was asked in words, what was found, and the bound."""

    gate: str
    passed: bool
    found: float | None
    bound: float
    n: int


class GateReport(msgspec.Struct, frozen=True, kw_only=True):
    """All gates of one candidate. `passed` is true when every gate passed; `champion` is None for the first model."""

    passed: bool
    results: list[GateResult]
    candidate: EvaluationReport
    champion: EvaluationReport | None


class Holdout(msgspec.Struct, frozen=True, kw_only=True):
    """Held-out rows: labels (n,) in {0, 1}, and the segment columns as text, each (n,)."""

    labels: NDArray[np.float64]
    segments: dict[str, NDArray[np.str_]]


def read_holdout(path: Path, spec: PipelineSpec) -> Holdout:
    """Read label and segment columns of a holdout CSV.

    Raises:
        InvalidError: a column is missing, or a label is not 0 or 1; names the row.
    """
    with path.open(newline="", encoding="utf-8") as file:
        reader = csv.DictReader(file)
        wanted = [spec.label, *spec.segments]
        missing = [name for name in wanted if name not in (reader.fieldnames or [])]
        if missing:
            raise InvalidError(
                f"{path.name} has no column {', '.join(missing)}; it has {', '.join(reader.fieldnames or ['none'])}",
                hint="everloop.yaml names the label and the segments under `pipeline`.",
            )
        labels: list[float] = []
        columns: dict[str, list[str]] = {name: [] for name in spec.segments}
        for number, row in enumerate(reader, start=2):
            if row[spec.label] not in ("0", "1"):
                raise InvalidError(f"{path.name}, line {number}: label {spec.label} is {row[spec.label]!r}, not 0 or 1")
            labels.append(float(row[spec.label]))
            for name in spec.segments:
                columns[name].append(row[name])
    return Holdout(labels=np.array(labels), segments={name: np.array(values) for name, values in columns.items()})


def read_numbers(path: Path, column: str) -> NDArray[np.float64]:
    """Read one column of a CSV as numbers, shape (n,).

    Raises:
        InvalidError: there is no such column, or a cell is no number; names the line.
    """
    with path.open(newline="", encoding="utf-8") as file:
        reader = csv.DictReader(file)
        if column not in (reader.fieldnames or []):
            raise InvalidError(f"{path.name} has no column {column}; it has {', '.join(reader.fieldnames or ['none'])}")
        values = []
        for line, row in enumerate(reader, start=2):
            try:
                values.append(float(row[column]))
            except (TypeError, ValueError) as error:
                raise InvalidError(f"{path.name}, line {line}: {column} is {row[column]!r}, not a number") from error
    return np.array(values)


def judge_gates(
    gates: Sequence[Gate], holdout: Holdout, candidate: NDArray[np.float64], champion: NDArray[np.float64] | None
) -> GateReport:
    """Judge a candidate's scores on held-out rows.

    A bound on all rows holds when the estimate keeps it. A bound on a segment is broken only when the segment's whole
    interval breaks it: small segments are noisy, and a gate that fails by chance is soon ignored.

    Args:
        candidate: probabilities of class 1, shape (n,).
        champion: the champion's on the same rows, or None when there is none yet (its gates then pass).
    """
    report = evaluate(holdout.labels, candidate, holdout.segments)
    against = evaluate(holdout.labels, champion, holdout.segments) if champion is not None else None
    results = [result for gate in gates for result in _judge(gate, report, against)]
    passed = all(result.passed for result in results)
    return GateReport(passed=passed, results=results, candidate=report, champion=against)


def _judge(gate: Gate, report: EvaluationReport, champion: EvaluationReport | None) -> list[GateResult]:
    if gate.against is not None:
        return _judge_against(gate, report, champion)
    if gate.segment is None:
        if gate.metric not in report.metrics:
            reason = report.skipped.get(gate.metric, "it could not be computed")
            return [
                GateResult(gate=f"{gate.metric}: {reason}", passed=False, found=None, bound=_bound_of(gate), n=report.n)
            ]
        found = report.metrics[gate.metric].value
        return [_bound(gate, gate.metric, low=found, high=found, found=found, n=report.n)]
    results = []
    for value, segment in report.segments.get(gate.segment, {}).items():
        estimate = segment.metrics.get(gate.metric)
        if estimate is not None:
            name = f"{gate.metric} where {gate.segment} = {value}"
            results.append(_bound(gate, name, low=estimate.low, high=estimate.high, found=estimate.value, n=estimate.n))
    if not results:
        name = f"{gate.metric} where {gate.segment} = …: no value has enough rows"
        return [GateResult(gate=name, passed=True, found=None, bound=_bound_of(gate), n=0)]
    return results


def _bound_of(gate: Gate) -> float:
    bound = gate.at_least if gate.at_least is not None else gate.at_most
    assert bound is not None
    return bound


def _bound(gate: Gate, name: str, *, low: float, high: float, found: float, n: int) -> GateResult:
    if gate.at_least is not None:
        return GateResult(
            gate=f"{name} at least {gate.at_least:g}",
            passed=high >= gate.at_least,
            found=found,
            bound=gate.at_least,
            n=n,
        )
    assert gate.at_most is not None
    return GateResult(
        gate=f"{name} at most {gate.at_most:g}", passed=low <= gate.at_most, found=found, bound=gate.at_most, n=n
    )


def _judge_against(gate: Gate, report: EvaluationReport, champion: EvaluationReport | None) -> list[GateResult]:
    assert gate.worse_by_at_most is not None
    name = f"{gate.metric} worse than the champion's by at most {gate.worse_by_at_most:g}"
    if champion is None or gate.metric not in champion.metrics or gate.metric not in report.metrics:
        return [GateResult(gate=f"{name} (no champion)", passed=True, found=None, bound=gate.worse_by_at_most, n=0)]
    difference = report.metrics[gate.metric].value - champion.metrics[gate.metric].value
    worse = -difference if METRICS[gate.metric].higher_is_better else difference
    passed = worse <= gate.worse_by_at_most
    return [GateResult(gate=name, passed=passed, found=worse, bound=gate.worse_by_at_most, n=report.n)]


def reference_loss(holdout: Holdout, scores: NDArray[np.float64], metric: str, clip: float) -> LossSummary:
    """Return the summary of the per-row losses on held-out rows, which decay is measured against."""
    return summarise(losses(holdout.labels, scores, metric, clip))
