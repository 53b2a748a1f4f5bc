"""Make tasks of experiments: what the user's files hold now, with other parameters, recorded without touching them.

Also untracked files that stages read, and data under version that were changed since they were added, are recorded.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterable
from typing import Any

import msgspec

from everloop.errors import NotFoundError
from everloop.pipelines import graph
from everloop.pipelines.experiments import files, saving
from everloop.pipelines.experiments.overrides import Overrides, combinations, is_grid, parse
from everloop.pipelines.experiments.tasks import Queue, Task
from everloop.pipelines.paramedit import edited
from everloop.workspace import Change, Workspace, dvcfile, gitsnapshot


class Wish(msgspec.Struct, frozen=True, kw_only=True):
    """What was asked for.

    Attributes:
        targets: Stages and outputs; None means all.
        assignments: As of `-S`; those that stand for several values make several experiments.
        name: Of the experiment; of several each gets a number behind it. None draws one.
        message: Of the commit.
        copy_paths: Ignored or untracked files or folders to copy beside the experiment's when it runs; relative to the
            root.
        force: Replace an experiment of the same name.
        options: What `repro` is called with.
    """

    targets: tuple[str, ...] | None = None
    assignments: tuple[str, ...] = ()
    name: str | None = None
    message: str | None = None
    copy_paths: tuple[str, ...] = ()
    force: bool = False
    options: dict[str, Any] = {}


def put(workspace: Workspace, wish: Wish, *, is_queued: bool = True) -> list[tuple[Task, Overrides]]:
    """Put experiments into the queue, one for each combination of parameters.

    Args:
        workspace: Whose files they start from; nothing in it changes.
        wish: What to run.
        is_queued: False makes them for this process.

    Returns:
        The tasks with the parameters that each sets.

    Raises:
        ConflictError: A name is taken.
        InvalidError: A word of `-S` is malformed, or names what its file does not have.
        NotFoundError: A file of parameters, or one to copy, is not there; or nothing was committed yet.
    """
    overrides = parse(wish.assignments)
    several = is_grid(overrides)
    _check_copied(workspace, wish.copy_paths)
    queue = Queue(workspace)
    made = []
    with workspace.locked():
        scene = _Scene(workspace)
        taken = queue.promised()
        for number, combined in enumerate(combinations(overrides), 1):
            name = f"{wish.name}-{number}" if several and wish.name else wish.name
            reserved = saving.reserve(workspace, name, force=wish.force, taken=taken)
            taken.add(reserved.name)
            task = Task(
                id=scene.commit(reserved, combined),
                name=reserved.name,
                baseline=reserved.baseline,
                old=reserved.old,
                created_at=time.time(),
                targets=wish.targets,
                message=wish.message,
                copy_paths=wish.copy_paths,
                is_queued=is_queued,
                options=wish.options,
            )
            made.append((task, combined))
        # All of a grid or, when a name or a parameter of it is wrong, nothing.
        for task, _ in made:
            queue.put(task)
    return made


def _check_copied(workspace: Workspace, paths: Iterable[str]) -> None:
    for path in paths:
        if not (workspace.root / path).exists():
            raise NotFoundError(f"{path} does not exist, so it cannot be copied", hint="paths are relative to the root")


class _Scene:
    """The files of the workspace as they are now, as Git has them: read once for all experiments of a grid."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        whole = graph.load(workspace)
        also = files.of_stages(whole, whole.nodes)
        contents = _changed_data(workspace)
        forced = files.at_the_top(workspace)
        self._git, self._scratch = workspace.git, workspace.layout.scratch_dir
        self._tree = gitsnapshot.write_tree(self._git, self._scratch, also=also, forced=forced, contents=contents)

    def commit(self, reserved: saving.Reserved, overrides: Overrides) -> str:
        """A commit of the files with other parameters."""
        tree = self._tree
        if overrides:
            contents = {path: self._edited(path, overrides) for path in overrides}
            tree = gitsnapshot.with_contents(self._git, self._scratch, tree, contents)
        # Two of the same second and name are different ones.
        said = f"everloop: experiment {reserved.name} of {reserved.baseline}\n\n{uuid.uuid4().hex}"
        return gitsnapshot.commit_tree(self._git, tree, [reserved.baseline], said)

    def _edited(self, path: str, overrides: Overrides) -> bytes:
        try:
            text = (self._workspace.root / path).read_text(encoding="utf-8")
        except FileNotFoundError as error:
            raise NotFoundError(f"{path} does not exist, so no parameter can be set in it") from error
        return edited(text, path, overrides[path])


def _changed_data(workspace: Workspace) -> dict[str, bytes]:
    """The `.dvc` files of changed data, as they were if the data were added now; the data go into the cache.

    Imported data are left: what their source says counts.
    """
    found = {}
    for path, file in workspace.dvc_files().items():
        changes = {out.path: workspace.change_of(out) for out in file.outs}
        changed = [name for name, change in changes.items() if change in (Change.MODIFIED, Change.NEW)]
        if changed and not file.is_import:
            kept = workspace.commit(changed, relink=False)
            outs = tuple(
                msgspec.structs.replace(out, content=kept[out.path]) if out.path in kept else out for out in file.outs
            )
            found[path] = dvcfile.text_of(workspace.root, msgspec.structs.replace(file, outs=outs))
    workspace.contents.save()
    return found
