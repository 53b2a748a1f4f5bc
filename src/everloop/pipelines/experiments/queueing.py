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
from everloop.pipelines.experiments import composing, files, reproduction, saving
from everloop.pipelines.experiments.overrides import Overrides, combinations, is_grid, parse
from everloop.pipelines.experiments.tasks import Queue, Task
from everloop.pipelines.paramedit import Edit, How, edited
from everloop.pipelines.values import DEFAULT_PARAMS_FILE
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
        composed: Let Hydra compose `params.yaml`, when that is configured.
    """

    targets: tuple[str, ...] | None = None
    assignments: tuple[str, ...] = ()
    name: str | None = None
    message: str | None = None
    copy_paths: tuple[str, ...] = ()
    force: bool = False
    options: dict[str, Any] = {}
    composed: bool = True


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
        NotFoundError: A target, a file of parameters, or one to copy is not there; or nothing was committed yet.
    """
    overrides = parse(wish.assignments)
    several = is_grid(overrides)
    _check_copied(workspace, wish.copy_paths)
    queue = Queue(workspace)
    grid = combinations(overrides)
    wanted = [f"{wish.name}-{n}" if several and wish.name else wish.name for n in range(1, len(grid) + 1)]
    with workspace.locked():
        reserved = saving.reserve_all(workspace, wanted, force=wish.force, taken=queue.promised())
        whole = graph.load(workspace)
        # An unknown target is told now, not when it runs.
        reproduction.addresses(workspace, whole, wish.targets, wish.options)
        commits = _commits(workspace, whole, reserved, grid, Changes(workspace, composed=wish.composed))
        now = time.time()
        tasks = [
            Task(
                id=commit,
                name=name.name,
                baseline=name.baseline,
                old=name.old,
                # The order is that of the grid, whatever the clock's steps are.
                created_at=now + number * 1e-6,
                targets=wish.targets,
                message=wish.message,
                copy_paths=wish.copy_paths,
                is_queued=is_queued,
                options=wish.options,
            )
            for number, (name, commit) in enumerate(zip(reserved, commits, strict=True))
        ]
        # All of a grid or, when a name or a parameter of it is wrong, nothing.
        queue.put(tasks)
    return list(zip(tasks, grid, strict=True))


def _check_copied(workspace: Workspace, paths: Iterable[str]) -> None:
    for path in paths:
        if not (workspace.root / path).exists():
            raise NotFoundError(f"{path} does not exist, so it cannot be copied", hint="paths are relative to the root")


class Changes:
    """What parameters become when they are set; each file is read once.

    Args:
        workspace: Whose.
        composed: Let Hydra compose `params.yaml`, when that is configured.
    """

    def __init__(self, workspace: Workspace, *, composed: bool) -> None:
        self._workspace = workspace
        self._composition = composing.composition_of(workspace) if composed else None
        self._texts: dict[str, str] = {}

    def of(self, overrides: Overrides) -> dict[str, bytes]:
        """The new contents of the files, by their path.

        Raises:
            NotFoundError: A file is not there, and something is to be set in it, not only added.
            InvalidError: A change does not fit to its file, or Hydra refuses it.
        """
        found: dict[str, bytes] = {}
        if self._composition is not None:
            edits = overrides.get(DEFAULT_PARAMS_FILE, [])
            found[DEFAULT_PARAMS_FILE] = composing.compose(self._composition, edits).encode()
        for path, edits in overrides.items():
            if path not in found:
                found[path] = edited(self._text(path, edits), path, edits)
        return found

    def _text(self, path: str, edits: Iterable[Edit]) -> str:
        if path not in self._texts:
            only_adds = all(edit.how in (How.ADD, How.SET_OR_ADD) for edit in edits)
            if only_adds and not (self._workspace.root / path).exists():
                return ""
            self._texts[path] = _text(self._workspace, path)
        return self._texts[path]


def _commits(
    workspace: Workspace,
    whole: graph.Graph,
    reserved: list[saving.Reserved],
    grid: list[Overrides],
    changes: Changes,
) -> list[str]:
    """A commit for each experiment: the files as they are now, with its parameters."""
    git, scratch = workspace.git, workspace.layout.scratch_dir
    tree = gitsnapshot.write_tree(
        git,
        scratch,
        also=files.of_stages(whole, whole.nodes),
        forced=files.at_the_top(workspace),
        contents=_changed_data(workspace),
    )
    variants = [
        gitsnapshot.Variant(
            # Two of the same second and name are different ones.
            message=f"everloop: experiment {name.name} of {name.baseline}\n\n{uuid.uuid4().hex}",
            contents=changes.of(overrides),
        )
        for name, overrides in zip(reserved, grid, strict=True)
    ]
    return gitsnapshot.commit_variants(git, scratch, tree, reserved[0].baseline, variants)


def _text(workspace: Workspace, path: str) -> str:
    try:
        return (workspace.root / path).read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise NotFoundError(f"{path} does not exist, so no parameter can be set in it") from error


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
