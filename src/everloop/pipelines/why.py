"""Say why a stage would run: one sentence for each cause, with the values and files that changed. Changes nothing.

Leaves finding out what differs to `changes.py`, and what `repro` does about it to `repro.py`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from enum import StrEnum
from typing import Any

import msgspec

from everloop.pipelines import changes, graph, lockfile, params
from everloop.pipelines.changes import Difference
from everloop.pipelines.filechanges import FileChanges, file_changes
from everloop.pipelines.restorable import from_cache, from_run_cache
from everloop.pipelines.targets import chosen
from everloop.pipelines.tree import FolderTree, is_same_or_below
from everloop.pipelines.values import LockedStage, ParamsFile, Stage
from everloop.workspace import Change, Content, DvcFile, Workspace


class Verdict(StrEnum):
    """What `repro` would do with a stage."""

    UP_TO_DATE = "is up to date"
    WOULD_RUN = "would run"
    WOULD_RESTORE = "would be restored from the cache"
    WOULD_RESTORE_RUN = "would be restored from the run cache, where such a run is remembered"
    FROZEN = "is frozen, so it would not run"


class Cause(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One thing that is not as at the last run.

    Attributes:
        kind: `never ran`, `always`, `command`, `param`, `dep`, `out` or `upstream`.
        text: The sentence.
        subject: The path, or the address of the stage upstream; of a param the file.
        key: Of a param: which.
        before: The command, or the value of the param, at the last run.
        after: The same now.
        files: What changed inside of the path, as far as it is known.
    """

    kind: str
    text: str
    subject: str | None = None
    key: str | None = None
    before: Any = None
    after: Any = None
    files: FileChanges | None = None


class Why(msgspec.Struct, frozen=True, kw_only=True):
    """What would become of one stage, and why."""

    stage: str
    verdict: Verdict
    causes: tuple[Cause, ...] = ()


def why(workspace: Workspace, words: Iterable[str] = (), folder: str = ".") -> list[Why]:
    """Explain stages.

    Args:
        workspace: Where.
        words: Stages or outputs; none means all stages that are not up to date.
        folder: Where paths are meant from, relative to the root.

    Returns:
        In the order in which `repro` comes to them.

    Raises:
        NotFoundError: A word means nothing.
        InvalidError: A file is malformed.
    """
    connected = graph.load(workspace)
    words = list(words)
    meant = set(chosen(workspace, connected, words, workspace.root / folder)) if words else set(connected.nodes)
    walk = _Walk(workspace, connected)
    found = []
    for address in connected.plan(None):
        node = connected.nodes[address]
        if isinstance(node, Stage):
            answer = walk.stage(node)
            if address in meant and (words or answer.verdict is not Verdict.UP_TO_DATE):
                found.append(answer)
        else:
            walk.data(node)
    workspace.contents.save()
    return found


class _Walk:
    """One way through the graph, which remembers what would have become of the stages before."""

    def __init__(self, workspace: Workspace, connected: graph.Graph) -> None:
        self._workspace = workspace
        self._graph = connected
        self._locks = lockfile.Locks(workspace.root)
        self._would_change: set[str] = set()
        self._restored: set[str] = set()

    def data(self, file: DvcFile) -> None:
        """Note which data would be put back first."""
        for out in file.outs:
            change = self._workspace.change_of(out)
            if change is Change.DELETED and out.content and not self._workspace.cache.missing(out.content.md5):
                self._restored.add(out.path)

    def stage(self, stage: Stage) -> Why:
        """Explain a stage."""
        locked = self._locks.of(stage)
        difference = changes.compare(self._workspace, stage, locked)
        deps = {path: change for path, change in difference.deps.items() if not self._comes_back(path, change)}
        difference = msgspec.structs.replace(difference, deps=deps)
        before = locked or LockedStage(command=())
        inputs = _inputs(self._workspace, stage, before, difference)
        for address in self._graph.needed(stage.address):
            if address in self._would_change:
                text = f"{address}, which it depends on, would change"
                inputs.append(Cause(kind="upstream", subject=address, text=text))
        verdict = _verdict(self._workspace, stage, locked, difference, inputs)
        if verdict in (Verdict.WOULD_RUN, Verdict.WOULD_RESTORE_RUN):
            self._would_change.add(stage.address)
        if verdict is Verdict.WOULD_RESTORE:
            self._restored.update(difference.outs)
        made = {} if difference.never_ran else difference.outs
        outs = _paths(self._workspace, "out", made, _by_path(stage.outs, before.outs))
        return Why(stage=stage.address, verdict=verdict, causes=(*inputs, *outs))

    def _comes_back(self, path: str, change: Change) -> bool:
        """Whether a dependency is only missing until what it comes from is restored."""
        around = (is_same_or_below(path, each) or is_same_or_below(each, path) for each in self._restored)
        return change is Change.DELETED and any(around)


