"""Collect experiments beside their baselines: params, metrics and records of them, also of those that wait or run.

One Git process reads all commits.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterable

import msgspec

from everloop.pipelines.experiments import refs, selection
from everloop.pipelines.experiments.here import Here
from everloop.pipelines.experiments.here import running as running_here
from everloop.pipelines.experiments.memory import Memory
from everloop.pipelines.experiments.reading import Reader, Watched
from everloop.pipelines.experiments.states import Executor, LocalRun, Problem, Range, Shown
from everloop.pipelines.experiments.tasks import Queue, Seen, State
from everloop.pipelines.moments import NowTree
from everloop.pipelines.tree import FolderTree, TreeReader, commit_trees
from everloop.workspace import Revision, Workspace

WORKSPACE = "workspace"


class Scope(msgspec.Struct, frozen=True, kw_only=True):
    """Which baselines to show, and what of them; no revs and no `all_...` means the commit that is checked out.

    Attributes:
        n: How many commits of each rev, going back along first parents; 0 means none, below 0 all.
        param_deps: Only those parameters that stages depend on.
        is_fresh: Read all commits anew, whatever is remembered of them.
        sha_only: Call baselines by nothing but their commits.
    """

    revs: tuple[str, ...] = ()
    n: int = 1
    all_branches: bool = False
    all_tags: bool = False
    all_commits: bool = False
    hide_queued: bool = False
    hide_failed: bool = False
    hide_workspace: bool = False
    param_deps: bool = False
    is_fresh: bool = False
    sha_only: bool = False


def show(workspace: Workspace, scope: Scope) -> list[Shown]:
    """The workspace, then each baseline with its experiments: running ones, done, waiting, failed; newest first.

    Args:
        workspace: Whose.
        scope: Which.

    Raises:
        NotFoundError: A revision is no commit, or there is no repository.
    """
    git = workspace.git
    if not git.has_commits():
        return []
    baselines = _baselines(workspace, scope)
    names = {} if scope.sha_only else selection.names_of(git, [each.commit for each in baselines])
    with commit_trees(workspace) as trees:
        collector = _Collector(workspace, trees, scope, [each.commit for each in baselines])
        shown = [] if scope.hide_workspace else [collector.workspace()]
        shown += [collector.baseline(each.commit, names.get(each.commit)) for each in baselines]
        collector.remember()
    return shown


def _baselines(workspace: Workspace, scope: Scope) -> list[Revision]:
    every = scope.all_branches or scope.all_tags or scope.all_commits
    revs = scope.revs or (() if every else ("HEAD",))
    return workspace.revisions(
        revs if scope.n else (),
        n=scope.n,
        all_branches=scope.all_branches and scope.n != 0,
        all_tags=scope.all_tags,
        all_commits=scope.all_commits,
    )


class _Collector:
    """One call of `show`."""

    def __init__(self, workspace: Workspace, trees: TreeReader, scope: Scope, baselines: list[str]) -> None:
        self._workspace = workspace
        self._trees = trees
        self._scope = scope
        self._reader = Reader(param_deps=scope.param_deps)
        self._queue = Queue(workspace)
        self._here = running_here(workspace)
        self._experiments: dict[str, list[refs.Experiment]] = {}
        for each in refs.listed(workspace.git, set(baselines)):
            self._experiments.setdefault(each.baseline, []).append(each)
        self._tasks: dict[str, list[Seen]] = {}
        for seen in self._queue.seen():
            if seen.task.baseline in baselines:
                self._tasks.setdefault(seen.task.baseline, []).append(seen)
        commits = self._commits(baselines)
        # What is remembered has all parameters, and depends on no flag.
        self._memory = None if scope.param_deps else Memory(workspace, is_empty=scope.is_fresh)
        unread = self._memory.missing(commits) if self._memory is not None else commits
        self._times = _times(workspace, unread) if unread else {}
        self._read_ahead(unread)

    def workspace(self) -> Shown:
        return self._reader.read(NowTree(self._workspace), WORKSPACE)

    def remember(self) -> None:
        """Keep what was read for the next time."""
        if self._memory is not None:
            self._memory.save()

    def baseline(self, commit: str, name: str | None) -> Shown:
        shown = self._commit(commit, name)
        tasks = self._tasks.get(commit, [])
        running = [self._running(seen) for seen in tasks if seen.state is State.RUNNING]
        if self._here is not None and self._here.baseline == commit:
            running.append(self._running_here(self._here))
        done = [self._done(each, tasks) for each in self._experiments.get(commit, [])]
        queued = [self._queued(seen) for seen in tasks if seen.state is State.QUEUED and not self._scope.hide_queued]
        failed = [self._failed(seen) for seen in tasks if seen.state is State.FAILED and not self._scope.hide_failed]
        found = [each for group in (running, done, queued, failed) for each in sorted(group, key=_age, reverse=True)]
        return msgspec.structs.replace(shown, experiments=found or None)

    def _commits(self, baselines: Iterable[str]) -> list[str]:
        experiments = (each.commit for group in self._experiments.values() for each in group)
        tasks = (seen.task.id for group in self._tasks.values() for seen in group if seen.state is not State.SUCCESS)
        return [*baselines, *experiments, *tasks]

    def _commit(self, commit: str, name: str | None) -> Shown:
        known = self._memory.get(commit) if self._memory is not None else None
        if known is not None:
            return Shown(rev=commit, name=name, data=known)
        tree = self._trees.at(Revision(commit=commit, names=()))
        shown = self._reader.read(tree, commit, timestamp=self._times.get(commit), name=name)
        if self._memory is not None:
            self._memory.put(shown)
        return shown

    def _read_ahead(self, commits: list[str]) -> None:
        """Experiments are much alike: what is read of one is most likely all that will be read of the others."""
        if len(commits) > 1:
            watched = Watched(self._trees.at(Revision(commit=commits[-1], names=())))
            self._reader.read(watched, commits[-1])
            self._trees.read_ahead(commits, watched.seen)

    def _done(self, experiment: refs.Experiment, tasks: list[Seen]) -> Range:
        ended = (seen for seen in tasks if seen.state is State.SUCCESS and seen.end is not None)
        own = next((seen for seen in ended if seen.end and seen.end.commit == experiment.commit), None)
        executor = Executor(state="success", name="dvc-task", local=self._local(own)) if own else None
        return Range(revs=[self._commit(experiment.commit, experiment.name)], executor=executor, name=experiment.name)

    def _running(self, seen: Seen) -> Range:
        # Here, because most often none runs.
        from everloop.pipelines.experiments import sandbox

        root = sandbox.root_of(self._workspace, seen.task)
        if (root / ".dvc").is_dir():
            inner = self._reader.read(FolderTree(Workspace(root)), WORKSPACE)
            shown = msgspec.structs.replace(inner, rev=seen.task.id, name=seen.task.name)
        else:
            # It is being set up, or cleared away.
            shown = self._commit(seen.task.id, seen.task.name)
        local = msgspec.structs.replace(self._local(seen), root=str(root))
        name = "dvc-task" if seen.task.is_queued else "temp"
        return Range(revs=[shown], executor=Executor(state="running", name=name, local=local), name=seen.task.name)

    def _running_here(self, found: Here) -> Range:
        shown = msgspec.structs.replace(self.workspace(), name=found.name)
        local = LocalRun(root=str(self._workspace.root), pid=found.pid)
        return Range(revs=[shown], executor=Executor(state="running", name=WORKSPACE, local=local), name=found.name)

    def _queued(self, seen: Seen) -> Range:
        shown = self._commit(seen.task.id, seen.task.name)
        if shown.data is not None:
            shown = msgspec.structs.replace(shown, data=msgspec.structs.replace(shown.data, metrics={}))
        local = LocalRun(task_id=seen.task.id)
        executor = Executor(state="queued", name="dvc-task", local=local)
        return Range(revs=[shown], executor=executor, name=seen.task.name)

    def _failed(self, seen: Seen) -> Range:
        why = f": {seen.end.error}" if seen.end is not None else ""
        shown = msgspec.structs.replace(
            self._commit(seen.task.id, seen.task.name), error=Problem(msg=f"Experiment run failed{why}")
        )
        return Range(revs=[shown], executor=Executor(state="failed", local=self._local(seen)), name=seen.task.name)

    def _local(self, seen: Seen) -> LocalRun:
        return LocalRun(
            log=str(self._queue.log(seen.task)),
            pid=seen.start.pid if seen.start else None,
            returncode=seen.end.code if seen.end else None,
            task_id=seen.task.id,
        )


def _times(workspace: Workspace, commits: list[str]) -> dict[str, str]:
    """When commits were made, in local time."""
    told = workspace.git.plumb("log", "--no-walk=unsorted", "--format=%H %ct", "--stdin", text="\n".join(commits))
    pairs = (line.split() for line in told.splitlines())
    # Without a zone, as DVC prints it.
    return {commit: datetime.datetime.fromtimestamp(int(seconds)).isoformat() for commit, seconds in pairs}


def _age(experiment: Range) -> tuple[str, str]:
    data = experiment.tip.data
    return (data.timestamp, experiment.tip.rev) if data is not None and data.timestamp else ("", "")
