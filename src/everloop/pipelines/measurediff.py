"""How parameters and metrics differ between two moments.

Source: dvc 3.67 (`repo/metrics/diff.py`, `utils/diff.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from everloop.errors import NotFoundError
from everloop.pipelines.measures import show_metrics, show_params
from everloop.pipelines.moments import WORKSPACE, RevisionScope, has_commits, resolve
from everloop.pipelines.readings import Problem, Readings
from everloop.workspace import Workspace

HEAD = "HEAD"


class MeasureDiff(msgspec.Struct, frozen=True, kw_only=True):
    """What differs.

    Attributes:
        files: `{path relative to the root: {dotted name: {"old": ..., "new": ..., "diff": ...}}}`. None stands for a
            value that is not there; `diff` only where both are numbers. A list is its text.
        problems: `{moment: {path, or "" for all of it: why it could not be read}}`.
    """

    files: dict[str, dict[str, dict[str, Any]]] = {}
    problems: dict[str, dict[str, Problem]] = {}


def diff_metrics(
    workspace: Workspace,
    before: str = HEAD,
    after: str = WORKSPACE,
    targets: Sequence[str] = (),
    *,
    with_unchanged: bool = False,
) -> MeasureDiff:
    """How metrics differ between two revisions, or a revision and the workspace; nothing before the first commit.

    Args:
        workspace: Where.
        before: The old moment: a branch, tag, hash, experiment, or `workspace`.
        after: The new one.
        targets: Files or folders, relative to the root; none means all that a `dvc.yaml` names.
        with_unchanged: Tell also what is the same.

    Raises:
        NotFoundError: A revision is no commit, or there is no repository.
    """
    found = _found(workspace, lambda: show_metrics(workspace, targets, _scope(before, after)))
    return _compared(workspace, found, before, after, with_unchanged=with_unchanged)


def diff_params(
    workspace: Workspace,
    before: str = HEAD,
    after: str = WORKSPACE,
    targets: Sequence[str] = (),
    *,
    with_unchanged: bool = False,
    only_used: bool = False,
) -> MeasureDiff:
    """How parameters differ; with `only_used` those that stages depend on. Otherwise as `diff_metrics`."""
    scope = _scope(before, after)
    found = _found(workspace, lambda: show_params(workspace, targets, scope, only_used=only_used))
    return _compared(workspace, found, before, after, with_unchanged=with_unchanged)


def problems_of(found: Mapping[str, Readings]) -> dict[str, dict[str, Problem]]:
    """What could not be read, `{moment: {path, or "" for all of it: why}}`."""
    problems: dict[str, dict[str, Problem]] = {}
    for name, readings in found.items():
        own = {"": readings.problem} if readings.problem is not None else {}
        own |= {path: reading.problem for path, reading in readings.files.items() if reading.problem is not None}
        if own:
            problems[name] = own
    return problems


def flat_measures(value: Any, prefix: str = "") -> dict[str, Any]:
    """The values of a file by their dotted names, a list as its text.

    A file that is one value has it under the name "".
    """
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        return {"": _plain(value)}
    flat: dict[str, Any] = {}
    for key, item in value.items():
        name = f"{prefix}{key}"
        flat |= flat_measures(item, f"{name}.") if isinstance(item, Mapping) else {name: _plain(item)}
    return flat


def _scope(before: str, after: str) -> RevisionScope:
    return RevisionScope(revs=(before, after))


def _compared(
    workspace: Workspace, found: Mapping[str, Readings], before: str, after: str, *, with_unchanged: bool
) -> MeasureDiff:
    if not found:
        return MeasureDiff()
    sides = {name: _side(workspace, found, name) for name in (before, after)}
    old, new = sides[before].files, sides[after].files
    files: dict[str, dict[str, dict[str, Any]]] = {}
    for path in dict.fromkeys([*old, *new]):
        pair = [side[path].values if path in side else None for side in (old, new)]
        if changes := _changes(*pair, with_unchanged=with_unchanged):
            files[path] = changes
    return MeasureDiff(files=files, problems=problems_of(sides))


def _side(workspace: Workspace, found: Mapping[str, Readings], name: str) -> Readings:
    if name in found:
        return found[name]
    # Two names of one commit: it is called by both.
    commit = resolve(workspace, name)
    return next(
        found[names] for names in found if names != WORKSPACE and resolve(workspace, names.split(",")[0]) == commit
    )


def _found(workspace: Workspace, show: Callable[[], dict[str, Readings]]) -> dict[str, Readings]:
    """What is there; nothing before the first commit."""
    try:
        return show()
    except NotFoundError:
        # Asked only then: a process of Git takes a tenth of the command.
        if has_commits(workspace):
            raise
        return {}


def _changes(old: Any, new: Any, *, with_unchanged: bool) -> dict[str, dict[str, Any]]:
    before, after = flat_measures(old), flat_measures(new)
    changes: dict[str, dict[str, Any]] = {}
    for name in sorted(before | after):
        change = {"old": before.get(name), "new": after.get(name)}
        if not with_unchanged and change["old"] == change["new"]:
            continue
        if isinstance(change["old"], int | float) and isinstance(change["new"], int | float):
            change["diff"] = change["new"] - change["old"]
        changes[name] = change
    return changes


def _plain(value: Any) -> Any:
    return str(value) if isinstance(value, list) else value
