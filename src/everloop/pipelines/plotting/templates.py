"""The Vega-Lite templates of plots, and those that a project has of its own in `.dvc/plots`.

A template is a specification with anchors, as `<DVC_METRIC_X>`, in the places of what a plot says. The names of the
templates, and which anchors each of them has, are those of dvc-render 1.0, because editors fill them in as well. What
they draw is written here.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from everloop.errors import InvalidError, NotFoundError
from everloop.plaintext import nearest

Spec = dict[str, Any]

DEFAULT = "linear"
_SCHEMA = "https://vega.github.io/schema/vega-lite/v5.json"


def anchor(name: str) -> str:
    """How a template writes the place of something."""
    return f"<DVC_METRIC_{name.upper()}>"


class Template(msgspec.Struct, frozen=True, kw_only=True):
    """A specification with anchors.

    Attributes:
        name: What a plot calls it by.
    """

    name: str
    spec: Spec


def find(name: str | None, folder: Path) -> Template:
    """The template that a plot asks for.

    Args:
        name: That of a file in the folder (`.json` may be left out), the path of a file, or the name of a built-in one;
            the nearer goes before. None means the default one.
        folder: Where a project keeps its own.

    Raises:
        NotFoundError: There is none of that name.
        InvalidError: The file is no JSON, or no mapping.
    """
    called = name or DEFAULT
    own = folder / called
    for file in (own, own.with_suffix(".json"), Path(called)):
        if file.is_file():
            return Template(name=called, spec=_load(file))
    return built_in(called)


def built_in(name: str) -> Template:
    """A template of ours.

    Raises:
        NotFoundError: There is none of that name.
    """
    if name in BUILT_IN:
        return Template(name=name, spec=BUILT_IN[name]())
    near = nearest(name, BUILT_IN)
    meant = f"; do you mean {near!r}?" if near else ""
    raise NotFoundError(f"there is no template {name!r}{meant}", hint="see them: ever plots templates")


def _load(file: Path) -> Spec:
    try:
        spec = json.loads(file.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise InvalidError(f"{file}: a template must be JSON: {error}") from error
    if not isinstance(spec, dict):
        raise InvalidError(f"{file}: a template must be a mapping, found {type(spec).__name__}")
    return spec


def _frame(**further: Any) -> Spec:
    """What every picture has: its data and its title."""
    title = {"text": anchor("title"), "anchor": "middle"}
    return {"$schema": _SCHEMA, "data": {"values": anchor("data")}, "title": title, **further}


def _sized(**further: Any) -> Spec:
    return _frame(width=anchor("plot_width"), height=anchor("plot_height"), **further)


def _axis(name: str, **further: Any) -> Spec:
    return {"field": anchor(name), "title": anchor(f"{name}_label"), **further}


def _number(name: str, **further: Any) -> Spec:
    return _axis(name, type="quantitative", **further)


def _from_data(name: str) -> Spec:
    """A number whose axis need not begin at zero."""
    return _number(name, scale={"zero": False})


def _simple() -> Spec:
    return _sized(
        params=[anchor("zoom_and_pan")],
        mark={"type": "line", "tooltip": {"content": "data"}},
        encoding={
            "x": _number("x"),
            "y": _from_data("y"),
            "color": anchor("color"),
            "strokeDash": anchor("stroke_dash"),
            "tooltip": anchor("tooltip"),
        },
    )


def _linear() -> Spec:
    """Lines that a slider smooths, the raw ones faint behind, the last point of each, and all values at the pointer."""
    slider = {"input": "range", "min": 0.001, "max": 1, "step": 0.001}
    by_revision = {"field": "rev", "type": "nominal"}
    raw = {
        "mark": {"type": "line", "opacity": 0.2},
        "encoding": {"x": _number("x"), "y": _from_data("y"), "color": by_revision},
    }
    last = {
        "mark": {"type": "circle", "size": 10},
        "encoding": {
            "x": _number("x", aggregate="max"),
            "y": _from_data("y") | {"aggregate": {"argmax": anchor("x")}},
            "color": by_revision,
        },
    }
    return _sized(
        params=[{"name": "smooth", "value": 0.001, "bind": slider}],
        encoding={"x": _number("x"), "color": anchor("color"), "strokeDash": anchor("stroke_dash")},
        layer=[_smoothed(by_revision), raw, last, _pointer()],
    )


def _smoothed(by_revision: Spec) -> Spec:
    at_pointer = {"filter": {"param": "hover", "empty": False}}
    fit = {
        "loess": anchor("y"),
        "on": anchor("x"),
        "groupby": anchor("group_by"),
        "bandwidth": {"signal": "smooth"},
    }
    return {
        "transform": [fit],
        "encoding": {"y": _from_data("y"), "color": by_revision},
        "layer": [
            {"mark": "line", "params": [anchor("zoom_and_pan")]},
            {"mark": "point", "transform": [at_pointer]},
        ],
    }


def _pointer() -> Spec:
    """A rule at the pointer's x that tells the values of all lines there."""
    nearest_x = {
        "type": "point",
        "fields": [anchor("x")],
        "nearest": True,
        "on": "pointermove",
        "clear": "pointerout",
    }
    columns = {"pivot": "pivot_field", "op": "mean", "value": anchor("y"), "groupby": [anchor("x")]}
    return {
        "transform": [{"calculate": anchor("pivot_field"), "as": "pivot_field"}, columns],
        "mark": {"type": "rule", "stroke": "grey", "tooltip": {"content": "data"}},
        "encoding": {"opacity": {"condition": {"param": "hover", "empty": False, "value": 0.3}, "value": 0}},
        "params": [{"name": "hover", "select": nearest_x}],
    }


