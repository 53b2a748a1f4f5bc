"""Run a revision's pipeline again, aside, and tell whether the same comes out.

Promises: nothing of the user's is touched. The revision is checked out into a worktree of its own below `.dvc/tmp`,
with a cache of its own that starts with the objects of the data that the pipeline reads; what is missing of these comes
from the remote into the user's cache first. All of it is removed afterwards; what a killed run left, by the next one.
"""

from __future__ import annotations

import fcntl
import os
import platform
import shutil
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from everloop.errors import InvalidError, NotFoundError
from everloop.pipelines import graph, lockfile
from everloop.pipelines.certificate import Certificate, Side, changed_inputs, check_outputs, worst
from everloop.pipelines.execution import Listener
from everloop.pipelines.recorded import Recorded
from everloop.pipelines.repro import repro
from everloop.pipelines.tree import CommitTree, FolderTree, Tree, commit_trees
from everloop.pipelines.values import LockedStage, Stage
from everloop.version import __version__
from everloop.workspace import Content, DvcFile, Git, Out, Workspace
from everloop.workspace.durable import write_atomically

_FOLDER = "reproduce"


def reproduce(
    workspace: Workspace,
    revision: str | Recorded = "HEAD",
    *,
    tolerance: float = 0.0,
    on_event: Listener | None = None,
) -> Certificate:
    """Run all stages of a revision again and compare what comes out.

    Args:
        workspace: Whose history.
        revision: A branch, tag or commit; or a tracked run, whose patch and `dvc.lock` count then.
        tolerance: For metrics whose bytes differ; see `Certificate`.
        on_event: As in `repro`.

    Raises:
        NotFoundError: There is no such revision, or data that it reads are nowhere.
        InvalidError: The revision has no stages, or no workspace.
        FailedError: A stage failed.
        ConflictError: Another process reproduces something here.
    """
    run = revision if isinstance(revision, Recorded) else None
    if isinstance(revision, Recorded):
        revision = revision.commit
    (wanted,) = workspace.revisions([revision])
    with _worktree(workspace, wanted.commit) as root, commit_trees(workspace) as trees:
        if run is not None:
            _as_it_ran(run, root)
        scratch = _own_workspace(root)
        whole = graph.load(scratch)
        stages = whole.stages
        if not stages:
            raise InvalidError(f"{revision} has no stages, so there is nothing to run again")
        expected = _locked(root, stages)
        _bring_data(workspace, scratch, revision, _read_by(whole.nodes.values(), expected))
        started_at, started = datetime.now(UTC), time.perf_counter()
        repro(scratch, force=True, on_event=on_event)
        seconds = time.perf_counter() - started
        sides = (
            _side(workspace, _AsMade(workspace, trees.at(wanted, revision), stages, expected), expected),
            _side(scratch, FolderTree(scratch), _locked(root, stages)),
        )
        checks = check_outputs(stages, *sides, tolerance)
        return Certificate(
            revision=run.address if run is not None else revision,
            commit=wanted.commit,
            verdict=worst(checks),
            tolerance=tolerance,
            outputs=tuple(checks),
            inputs=tuple(changed_inputs(stages, *sides)),
            not_run=tuple(stage.address for stage in stages if stage.is_frozen),
            python=platform.python_version(),
            platform=platform.platform(),
            everloop=__version__,
            started_at=started_at.isoformat(timespec="seconds"),
            seconds=seconds,
        )


class _AsMade:
    """A commit's files with the outputs that were recorded, as far as the cache has them."""

    def __init__(
        self, workspace: Workspace, tree: CommitTree, stages: Iterable[Stage], locked: dict[str, LockedStage]
    ) -> None:
        self.name = tree.name
        self.root = tree.root
        self.options = tree.options
        self.described = tree.described
        self.below = tree.below
        self._cache = workspace.cache
        self._tree = tree
        self._made = {
            out.path: locked[stage.address].outs[out.written].md5
            for stage in stages
            for out in stage.outs
            if stage.address in locked and out.written in locked[stage.address].outs
        }

    def read(self, path: str) -> bytes | None:
        md5 = self._made.get(path)
        return self._cache.path(md5).read_bytes() if md5 and self._cache.has(md5) else self._tree.read(path)


