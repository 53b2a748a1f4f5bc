"""Bring imports up to date with their sources.

What did not change at its source is neither brought nor written. Leaves what a record says to `importrecord.py`.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from everloop.errors import ConflictError, InvalidError, NotFoundError
from everloop.workspace import importrecord, reach, recordhash
from everloop.workspace.cloudentry import read_pins
from everloop.workspace.origin import Origin, Pins, is_local, local_path
from everloop.workspace.routes import open_store
from everloop.workspace.settling import found_url, settle, take_from_repository
from everloop.workspace.source import open_source
from everloop.workspace.take import origin_of, take_address
from everloop.workspace.values import Change, Content, DvcFile, Out
from everloop.workspace.walk import DVC_SUFFIX

if TYPE_CHECKING:
    from ruamel.yaml.comments import CommentedMap

    from everloop.workspace.workspace import Workspace


class UpdateReport(msgspec.Struct, frozen=True, kw_only=True):
    """What `update` did: the `.dvc` files that have something new, and those whose source did not change."""

    updated: tuple[str, ...]
    unchanged: tuple[str, ...]


def update(
    workspace: Workspace,
    targets: Iterable[str] | None,
    *,
    rev: str | None,
    recursive: bool,
    download: bool,
    to_remote: bool,
    remote: str | None,
    jobs: int | None,
    force: bool,
) -> UpdateReport:
    """See `Imports.update`; targets are relative to the root."""
    files = workspace.dvc_files()
    imports = {path: file for path, file in files.items() if file.is_import}
    chosen = list(imports)
    if targets is not None:
        chosen = [path for target in targets for path in _chosen(target, imports, files, recursive=recursive)]
    renewal = _Renewal(
        workspace, rev=rev, download=download, remote=remote, to_remote=to_remote, jobs=jobs, force=force
    )
    updated: list[str] = []
    unchanged: list[str] = []
    for path in dict.fromkeys(chosen):
        (updated if renewal.of(imports[path]) else unchanged).append(path)
    return UpdateReport(updated=tuple(updated), unchanged=tuple(unchanged))


class _Renewal:
    """What one `update` does to each import."""

    def __init__(
        self,
        workspace: Workspace,
        *,
        rev: str | None,
        remote: str | None,
        download: bool,
        to_remote: bool,
        jobs: int | None,
        force: bool,
    ) -> None:
        self._workspace = workspace
        self._rev = rev
        self._download = download
        self._store = open_store(workspace, remote, jobs=jobs) if to_remote else None
        self._jobs = jobs
        self._force = force

    def of(self, file: DvcFile) -> bool:
        """Bring one import up to date; whether there was something new."""
        workspace = self._workspace
        out, data, dep = importrecord.load(workspace.root, file)
        before = recordhash.digest(data)
        is_here = self._download and self._store is None
        if is_here and not self._force and workspace.change_of(out) is Change.MODIFIED:
            raise ConflictError(
                f"{out.path} was changed here, and an update would replace it",
                hint=f"go back first (ever checkout --force {out.path}), or overwrite it: "
                f"ever update --force {file.path}",
            )
        repo = dep.get("repo")
        if repo is not None and self._store is not None:
            raise InvalidError(
                f"{file.path} was imported from a repository, which has remotes of its own",
                hint=f"ever update {file.path}",
            )
        is_there, content = (
            self._from_repository(out, dep, repo) if repo is not None else self._from_address(file, out, dep)
        )
        if not is_there:
            return False
        is_new = content != out.content or (is_here and workspace.measure(out.path) != content)
        importrecord.fill(data, content)
        settle(workspace, file.path, out.path, content, data, force=True, restore=is_here)
        return is_new or recordhash.digest(data) != before

    def _is_settled(self, out: Out) -> bool:
        """Nothing has to come, when the source is as recorded."""
        return not self._download or (self._store is None and self._workspace.change_of(out) is None)

    def _from_repository(self, out: Out, dep: CommentedMap, repo: CommentedMap) -> tuple[bool, Content | None]:
        """Whether there is something to settle, and the content at the source now. Notes the revision."""
        workspace, rev = self._workspace, self._rev
        url = found_url(workspace.root, str(repo["url"]))
        wanted = rev or repo.get("rev")
        with open_source(url, wanted or "HEAD" if Path(url).is_dir() else wanted) as source:
            commit = source.commit
        if commit == repo.get("rev_lock") and rev is None and self._is_settled(out):
            return False, None
        content, commit = take_from_repository(
            workspace,
            url,
            str(dep["path"]),
            commit,
            reach.read(repo, out.path),
            download=self._download,
            jobs=self._jobs,
        )
        if rev is not None:
            importrecord.put(repo, "rev", rev, after="url")
        importrecord.put(repo, "rev_lock", commit, after="rev" if "rev" in repo else "url")
        return True, content

    def _from_address(self, file: DvcFile, out: Out, dep: CommentedMap) -> tuple[bool, Content | None]:
        """The same for an address. Notes its mark."""
        workspace = self._workspace
        origin = self._origin(file, dep)
        if self._is_settled(out) and importrecord.is_same(dep, origin.mark()):
            return False, None
        content, mark = take_address(workspace, origin, download=self._download, store=self._store, jobs=self._jobs)
        if not self._download and importrecord.is_same(dep, mark):
            return False, None
        importrecord.renew(dep, mark)
        return True, content

    def _origin(self, file: DvcFile, dep: CommentedMap) -> Origin:
        """What lies at the address of a record now, or in the version that was asked for."""
        pins = read_pins(dep, file.path)
        if self._rev is not None and pins is None:
            raise InvalidError(
                f"{file.path} was imported neither from a repository nor with its versions, so --rev "
                f"names nothing there"
            )
        if self._rev is not None and pins and pins[0][0]:
            raise InvalidError(
                f"{file.path} is a folder, each file of which has versions of its own; found --rev {self._rev}",
                hint=f"take the newest ones: ever update {file.path}",
            )
        address = str(dep["path"])
        if is_local(address):
            address = os.path.normpath(self._workspace.root / file.path / ".." / local_path(address))
        options = {str(key): str(value) for key, value in dep.get("fs_config", {}).items() if key != "version_aware"}
        return origin_of(
            self._workspace,
            address,
            options,
            pins=None
            if pins is None
            else Pins(wanted={"": self._rev} if self._rev else None, recorded=dep.get("files") or ()),
        )


def _chosen(target: str, imports: dict[str, DvcFile], files: dict[str, DvcFile], *, recursive: bool) -> list[str]:
    for path in (target, target + DVC_SUFFIX):
        if path in imports:
            return [path]
        if path in files:
            raise InvalidError(f"{path} was not imported, so there is no source to update it from")
    below = [path for path in imports if recursive and (target == "." or path.startswith(f"{target}/"))]
    if not below:
        raise NotFoundError(f"{target} is no import of this workspace", hint="ever import URL PATH")
    return below
