"""The parameters and metrics of a whole workspace, as its pipelines name them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

from everloop.pipelines import definition, params
from everloop.pipelines.tree import FolderTree, pipeline_files
from everloop.pipelines.values import DEFAULT_PARAMS_FILE, OutKind
from everloop.workspace import Workspace


def load_metrics(workspace: Workspace) -> dict[str, dict[str, Any]]:
    """The metrics files that are there: `{path relative to the root: its values}`.

    Raises:
        InvalidError: A `dvc.yaml` or a metrics file is malformed.
    """
    files: dict[str, None] = {}
    for found in _definitions(workspace):
        outs = (out for stage in found.stages for out in stage.outs if out.kind is OutKind.METRIC)
        files.update(dict.fromkeys([*(out.path for out in outs), *found.metrics]))
    return _loaded(workspace, files)


def load_params(workspace: Workspace) -> dict[str, dict[str, Any]]:
    """The parameters files that are there, all of their keys: `{path relative to the root: its values}`.

    Raises:
        InvalidError: A `dvc.yaml` or a parameters file is malformed.
    """
    files: dict[str, None] = {DEFAULT_PARAMS_FILE: None}
    for found in _definitions(workspace):
        used = (item.path for stage in found.stages for item in stage.params)
        files.update(dict.fromkeys([*used, *found.params]))
    return _loaded(workspace, files)


def read_metrics(workspace: Workspace) -> dict[str, Any]:
    """All metrics by their dotted name, as `{"auc": 0.71, "segments.EWR.auc": 0.69}`.

    A name that several files have is written `file:name` for each of them.

    Raises: as `load_metrics`.
    """
    flat = {file: params.flatten(values) for file, values in load_metrics(workspace).items()}
    times = Counter(name for values in flat.values() for name in values)
    return {
        name if times[name] == 1 else f"{file}:{name}": value
        for file, values in flat.items()
        for name, value in values.items()
    }


def read_params(workspace: Workspace) -> dict[str, Any]:
    """All parameters by their dotted name, as `{"train.lr": 0.1}`.

    Those of another file than `params.yaml` are written `file:name`, as for DVC's `-S`.

    Raises: as `load_params`.
    """
    return {
        name if file == DEFAULT_PARAMS_FILE else f"{file}:{name}": value
        for file, values in load_params(workspace).items()
        for name, value in params.flatten(values).items()
    }


def _loaded(workspace: Workspace, files: Iterable[str]) -> dict[str, dict[str, Any]]:
    tree = FolderTree(workspace)
    return {file: values for file in files if (values := params.load(tree, file)) is not None}


def _definitions(workspace: Workspace) -> list[definition.Definition]:
    tree = FolderTree(workspace)
    return [definition.read(tree, file) for file in pipeline_files(tree)]
