"""What a tracked run, or the run that a model version came from, was made of: commit, patch, and what it came to."""

from __future__ import annotations

import re
from collections.abc import Callable

import msgspec

from everloop import refs
from everloop.errors import InvalidError, NotFoundError
from everloop.registry import RegistryStore
from everloop.tracking import TrackingStore

_MODEL = re.compile(r"models/([^@/]+)@(.+)")
_PATCH = "git.patch"
_LOCK = "dvc.lock"


class Recorded(msgspec.Struct, frozen=True, kw_only=True):
    """A run as far as it can be run again.

    Attributes:
        address: As it was asked for.
        commit: In full.
        patch: What was changed and not committed, as `git apply` takes it; empty when nothing was.
        lock: The `dvc.lock` that it left; None when it kept none, and that of the commit counts.
    """

    address: str
    commit: str
    patch: bytes = b""
    lock: bytes | None = None


def is_address(word: str) -> bool:
    """Whether a word is the address of a run or of a model version, not a revision."""
    return word.startswith(("runs/", "models/"))


def recorded(
    address: str, tracking: TrackingStore, registry: RegistryStore, get_bytes: Callable[[str], bytes]
) -> Recorded:
    """Look up what a run was made of.

    Args:
        address: `runs/ID`, `models/NAME@VERSION`, or `models/NAME@ALIAS`.
        tracking, registry: Where to look.
        get_bytes: Gives an object's bytes by its digest.

    Raises:
        NotFoundError: There is no such run, model or version.
        InvalidError: It is no such address, or the run has no commit on record.
    """
    run_id = _run_id(address, registry)
    run = tracking.get_run(run_id)
    commit = run.tags.get("commit")
    if not commit:
        raise InvalidError(f"{refs.run(run_id)} has no commit on record, so nobody knows what it ran")
    digests = {artifact.path: artifact.digest for artifact in tracking.list_artifacts(run_id)}
    if run.tags.get("dirty") == "true" and _PATCH not in digests:
        raise NotFoundError(f"{refs.run(run_id)} ran with uncommitted changes, and its patch was not kept")
    return Recorded(
        address=address,
        commit=commit,
        patch=get_bytes(digests[_PATCH]) if _PATCH in digests else b"",
        lock=get_bytes(digests[_LOCK]) if _LOCK in digests else None,
    )


def _run_id(address: str, registry: RegistryStore) -> str:
    if address.startswith("runs/"):
        return refs.check_run_id(address.removeprefix("runs/"))
    match = _MODEL.fullmatch(address)
    if match is None:
        raise InvalidError(
            f"{address!r} is no address of a model version", hint="models/NAME@3, or models/NAME@champion"
        )
    name, version = match.groups()
    found = registry.get_version(name, int(version)) if version.isdecimal() else registry.resolve(name, version)
    return found.run_id
