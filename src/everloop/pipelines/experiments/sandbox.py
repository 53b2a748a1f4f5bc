"""Run a task in a Git worktree of its own, which shares the cache, and make an experiment of what comes out.

The user's working tree and index are never touched. The worktree goes when the task has ended, however it does; after a
kill `sweep` takes what is left. Leaves who runs which task to `worker.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from everloop.errors import FailedError
from everloop.pipelines import graph
from everloop.pipelines.experiments import refs, reproduction, saving
from everloop.pipelines.experiments.tasks import Queue, State, Task
from everloop.pipelines.values import Event
from everloop.workspace import Workspace
from everloop.workspace.configuration import Level


def run(
    workspace: Workspace,
    task: Task,
    *,
    on_event: Callable[[Event], None],
    should_stop: Callable[[], bool],
) -> saving.Saved:
    """Run a task that this process has claimed.

    Args:
        workspace: The user's.
        task: What to run.
        on_event: Told what `repro` tells.
        should_stop: Asked a few times per second; True ends it.

    Returns:
        The experiment. That of an earlier attempt, when only the word of its success was lost.

    Raises:
        FailedError: A stage failed, or it was stopped.
        EverloopError: What else `repro` raises.
    """
    done = _done_before(workspace, task)
    if done is not None:
        return saving.Saved(experiment=done)
    with _worktree(workspace, task) as inner:
        inner.checkout(force=True, allow_missing=True)
        reproduction.repro(
            inner,
            task.targets,
            task.options,
            name=task.name,
            baseline=task.baseline,
            root=workspace.root,
            on_event=on_event,
            should_stop=should_stop,
        )
        reserved = saving.Reserved(name=task.name, baseline=task.baseline, old=task.old)
        addresses = reproduction.addresses(inner, graph.load(inner), task.targets, task.options)
        return saving.commit(inner, reserved, message=task.message, addresses=addresses, main=workspace)


def sweep(workspace: Workspace, queue: Queue) -> list[str]:
    """Remove worktrees that nobody works in: those of tasks whose process was killed.

    Returns:
        Their folders.
    """
    folder = _places(workspace)
    # First the folders, then the tasks: one that was begun in between has none of these.
    there = list(folder.iterdir()) if folder.is_dir() else []
    busy = {_place(workspace, seen.task) for seen in queue.seen() if seen.state is State.RUNNING} if there else set()
    left = [place for place in there if place not in busy]
    for place in left:
        with suppress(FileNotFoundError):  # It has ended in this moment, and removes it itself.
            workspace.git.remove_worktree(place)
    return [str(place) for place in left]


def root_of(workspace: Workspace, task: Task) -> Path:
    """The folder in which a task runs."""
    return _place(workspace, task) / workspace.git.prefix()


def _done_before(workspace: Workspace, task: Task) -> refs.Experiment | None:
    found = [each for each in refs.listed(workspace.git, [task.baseline]) if each.name == task.name]
    return found[0] if found and found[0].commit != task.old else None


def _places(workspace: Workspace) -> Path:
    return workspace.layout.scratch_dir / "worktrees"


def _place(workspace: Workspace, task: Task) -> Path:
    return _places(workspace) / task.id[:16]


@contextmanager
def _worktree(workspace: Workspace, task: Task) -> Iterator[Workspace]:
    place = _place(workspace, task)
    workspace.git.add_worktree(place, task.id)
    try:
        inner = Workspace(root_of(workspace, task))
        _configure(workspace, inner)
        for path in task.copy_paths:
            _copy(workspace.root / path, inner.root / path)
        yield inner
    finally:
        workspace.git.remove_worktree(place)


def _configure(workspace: Workspace, inner: Workspace) -> None:
    """Give the worktree what is not in Git: the settings of this machine; and the cache and remotes of the main one."""
    found = workspace.configuration
    settings = {setting.name: setting.value for setting in found.settings(Level.PROJECT)}
    # Relative paths would be meant from the worktree.
    paths = {name: value for name, value in settings.items() if name.startswith("remote.") and name.endswith(".url")}
    own = {setting.name: setting.value for setting in found.settings(Level.LOCAL)}
    wanted = paths | own | {"cache.dir": str(workspace.config.cache_dir)}
    with inner.configuration.edit(Level.LOCAL) as file:
        for name, value in wanted.items():
            section, _, option = name.rpartition(".")
            file.set(section, option, value)


def _copy(source: Path, target: Path) -> None:
    # Here, because few experiments have something to copy.
    import shutil

    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        if source.is_dir():
            shutil.copytree(source, target, symlinks=True, dirs_exist_ok=True)
        else:
            shutil.copy2(source, target)
    except OSError as error:
        raise FailedError(f"{source} could not be copied to the experiment's folder: {error}") from error
