"""Read the files that plots draw: tables, JSON, YAML and their kin into rows, images as they are.

Source: dvc 3.67 (`repo/plots/__init__.py`, `parse`). As for DVC, the values of tables stay text.
"""

from __future__ import annotations

import csv
import io
import posixpath
from typing import Any

import msgspec

from everloop.errors import EverloopError
from everloop.pipelines.plotting.values import IMAGES
from everloop.pipelines.readings import Problem, absent, problem_of
from everloop.pipelines.tree import Tree, where
from everloop.workspace import valuefiles

_TABLES = {".csv": ",", ".tsv": "\t"}
_NESTED = frozenset({".json", ".yaml", ".yml", ".toml", ".py"})


class Source(msgspec.Struct, frozen=True, kw_only=True):
    """One file at one moment.

    Attributes:
        content: Rows, or values as the file nests them, or the bytes of an image; None when there is nothing.
        problem: Why it could not be read.
    """

    content: Any = None
    problem: Problem | None = None


def is_image(path: str) -> bool:
    """Whether a file is shown as it is."""
    return posixpath.splitext(path)[1].lower() in IMAGES


def is_table(path: str) -> bool:
    """Whether a file has rows of text."""
    return posixpath.splitext(path)[1].lower() in _TABLES


def read(tree: Tree, path: str, told: str, *, has_header: bool = True) -> Source:
    """Read one file.

    Args:
        tree: Where it lies.
        path: Relative to the root.
        told: The path as errors name it.
        has_header: The first row of a table has the names of the columns; else they are called by their numbers.
    """
    suffix = posixpath.splitext(path)[1].lower()
    if suffix not in IMAGES and suffix not in _TABLES and suffix not in _NESTED:
        message = f"{told!r} - file type error\nOnly JSON, YAML, CSV and TSV formats are supported."
        return Source(problem=Problem(kind="PlotMetricTypeError", message=message))
    try:
        data = tree.read(path)
        if data is None:
            return Source(problem=absent(told))
        return Source(content=_content(data, suffix, where(tree, told), has_header=has_header))
    except UnicodeDecodeError:
        problem = Problem(kind="EncodingError", message=f"unable to read: {told!r}, is not valid utf8")
    except csv.Error as error:
        problem = Problem(kind="Error", message=f"{told}: {error}")
    except EverloopError as error:
        problem = problem_of(error, path)
    return Source(problem=problem)


def _content(data: bytes, suffix: str, name: str, *, has_header: bool) -> Any:
    if suffix in IMAGES:
        return data
    if suffix in _TABLES:
        return _rows(data.decode(), _TABLES[suffix], has_header=has_header)
    return valuefiles.parse_any(data.decode(), name)


def _rows(text: str, delimiter: str, *, has_header: bool) -> list[dict[str, Any]]:
    # However lines end: a carriage return alone would be an error for the reader of tables.
    lines = io.StringIO(text.replace("\r\n", "\n").replace("\r", "\n"))
    names = None
    if not has_header:
        names = [str(number) for number in range(len(next(csv.reader(lines, delimiter=delimiter), [])))]
        lines.seek(0)
    return list(csv.DictReader(lines, fieldnames=names, delimiter=delimiter))
