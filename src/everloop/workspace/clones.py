"""Copies of Git repositories that are elsewhere: cloned once, fetched when asked for something new.

They lie bare below the user's cache folder (`XDG_CACHE_HOME`, `~/.cache`), shared by all workspaces, and can be deleted
at any time. Leaves what is in them to `source.py`.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from everloop.errors import EverloopError, InvalidError, NotFoundError, UnavailableError
from everloop.workspace.git import Git

_COMMIT = re.compile(r"[0-9a-f]{40}([0-9a-f]{24})?")
_MAIN = "refs/everloop/main"
_FETCHED = (f"+HEAD:{_MAIN}", "+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*")
# Git would run a command that such an address names.
_UNSAFE = re.compile(r"^-|^[A-Za-z0-9]+::")


def fetch(url: str, rev: str | None = None, environment: Mapping[str, str] = os.environ) -> tuple[Path, str]:
    """Have a repository's commit on this machine.

    Args:
        url: Anything that `git fetch` takes.
        rev: A branch, tag or commit; None means the main branch. A full hash that is here already asks nobody.
        environment: `XDG_CACHE_HOME` and `HOME` are looked up in it.

    Returns:
        The bare copy, and the commit in full.

    Raises:
        InvalidError: The address is of a kind that would run a command.
        UnavailableError: The repository cannot be reached, or is none.
        NotFoundError: It has no such revision.
    """
    if _UNSAFE.search(url):
        raise InvalidError(f"{url!r} is no address of a Git repository that is accepted")
    home = environment.get("XDG_CACHE_HOME") or f"{environment.get('HOME', '')}/.cache"
    folder = Path(home) / "everloop" / "clones" / hashlib.sha256(url.encode()).hexdigest()[:32]
    folder.mkdir(parents=True, exist_ok=True)
    git = Git(folder)
    with _alone(folder):
        if not (folder / "HEAD").exists():
            git.init_bare()
        known = _known(git, rev) if rev is not None and _COMMIT.fullmatch(rev) else None
        if known is not None:
            return folder, known
        for leftover in (*folder.glob("*.lock"), *folder.glob("refs/**/*.lock")):
            # Of a fetch that was killed: nobody else is in here now.
            leftover.unlink()
        try:
            git.fetch(url, _FETCHED)
        except EverloopError as error:
            raise UnavailableError(
                f"the repository {url} cannot be fetched: {error.message}",
                hint="check the address, the network, and that `git ls-remote` works with it",
            ) from error
    return folder, git.resolve(rev or _MAIN)


def _known(git: Git, commit: str) -> str | None:
    try:
        return git.resolve(commit)
    except NotFoundError:
        return None


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """One process at a time: two fetches at once would fail on each other's references."""
    descriptor = os.open(folder.with_suffix(".lock"), os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