def _verdict(
    workspace: Workspace, stage: Stage, locked: LockedStage | None, difference: Difference, inputs: list[Cause]
) -> Verdict:
    if not inputs and not difference.outs:
        return Verdict.UP_TO_DATE
    # What a frozen stage reads does not matter.
    is_same = stage.is_frozen or not inputs
    if is_same and difference.outs and locked is not None and from_cache(workspace, stage, locked, difference.outs):
        return Verdict.WOULD_RESTORE
    if stage.is_frozen:
        return Verdict.FROZEN
    waits = any(cause.kind in ("upstream", "always") for cause in inputs)
    if not waits and from_run_cache(workspace, stage):
        return Verdict.WOULD_RESTORE_RUN
    return Verdict.WOULD_RUN


def _inputs(workspace: Workspace, stage: Stage, before: LockedStage, difference: Difference) -> list[Cause]:
    causes = []
    if stage.is_always_changed:
        causes.append(Cause(kind="always", text="it is marked as always changed"))
    elif stage.runs_every_time:
        causes.append(Cause(kind="always", text="it has no dependencies and no outputs, so it runs every time"))
    if difference.never_ran:
        return [*causes, Cause(kind="never ran", text="it has never run")]
    if difference.command:
        old, new = _script(before.command), _script(stage.command)
        text = f"its command changed from `{old}` to `{new}`"
        causes.append(Cause(kind="command", text=text, before=before.command, after=stage.command))
    causes += _paths(workspace, "dep", difference.deps, _by_path(stage.deps, before.deps))
    for item in stage.params:
        if item.written in difference.params:
            causes += _params(workspace, item, difference.params[item.written], before.params.get(item.written, {}))
    return causes


def _paths(
    workspace: Workspace, kind: str, changed: dict[str, Change], recorded: dict[str, Content | None]
) -> list[Cause]:
    noun = {"dep": "dependency", "out": "output"}[kind]
    causes = []
    for path, change in changed.items():
        text = f"{noun} {path} {_VERBS[change]}"
        content = recorded.get(path)
        files = None
        if change is Change.MODIFIED and content is not None:
            files = file_changes(workspace, path, content)
            text += f": {files.text}"
        causes.append(Cause(kind=kind, subject=path, text=text, files=files))
    return causes


def _params(workspace: Workspace, item: ParamsFile, changed: dict[str, Change] | Change, before: Any) -> list[Cause]:
    if isinstance(changed, Change):
        return [Cause(kind="param", subject=item.path, text=f"parameters file {item.path} {_VERBS[changed]}")]
    now = params.select(params.load(FolderTree(workspace), item.path) or {}, item.keys)
    causes = []
    for key, change in changed.items():
        old, new = before.get(key), now.get(key)
        how = {
            Change.MODIFIED: f"changed from {_value(old)} to {_value(new)}",
            Change.NEW: f"is new: {_value(new)}",
            Change.DELETED: f"is missing; it was {_value(old)}" if key in before else "is missing",
        }.get(change, _VERBS[change])
        text = f"parameter {key} of {item.path} {how}"
        causes.append(Cause(kind="param", subject=item.path, key=key, text=text, before=old, after=new))
    return causes


_VERBS = {
    Change.MODIFIED: "changed",
    Change.DELETED: "is missing",
    Change.NEW: "is new",
    Change.NOT_IN_CACHE: "is not in the cache",
}


def _by_path(paths: Iterable[Any], recorded: dict[str, Content]) -> dict[str, Content | None]:
    return {item.path: recorded.get(item.written) for item in paths}


def _script(command: str | tuple[str, ...]) -> str:
    return command if isinstance(command, str) else " && ".join(command)


def _value(value: Any) -> str:
    return json.dumps(value, default=str, ensure_ascii=False)
