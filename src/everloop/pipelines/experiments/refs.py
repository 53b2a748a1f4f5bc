"""Experiments as Git keeps them: one reference each, which names a commit whose parent is the experiment's baseline.

Source: dvc 3.67 (`repo/experiments/refs.py`): `refs/exps/<first two digits of the baseline>/<the others>/<name>`. What
else lies below `refs/exps` is DVC's scratch and no experiment.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

import msgspec

from everloop.errors import ConflictError, FailedError, InvalidError, NotFoundError
from everloop.plaintext import nearest
from everloop.workspace import Git, Workspace, gitrefs

NAMESPACE = "refs/exps"
_SCRATCH = ("apply", "celery", "exec", "temp", "stash")


class Experiment(msgspec.Struct, frozen=True, kw_only=True):
    """One experiment.

    Attributes:
        name: As people call it; unique for its baseline.
        baseline: The commit that it was derived from.
        commit: What it came to.
    """

    name: str
    baseline: str
    commit: str

    @property
    def ref(self) -> str:
        return ref_of(self.baseline, self.name)


def ref_of(baseline: str, name: str) -> str:
    """The reference of an experiment."""
    return f"{NAMESPACE}/{baseline[:2]}/{baseline[2:]}/{name}"


def parse(ref: str, commit: str) -> Experiment | None:
    """The experiment that a reference names; None when it is none."""
    parts = ref.split("/")
    if len(parts) != 5 or parts[2] in _SCRATCH or "/".join(parts[:2]) != NAMESPACE:
        return None
    return Experiment(name=parts[4], baseline=parts[2] + parts[3], commit=commit)


def listed(git: Git, baselines: Collection[str] | None = None, remote: str | None = None) -> list[Experiment]:
    """All experiments, sorted by baseline and name.

    Args:
        git: Whose.
        baselines: Only those of these commits; None means all.
        remote: The Git remote, address or path to look at; None means here.

    Raises:
        UnavailableError: The remote cannot be reached.
    """
    found = gitrefs.listed(git, NAMESPACE) if remote is None else gitrefs.listed_remote(git, remote, NAMESPACE)
    parsed = (parse(ref, commit) for ref, commit in found.items())
    return [each for each in parsed if each is not None and (baselines is None or each.baseline in baselines)]


def find(git: Git, names: Iterable[str], remote: str | None = None) -> list[Experiment]:
    """The experiments of these names, or full references.

    Raises:
        NotFoundError: There is none of a name; all such names are told.
        ConflictError: A name is that of several experiments, none of them of the commit that is checked out.
        UnavailableError: The remote cannot be reached.
    """
    known = listed(git, remote=remote)
    wanted = list(dict.fromkeys(names))
    found = {name: [each for each in known if name in (each.name, each.ref)] for name in wanted}
    missing = [name for name, matches in found.items() if not matches]
    if missing:
        near = nearest(missing[0], (each.name for each in known))
        where = f" in {remote}" if remote else ""
        raise NotFoundError(
            f"there is no experiment named {', '.join(map(repr, missing))}{where}",
            hint=f"do you mean {near!r}?" if near else "see them all: ever exp list --all-commits",
        )
    return [_chosen(git, name, matches) for name, matches in found.items()]


def resolve(git: Git, name: str) -> str:
    """The commit of an experiment by its name, or of whatever Git understands.

    Raises:
        NotFoundError: It is neither.
        ConflictError: As `find`.
    """
    try:
        return git.resolve(name)
    except NotFoundError as error:
        matches = [each for each in listed(git) if name in (each.name, each.ref)]
        if not matches:
            near = nearest(name, (each.name for each in listed(git)))
            raise NotFoundError(
                f"{name!r} is neither an experiment nor a commit",
                hint=f"do you mean {near!r}?" if near else "see them all: ever exp list --all-commits",
            ) from error
        return _chosen(git, name, matches).commit


def check_name(git: Git, name: str) -> None:
    """Refuse a name that Git cannot keep.

    Raises:
        InvalidError: It has a slash, or breaks the rules of `git check-ref-format`.
    """
    try:
        if "/" in name:
            raise FailedError("slash")
        git.ask("check-ref-format", ref_of("0" * 40, name))
    except FailedError as error:
        raise InvalidError(
            f"{name!r} cannot be the name of an experiment",
            hint="use letters, digits, - and _; the rules: git help check-ref-format",
        ) from error


def put(workspace: Workspace, name: str, baseline: str, commit: str, old: str | None) -> Experiment:
    """Let an experiment's reference name a commit.

    Args:
        old: What it must name now: empty means nothing, None that it does not matter.

    Raises:
        ConflictError: Somebody else was faster.
    """
    gitrefs.change(workspace.git, [gitrefs.RefChange(name=ref_of(baseline, name), new=commit, old=old)])
    return Experiment(name=name, baseline=baseline, commit=commit)


def _chosen(git: Git, name: str, matches: list[Experiment]) -> Experiment:
    if len(matches) == 1:
        return matches[0]
    here = [each for each in matches if each.baseline == git.head()]
    if not here:
        refs = "".join(f"\n  {each.ref}" for each in matches)
        raise ConflictError(f"{name!r} is the name of several experiments:{refs}", hint="write the whole reference")
    return here[0]
