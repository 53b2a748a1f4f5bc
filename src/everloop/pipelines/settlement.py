"""What finished stages came to, until it is safe and recorded: outputs, run cache, `dvc.lock`, claims, in this order.

Promises: a lock file never claims an output that is not durably in the cache; the claims of a stage are given back only
when its record is written, so whoever waits for it finds it up to date. To wait for the disk costs more than a small
stage, so several are settled at once. Leaves when to settle to whoever has something better to do.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from contextlib import ExitStack, suppress

from everloop.errors import ConflictError
from everloop.pipelines import runs
from everloop.pipelines.lockfile import Locks
from everloop.pipelines.values import LockedStage, Stage
from everloop.workspace import Content, Workspace, gitignore
from everloop.workspace.autostage import stage as stage_in_git
from everloop.workspace.claims import Claims
from everloop.workspace.incoming import Incoming

# A stage that ended is on record after this time, or sooner.
_LONGEST_S = 0.5
# To settle takes at most this part of the time, however long a lock file has become.
_SHARE = 0.1


class Settlement:
    """Use it while the workspace is locked; claims and bytes may be held while it is not."""

    def __init__(self, workspace: Workspace, locks: Locks, claims: Claims) -> None:
        self._workspace = workspace
        self._locks = locks
        self._claims = claims
        self._open = ExitStack()
        # By whether files may get a second name in the cache.
        self._incoming: dict[bool, Incoming] = {}
        self._relinked: dict[str, Content] = {}
        # Outputs that Git does not know of yet, and folders whose `.gitignore` has changed.
        self._ignored: list[str] = []
        self._ignoring: list[str] = []
        self._runs: list[LockedStage] = []
        # By address; and those that can be given back when all is settled.
        self._claimed: dict[str, Stage] = {}
        self._finished: list[Stage] = []
        self._has_records = False
        self._since: float | None = None
        self._took_s = 0.0

    def claim(self, stage: Stage) -> None:
        """Let nobody else change what the stage reads, or use what it makes, until it is settled or given up.

        Raises:
            ConflictError: Somebody else has some of it.
        """
        reads, writes = paths_of(stage)
        self._claims.take(reads, writes)
        self._claimed[stage.address] = stage

    def give_up(self, stage: Stage) -> None:
        """Give the claims of a stage back that failed."""
        if self._claimed.pop(stage.address, None) is not None:
            self._claims.release(*paths_of(stage))

    def keep(self, paths: Iterable[str], *, relink: bool = True) -> dict[str, Content]:
        """Take the bytes of paths into the cache; they are durable when they are settled.

        Args:
            paths: Relative to the root.
            relink: Link the files to the cache, where `cache.type` says so; not for what belongs into Git.

        Raises: as `Workspace.commit`.
        """
        if relink not in self._incoming:
            self._incoming[relink] = self._open.enter_context(self._workspace.cache.incoming(may_link=relink))
        kept = {path: self._workspace.contents.keep(path, self._incoming[relink]) for path in paths}
        if relink and "symlink" in self._workspace.cache.link_types:
            self._relinked |= kept
        return kept

    def record(self, stage: Stage, locked: LockedStage, *, keep_run: bool, ignore: bool = True) -> None:
        """Remember a run, or a restored one."""
        self._locks.put(stage, locked)
        self._has_records = True
        if self._claimed.pop(stage.address, None) is not None:
            self._finished.append(stage)
        self._since = self._since or time.monotonic()
        if ignore:
            kept = [out.path for out in stage.outs if out.is_cached]
            # The file that keeps them out of Git may lie in a folder that the next stage reads, so it is not put off;
            # no stage reads the root.
            self._ignoring += self._ignore([path for path in kept if "/" in path])
            self._ignored += [path for path in kept if "/" not in path]
        if keep_run:
            self._runs.append(locked)

    @property
    def due_in_s(self) -> float | None:
        """How long what waits may still wait, at most; None when nothing does."""
        if self._since is None:
            return None
        return max(0.0, self._since + max(_LONGEST_S, self._took_s / _SHARE) - time.monotonic())

    def settle(self) -> None:
        """Make everything that waits durable, and record it.

        Raises:
            InvalidError: Somebody has damaged a lock file meanwhile.
            OSError: The disk is full, or the like; nothing false was recorded.
        """
        started = time.monotonic()
        self._take_in()
        for run in self._runs:
            runs.keep(self._workspace, run)
        self._runs.clear()
        changed = [*self._ignoring, *self._ignore(self._ignored)]
        self._ignored.clear()
        self._ignoring.clear()
        if self._has_records:
            written = self._locks.write()
            stage_in_git(self._workspace, [*written, *(f"{folder}/.gitignore".lstrip("/") for folder in changed)])
        self._has_records = False
        self._release()
        self._since = None
        self._took_s = time.monotonic() - started

    def _ignore(self, paths: list[str]) -> list[str]:
        return gitignore.ignore_outs(self._workspace.root, paths, self._workspace.gitignore) if paths else []

    def _take_in(self) -> None:
        self._incoming.clear()
        # Flushes, and gives the objects their names.
        self._open.close()
        if self._relinked:
            from everloop.workspace import relink

            # One that was changed since stays as it is, and is told of at the end.
            with suppress(ConflictError):
                relink.relink(self._workspace, self._relinked)
            self._relinked.clear()
        # Only now: the memory must not promise objects that a crash has kept from their final names.
        self._workspace.contents.save()

    def _release(self) -> None:
        paths = [paths_of(stage) for stage in self._finished]
        if paths:
            self._claims.release(
                [path for reads, _ in paths for path in reads], [path for _, writes in paths for path in writes]
            )
        self._finished.clear()


def paths_of(stage: Stage) -> tuple[list[str], list[str]]:
    """What a stage reads, and what it makes: the paths to claim for it."""
    return [item.path for item in (*stage.deps, *stage.params)], [out.path for out in stage.outs]
