"""Artifacts of `dvc.yaml` by name and version: which commit has the one that is asked for, and at which path.

Versions and stages are Git tags, as GTO writes and DVC reads them: `NAME@v1.2.0`, `NAME#prod#3`, of a folder's
`dvc.yaml` `folder=NAME@v1.2.0`; a `!` behind takes the version or the stage back. Lightweight tags do not count, as
in DVC. Source: gto 1.9 (`constants.py`, `tag.py`), dvc 3.67 (`repo/artifacts.py`).
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable
from typing import Any

import msgspec

from everloop.errors import InvalidError, NotFoundError
from everloop.workspace import Git, Source, yamlfile
from everloop.workspace.walk import PIPELINE_FILE

_NAME = r"[a-zA-Z0-9](?:[a-zA-Z0-9-/_]*[a-zA-Z0-9])?"
_ADDRESS = re.compile(rf"(?:(?P<folder>[a-zA-Z0-9-_./]+):)?(?P<name>{_NAME})")
_VERSION = re.compile(r"v(\d+)\.(\d+)\.(\d+)(?:-([0-9A-Za-z.-]+))?(?:\+[0-9A-Za-z.-]+)?")
_TAG = re.compile(
    rf"(?P<artifact>[a-zA-Z0-9-_./]+=)?(?P<name>{_NAME})(?:@(?P<version>v[^!#]+)|#(?P<stage>{_NAME}))(?P<gone>!?)(?:#(?P<count>\d+))?"
)


class Artifact(msgspec.Struct, frozen=True, kw_only=True):
    """What an artifact's name means.

    Attributes:
        folder: Of its `dvc.yaml`, relative to the repository's root; "" is the root.
        name: Its key there.
    """

    folder: str
    name: str

    @property
    def address(self) -> str:
        """`NAME`, or `folder:NAME`."""
        return f"{self.folder}:{self.name}" if self.folder else self.name


class Tag(msgspec.Struct, frozen=True, kw_only=True):
    """A tag that gives an artifact a version or a stage, or takes it back."""

    artifact: str
    commit: str
    version: str | None = None
    stage: str | None = None
    is_gone: bool = False


def parse_address(text: str) -> Artifact:
    """Read `NAME`, `folder:NAME` or `folder/dvc.yaml:NAME`.

    Raises:
        InvalidError: It is none of these.
    """
    match = _ADDRESS.fullmatch(text)
    if match is None:
        raise InvalidError(f"{text!r} is no artifact's name: letters, digits, - / and _, after an optional folder:")
    folder = posixpath.normpath(match["folder"] or ".")
    if posixpath.basename(folder) == PIPELINE_FILE:
        folder = posixpath.dirname(folder)
    return Artifact(folder="" if folder == "." else folder, name=match["name"])


def tags_of(git: Git) -> list[Tag]:
    """The tags about artifacts, the oldest first."""
    form = "--format=%(objecttype) %(taggerdate:unix) %(*objectname) %(refname:strip=2)"
    found: list[tuple[int, int, Tag]] = []
    for line in git.ask("for-each-ref", "refs/tags", form).splitlines():
        kind, when, commit, name = line.split(" ", 3)
        match = _TAG.fullmatch(name)
        if kind == "tag" and match is not None:
            address = f"{(match['artifact'] or '').replace('=', ':')}{match['name']}"
            gone = bool(match["gone"])
            tag = Tag(artifact=address, commit=commit, version=match["version"], stage=match["stage"], is_gone=gone)
            # Of those of one second, the number behind the name tells which came first.
            found.append((int(when), int(match["count"] or 0), tag))
    return [tag for *_, tag in sorted(found, key=lambda each: each[:2])]


def commit_of(tags: Iterable[Tag], artifact: Artifact, *, version: str | None = None, stage: str | None = None) -> str:
    """The commit that has an artifact.

    Args:
        tags: All tags about artifacts, the oldest first.
        artifact: Which.
        version: As `v1.2.0`; None means the greatest one.
        stage: Instead of a version: what was put into this stage last.

    Raises:
        InvalidError: A version and a stage are given.
        NotFoundError: Nothing was registered so.
    """
    if version and stage:
        raise InvalidError("an artifact is asked for by its version or by its stage, not by both")
    # The last word about each version and each stage counts.
    current: dict[tuple[str | None, str | None], Tag] = {}
    for tag in tags:
        if tag.artifact == artifact.address:
            current.pop((tag.version, tag.stage), None)
            if not tag.is_gone:
                current[tag.version, tag.stage] = tag
    if stage:
        found = current.get((None, stage))
    elif version:
        found = current.get((version, None))
    else:
        versions = [tag for tag in current.values() if tag.version is not None and _VERSION.fullmatch(tag.version)]
        found = max(versions, key=lambda tag: _rank(tag.version or ""), default=None)
    if found is None:
        which = f" in stage {stage}" if stage else f" of version {version}" if version else ""
        known = ", ".join(tag.version or f"#{tag.stage}" for tag in current.values()) or "none"
        raise NotFoundError(
            f"no artifact {artifact.address}{which} is registered; known: {known}",
            hint=f"register one: git tag -a {artifact.address.replace(':', '=')}@v1.0.0 -m registered",
        )
    return found.commit


def path_of(source: Source, artifact: Artifact) -> str:
    """The path of an artifact in a repository, as its `dvc.yaml` says.

    Raises:
        NotFoundError: There is no such file, or no such artifact in it.
        InvalidError: The file is malformed.
    """
    file = posixpath.join(artifact.folder, PIPELINE_FILE)
    with source.open(file) as stream:
        declared = _declared(stream.read().decode(), file)
    entry = declared.get(artifact.name)
    path = entry.get("path") if isinstance(entry, dict) else None
    if not isinstance(path, str):
        known = ", ".join(declared) or "none"
        raise NotFoundError(f"{file} of {source.url} has no artifact {artifact.name!r}; it has: {known}")
    inside = posixpath.normpath(posixpath.join(artifact.folder, path))
    if inside.startswith(("../", "/")) or inside == "..":
        raise InvalidError(f"{file} of {source.url}: the artifact {artifact.name} leads out of the repository: {path}")
    return inside


def _declared(text: str, file: str) -> dict[str, Any]:
    data = yamlfile.parse_plain(text, file) or {}
    found = data.get("artifacts") if isinstance(data, dict) else None
    if found is not None and not isinstance(found, dict):
        raise InvalidError(f"{file}: artifacts must be a mapping, found {type(found).__name__}")
    return found or {}


def _rank(version: str) -> tuple[Any, ...]:
    """For comparing: as semver.org says, a pre-release is before its release, and numbers in it before words."""
    match = _VERSION.fullmatch(version)
    assert match is not None
    parts = (match[4] or "").split(".") if match[4] else []
    return (
        *(int(match[n]) for n in (1, 2, 3)),
        not parts,
        [(not part.isdecimal(), int(part) if part.isdecimal() else 0, part) for part in parts],
    )
