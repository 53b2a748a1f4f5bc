"""Look at everything that the workspace stands on, and say what would fail later.

Changes nothing but for a probe file in the cache, which is removed at once.
"""

from __future__ import annotations

import os
import platform
import shutil
from enum import StrEnum
from typing import TYPE_CHECKING

import msgspec

from everloop.errors import EverloopError
from everloop.workspace import dvcfile, links
from everloop.workspace.walk import DVC_SUFFIX

if TYPE_CHECKING:
    from everloop.workspace.workspace import Workspace

_LOW_SPACE_BYTES = 1 << 30


class Verdict(StrEnum):
    """How a check came out."""

    GOOD = "good"
    NOTE = "note"
    BAD = "bad"


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that was looked at: its name, how it is, and what was found."""

    name: str
    verdict: Verdict
    text: str


def examine(workspace: Workspace) -> list[Finding]:
    """Look at system, cache, records, Git and trash; never raises for what it finds."""
    findings = [
        Finding(
            name="system", verdict=Verdict.GOOD, text=f"Python {platform.python_version()} on {platform.platform()}"
        )
    ]
    for look in (_cache, _space, _records, _git, _trash):
        try:
            findings += look(workspace)
        except (EverloopError, OSError) as error:
            findings.append(Finding(name=look.__name__.strip("_"), verdict=Verdict.BAD, text=str(error)))
    return findings


def link_types(workspace: Workspace) -> list[str]:
    """The ways in which a file of the workspace can share its bytes with the cache.

    Raises:
        OSError: The cache or the workspace's scratch folder is not writable.
    """
    scratch = workspace.layout.scratch_dir
    scratch.mkdir(parents=True, exist_ok=True)
    workspace.cache.root.mkdir(parents=True, exist_ok=True)
    token = os.urandom(8).hex()
    probe, clone = workspace.cache.root / f".{token}.probe", scratch / f".{token}.probe"
    working = []
    try:
        probe.write_bytes(b"probe")
        for name, link in (
            ("reflink", links.reflink),
            ("hardlink", links.hardlink),
            ("symlink", links.symlink),
        ):
            if link(probe, clone):
                working.append(name)
            clone.unlink(missing_ok=True)
    finally:
        probe.unlink(missing_ok=True)
        clone.unlink(missing_ok=True)
    return [*working, "copy"]


def _cache(workspace: Workspace) -> list[Finding]:
    cache = workspace.cache
    working = link_types(workspace)
    usable = [name for name in cache.link_types if name in working]
    wanted = ",".join(cache.link_types)
    return [
        Finding(name="cache", verdict=Verdict.GOOD, text=str(cache.root)),
        Finding(
            name="links",
            verdict=Verdict.GOOD if usable else Verdict.BAD,
            text=f"cache.type {wanted}; working here: {', '.join(working)}",
        ),
    ]


def _space(workspace: Workspace) -> list[Finding]:
    free = shutil.disk_usage(workspace.cache.root).free
    verdict = Verdict.GOOD if free >= _LOW_SPACE_BYTES else Verdict.NOTE
    return [Finding(name="space", verdict=verdict, text=f"{free:,} bytes are free for the cache")]


def _records(workspace: Workspace) -> list[Finding]:
    outs = workspace.outs()
    missing = [out.path for out in outs if out.content and out.is_cached and workspace.cache.missing(out.content.md5)]
    text = f"{len(outs)} paths under version"
    if missing:
        text += f"; not whole in the cache: {', '.join(missing)}"
    files = [path for path in workspace.described_files() if path.endswith(DVC_SUFFIX)]
    strangers = [stranger for path in files for stranger in dvcfile.strangers(workspace.root, path)]
    return [
        Finding(name="records", verdict=Verdict.NOTE if missing else Verdict.GOOD, text=text),
        *(Finding(name="records", verdict=Verdict.NOTE, text=f"kept, not understood: {what}") for what in strangers),
    ]


def _git(workspace: Workspace) -> list[Finding]:
    git = workspace.git
    if not git.is_repository():
        return [Finding(name="git", verdict=Verdict.NOTE, text="no Git repository: nothing has a history")]
    driver = git.setting("merge.everloop.driver")
    text = "with merge driver" if driver else "without hooks and merge driver (ever install)"
    return [Finding(name="git", verdict=Verdict.GOOD if driver else Verdict.NOTE, text=f"{git.top()}, {text}")]


def _trash(workspace: Workspace) -> list[Finding]:
    operations = workspace.trash.operations()
    size_bytes = sum(operation.size_bytes for operation in operations)
    return [Finding(name="trash", verdict=Verdict.GOOD, text=f"{len(operations)} operations, {size_bytes:,} bytes")]
