"""How parameters and metrics of two experiments, commits or the workspace differ; in the shape of `dvc exp diff`."""

from __future__ import annotations

from typing import Any

from everloop.errors import InvalidError
from everloop.pipelines.experiments import refs
from everloop.pipelines.experiments.reading import Reader
from everloop.pipelines.experiments.states import Data, FileResult, flat
from everloop.pipelines.moments import NowTree
from everloop.pipelines.tree import commit_trees
from everloop.workspace import Revision, Workspace

# `{"metrics": {file: {key: {"old": 1, "new": 2, "diff": 1}}}, "params": ...}`
Diff = dict[str, dict[str, dict[str, dict[str, Any]]]]


def diff(
    workspace: Workspace,
    old: str | None = None,
    new: str | None = None,
    *,
    unchanged: bool = False,
    param_deps: bool = False,
) -> Diff:
    """Compare two states.

    Args:
        workspace: Whose.
        old: An experiment or a commit; None means the commit that is checked out.
        new: Another one; None means the workspace.
        unchanged: Also tell what is the same.
        param_deps: Only those parameters that stages depend on.

    Returns:
        `{"metrics": {file: {key: {"old": .., "new": .., "diff": ..}}}, "params": ..}`; `diff` only of numbers, a side
        that does not have the key is None.

    Raises:
        NotFoundError: One is neither.
        InvalidError: The pipelines of one cannot be read.
    """
    if not workspace.git.has_commits():
        return {}
    reader = Reader(param_deps=param_deps)
    with commit_trees(workspace) as trees:

        def read(name: str) -> Data:
            commit = refs.resolve(workspace.git, name)
            return _known(reader.read(trees.at(Revision(commit=commit, names=())), commit))

        before = read(old or "HEAD")
        after = read(new) if new else _known(reader.read(NowTree(workspace), "workspace"))
    return {
        "metrics": _files(before.metrics, after.metrics, unchanged=unchanged),
        "params": _files(before.params, after.params, unchanged=unchanged),
    }


def _known(shown: Any) -> Data:
    if shown.data is None:
        raise InvalidError(f"{shown.rev[:12]}: {shown.error.msg}")
    found: Data = shown.data
    return found


def _files(
    old: dict[str, FileResult], new: dict[str, FileResult], *, unchanged: bool
) -> dict[str, dict[str, dict[str, Any]]]:
    found = {}
    for file in dict.fromkeys([*old, *new]):
        before, after = (_flat(side.get(file, {})) for side in (old, new))
        keys = dict.fromkeys([*before, *after])
        changes = {key: _change(before.get(key), after.get(key)) for key in keys}
        kept = {key: change for key, change in changes.items() if unchanged or change["old"] != change["new"]}
        if kept:
            found[file] = kept
    return found


def _flat(result: FileResult) -> dict[str, Any]:
    # Lists are told as text, as DVC does.
    return {key: str(value) if isinstance(value, list) else value for key, value in flat(result).items()}


def _change(old: Any, new: Any) -> dict[str, Any]:
    change = {"old": old, "new": new}
    if isinstance(old, int | float) and isinstance(new, int | float):
        change["diff"] = new - old
    return change
