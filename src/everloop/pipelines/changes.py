"""Say how a stage differs from its last run, in sentences for people and in the words of `dvc status`.

Changes nothing. Leaves what to do about it to `repro.py`.
"""

from __future__ import annotations

from typing import Any

import msgspec

from everloop.errors import NotFoundError
from everloop.pipelines import params
from everloop.pipelines.tree import FolderTree
from everloop.pipelines.values import LockedStage, ParamsFile, Stage, StageOut, StagePath
from everloop.workspace import Change, Out, Workspace


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """How a stage differs from its last run.

    Attributes:
        command: Its command changed, or it never ran.
        deps: `{path: change}`.
        params: `{file: {key: change}}`, or `{file: change}` when the file itself is not there.
        outs: `{path: change}`.
        never_ran: There is no record of a run.
    """

    command: bool = False
    deps: dict[str, Change] = {}
    params: dict[str, dict[str, Change] | Change] = {}
    outs: dict[str, Change] = {}
    never_ran: bool = False

    @property
    def inputs_changed(self) -> bool:
        """Whether its outputs may have to be made anew, whatever they hold now."""
        return self.never_ran or self.command or bool(self.deps) or bool(self.params)


def compare(workspace: Workspace, stage: Stage, locked: LockedStage | None) -> Difference:
    """Compare a stage's definition and files with its last run.

    Raises:
        InvalidError: A parameters file is malformed.
    """
    before = locked or LockedStage(command=())
    deps = {dep.path: change for dep in stage.deps if (change := _dep(workspace, dep, before)) is not None}
    values: dict[str, dict[str, Change] | Change] = {}
    for item in stage.params:
        found = _params(workspace, item, before)
        if found is not None:
            values[item.written] = found
    return Difference(
        never_ran=locked is None,
        command=locked is not None and stage.command != locked.command,
        deps=deps,
        params=values,
        outs={out.path: change for out in stage.outs if (change := _out(workspace, out, before)) is not None},
    )


def sentences(stage: Stage, difference: Difference) -> list[str]:
    """Why the stage has to run; empty when only its outputs differ, or nothing."""
    reasons = []
    if stage.is_always_changed:
        reasons.append("it is marked as always changed")
    elif stage.runs_every_time:
        reasons.append("it has no dependencies and no outputs, so it runs every time")
    if difference.never_ran:
        return [*reasons, "it has never run"]
    if difference.command:
        reasons.append("its command changed")
    reasons += [f"dependency {path} {_verb(change)}" for path, change in difference.deps.items()]
    for file, change in difference.params.items():
        if isinstance(change, Change):
            reasons.append(f"parameters file {file} {_verb(change)}")
        else:
            reasons += [f"parameter {key} of {file} {_verb(kind)}" for key, kind in change.items()]
    return reasons


def out_sentences(difference: Difference) -> list[str]:
    """What is wrong with the outputs."""
    return [f"output {path} {_verb(change)}" for path, change in difference.outs.items()]


def current_params(workspace: Workspace, item: ParamsFile) -> dict[str, Any]:
    """The values that a stage depends on now.

    Raises:
        NotFoundError: The file, or one of the keys, is not there.
    """
    loaded = params.load(FolderTree(workspace), item.path)
    if loaded is None:
        raise NotFoundError(f"{item.path}, which a stage reads parameters from, does not exist")
    values = params.select(loaded, item.keys)
    for key in item.keys or ():
        if key not in values:
            raise NotFoundError(f"{item.path} has no parameter {key!r}, which a stage depends on")
    return values


def _dep(workspace: Workspace, dep: StagePath, before: LockedStage) -> Change | None:
    return workspace.change_of(Out(path=dep.path, content=before.deps.get(dep.written), is_cached=False))


def _out(workspace: Workspace, out: StageOut, before: LockedStage) -> Change | None:
    return workspace.change_of(Out(path=out.path, content=before.outs.get(out.written), is_cached=out.is_cached))


def _params(workspace: Workspace, item: ParamsFile, before: LockedStage) -> dict[str, Change] | Change | None:
    loaded = params.load(FolderTree(workspace), item.path)
    if loaded is None:
        return Change.DELETED
    now, then = params.select(loaded, item.keys), before.params.get(item.written, {})
    keys = item.keys if item.keys is not None else tuple(dict.fromkeys([*now, *then]))
    changes = {}
    for key in keys:
        if key not in now:
            changes[key] = Change.DELETED
        elif key not in then:
            changes[key] = Change.NEW
        elif now[key] != then[key]:
            changes[key] = Change.MODIFIED
    return changes or None


def _verb(change: Change) -> str:
    return {
        Change.MODIFIED: "changed",
        Change.DELETED: "is missing",
        Change.NEW: "is new",
        Change.NOT_IN_CACHE: "is not in the cache",
    }[change]
