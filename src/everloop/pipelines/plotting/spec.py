"""Fill a template with what a plot says: a whole Vega-Lite specification, or one with its anchors handed out beside it.

Source: dvc-render 1.0 (`vega.py`), whose anchors, colours and dashes these are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from everloop.errors import InvalidError
from everloop.pipelines.plotting.templates import Spec, Template, anchor
from everloop.pipelines.plotting.values import Plot, Point, YField

# What an editor fills in itself, so that it can be changed without asking again.
_SPLIT = frozenset(
    {
        "color", "data", "plot_height", "plot_width", "shape", "stroke_dash", "title", "tooltip", "x_label", "y_label",
        "zoom_and_pan",
    }
)  # fmt: skip
# An anchor of these that nothing is known for becomes an empty mapping.
_OPTIONAL = (
    "color", "column", "group_by_x", "group_by_y", "group_by", "pivot_field", "plot_height", "plot_width", "row",
    "shape", "stroke_dash", "tooltip", "zoom_and_pan",
)  # fmt: skip
_COLORS = ("#945dd6", "#13adc7", "#f46837", "#48bb78", "#4299e1", "#ed8936", "#f56565")
_DASHES = ([1, 0], [8, 8], [8, 4], [4, 4], [4, 2], [2, 1], [1, 1])
_SHAPES = ("circle", "square", "triangle", "diamond")
_SIZE_PIXELS = 300
_SEPARATOR = "::"


class Filled(msgspec.Struct, frozen=True, kw_only=True):
    """A specification.

    Attributes:
        content: The template with its anchors filled in.
        anchors: What belongs in those that were left, by their names; empty when none was.
    """

    content: Spec
    anchors: dict[str, Any] = {}


def filled(plot: Plot, template: Template, *, split: bool = False) -> Filled:
    """Fill a template.

    Args:
        plot: With points.
        template: For it.
        split: Leave the anchors that an editor fills in.

    Raises:
        InvalidError: The template has no place for the data, or no point has the field of x or y.
    """
    for axis in ("x", "y"):
        field = plot.options.get(axis)
        if field and not any(field in point for point in plot.points):
            raise InvalidError(f"plot {plot.name}: no point has the field {field!r} that is drawn as {axis}")
    used = _anchors_in(template.spec)
    if anchor("data") not in used and not split:
        raise InvalidError(
            f"the template {template.name!r} does not have the anchor {anchor('data')}, so it draws nothing"
        )
    values = _values(plot, used)
    kept = {name: value for name, value in values.items() if split and name in _SPLIT}
    inserted = {name: value for name, value in ({key: {} for key in _OPTIONAL} | values).items() if name not in kept}
    content = _replaced(template.spec, {anchor(name): value for name, value in inserted.items()})
    return Filled(content=content, anchors={anchor(name): value for name, value in kept.items()})


def _values(plot: Plot, used: set[str]) -> dict[str, Any]:
    """What is said for each anchor; of the optional ones for those that the template has."""
    optional = {name for name in _OPTIONAL if anchor(name) in used}
    varied = _varied(plot.ys)
    values: dict[str, Any] = {}
    if optional:
        known = _of_moments(plot) | _of_groups(plot, varied)
        values = {name: value for name, value in known.items() if name in optional}
    points = [_trimmed(point, varied) for point in plot.points] if optional else list(plot.points)
    said = {name: plot.options.get(name) for name in ("title", "x", "y", "x_label", "y_label")}
    texts = {name: value for name, value in said.items() if value is not None}
    fields = {axis: _escaped(texts[axis]) for axis in ("x", "y") if axis in texts}
    return values | texts | fields | {"data": points}


def _of_moments(plot: Plot) -> dict[str, Any]:
    return {
        "color": _scale("rev", plot.revisions, _COLORS),
        "zoom_and_pan": {"name": "grid", "select": "interval", "bind": "scales"},
        "plot_height": _SIZE_PIXELS,
        "plot_width": _SIZE_PIXELS,
    }


def _of_groups(plot: Plot, varied: Sequence[str]) -> dict[str, Any]:
    """How points are told apart besides by their moment: by the file and the column that they come from."""
    x, y = plot.options.get("x"), plot.options.get("y")
    told = [{"field": "rev"}, {"field": x}, {"field": y}]
    group = ["rev"]
    if not varied:
        return _grouped(group, x, y) | {"pivot_field": "datum.rev", "tooltip": told}
    field = _SEPARATOR.join(varied)
    domain = sorted({_SEPARATOR.join(getattr(column, key) for key in varied) for column in plot.ys})
    # As an empty symbol, so that nobody takes it for a colour.
    legend = {"legend": {"symbolFillColor": "transparent", "symbolStrokeColor": "grey"}}
    side = {"field": field, "sort": []}
    return {
        **_grouped([*group, field], x, y),
        "pivot_field": f" + '{_SEPARATOR}' + ".join(f"datum.{key}" for key in ("rev", *varied)),
        "row": side,
        "column": side,
        "tooltip": [*told, {"field": field}],
        "stroke_dash": _scale(field, domain, _DASHES) | legend,
        "shape": _scale(field, domain, _SHAPES) | legend,
    }


def _grouped(group: list[str], x: Any, y: Any) -> dict[str, Any]:
    return {"group_by": group, "group_by_x": [*group, x], "group_by_y": [*group, y]}


def _scale(field: str, domain: Sequence[str], values: Sequence[Any]) -> dict[str, Any]:
    chosen = [values[number % len(values)] for number in range(len(domain))]
    return {"field": field, "scale": {"domain": list(domain), "range": chosen}}


def _varied(ys: Sequence[YField]) -> list[str]:
    """Whether the columns differ in their file, in their name, or in both."""
    if len(ys) <= 1:
        return []
    return [key for key in ("filename", "field") if len({getattr(column, key) for column in ys}) > 1]


def _trimmed(point: Point, varied: Sequence[str]) -> Point:
    """A point without what no other differs in; where file and column differ, they are one field."""
    kept = {key: value for key, value in point.items() if key not in ("filename", "field") or varied == [key]}
    if len(varied) == 2:
        kept[_SEPARATOR.join(varied)] = _SEPARATOR.join(point[key] for key in varied)
    return kept


def _escaped(field: str) -> str:
    """A field as Vega-Lite names it, for which dots and brackets lead into a value."""
    return "".join(f"\\{letter}" if letter in ".[]" else letter for letter in field)


def _anchors_in(value: Any) -> set[str]:
    if isinstance(value, str):
        return {value}
    inner = value.values() if isinstance(value, Mapping) else value if isinstance(value, list) else ()
    return {text for item in inner for text in _anchors_in(item)}


def _replaced(value: Any, values: Mapping[str, Any]) -> Any:
    """The template with its anchors replaced; what is put in is not looked into."""
    if isinstance(value, Mapping):
        return {key: _in_mapping(item, values) for key, item in value.items()}
    if isinstance(value, list):
        return [_replaced(item, values) for item in value]
    return values.get(value, value) if isinstance(value, str) else value


def _in_mapping(value: Any, values: Mapping[str, Any]) -> Any:
    """As `_replaced`; an anchor may also be a part of a text, when what is said is a text."""
    if not isinstance(value, str) or value in values:
        return _replaced(value, values)
    for name, said in values.items():
        if name in value and isinstance(said, str):
            value = value.replace(name, said)
    return value
