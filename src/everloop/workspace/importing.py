"""Data that come from elsewhere, with a record of where from: `import`, `import-url`, `update`.

Source: dvc 3.67 (`stage/imports.py`, `dependency/repo.py`). First the bytes come into the cache, then they are checked
out, then the `.dvc` file is written, so a crash leaves the old record or the new one. Leaves what the file says to
`importrecord.py`, and bringing it up to date to `update.py`.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from everloop.errors import ConflictError, InvalidError
from everloop.workspace import importrecord, reach, yamlfile
from everloop.workspace.origin import Pins, is_local, local_path
from everloop.workspace.routes import open_store
from everloop.workspace.settling import settle, take_from_repository
from everloop.workspace.take import origin_of, take_address
from everloop.workspace.targets import describes_data
from everloop.workspace.update import UpdateReport, update
from everloop.workspace.values import DvcFile
from everloop.workspace.walk import DVC_SUFFIX

if TYPE_CHECKING:
    from everloop.workspace.workspace import Workspace


class Imports:
    """The verbs. Paths are relative to the workspace or absolute."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace

    def repository(
        self,
        url: str,
        path: str,
        out: str | os.PathLike[str],
        *,
        rev: str | None = None,
        remote: str | None = None,
        config: str | os.PathLike[str] | None = None,
        remote_options: Mapping[str, str] | None = None,
        download: bool = True,
        execute: bool = True,
        jobs: int | None = None,
        force: bool = False,
    ) -> DvcFile:
        """Bring a file or folder of another repository here, with a record of where from.

        Args:
            url: A folder (a relative one is meant from the current folder), or what `git fetch` takes.
            path: Relative to that repository: data under version there, or files in its Git.
            out: Where to.
            rev: A branch, tag or commit; None means the commit that is checked out there, or the main branch.
            remote: The name of the repository's remote that has its data; None means its default one.
            config: A configuration file that counts more than the repository's own; the record names it.
            remote_options: Options for its remote that count more; the record keeps them.
            download: False only records, for a later `update`.
            execute: False does not even look at the repository.
            jobs: How many files to bring at a time.
            force: Replace what lies at `out`.

        Raises:
            UnavailableError: The repository cannot be reached.
            NotFoundError: It has no such revision or path, or its data are nowhere.
            ConflictError: Something lies at `out`.
            InvalidError: `out` overlaps other data.
        """
        workspace, place = self._workspace, self._workspace.relative(out)
        file = _new_record(workspace, place, force)
        way = reach.asked(workspace.root, remote, config, remote_options)
        stored = _stored_url(workspace.root, url)
        inner = path.strip("/")
        content, commit = None, None
        if execute:
            content, commit = take_from_repository(workspace, stored, inner, rev, way, download=download, jobs=jobs)
        repo = yamlfile.new_mapping(url=stored)
        repo |= {key: value for key, value in (("rev", rev), ("rev_lock", commit)) if value is not None}
        repo |= reach.fields(way)
        data = importrecord.new(yamlfile.new_mapping(path=inner, repo=repo), Path(place).name)
        importrecord.fill(data, content, has_digest=execute)
        return settle(workspace, file, place, content, data, force=force)

    def address(
        self,
        address: str,
        out: str | os.PathLike[str],
        *,
        download: bool = True,
        execute: bool = True,
        to_remote: bool = False,
        remote: str | None = None,
        fs_config: Mapping[str, str] | None = None,
        version_aware: bool = False,
        jobs: int | None = None,
        force: bool = False,
    ) -> DvcFile:
        """Bring what lies at an address here, with a record of where from; see `open_origin` for the kinds.

        Args:
            address: Where from.
            out: Where to.
            download: False only records, for a later `update`.
            execute: False does not even look at the address.
            to_remote: Bring the bytes to a remote instead of here; `pull` puts them in place.
            remote: The name of that remote; None means the default one.
            fs_config: Options for the address, which the record keeps.
            version_aware: Pin each file to its version in a bucket that keeps versions; the data are never pushed.
            jobs: How many files to bring at a time.
            force: Replace what lies at `out`.

        Raises: as `repository`.
        """
        workspace, place = self._workspace, self._workspace.relative(out)
        file = _new_record(workspace, place, force)
        origin = origin_of(workspace, address, fs_config, pins=Pins() if version_aware else None)
        content, mark = None, {"hash": "md5"}
        if execute:
            store = open_store(workspace, remote, jobs=jobs) if to_remote else None
            content, mark = take_address(workspace, origin, download=download, store=store, jobs=jobs)
        where = _stored_path(workspace.root / file, local_path(address), address) if is_local(address) else address
        dep = yamlfile.new_mapping(path=where)
        if known := {**(fs_config or {}), **({"version_aware": True} if version_aware else {})}:
            dep["fs_config"] = yamlfile.new_mapping(**known)
        importrecord.renew(dep, mark)
        data = importrecord.new(dep, Path(place).name, is_pushed=not (version_aware and execute))
        importrecord.fill(data, content, has_digest=execute)
        return settle(workspace, file, place, content, data, force=force, restore=not to_remote)

    def update(
        self,
        targets: Iterable[str | os.PathLike[str]] | None = None,
        *,
        rev: str | None = None,
        recursive: bool = False,
        download: bool = True,
        to_remote: bool = False,
        remote: str | None = None,
        jobs: int | None = None,
        force: bool = False,
    ) -> UpdateReport:
        """Bring imports up to date with their sources.

        Args:
            targets: Imported data or their `.dvc` files; None means all.
            rev: The revision to follow from now on, of those from repositories; of a file that is pinned to a version
                in a bucket, the id of another one.
            recursive: A folder names all imports below it.
            download: False only records what is there now; the data are then no longer under version until `update`.
            to_remote: Bring the bytes of those from addresses to a remote instead of here.
            remote: The name of that remote; None means the default one.
            jobs: How many files to bring at a time.
            force: Overwrite data that were changed here.

        Raises:
            NotFoundError: A target is not under version, or the source has nothing there any more.
            ConflictError: Imported data were changed here.
            UnavailableError: A source cannot be reached.
            InvalidError: A target was not imported.
        """
        wanted = None if targets is None else [self._workspace.relative(target) for target in targets]
        return update(
            self._workspace,
            wanted,
            rev=rev,
            recursive=recursive,
            download=download,
            to_remote=to_remote,
            remote=remote,
            jobs=jobs,
            force=force,
        )


