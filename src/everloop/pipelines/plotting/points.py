"""Make the points of one plot at one moment out of the rows of its files: which columns are x and y, joined by row.

Source: dvc 3.67 (`render/converter/vega.py`).
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from everloop.pipelines.plotting.values import Options, Point, YField
from everloop.pipelines.readings import Problem

STEP = "step"
X_FIELD = "dvc_inferred_x_value"
Y_FIELD = "dvc_inferred_y_value"
# A file, and a column of it.
Column = tuple[str, str]


class Series(msgspec.Struct, frozen=True, kw_only=True):
    """The points of a plot at one moment, and how they are to be drawn.

    Attributes:
        options: Those of the plot, with `x` and `y` as fields of the points, and both labels.
    """

    points: list[Point] = []
    options: Options = {}
    ys: tuple[YField, ...] = ()


class UnfitError(Exception):
    """The files do not have what the plot wants of them."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.problem = Problem(kind=kind, message=message)


def series(name: str, revision: str, options: Options, contents: Mapping[str, Any]) -> Series:
    """The points of one moment.

    Args:
        name: The plot's id, or the path of its only file.
        revision: The moment, which each point has as `rev`.
        options: Of the plot.
        contents: `{file: what it holds}`, of those that could be read.

    Raises:
        UnfitError: A column is not there, or files that are joined differ in length.
    """
    rows = {file: _rows(content, file) for file, content in contents.items()}
    given_x, given_y = _axes(name, options, contents)
    xs = list(_columns(given_x, rows)) if isinstance(given_x, Mapping) else []
    ys = list(_columns(given_y, rows)) if given_y is not None else []
    if len(xs) > 1 and len(xs) != len(ys):
        raise UnfitError(
            "DvcException",
            f"Cannot have different number of x and y data sources. Found {len(xs)} x and {len(ys)} y data sources.",
        )
    fields = _Fields(xs, ys)
    points = [
        point
        for number, y in enumerate(ys)
        for point in fields.points(y, xs[number] if len(xs) > 1 else xs[0] if xs else None, rows, revision)
    ]
    if not points:
        return Series()
    labels = {
        "x_label": options.get("x_label") or _common(given_x, otherwise="x") or STEP,
        "y_label": options.get("y_label") or _common(given_y, otherwise="y"),
    }
    return Series(
        points=points,
        options=options | labels | {"x": fields.x, "y": fields.y},
        ys=tuple(YField(filename=fields.short(file), field=field) for file, field in ys),
    )


class _Fields:
    """How the columns of a plot are called in its points."""

    def __init__(self, xs: list[Column], ys: list[Column]) -> None:
        y_names = {field for _, field in ys}
        self.has_several_xs = len({field for _, field in xs}) > 1
        self.x = X_FIELD if self.has_several_xs else xs[0][1] if xs else STEP
        self.y = Y_FIELD if len(y_names) > 1 else next(iter(y_names), None)
        files = {file for file, _ in ys}
        self._n_common = len(posixpath.commonpath(files)) if len(files) > 1 else 0

    def short(self, file: str) -> str:
        """A file without what all have in common."""
        return file[self._n_common :].strip("/\\")

    def points(self, y: Column, x: Column | None, rows: Mapping[str, list[Point]], revision: str) -> list[Point]:
        file, field = y
        points = [dict(row) for row in rows.get(file, [])]
        if self.y == Y_FIELD:
            _take(points, Y_FIELD, points, field)
        if x is None:
            for number, point in enumerate(points):
                point[STEP] = number
        else:
            others = rows.get(x[0], [])
            if len(others) != len(points):
                raise UnfitError(
                    "DvcException",
                    f"Cannot join '{x[1]}' from '{x[0]}' and '{field}' from '{file}'. They have to have same length.",
                )
            _take(points, self.x, others, x[1])
        for point in points:
            point |= {"rev": revision, "filename": self.short(file), "field": field}
        return points


def _take(points: list[Point], name: str, others: list[Point], field: str) -> None:
    for point, other in zip(points, others, strict=True):
        if field in other:
            point[name] = other[field]


def _axes(name: str, options: Options, contents: Mapping[str, Any]) -> tuple[Any, Mapping[str, Any] | None]:
    """Both axes as `{file: column or columns}`; x None means the number of the row, y None that there is nothing."""
    x, y = options.get("x"), options.get("y")
    if isinstance(x, str):
        of = y if isinstance(y, Mapping) else {name: ""}
        x = {file: [x] * len(fields) if isinstance(fields, list) else x for file, fields in of.items()}
    if y is None:
        last = _last_column(contents.get(name))
        return x, None if last is None else {name: last}
    return x, y if isinstance(y, Mapping) else {name: y}


def _last_column(content: Any) -> str | None:
    for rows in _lists(content):
        if rows and all(isinstance(row, dict) for row in rows) and rows[0]:
            return str(list(rows[0])[-1])
    return None


def _columns(axis: Mapping[str, Any], rows: Mapping[str, list[Point]]) -> Iterator[Column]:
    """The columns of an axis; those of a file that was read must be there."""
    for file, fields in axis.items():
        for field in fields if isinstance(fields, list) else [fields]:
            if rows.get(file) and field not in rows[file][0]:
                there = ", ".join(map(str, rows[file][0]))
                raise UnfitError(
                    "FieldNotFoundError", f"Could not find provided field ('{field}') in data fields ('{there}')."
                )
            yield file, field


def _rows(content: Any, file: str) -> list[Point]:
    """The rows of a file: those of all lists in it, side by side; a list whose items differ in their keys is none."""
    if not isinstance(content, dict | list):
        kind = type(content).__name__
        raise UnfitError("DvcException", f"'{file}' holds no list of points: the top level is a value of type {kind}.")
    found: list[Point] = []
    for items in _lists(content):
        if not items or not _has_columns(items):
            continue
        found += [{} for _ in items[len(found) :]]
        for row, item in zip(found, items, strict=False):
            row.update(item)
    return found


def _has_columns(items: list[Any]) -> bool:
    return all(isinstance(item, dict) for item in items) and {key for item in items for key in item} == set(items[0])


def _lists(content: Any) -> Iterator[list[Any]]:
    if isinstance(content, list):
        yield content
    elif isinstance(content, dict):
        for value in content.values():
            if isinstance(value, dict | list):
                yield from _lists(value)


def _common(axis: Any, *, otherwise: str) -> str | None:
    """The name of the column when there is only one."""
    if not isinstance(axis, Mapping):
        return None
    fields = {field for given in axis.values() for field in (given if isinstance(given, list) else [given])}
    return next(iter(fields)) if len(fields) == 1 else otherwise
