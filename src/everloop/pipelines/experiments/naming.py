"""Give an experiment another name, or a branch of its own."""

from __future__ import annotations

from everloop.errors import ConflictError
from everloop.pipelines.experiments import refs
from everloop.pipelines.experiments.refs import Experiment
from everloop.workspace import Workspace, gitrefs
from everloop.workspace.gitrefs import RefChange


def rename(workspace: Workspace, name: str, new: str, *, force: bool = False, remote: str | None = None) -> Experiment:
    """Give an experiment another name.

    Args:
        workspace: Whose.
        name: Of the experiment now.
        new: The name that it gets.
        force: Replace another one that has that name.
        remote: Rename it there instead of here.

    Raises:
        NotFoundError: There is none of that name.
        ConflictError: The new name is taken.
        InvalidError: It cannot be one.
        UnavailableError: The remote cannot be reached.
    """
    git = workspace.git
    refs.check_name(git, new)
    (found,) = refs.find(git, [name], remote)
    renamed = Experiment(name=new, baseline=found.baseline, commit=found.commit)
    if renamed == found:
        return found
    taken = [each for each in refs.listed(git, [found.baseline], remote) if each.name == new]
    if taken and not force:
        raise ConflictError(
            f"the experiment {new!r} of {found.baseline[:7]} exists already", hint="replace it with --force"
        )
    if remote is None:
        # First the new one: a crash in between leaves two names, not none.
        old = taken[0].commit if taken else ""
        gitrefs.change(
            git,
            [
                RefChange(name=renamed.ref, new=found.commit, old=old),
                RefChange(name=found.ref, new="", old=found.commit),
            ],
        )
        return renamed
    gitrefs.fetch(git, remote, {found.ref: found.commit}, force=True)
    gitrefs.change(git, [RefChange(name=renamed.ref, new=found.commit)])
    gitrefs.push(git, remote, [renamed.ref], force=force)
    gitrefs.remove_remote(git, remote, [found.ref])
    return renamed


def branch(workspace: Workspace, name: str, branch_name: str | None = None) -> str:
    """Make a Git branch of an experiment.

    Args:
        workspace: Whose.
        name: Of the experiment.
        branch_name: Of the branch; None means the experiment's with `-branch` behind it.

    Returns:
        The branch's name.

    Raises:
        NotFoundError: There is no such experiment.
        ConflictError: The branch exists.
    """
    git = workspace.git
    (found,) = refs.find(git, [name])
    chosen = branch_name or f"{found.name}-branch"
    ref = f"refs/heads/{chosen}"
    if gitrefs.listed(git, ref):
        raise ConflictError(f"the Git branch {chosen!r} exists already", hint=f"ever exp branch {name} ANOTHER_NAME")
    gitrefs.change(git, [RefChange(name=ref, new=found.commit, old="")])
    return chosen
