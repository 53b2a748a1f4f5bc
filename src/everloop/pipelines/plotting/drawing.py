"""Hand plots out: as JSON for an editor, as a page for people, as one specification."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from everloop.pipelines.plotting import page, templates
from everloop.pipelines.plotting.pictures import Pictures
from everloop.pipelines.plotting.shape import shape, specification
from everloop.pipelines.plotting.values import Plot, Plots
from everloop.workspace import Workspace


def plots_shape(workspace: Workspace, plots: Plots, folder: Path, *, split: bool = False) -> dict[str, Any]:
    """Plots as JSON, their images written into a folder; see `shape`."""
    return shape(plots, Pictures(folder).write(plots.plots), _templates(workspace), split=split)


def write_plots(workspace: Workspace, plots: Plots, folder: Path, *, frame: Path | None = None) -> Path:
    """Write `index.html` into a folder, images beside it; its path, absolute. See `page.write_page`."""
    target = (folder / "index.html").absolute()
    images = Pictures(folder / "static").write(plots.plots)
    scripts = page.bundled_scripts(workspace.layout.scratch_dir)
    page.write_page(plots, images, target, templates=_templates(workspace), frame=frame, scripts=scripts)
    return target


def plot_specification(workspace: Workspace, plot: Plot) -> dict[str, Any]:
    """The Vega-Lite specification of a plot that has points.

    Raises:
        NotFoundError: Its template does not exist.
        InvalidError: The template is malformed, or does not fit.
    """
    return specification(plot, _templates(workspace))


def plot_templates() -> list[str]:
    """The names of the built-in templates."""
    return list(templates.BUILT_IN)


def plot_template(name: str) -> dict[str, Any]:
    """The specification of a built-in template, with its anchors.

    Raises:
        NotFoundError: There is none of that name.
    """
    return templates.built_in(name).spec


def _templates(workspace: Workspace) -> Path:
    return workspace.layout.dvc_dir / "plots"
