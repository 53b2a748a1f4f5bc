"""Which plots there are at one moment: those that `dvc.yaml` files define, those of stages, and files that are named.

Source: dvc 3.67 (`repo/plots/__init__.py`). Leaves reading their data to `sources.py`.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import msgspec

from everloop.pipelines import definition
from everloop.pipelines.definition import Definition
from everloop.pipelines.plotting.values import Options, is_outside
from everloop.pipelines.tree import Tree, is_same_or_below, pipeline_files
from everloop.pipelines.values import OutKind


class PlotRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What a person asks for.

    Attributes:
        targets: Ids, files or folders; none means all. As for DVC, a word is a regular expression, and means every
            name that begins so.
        options: Set for every plot, above what is defined.
        here: The folder that paths are told from, relative to the root.
    """

    targets: tuple[str, ...] = ()
    options: Options = {}
    here: str = "."

    def told(self, path: str) -> str:
        """A path of the workspace, as it is told."""
        return posixpath.relpath(path, self.here) if self.here != "." else path

    def inside(self, path: str) -> str:
        """A path that is told, relative to the root."""
        return posixpath.normpath(posixpath.join(self.here, path))


class Defined(msgspec.Struct, kw_only=True):
    """The plots of one moment.

    Attributes:
        files: `{dvc.yaml, or "" for those of stages and those that were only named: {id or path: options}}`.
        made: `{path: options}` of the files that stages make as plots.
    """

    files: dict[str, dict[str, Options]] = {}
    made: dict[str, Options] = {}

    def add(self, file: str, name: str, options: Options) -> None:
        """Define a plot, or set more options of it."""
        known = self.files.setdefault(file, {}).setdefault(name, {})
        known |= options


def defined(tree: Tree, request: PlotRequest) -> Defined:
    """All plots of a tree that are meant; paths as they are told.

    Raises:
        InvalidError: A `dvc.yaml` is malformed.
    """
    found = Defined()
    read = {file: definition.read(tree, file) for file in pipeline_files(tree)}
    for file, each in read.items():
        for name, options in _listed(tree, request, file, each.plots):
            found.add(request.told(file), name, options)
    for file, path, options in _made(read):
        name = request.told(path)
        found.made[name] = options
        if _is_meant(request.targets, request.told(file), name):
            for inner in _unpacked(tree, request, path):
                found.add("", inner, options | request.options)
    for target in request.targets:
        path = request.inside(target)
        if not found.files or _there(tree, path):
            for inner in _unpacked(tree, request, path):
                found.add("", inner, request.options)
    return found


def sources_of(name: str, options: Options) -> list[str]:
    """The files that a plot draws, as they are told."""
    y, x = options.get("y"), options.get("x")
    files = list(y) if isinstance(y, dict) else [name]
    if isinstance(x, dict) and x:
        files.append(next(iter(x)))
    return list(dict.fromkeys(files))


def by_name(found: Defined) -> dict[str, tuple[str, Options]]:
    """`{name of the picture: (id or path, options)}`; the file is part of the name where several have the same id."""
    files: dict[str, list[str]] = {}
    for file, plots in found.files.items():
        for name in plots:
            files.setdefault(name, []).append(file)
    return {
        f"{file}::{name}" if len(owners) > 1 and file else name: (name, found.files[file][name])
        for name, owners in files.items()
        for file in owners
    }


def _listed(
    tree: Tree, request: PlotRequest, file: str, plots: Iterable[tuple[str, dict[str, Any]]]
) -> Iterator[tuple[str, Options]]:
    """The top-level plots of one file."""
    folder = posixpath.dirname(file)
    listed = dict(plots)
    places = {name: posixpath.normpath(posixpath.join(folder, name)) for name in listed}
    for name, said in listed.items():
        if not _is_meant(request.targets, request.told(file), name):
            continue
        options = _adjusted(request, folder, said) | request.options
        if isinstance(said.get("y"), dict):
            yield name, options
            continue
        others = [place for other, place in places.items() if other != name]
        for path in _paths(tree, places[name]):
            # What lies in a folder may be defined more closely by itself.
            if not any(is_same_or_below(path, other) and len(other) > len(places[name]) for other in others):
                yield request.told(path), options


def _adjusted(request: PlotRequest, folder: str, options: Options) -> Options:
    """The options with the files of x and y as they are told."""

    def told(file: str) -> str:
        return request.told(posixpath.normpath(posixpath.join(folder, file)))

    axes = {axis: options[axis] for axis in ("x", "y") if isinstance(options.get(axis), Mapping)}
    return options | {axis: {told(str(file)): value for file, value in files.items()} for axis, files in axes.items()}


def _made(read: Mapping[str, Definition]) -> Iterator[tuple[str, str, Options]]:
    """What stages make as plots: the `dvc.yaml`, the path, the options."""
    for file, each in read.items():
        for stage in each.stages:
            yield from ((file, out.path, dict(out.plot)) for out in stage.outs if out.kind is OutKind.PLOT)


def _unpacked(tree: Tree, request: PlotRequest, path: str) -> list[str]:
    return [request.told(file) for file in _paths(tree, path)]


def _paths(tree: Tree, path: str) -> list[str]:
    """All files of a folder; else the path itself, be it there or not."""
    return _there(tree, path) or [path]


def _there(tree: Tree, path: str) -> list[str]:
    return [] if is_outside(path) else tree.below(path)


def _is_meant(targets: Sequence[str], file: str, name: str) -> bool:
    return not targets or any(_begins(target, name) or _begins(target, f"{file}::{name}") for target in targets)


def _begins(target: str, name: str) -> bool:
    try:
        return re.match(target, name) is not None
    except re.error:
        return name.startswith(target)