def _new_record(workspace: Workspace, out: str, force: bool) -> str:
    """The name of the `.dvc` file for an out that is to be."""
    file = out + DVC_SUFFIX
    if describes_data(out) or out == ".":
        raise InvalidError(f"{out} would be a file that describes data", hint="name another path: -o PATH")
    if workspace.git.is_repository() and workspace.git.tracked([out]):
        raise ConflictError(f"{out} is tracked by Git", hint=f"take it out of Git: git rm -r --cached {out}")
    for other in workspace.outs():
        if other.path != out and (f"{other.path}/".startswith(f"{out}/") or f"{out}/".startswith(f"{other.path}/")):
            raise InvalidError(f"{out} overlaps {other.path}, which is under version")
    taken = next((path for path in (out, file) if os.path.lexists(workspace.root / path)), None)
    if taken is not None and not force:
        raise ConflictError(f"{taken} exists already", hint="name another path, or replace it: --force")
    return file


def _stored_url(root: Path, url: str) -> str:
    """An address as the record has it: a relative path is meant from the workspace."""
    return _relative(url, root) if _is_relative_path(url) else url


def _stored_path(file: Path, source: Path, asked: str) -> str:
    # As it was asked for: who names an absolute path means that one, wherever the workspace is moved to.
    return str(source) if Path(asked).is_absolute() or "://" in asked else _relative(asked, file.parent)


def _relative(path: str, folder: Path) -> str:
    return Path(os.path.relpath(Path(path).absolute(), folder)).as_posix()


def _is_relative_path(url: str) -> bool:
    return not Path(url).is_absolute() and Path(url).is_dir()
