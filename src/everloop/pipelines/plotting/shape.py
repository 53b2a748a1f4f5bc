"""Plots as JSON, in the shape that editors read.

Source: dvc 3.67 (`commands/plots.py`, `render/convert.py`).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from everloop.pipelines.plotting import spec, templates
from everloop.pipelines.plotting.values import Plot, PlotProblem, Plots


def shape(plots: Plots, images: Mapping[tuple[str, str], Path], folder: Path, *, split: bool = False) -> dict[str, Any]:
    """All plots and what is missing of them.

    Args:
        plots: As `show_plots` gives them.
        images: Where each image lies, as `Pictures.write` tells.
        folder: Where a project keeps its templates.
        split: Leave the anchors that an editor fills in, and hand out beside it what belongs there.

    Returns:
        `{"errors": [{"name", "rev", "source", "type", "msg"}], "data": {name: [{"type": "vega", "revisions", "content",
        "anchor_definitions"}, {"type": "image", "revisions", "url"}]}}`; what is empty is left out.

    Raises:
        NotFoundError: A template does not exist.
        InvalidError: A template is malformed, or does not fit.
    """
    data = {plot.name: _images(plot, images) if plot.is_image else _vega(plot, folder, split) for plot in plots.plots}
    whole = {"errors": [_problem(problem) for problem in plots.problems], "data": data}
    return {key: value for key, value in whole.items() if value}


def specification(plot: Plot, folder: Path) -> dict[str, Any]:
    """The whole Vega-Lite specification of a plot that has points. Raises: as `shape`."""
    return spec.filled(plot, templates.find(plot.options.get("template"), folder)).content


def _vega(plot: Plot, folder: Path, split: bool) -> list[dict[str, Any]]:
    template = templates.find(plot.options.get("template"), folder)
    if not plot.points:
        return []
    filled = spec.filled(plot, template, split=split)
    entry = {"type": "vega", "revisions": list(plot.revisions), "content": filled.content}
    return [entry | {"anchor_definitions": filled.anchors} if split else entry]


def _images(plot: Plot, places: Mapping[tuple[str, str], Path]) -> list[dict[str, Any]]:
    return [
        {"type": "image", "revisions": [image.revision], "url": str(places[image.revision, image.path])}
        for image in plot.images
    ]


def _problem(problem: PlotProblem) -> dict[str, str]:
    named = {"name": problem.plot} if problem.plot else {}
    source = {"source": problem.source} if problem.source else {}
    return {**named, "rev": problem.revision, **source, "type": problem.problem.kind, "msg": problem.problem.message}