def _scatter() -> Spec:
    encoding = {"x": _number("x"), "y": _number("y")} | _told_apart_by_shape()
    return _sized(
        params=[anchor("zoom_and_pan")], mark={"type": "point", "tooltip": {"content": "data"}}, encoding=encoding
    )


def _scatter_jitter() -> Spec:
    aside = {axis: {"field": f"random{axis[0].upper()}", "type": "quantitative"} for axis in ("xOffset", "yOffset")}
    return _sized(
        transform=[{"calculate": "random()", "as": field["field"]} for field in aside.values()],
        mark={"type": "point", "tooltip": {"content": "data"}},
        encoding={"x": _axis("x"), "y": _axis("y")} | aside | _told_apart_by_shape(),
    )


def _told_apart_by_shape() -> Spec:
    return {"color": anchor("color"), "shape": anchor("shape"), "tooltip": anchor("tooltip")}


def _bars(**order: Any) -> Spec:
    return _sized(
        params=[anchor("zoom_and_pan")],
        mark={"type": "bar"},
        encoding={
            "x": _from_data("x"),
            "y": _axis("y", type="nominal", **order),
            "yOffset": {"field": "rev", "sort": []},
            "color": anchor("color"),
            "column": anchor("column"),
        },
    )


def _confusion() -> Spec:
    """How often each pair occurs, relative to the most frequent one."""
    share: list[Spec] = [
        {"joinaggregate": [{"op": "max", "field": "xy_count", "as": "max_count"}], "groupby": []},
        {"calculate": "datum.xy_count / datum.max_count", "as": "percent_of_max"},
    ]
    count = {"field": "xy_count", "type": "quantitative"}
    matrix = _matrix(
        _counted(anchor("group_by_y")) + share,
        color=count | {"title": "", "scale": {"domainMin": 0, "nice": True}},
        told=count,
        dark="datum.percent_of_max > 0.5",
        text={"text": {"condition": {"param": "showValues"} | count, "value": ""}},
    )
    return matrix | {"params": [{"name": "showValues", "bind": {"input": "checkbox"}}]}


def _confusion_normalized() -> Spec:
    """Which share of each y every x has; a row sums up to 1."""
    share: list[Spec] = [
        {"joinaggregate": [{"op": "sum", "field": "xy_count", "as": "sum_y"}], "groupby": [anchor("y")]},
        {"calculate": "datum.sum_y > 0 ? datum.xy_count / datum.sum_y : 0", "as": "percent_of_y"},
    ]
    part = {"field": "percent_of_y", "type": "quantitative"}
    return _matrix(
        _counted(["rev", anchor("y")]) + share,
        color=part | {"title": "", "scale": {"domain": [0, 1]}},
        told=part | {"format": ".2f"},
        dark="datum.percent_of_y > 0.5",
        text={"text": part | {"format": ".2f"}},
    )


def _counted(groups_of_x: Any) -> list[Spec]:
    """How often each pair occurs in each part of the picture, zero for those that never do."""
    zero = {"impute": "xy_count", "value": 0}
    return [
        {"aggregate": [{"op": "count", "as": "xy_count"}], "groupby": [anchor("y"), anchor("x")]},
        zero | {"groupby": groups_of_x, "key": anchor("x")},
        zero | {"groupby": anchor("group_by_x"), "key": anchor("y")},
    ]


def _matrix(transform: list[Spec], *, color: Spec, told: Spec, dark: str, text: Spec) -> Spec:
    """A matrix for each moment, side by side; the cell at the pointer is marked."""
    pair = [{"field": anchor(name), "type": "nominal"} for name in ("x", "y")]
    axes = {name: _axis(name, type="nominal", sort="ascending") for name in ("x", "y")}
    label = {"type": "point", "encodings": ["x", "y"], "on": "pointerover", "clear": "pointerout"}
    is_pointed = {"param": "label", "empty": False}
    return _frame(
        facet={"column": {"field": "rev", "sort": []}, "row": anchor("row")},
        spec={
            "width": anchor("plot_width"),
            "height": anchor("plot_height"),
            "transform": transform,
            "encoding": axes,
            "layer": [
                {"mark": "rect", "encoding": {"color": color}},
                {
                    "mark": {"type": "rect", "color": "lightpink"},
                    "params": [{"name": "label", "select": label}],
                    "encoding": {
                        "tooltip": [*pair, told],
                        "opacity": {"condition": is_pointed | {"value": 1}, "value": 0},
                    },
                },
                {
                    "mark": "text",
                    "encoding": text | {"color": {"condition": {"test": dark, "value": "white"}, "value": "black"}},
                },
            ],
        },
    )


# In the order in which `plots templates` lists them.
BUILT_IN: dict[str, Callable[[], Spec]] = {
    "simple": _simple,
    "linear": _linear,
    "confusion": _confusion,
    "confusion_normalized": _confusion_normalized,
    "scatter": _scatter,
    "scatter_jitter": _scatter_jitter,
    "smooth": _linear,
    "bar_horizontal_sorted": lambda: _bars(sort="-x"),
    "bar_horizontal": _bars,
}
