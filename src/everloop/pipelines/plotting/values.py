"""The nouns of plots."""

from __future__ import annotations

from typing import Any

import msgspec

from everloop.pipelines.readings import Problem

# As `dvc.yaml` has them: template, title, x, y, x_label, y_label, header.
Options = dict[str, Any]
Point = dict[str, Any]

IMAGES = frozenset({".jpg", ".jpeg", ".gif", ".png", ".svg", ".bmp", ".webp"})


def is_outside(path: str) -> bool:
    """Whether a path relative to the workspace's root leads out of it."""
    return path == ".." or path.startswith("../")


class YField(msgspec.Struct, frozen=True, kw_only=True):
    """One column that is drawn.

    Attributes:
        filename: Where it comes from, without what the names of all files begin with.
        field: Its name.
    """

    filename: str
    field: str


class PlotImage(msgspec.Struct, frozen=True, kw_only=True):
    """An image at one moment.

    Attributes:
        revision: As it was asked for.
        path: Relative to the folder that plots are told from.
    """

    revision: str
    path: str
    data: bytes


class PlotProblem(msgspec.Struct, frozen=True, kw_only=True):
    """Why a plot lacks a moment.

    Attributes:
        plot: Its name; "" when not even the definitions could be read.
        source: The file that could not be read; "" when it is something else.
    """

    plot: str
    revision: str
    source: str = ""
    problem: Problem


class Plot(msgspec.Struct, frozen=True, kw_only=True):
    """One picture: series of points over all moments, or images of them.

    Attributes:
        name: Its id or path; with the `dvc.yaml` before it where several have one of that name.
        is_image: `images` count, else `points`.
        points: Rows of the files, each with its moment as `rev`, and its `filename` and `field`.
        revisions: The moments that have points or images.
        options: How to draw them; `x` and `y` are the fields of the points.
        ys: The columns that are drawn.
    """

    name: str
    is_image: bool = False
    points: tuple[Point, ...] = ()
    images: tuple[PlotImage, ...] = ()
    revisions: tuple[str, ...] = ()
    options: Options = {}
    ys: tuple[YField, ...] = ()


class Plots(msgspec.Struct, frozen=True, kw_only=True):
    """All that was asked for.

    Attributes:
        revisions: The moments where anything is defined.
    """

    plots: tuple[Plot, ...] = ()
    problems: tuple[PlotProblem, ...] = ()
    revisions: tuple[str, ...] = ()
