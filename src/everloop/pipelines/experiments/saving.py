"""Make an experiment of what a workspace holds: a commit on its baseline, with nothing of the user's touched.

The commit is as DVC makes it. Leaves running stages to `running.py`.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from everloop.errors import ConflictError
from everloop.pipelines import commit as commit_verb
from everloop.pipelines import graph
from everloop.pipelines.experiments import files, names, refs
from everloop.pipelines.experiments.refs import Experiment
from everloop.workspace import Workspace, gitsnapshot


class Saved(msgspec.Struct, frozen=True, kw_only=True):
    """What was saved.

    Attributes:
        left_out: Untracked files that are not in the commit.
    """

    experiment: Experiment
    left_out: tuple[str, ...] = ()


class Reserved(msgspec.Struct, frozen=True, kw_only=True):
    """The name of an experiment that is to be made.

    Attributes:
        old: The commit that has it now, and which is to be replaced; empty when there is none.
    """

    name: str
    baseline: str
    old: str = ""


def save(
    workspace: Workspace,
    targets: Iterable[str] | None = None,
    *,
    name: str | None = None,
    message: str | None = None,
    include: Iterable[str] = (),
    recursive: bool = False,
    force: bool = False,
) -> Saved:
    """Save the workspace as an experiment. What stages made is recorded as it is; nothing is run.

    Args:
        workspace: Whose.
        targets: Stages, outputs and `.dvc` files to record; None means all.
        name: Of the experiment; None draws one.
        message: Of the commit; None says what DVC says.
        include: Untracked files or folders to take in, relative to the root; ignored ones, too.
        recursive: A target may be a folder.
        force: Replace an experiment of the same name.

    Raises:
        ConflictError: There is an experiment of that name.
        InvalidError: The name cannot be one.
        NotFoundError: A target or an output is not there, or nothing was committed yet.
    """
    reserved = reserve(workspace, name, force=force)
    with workspace.locked():
        commit_verb.commit(workspace, targets, confirm=lambda _: True, recursive=recursive, relink=False)
        return commit(workspace, reserved, message=message, include=include)


def reserve(workspace: Workspace, name: str | None, *, force: bool, taken: Iterable[str] = ()) -> Reserved:
    """A name for a new experiment of the commit that is checked out; nothing is written yet.

    Args:
        workspace: Whose.
        name: The one that is wanted; None draws one.
        force: It may be that of an experiment that is to be replaced.
        taken: Names that are promised to others.

    Raises:
        ConflictError: It is taken.
        InvalidError: It cannot be one.
        NotFoundError: Nothing was committed yet.
    """
    (reserved,) = reserve_all(workspace, [name], force=force, taken=taken)
    return reserved


def reserve_all(
    workspace: Workspace, wanted: Iterable[str | None], *, force: bool, taken: Iterable[str] = ()
) -> list[Reserved]:
    """As `reserve`, for several, which get different names."""
    git = workspace.git
    baseline = git.head()
    known = {each.name: each.commit for each in refs.listed(git, [baseline])}
    promised = set(taken)
    found = []
    for name in wanted:
        chosen = names.new({*known, *promised}) if name is None else name
        if name is not None:
            refs.check_name(git, name)
        if chosen in promised or (chosen in known and not force):
            where = "waits in the queue or runs" if chosen in promised else f"of {baseline[:7]} exists"
            raise ConflictError(
                f"the experiment {name!r} {where} already", hint="choose another name, or replace it with --force"
            )
        promised.add(chosen)
        found.append(Reserved(name=chosen, baseline=baseline, old=known.get(chosen, "")))
    return found


def commit(
    workspace: Workspace,
    reserved: Reserved,
    *,
    message: str | None = None,
    include: Iterable[str] = (),
    addresses: Iterable[str] | None = None,
    main: Workspace | None = None,
) -> Saved:
    """Commit the files of a workspace as the experiment of a name.

    Args:
        workspace: Whose files; they stay as they are, and so does its index.
        reserved: The name.
        message: Of the commit.
        include: Files to take in though nobody tracks them.
        addresses: The stages that were reproduced, whose files belong to it; None means that none was.
        main: Where the reference is written; None means `workspace`, of which others are worktrees.

    Raises:
        ConflictError: The name was taken meanwhile.
    """
    whole = graph.load(workspace)
    reproduced = list(addresses or ())
    stages = [stage for stage in whole.stages if addresses is None or stage.address in reproduced]
    git, scratch = workspace.git, workspace.layout.scratch_dir
    locks = [path for path in files.of_stages(whole, [stage.address for stage in whole.stages])
             if path.rpartition("/")[2] == "dvc.lock"]  # fmt: skip
    also = [*files.of_stages(whole, reproduced), *locks]
    forced = [*include, *files.at_the_top(workspace)]
    untracked = git.untracked()
    tree = gitsnapshot.write_tree(git, scratch, also=also, forced=forced, untracked=untracked)
    said = message or f"dvc: commit experiment {files.digest(workspace, stages)}"
    made = gitsnapshot.commit_tree(git, tree, [reserved.baseline], said)
    experiment = refs.put(main or workspace, reserved.name, reserved.baseline, made, reserved.old)
    taken = set(gitsnapshot.among(untracked, [*also, *forced]))
    return Saved(experiment=experiment, left_out=tuple(path for path in untracked if path not in taken))
