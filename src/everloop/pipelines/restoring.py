"""Put a stage's outputs in place without running it: those of its last run, or of an equal run in the run cache.

Source: dvc 3.67 (`stage/cache.py`). Leaves whether a stage has to run at all to `stagework.py`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from everloop.errors import EverloopError
from everloop.pipelines import runs
from everloop.pipelines.changes import Difference
from everloop.pipelines.settlement import Settlement
from everloop.pipelines.values import LockedStage, Options, Stage, StageOut
from everloop.workspace import Change, Content, Out, Workspace
from everloop.workspace.objectid import is_legacy

if TYPE_CHECKING:
    from collections.abc import Callable

    from everloop.workspace.remote_store import RemoteStore


class Restorable(msgspec.Struct, frozen=True, kw_only=True):
    """Outputs that can be put in place.

    Attributes:
        run: What made them.
        outs: Those that are not in place.
        unkept: Those that are in place, while the cache lacks them.
        is_recorded: The lock file says the same already.
    """

    run: LockedStage
    outs: tuple[StageOut, ...]
    unkept: tuple[StageOut, ...] = ()
    is_recorded: bool = False


class Restoring:
    """The ways to have a stage's outputs without running it."""

    def __init__(
        self, workspace: Workspace, settlement: Settlement, options: Options, warn: Callable[[str], None]
    ) -> None:
        self._workspace = workspace
        self._settlement = settlement
        self._options = options
        self._warn = warn

    def fetch_runs(self) -> None:
        """Bring the run cache of the default remote here; without one, or one that answers, this is only told."""
        from everloop.workspace import routes, runcache

        try:
            store: RemoteStore = routes.open_store(self._workspace, None)
            runcache.fetch(self._workspace, store)
        except EverloopError as error:
            self._warn(f"the run cache was not fetched: {error.message}")

    def last(self, stage: Stage, locked: LockedStage, difference: Difference) -> Restorable | None:
        """The outputs of the last run, whose inputs are those of now."""
        if not (runs.is_reusable(stage) or stage.is_frozen):
            return None
        unkept = [out for out in stage.outs if difference.outs.get(out.path) is Change.NOT_IN_CACHE]
        wrong = [out for out in stage.outs if out.path in difference.outs and out not in unkept]
        if not all(out.written in locked.outs for out in stage.outs):
            return None
        if not self._can_have([(out.path, locked.outs[out.written]) for out in wrong]):
            return None
        return Restorable(run=locked, outs=tuple(wrong), unkept=tuple(unkept), is_recorded=True)

    def equal(self, stage: Stage, inputs: LockedStage) -> Restorable | None:
        """The outputs of the newest run with these inputs, if the run cache has one."""
        if not self._options.run_cache or not runs.is_reusable(stage):
            return None
        found = runs.find(self._workspace, stage, inputs)
        if found is None or not self._can_have([(out.path, found.outs[out.written]) for out in stage.outs]):
            return None
        made = {out.written: found.outs[out.written] for out in stage.outs}
        return Restorable(run=msgspec.structs.replace(inputs, outs=made), outs=stage.outs)

    def restore(self, stage: Stage, found: Restorable) -> None:
        """Put them in place, and record it; what lies there now goes."""
        from everloop.workspace.checkout import restore

        outs = [Out(path=out.path, content=found.run.outs[out.written]) for out in found.outs]
        restore(self._workspace, outs, force=True)
        for out in found.outs:
            if not out.is_cached:
                # It belongs into Git, and must not share its bytes with the cache.
                self._workspace.unprotect(out.path)
        kept = self._settlement.keep([out.path for out in found.unkept])
        before = {out.path: found.run.outs[out.written] for out in found.unkept}
        # Objects of DVC 2 that the cache did not have are there as those of DVC 3 now.
        renewed = {out.written: kept[out.path] for out in found.unkept if is_legacy(before[out.path].md5)}
        if renewed or not found.is_recorded:
            run = msgspec.structs.replace(found.run, outs={**found.run.outs, **renewed})
            self._settlement.record(stage, run, keep_run=False)

    def fetch_inputs(self, stage: Stage) -> None:
        """Bring what the stage reads and is not there, as far as it is data under version."""
        if not self._options.pull:
            return
        for dep in stage.deps:
            if not (self._workspace.root / dep.path).exists():
                try:
                    self._workspace.transfers.pull([dep.path])
                except EverloopError as error:
                    self._warn(f"{dep.path} was not pulled: {error.message}")

    def _can_have(self, contents: list[tuple[str, Content]]) -> bool:
        if not self._lacks(contents):
            return True
        # Perhaps a stage has just made them.
        self._settlement.settle()
        if self._lacks(contents) and self._options.pull and not self._options.dry:
            self._fetch(contents)
        return not self._lacks(contents)

    def _lacks(self, contents: list[tuple[str, Content]]) -> bool:
        return any(self._workspace.cache.missing(content.md5) for _, content in contents)

    def _fetch(self, contents: list[tuple[str, Content]]) -> None:
        from everloop.workspace import fetch

        try:
            fetch.fetch(self._workspace, [Out(path=path, content=content) for path, content in contents])
        except EverloopError as error:
            self._warn(f"nothing was fetched: {error.message}")
