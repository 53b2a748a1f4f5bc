"""The records of work: experiments, runs, metrics, params, tags, artifacts and the edges of lineage between them.

Leaves registered models to `registry` and what is served to `serving`. Each name is loaded when it is first used, so
that the light logger (`start_run`) loads nothing else; `tracking.sql` (which loads SQLAlchemy) is imported by its full
path on the server side only.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from everloop.tracking.live import LiveRun
    from everloop.tracking.livefolder import LiveFolder, load_live
    from everloop.tracking.loggedmodel import (
        LoggedModel,
        LoggedModelPage,
        MetricDataset,
        ModelMetric,
        ModelOrder,
        ModelStatus,
    )
    from everloop.tracking.run import (
        Artifact,
        Edge,
        Experiment,
        ExperimentPage,
        History,
        Input,
        Metric,
        ModelOutput,
        Run,
        RunPage,
        Status,
        View,
    )
    from everloop.tracking.starting import start_run
    from everloop.tracking.store import TrackingStore

__all__ = [
    "Artifact",
    "Edge",
    "Experiment",
    "ExperimentPage",
    "History",
    "Input",
    "LiveFolder",
    "LiveRun",
    "LoggedModel",
    "LoggedModelPage",
    "Metric",
    "MetricDataset",
    "ModelMetric",
    "ModelOrder",
    "ModelOutput",
    "ModelStatus",
    "Run",
    "RunPage",
    "Status",
    "TrackingStore",
    "View",
    "load_live",
    "start_run",
]

_HOMES = {
    "Artifact": "run",
    "Edge": "run",
    "Experiment": "run",
    "ExperimentPage": "run",
    "History": "run",
    "Input": "run",
    "LiveFolder": "livefolder",
    "LiveRun": "live",
    "LoggedModel": "loggedmodel",
    "LoggedModelPage": "loggedmodel",
    "Metric": "run",
    "MetricDataset": "loggedmodel",
    "ModelMetric": "loggedmodel",
    "ModelOrder": "loggedmodel",
    "ModelOutput": "run",
    "ModelStatus": "loggedmodel",
    "Run": "run",
    "RunPage": "run",
    "Status": "run",
    "TrackingStore": "store",
    "View": "run",
    "load_live": "livefolder",
    "start_run": "starting",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'everloop.tracking' has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(f"everloop.tracking.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
