"""What files of parameters and metrics say at one moment; what cannot be read is told beside what can.

Leaves which files these are to `measures.py`, and reading one text to `params.py`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from everloop.errors import EverloopError, InvalidError
from everloop.pipelines import params
from everloop.pipelines.plainvalues import plain
from everloop.pipelines.tree import Tree, text_of, where
from everloop.workspace import valuefiles


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """Why something could not be read.

    Attributes:
        kind: The name that DVC has for it, as `FileNotFoundError`.
        message: What and where.
    """

    kind: str
    message: str


class Reading(msgspec.Struct, frozen=True, kw_only=True):
    """One file of parameters or metrics at one moment: its values, or why there are none.

    Attributes:
        values: As the file nests them, mostly a mapping.
    """

    values: Any = None
    problem: Problem | None = None


class Readings(msgspec.Struct, frozen=True, kw_only=True):
    """All files at one moment.

    Attributes:
        files: `{path relative to the root: what it says}`.
        problem: Why not even the files are known: a `dvc.yaml` is malformed.
    """

    files: dict[str, Reading] = {}
    problem: Problem | None = None


def expanded(tree: Tree, paths: Iterable[str]) -> list[str]:
    """The files that paths mean: of a folder all that lie in it; a path that is not there stays, to be told."""
    return list(dict.fromkeys(file for path in paths for file in tree.below(path) or [path]))


def read_metrics_file(tree: Tree, file: str) -> Reading:
    """The metrics of a file: numbers, texts and mappings of them; nothing is an empty mapping."""
    reading = _plain(_read(tree, file), tree, file)
    return Reading(values=measured(reading.values)) if reading.problem is None else reading


def measured(values: Any) -> Any:
    """What counts as metrics of what a file says: numbers, texts and mappings of them; nothing is an empty mapping."""
    return _measured(values) or {}


def read_params_file(tree: Tree, file: str, keys: Sequence[str] | None) -> Reading:
    """The parameters of a file with what leads to them; None means all. Those that are not there are left out."""
    reading = _plain(_read(tree, file), tree, file)
    if keys is None or not isinstance(reading.values, dict):
        return reading
    picked: dict[str, Any] = {}
    for key in keys:
        value = params.lookup(reading.values, key)
        if value is not params.MISSING:
            _put(picked, key.split("."), value)
    return Reading(values=picked)


def problem_of(error: EverloopError, file: str = "") -> Problem:
    """An error as DVC's JSON tells it."""
    kinds = {"json": "JSONFileCorruptedError", "toml": "TOMLFileCorruptedError", "py": "PythonFileCorruptedError"}
    if not isinstance(error, InvalidError):
        return Problem(kind="FileNotFoundError", message=error.message)
    suffix = file.rpartition("/")[2].rpartition(".")[2].lower()
    return Problem(kind=kinds.get(suffix, "YAMLFileCorruptedError"), message=error.message)


def absent(file: str) -> Problem:
    """A file is not there, nor in the cache, in the words that readers of DVC look for."""
    return Problem(kind="FileNotFoundError", message=f"[Errno 2] No such file or directory: {file!r}")


def _read(tree: Tree, file: str) -> Reading:
    try:
        text = text_of(tree, file)
        if text is None:
            return Reading(problem=absent(file))
        return Reading(values=valuefiles.parse_any(text, where(tree, file)))
    except EverloopError as error:
        return Reading(problem=problem_of(error, file))


def _plain(reading: Reading, tree: Tree, file: str) -> Reading:
    try:
        return Reading(values=plain(reading.values, where(tree, file)), problem=reading.problem)
    except EverloopError as error:
        return Reading(problem=problem_of(error, file))


def _measured(value: Any) -> Any:
    if isinstance(value, int | float | str):
        return value
    if not isinstance(value, dict):
        return None
    inner = ((key, _measured(item)) for key, item in value.items())
    return {key: item for key, item in inner if item is not None and item != {}}


def _put(picked: dict[str, Any], parts: Sequence[str], value: Any) -> None:
    *sections, last = parts
    for section in sections:
        inner = picked.get(section)
        # A copy: what is there may belong to the file's own values.
        picked[section] = dict(inner) if isinstance(inner, dict) else {}
        picked = picked[section]
    picked[last] = value
