"""MLflow's calls that read the histories of metrics, whole, in pages, of many runs, and sampled for a chart."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import msgspec

from everloop.errors import InvalidError
from everloop.server.mlflow.runs import OfRun
from everloop.server.mlflow.wire import Message, Metric, Text, to_metric
from everloop.tracking import TrackingStore

BULK_RUNS = 100
BULK_POINTS = 25_000
SAMPLED_POINTS = 2500


class GetHistory(OfRun, frozen=True, kw_only=True):
    metric_key: Text
    page_token: str = ""
    max_results: Annotated[int, msgspec.Meta(ge=1)] | None = None


class GetHistoryBulk(Message, frozen=True, kw_only=True):
    run_id: tuple[str, ...] = ()
    metric_key: Text
    max_results: Annotated[int, msgspec.Meta(ge=1)] = BULK_POINTS


class GetHistoryInterval(Message, frozen=True, kw_only=True):
    run_ids: tuple[str, ...]
    metric_key: Text
    start_step: int | None = None
    end_step: int | None = None
    max_results: int = SAMPLED_POINTS


class Metrics(Message, frozen=True, kw_only=True):
    metrics: tuple[Metric, ...] = ()
    next_page_token: str = ""


def get_history(tracking: TrackingStore, asked: GetHistory) -> Metrics:
    found = tracking.metric_history(asked.run, asked.metric_key, asked.max_results, asked.page_token)
    return Metrics(metrics=tuple(map(to_metric, found.points)), next_page_token=found.next)


def get_history_bulk(tracking: TrackingStore, asked: GetHistoryBulk) -> Metrics:
    """Return the points of one metric of several runs, by run and then by time."""
    if not asked.run_id:
        raise InvalidError("GetMetricHistoryBulk request must specify at least one run_id.")
    _check_runs("GetMetricHistoryBulk request cannot specify more than", asked.run_id)
    found: list[Metric] = []
    limit = min(asked.max_results, BULK_POINTS)
    for run_id in sorted(set(asked.run_id)):
        if len(found) < limit:
            points = tracking.metric_history(run_id, asked.metric_key).points
            points = sorted(points, key=lambda point: (point.logged_at, point.step))
            found += [to_metric(point, run_id) for point in points[: limit - len(found)]]
    return Metrics(metrics=tuple(found))


def get_history_interval(tracking: TrackingStore, asked: GetHistoryInterval) -> Metrics:
    """Return at most `max_results` points of each run, evenly taken from those between two steps."""
    _check_runs("GetMetricHistoryBulkInterval request must specify at most", asked.run_ids)
    if not 1 <= asked.max_results <= SAMPLED_POINTS:
        raise InvalidError(f"max_results must be between 1 and {SAMPLED_POINTS}.")
    first, last = asked.start_step, asked.end_step
    if (first is None) != (last is None):
        raise InvalidError("If either start step or end step are specified, both must be specified.")
    if first is not None and last is not None and first > last:
        raise InvalidError(f"end_step must be greater than start_step. Found start_step={first} and end_step={last}.")
    found: list[Metric] = []
    for run_id in asked.run_ids:
        points = tracking.sample_metric(run_id, asked.metric_key, asked.max_results, first, last)
        found += [to_metric(point, run_id) for point in points]
    return Metrics(metrics=tuple(found))


def _check_runs(problem: str, run_ids: Sequence[str]) -> None:
    if len(run_ids) > BULK_RUNS:
        raise InvalidError(f"{problem} {BULK_RUNS} run_ids. Received {len(run_ids)} run_ids.")
