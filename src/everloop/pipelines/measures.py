"""The parameters and metrics of a workspace, now and at Git revisions, as its pipelines name them.

Source: dvc 3.67 (`repo/metrics/show.py`, `repo/params/show.py`). What cannot be read is told beside what can. Leaves
comparing them to `measurediff.py`, and reading one file to `params.py`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from everloop.errors import EverloopError
from everloop.pipelines import definition, params
from everloop.pipelines.moments import WORKSPACE, RevisionScope, active_branch, moments
from everloop.pipelines.readings import Readings, expanded, problem_of, read_metrics_file, read_params_file
from everloop.pipelines.tree import FolderTree, Tree, pipeline_files
from everloop.pipelines.values import DEFAULT_PARAMS_FILE, OutKind
from everloop.workspace import Workspace

_NOW = RevisionScope()


def show_metrics(workspace: Workspace, targets: Sequence[str] = (), scope: RevisionScope = _NOW) -> dict[str, Readings]:
    """The metrics at the moments of a scope, by their names; numbers, texts and mappings of them only.

    Args:
        workspace: Where.
        targets: Files or folders, relative to the root, whether a `dvc.yaml` names them or not; none means all.
        scope: Which moments; without one the workspace, under the name "".

    Raises:
        NotFoundError: A revision is no commit, or there is no repository.
    """
    with moments(workspace, scope) as trees:
        return {name: _metrics(tree, targets) for name, tree in trees}


def show_params(
    workspace: Workspace, targets: Sequence[str] = (), scope: RevisionScope = _NOW, *, only_used: bool = False
) -> dict[str, Readings]:
    """The parameters at the moments of a scope.

    Args:
        only_used: Only what stages depend on.

    Otherwise as `show_metrics`.
    """
    with moments(workspace, scope) as trees:
        return {name: _params(tree, targets, only_used=only_used) for name, tree in trees}


def without_same_workspace(workspace: Workspace, found: dict[str, Readings]) -> dict[str, Readings]:
    """Leave the workspace out where it says what the branch that is checked out says."""
    if WORKSPACE in found and found[WORKSPACE] == found.get(active_branch(workspace) or ""):
        return {name: readings for name, readings in found.items() if name != WORKSPACE}
    return found


def load_metrics(workspace: Workspace) -> dict[str, dict[str, Any]]:
    """The metrics files that are there: `{path relative to the root: its values}`.

    Raises:
        InvalidError: A `dvc.yaml` or a metrics file is malformed.
    """
    return _loaded(workspace, _metric_files(FolderTree(workspace)))


def load_params(workspace: Workspace) -> dict[str, dict[str, Any]]:
    """The parameters files that are there, all of their keys: `{path relative to the root: its values}`.

    Raises:
        InvalidError: A `dvc.yaml` or a parameters file is malformed.
    """
    tree = FolderTree(workspace)
    return _loaded(workspace, [DEFAULT_PARAMS_FILE, *_params_files(tree, only_used=False)])


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
    return {file: values for file in dict.fromkeys(files) if (values := params.load(tree, file)) is not None}


def _metrics(tree: Tree, targets: Sequence[str]) -> Readings:
    try:
        files = expanded(tree, targets or _metric_files(tree))
    except EverloopError as error:
        return Readings(problem=problem_of(error))
    return Readings(files={file: read_metrics_file(tree, file) for file in files})


def _params(tree: Tree, targets: Sequence[str], *, only_used: bool) -> Readings:
    try:
        wanted = dict.fromkeys(targets) if targets else _params_files(tree, only_used=only_used)
        keys = {file: wanted[path] for path in wanted for file in expanded(tree, [path])}
    except EverloopError as error:
        return Readings(problem=problem_of(error))
    return Readings(files={file: read_params_file(tree, file, keys[file]) for file in keys})


def _metric_files(tree: Tree) -> list[str]:
    found = _definitions(tree)
    made = [out.path for each in found for stage in each.stages for out in stage.outs if out.kind is OutKind.METRIC]
    return list(dict.fromkeys([*made, *(path for each in found for path in each.metrics)]))


def _params_files(tree: Tree, *, only_used: bool) -> dict[str, list[str] | None]:
    """The files with the dotted keys that are meant; None means all."""
    found = _definitions(tree)
    keys: dict[str, list[str] | None] = {}
    for item in (item for each in found for stage in each.stages for item in stage.params):
        known = keys.setdefault(item.path, [])
        keys[item.path] = None if known is None or not item.keys else list(dict.fromkeys([*known, *item.keys]))
    if not only_used:
        keys |= dict.fromkeys(path for each in found for path in each.params)
        if tree.below(DEFAULT_PARAMS_FILE):
            keys[DEFAULT_PARAMS_FILE] = None
    return keys


def _definitions(tree: Tree) -> list[definition.Definition]:
    return [definition.read(tree, file) for file in pipeline_files(tree)]
