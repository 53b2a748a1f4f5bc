"""References of a Git repository, local and remote: list them, change many at once, push and fetch them by name.

Leaves what they are for to whoever names them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import StrEnum

import msgspec

from everloop.errors import ConflictError, EverloopError, FailedError, UnavailableError
from everloop.workspace.git import Git


class RefChange(msgspec.Struct, frozen=True, kw_only=True):
    """What is to become of one reference.

    Attributes:
        name: As `refs/heads/main`.
        new: The object that it shall name; empty removes it.
        old: What it must name now: empty means that it must not be there, None that it does not matter.
    """

    name: str
    new: str
    old: str | None = None


class RefOutcome(StrEnum):
    """What became of a reference on its way to or from another repository."""

    SUCCESS = "success"
    UP_TO_DATE = "up_to_date"
    DIVERGED = "diverged"


def listed(git: Git, under: str) -> dict[str, str]:
    """The references below a place, `{name: object}`, sorted by name."""
    known = git.files.refs(under) if git.files is not None else None
    if known is not None:
        return known
    lines = git.ask("for-each-ref", "--format=%(objectname) %(refname)", under).splitlines()
    return {name: oid for oid, _, name in (line.partition(" ") for line in lines)}


def listed_remote(git: Git, url: str, under: str) -> dict[str, str]:
    """The references of another repository below a place, `{name: object}`.

    Args:
        git: Whose remotes `url` may name.
        url: A remote's name, an address or a path.
        under: As `refs/exps`.

    Raises:
        UnavailableError: It cannot be reached, or is no repository.
    """
    try:
        lines = git.ask("ls-remote", "--quiet", "--refs", "--", url, f"{under}/*").splitlines()
    except FailedError as error:
        raise UnavailableError(error.message, hint="see what is known: git remote --verbose") from error
    return {name: oid for oid, _, name in (line.partition("\t") for line in lines)}


def change(git: Git, changes: Iterable[RefChange]) -> None:
    """Change references, all of them or none.

    Raises:
        ConflictError: One is not what its change says it must be.
    """
    lines = ["start", *(_instruction(each) for each in changes), "prepare", "commit"]
    try:
        git.plumb("update-ref", "--create-reflog", "--stdin", text="\n".join(lines) + "\n")
    except EverloopError as error:
        raise ConflictError(error.message) from error


def push(git: Git, url: str, names: Iterable[str], *, force: bool = False) -> dict[str, RefOutcome]:
    """Bring references to another repository, under their own names.

    Raises:
        UnavailableError: It cannot be reached, or took none of them.
    """
    wanted = list(names)
    there = listed_remote(git, url, _common(wanted))
    here = {name: git.resolve(name) for name in wanted} if len(wanted) < 4 else listed(git, _common(wanted))
    found = {name: _compared(there.get(name), here[name], force=force) for name in wanted}
    going = [name for name, outcome in found.items() if outcome is RefOutcome.SUCCESS]
    if going:
        # What was seen there must still be there: two who push at once do not overwrite each other unseen.
        leases = [f"--force-with-lease={name}:{there.get(name, '')}" for name in going]
        _send(git, url, [*leases, "--end-of-options", url, *(f"{name}:{name}" for name in going)])
    return found


def remove_remote(git: Git, url: str, names: Iterable[str]) -> None:
    """Remove references of another repository.

    Raises:
        UnavailableError: It cannot be reached, or refuses.
    """
    gone = [f":{name}" for name in names]
    if gone:
        _send(git, url, ["--end-of-options", url, *gone])


def fetch(git: Git, url: str, names: Mapping[str, str], *, force: bool = False) -> dict[str, RefOutcome]:
    """Bring references of another repository here, under their own names, with all that they need.

    Args:
        git: Where to.
        url: As in `listed_remote`.
        names: As that gives them.
        force: Also replace those that are another object here.

    Raises:
        UnavailableError: It cannot be reached.
    """
    here = listed(git, _common(names))
    found = {name: _compared(here.get(name), oid, force=force) for name, oid in names.items()}
    coming = [f"+{name}:{name}" for name, outcome in found.items() if outcome is RefOutcome.SUCCESS]
    if coming:
        words = ("--quiet", "--no-tags", "--no-write-fetch-head", "--recurse-submodules=no", "--end-of-options", url)
        try:
            git.plumb("fetch", *words, *coming)
        except FailedError as error:
            raise UnavailableError(error.message) from error
    return found


def _send(git: Git, url: str, words: list[str]) -> None:
    try:
        git.plumb("push", "--quiet", "--no-verify", "--recurse-submodules=no", *words)
    except FailedError as error:
        raise UnavailableError(f"{url} did not take the references: {error.message}") from error


def _compared(old: str | None, new: str, *, force: bool) -> RefOutcome:
    if old == new:
        return RefOutcome.UP_TO_DATE
    return RefOutcome.SUCCESS if old is None or force else RefOutcome.DIVERGED


def _common(names: Iterable[str]) -> str:
    """The place that all lie below, at least its first two parts: `refs/exps`."""
    first = next(iter(names), "refs/none/x")
    return "/".join(first.split("/")[:2])


def _instruction(each: RefChange) -> str:
    if not each.new:
        return f"delete {each.name}" + (f" {each.old}" if each.old else "")
    if each.old == "":
        return f"create {each.name} {each.new}"
    return f"update {each.name} {each.new}" + (f" {each.old}" if each.old else "")
