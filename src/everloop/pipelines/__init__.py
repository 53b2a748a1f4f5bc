"""Pipelines: stages in `dvc.yaml`, their runs remembered in `dvc.lock`, params and metrics, all in DVC's formats.

Data under version and Git belong to the workspace. `pipelines.record`, which loads the records of runs, is imported by
its full path. Names that a small command does without are loaded when they are first used.
"""

from typing import TYPE_CHECKING, Any

from everloop.pipelines.plan import Reach
from everloop.pipelines.repro import repro
from everloop.pipelines.status import status
from everloop.pipelines.values import Event, EventKind, OnError, Outcome, Report, Stage, StageReport

if TYPE_CHECKING:
    from everloop.pipelines.measurediff import HEAD, MeasureDiff, diff_metrics, diff_params, flat_measures, problems_of
    from everloop.pipelines.measures import (
        load_metrics,
        load_params,
        read_metrics,
        read_params,
        show_metrics,
        show_params,
        without_same_workspace,
    )
    from everloop.pipelines.moments import WORKSPACE, RevisionScope
    from everloop.pipelines.paramedit import set_params
    from everloop.pipelines.params import parse_assignments
    from everloop.pipelines.plotting.definitions import PlotRequest
    from everloop.pipelines.plotting.drawing import (
        plot_specification,
        plot_template,
        plot_templates,
        plots_shape,
        write_plots,
    )
    from everloop.pipelines.plotting.modify import modify_plot
    from everloop.pipelines.plotting.show import diff_plots, show_plots
    from everloop.pipelines.plotting.values import Plot, PlotProblem, Plots
    from everloop.pipelines.readings import Problem, Reading, Readings
    from everloop.pipelines.targets import data_targets

__all__ = [
    "HEAD",
    "WORKSPACE",
    "Event",
    "EventKind",
    "MeasureDiff",
    "OnError",
    "Outcome",
    "Plot",
    "PlotProblem",
    "PlotRequest",
    "Plots",
    "Problem",
    "Reach",
    "Reading",
    "Readings",
    "Report",
    "RevisionScope",
    "Stage",
    "StageReport",
    "data_targets",
    "diff_metrics",
    "diff_params",
    "diff_plots",
    "flat_measures",
    "load_metrics",
    "load_params",
    "modify_plot",
    "parse_assignments",
    "plot_specification",
    "plot_template",
    "plot_templates",
    "plots_shape",
    "problems_of",
    "read_metrics",
    "read_params",
    "repro",
    "set_params",
    "show_metrics",
    "show_params",
    "show_plots",
    "status",
    "without_same_workspace",
    "write_plots",
]

_HOMES = {
    "HEAD": "measurediff",
    "WORKSPACE": "moments",
    "MeasureDiff": "measurediff",
    "Problem": "readings",
    "Reading": "readings",
    "Readings": "readings",
    "RevisionScope": "moments",
    "data_targets": "targets",
    "diff_metrics": "measurediff",
    "diff_params": "measurediff",
    "flat_measures": "measurediff",
    "load_metrics": "measures",
    "load_params": "measures",
    "parse_assignments": "params",
    "problems_of": "measurediff",
    "read_metrics": "measures",
    "read_params": "measures",
    "set_params": "paramedit",
    "show_metrics": "measures",
    "show_params": "measures",
    "without_same_workspace": "measures",
    "Plot": "plotting.values",
    "PlotProblem": "plotting.values",
    "Plots": "plotting.values",
    "show_plots": "plotting.show",
    "diff_plots": "plotting.show",
    "plots_shape": "plotting.drawing",
    "write_plots": "plotting.drawing",
    "plot_specification": "plotting.drawing",
    "plot_templates": "plotting.drawing",
    "plot_template": "plotting.drawing",
    "modify_plot": "plotting.modify",
    "PlotRequest": "plotting.definitions",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'everloop.pipelines' has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(f"everloop.pipelines.{_HOMES[name]}"), name)
