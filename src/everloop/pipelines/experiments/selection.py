"""Which experiments the words of a command mean: those of some commits, of all, or of names."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from everloop.pipelines.experiments import refs
from everloop.pipelines.experiments.refs import Experiment
from everloop.workspace import Git, Workspace, gitrefs


class Selection(msgspec.Struct, frozen=True, kw_only=True):
    """What was asked for; nothing means the commit that is checked out.

    Attributes:
        names: Of experiments; then nothing else counts.
        revs: Their baselines: branches, tags, hashes, ...
        n: How many commits of each of `revs`, going back along first parents; 0 means none, below 0 all.
        is_all: All experiments there are.
    """

    names: tuple[str, ...] = ()
    revs: tuple[str, ...] = ()
    n: int = 1
    is_all: bool = False


def select(workspace: Workspace, wanted: Selection, remote: str | None = None) -> list[Experiment]:
    """The experiments that are meant, those of the first baseline first.

    Args:
        workspace: Whose.
        wanted: What was asked for.
        remote: A Git remote, address or path, whose experiments are meant; None means those here.

    Raises:
        NotFoundError: A name or a commit is not known.
        ConflictError: A name means several.
        UnavailableError: The remote cannot be reached.
    """
    git = workspace.git
    if wanted.names:
        return refs.find(git, wanted.names, remote)
    if wanted.is_all:
        return refs.listed(git, remote=remote)
    # To Git, 0 would be all; to DVC it is none, and `remove` would be a pity.
    found = workspace.revisions(wanted.revs or ("HEAD",), n=wanted.n) if wanted.n else []
    baselines = [revision.commit for revision in found]
    known = refs.listed(git, set(baselines), remote)
    return [each for baseline in baselines for each in known if each.baseline == baseline]


def names_of(git: Git, commits: Iterable[str]) -> dict[str, str]:
    """What people call commits: the branch that is checked out, a tag, a branch; those without a name are left out."""
    known: dict[str, str] = {}
    for place, found in (("refs/tags/", _tags(git)), ("refs/heads/", gitrefs.listed(git, "refs/heads"))):
        for ref, commit in found.items():
            known.setdefault(commit, ref.removeprefix(place))
    current = git.branch() or ""
    if current.startswith("refs/heads/"):
        known[git.head()] = current.removeprefix("refs/heads/")
    return {commit: known[commit] for commit in commits if commit in known}


def _tags(git: Git) -> dict[str, str]:
    """Tags, sorted, with their commits, also of those that are objects of their own."""
    known = git.files.tags() if git.files is not None else None
    if known is not None:
        return known
    wanted = "--format=%(if)%(*objectname)%(then)%(*objectname)%(else)%(objectname)%(end) %(refname)"
    lines = (line.partition(" ") for line in git.ask("for-each-ref", wanted, "refs/tags").splitlines())
    return {ref: commit for commit, _, ref in lines}


def remove(workspace: Workspace, wanted: Selection, *, keep: bool = False, remote: str | None = None) -> list[str]:
    """Remove experiments; their data stay in the cache.

    Args:
        workspace: Whose.
        wanted: Which.
        keep: Remove all others instead.
        remote: Remove them there instead of here.

    Returns:
        The names of those that are gone.

    Raises:
        NotFoundError, ConflictError, UnavailableError: As `select`.
    """
    chosen = select(workspace, wanted, remote)
    if keep:
        kept = {each.ref for each in chosen}
        chosen = [each for each in refs.listed(workspace.git, remote=remote) if each.ref not in kept]
    if remote is not None:
        gitrefs.remove_remote(workspace.git, remote, [each.ref for each in chosen])
    elif chosen:
        gitrefs.change(workspace.git, [gitrefs.RefChange(name=each.ref, new="", old=each.commit) for each in chosen])
    return [each.name for each in chosen]