def _as_it_ran(run: Recorded, root: Path) -> None:
    """Change the files of the commit to those with which the run began, and its record to what it came to."""
    if run.patch:
        patch = root / ".dvc/run.patch"
        patch.write_bytes(run.patch)
        git = Git(root)
        Git(git.top()).apply(patch)
        patch.unlink()
    if run.lock is not None:
        (root / "dvc.lock").write_bytes(run.lock)


@contextmanager
def _worktree(workspace: Workspace, commit: str) -> Iterator[Path]:
    """The workspace's folder in a worktree of a commit."""
    home = workspace.layout.scratch_dir / _FOLDER
    home.mkdir(parents=True, exist_ok=True)
    with (home / "lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        folder = home / "worktree"
        workspace.git.add_worktree(folder, commit)
        try:
            yield folder / workspace.root.resolve().relative_to(workspace.git.top().resolve())
        finally:
            workspace.git.remove_worktree(folder)


def _own_workspace(root: Path) -> Workspace:
    if not (root / ".dvc").is_dir():
        raise InvalidError("the revision has no workspace: there is no .dvc folder in it")
    # Copies, so that no stage can reach the user's objects through a link; a cache of its own, so that it fills none.
    text = f'[cache]\n    dir = {root / ".dvc/cache"}\n    type = "reflink,copy"\n'
    write_atomically(root / ".dvc/config.local", text.encode())
    return Workspace(root)


def _locked(root: Path, stages: Iterable[Stage]) -> dict[str, LockedStage]:
    """What the lock files say of stages now."""
    locks = lockfile.Locks(root)
    return {stage.address: locked for stage in stages if (locked := locks.of(stage)) is not None}


def _read_by(nodes: Iterable[Stage | DvcFile], locked: dict[str, LockedStage]) -> list[Out]:
    """The data that no stage makes anew: those of `.dvc` files and of frozen stages."""
    found: list[Out] = []
    for node in nodes:
        if isinstance(node, DvcFile):
            found += [out for out in node.outs if out.is_cached]
        elif node.is_frozen and node.address in locked:
            contents = locked[node.address].outs
            kept = [out for out in node.outs if out.is_cached and out.written in contents]
            found += [Out(path=out.path, content=contents[out.written]) for out in kept]
    return found


def _bring_data(workspace: Workspace, scratch: Workspace, revision: str, outs: list[Out]) -> None:
    """Put the objects of data into the scratch workspace's cache, and the data in place."""
    contents = {out.path: out.content for out in outs if out.content is not None}
    if any(workspace.cache.missing(content.md5) for content in contents.values()):
        absent = [path for path, content in contents.items() if workspace.cache.missing(content.md5)]
        try:
            workspace.transfers.fetch(absent, revisions=workspace.revisions([revision]))
        except NotFoundError as error:
            what = f"{', '.join(absent)} of {revision} is not in the cache"
            raise NotFoundError(f"{what}, and {error.message}", hint=error.hint) from error
        gone = [path for path in absent if workspace.cache.missing(contents[path].md5)]
        if gone:
            raise NotFoundError(f"{', '.join(gone)} of {revision} is neither in the cache nor in the remote")
    for content in contents.values():
        for md5 in _objects(workspace, content):
            target = scratch.cache.path(md5)
            if not target.exists():
                target.parent.mkdir(parents=True, exist_ok=True)
                _link(workspace.cache.path(md5), target)
    scratch.restore([out for out in outs if out.content is not None])


def _objects(workspace: Workspace, content: Content) -> list[str]:
    """The files of a directory before its listing, as a cache has them."""
    files = workspace.cache.read_directory(content.md5).values() if content.is_directory else ()
    return [*dict.fromkeys(files), content.md5]


def _link(source: Path, target: Path) -> None:
    # Objects are never written to, and the data are copied out of them.
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


def _side(workspace: Workspace, tree: Tree, locked: dict[str, LockedStage]) -> Side:
    def listing(md5: str) -> dict[str, str] | None:
        return workspace.cache.read_directory(md5) if workspace.cache.has(md5) else None

    return Side(tree=tree, locked=locked, listings=listing)
