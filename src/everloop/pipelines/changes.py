"""Say how a stage differs from its last run, in sentences for people and in the words of `dvc status`.

Changes nothing. Leaves what to do about it to `repro.py`.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import msgspec

from everloop.errors import NotFoundError
from everloop.pipelines import params
from everloop.pipelines.tree import FolderTree
from everloop.pipelines.values import LockedStage, ParamsFile, Stage, StageOut, StagePath
from everloop.workspace import Change, Content, Out, Workspace
from everloop.workspace.objectid import is_legacy
from everloop.workspace.state import CLOCK_TICK_NS, Identity, identity


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


class ParamsFiles:
    """The files of parameters of a workspace, each parsed once per change, not once per stage."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._tree = FolderTree(workspace)
        self._known: dict[str, tuple[Identity, dict[str, Any] | None]] = {}

    def load(self, path: str) -> dict[str, Any] | None:
        """All values of a file; None when it is not there. Not to be changed.

        Raises: as `params.load`.
        """
        try:
            found = (self._workspace.root / path).stat()
        except OSError:
            return params.load(self._tree, path)
        known = self._known.get(path)
        if known is not None and known[0] == identity(found):
            return known[1]
        loaded = params.load(self._tree, path)
        if time.time_ns() - found.st_mtime_ns > CLOCK_TICK_NS:
            # A younger file may change once more without showing it.
            self._known[path] = (identity(found), loaded)
        return loaded


def compare(
    workspace: Workspace,
    stage: Stage,
    locked: LockedStage | None,
    files: ParamsFiles | None = None,
    measure: Callable[[str], Content | None] | None = None,
) -> Difference:
    """Compare a stage's definition and files with its last run.

    Args:
        workspace: Where.
        stage: As it is defined now.
        locked: Its last run; None means that there was none.
        files: The parameters, where many stages are compared.
        measure: Tells what a dependency holds now; None means to look at it.

    Raises:
        InvalidError: A parameters file is malformed.
    """
    before = locked or LockedStage(command=())
    files = files or ParamsFiles(workspace)
    measure = measure or workspace.measure
    deps = {dep.path: change for dep in stage.deps if (change := _dep(workspace, dep, before, measure)) is not None}
    values: dict[str, dict[str, Change] | Change] = {}
    for item in stage.params:
        found = _params(files, item, before)
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


def current_params(workspace: Workspace, item: ParamsFile, files: ParamsFiles | None = None) -> dict[str, Any]:
    """The values that a stage depends on now.

    Raises:
        NotFoundError: The file, or one of the keys, is not there.
    """
    loaded = (files or ParamsFiles(workspace)).load(item.path)
    if loaded is None:
        raise NotFoundError(f"{item.path}, which a stage reads parameters from, does not exist")
    values = params.select(loaded, item.keys)
    for key in item.keys or ():
        if key not in values:
            raise NotFoundError(f"{item.path} has no parameter {key!r}, which a stage depends on")
    return values


def _dep(
    workspace: Workspace, dep: StagePath, before: LockedStage, measure: Callable[[str], Content | None]
) -> Change | None:
    content = before.deps.get(dep.written)
    if content is not None and is_legacy(content.md5):
        return workspace.change_of(Out(path=dep.path, content=content, is_cached=False))
    present = measure(dep.path)
    if present is None:
        return Change.DELETED
    if content is None:
        return Change.NEW
    return None if present.md5 == content.md5 else Change.MODIFIED


def _out(workspace: Workspace, out: StageOut, before: LockedStage) -> Change | None:
    return workspace.change_of(Out(path=out.path, content=before.outs.get(out.written), is_cached=out.is_cached))


def _params(files: ParamsFiles, item: ParamsFile, before: LockedStage) -> dict[str, Change] | Change | None:
    loaded = files.load(item.path)
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
