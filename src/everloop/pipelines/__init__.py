"""Pipelines: stages in `dvc.yaml`, their runs remembered in `dvc.lock`, params and metrics, all in DVC's formats.

Data under version and Git belong to the workspace. `pipelines.record`, which loads the records of runs, is imported by
its full path.
"""

from everloop.pipelines.measures import load_metrics, load_params, read_metrics, read_params
from everloop.pipelines.params import parse_assignments, set_params
from everloop.pipelines.plan import Scope
from everloop.pipelines.repro import repro
from everloop.pipelines.status import status
from everloop.pipelines.targets import data_targets
from everloop.pipelines.values import Event, EventKind, OnError, Outcome, Report, Stage, StageReport

__all__ = [
    "Event",
    "EventKind",
    "OnError",
    "Outcome",
    "Report",
    "Scope",
    "Stage",
    "StageReport",
    "data_targets",
    "load_metrics",
    "load_params",
    "parse_assignments",
    "read_metrics",
    "read_params",
    "repro",
    "set_params",
    "status",
]
