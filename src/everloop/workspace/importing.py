"""Data that come from elsewhere, with a record of where from: `import`, `import-url`, `update`.

Source: dvc 3.67 (`stage/imports.py`, `dependency/repo.py`). First the bytes come into the cache, then they are checked
out, then the `.dvc` file is written, so a crash leaves the old record or the new one. Leaves what the file says to
`importrecord.py`.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from everloop.errors import ConflictError, InvalidError, NotFoundError
from everloop.workspace import durable, dvcfile, importrecord, yamlfile
from everloop.workspace.autostage import stage
from everloop.workspace.origin import is_local, local_path
from everloop.workspace.routes import open_store
from everloop.workspace.source import open_source
from everloop.workspace.take import origin_of, take_address, take_from
from everloop.workspace.targets import describes_data
from everloop.workspace.values import Change, Content, DvcFile, Out
from everloop.workspace.walk import DVC_SUFFIX

if TYPE_CHECKING:
    from ruamel.yaml.comments import CommentedMap

    from everloop.workspace.workspace import Workspace


class UpdateReport(msgspec.Struct, frozen=True, kw_only=True):
    """What `update` did: the `.dvc` files that have something new, and those whose source did not change."""

    updated: tuple[str, ...]
    unchanged: tuple[str, ...]


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
        stored = _stored_url(workspace.root, url)
        inner = path.strip("/")
        content, commit = None, None
        if execute:
            content, commit = _take_from_repository(workspace, stored, inner, rev, remote, download=download, jobs=jobs)
        repo = yamlfile.new_mapping(url=stored)
        for key, value in (("rev", rev), ("rev_lock", commit), ("remote", remote)):
            if value is not None:
                repo[key] = value
        data = importrecord.new(yamlfile.new_mapping(path=inner, repo=repo), Path(place).name)
        importrecord.fill(data, content, has_digest=execute)
        return _settle(workspace, file, place, content, data, force=force)

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
            jobs: How many files to bring at a time.
            force: Replace what lies at `out`.

        Raises: as `repository`.
        """
        workspace, place = self._workspace, self._workspace.relative(out)
        file = _new_record(workspace, place, force)
        origin = origin_of(workspace, address, fs_config)
        content, mark = None, {"hash": "md5"}
        if execute:
            store = open_store(workspace, remote, jobs=jobs) if to_remote else None
            content, mark = take_address(workspace, origin, download=download, store=store, jobs=jobs)
        where = _stored_path(workspace.root / file, local_path(address), address) if is_local(address) else address
        dep = yamlfile.new_mapping(**mark, path=where)
        if fs_config:
            dep["fs_config"] = yamlfile.new_mapping(**fs_config)
        data = importrecord.new(dep, Path(place).name)
        importrecord.fill(data, content, has_digest=execute)
        return _settle(workspace, file, place, content, data, force=force, restore=not to_remote)

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
            rev: The revision to follow from now on, of those from repositories.
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
        files = self._workspace.dvc_files()
        imports = {path: file for path, file in files.items() if file.is_import}
        wanted = None if targets is None else [self._workspace.relative(target) for target in targets]
        chosen = list(imports)
        if wanted is not None:
            chosen = [path for target in wanted for path in _chosen(target, imports, files, recursive=recursive)]
        renewal = Renewal(self._workspace, rev, remote if to_remote else None, download, to_remote, jobs, force)
        updated: list[str] = []
        unchanged: list[str] = []
        for path in dict.fromkeys(chosen):
            (updated if renewal.of(imports[path]) else unchanged).append(path)
        return UpdateReport(updated=tuple(updated), unchanged=tuple(unchanged))


class Renewal:
    """What one `update` does to each import."""

    def __init__(
        self,
        workspace: Workspace,
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
        before = importrecord.digest(data)
        is_here = self._download and self._store is None
        if is_here and not self._force and workspace.change_of(out) is Change.MODIFIED:
            raise ConflictError(
                f"{out.path} was changed here, and an update would replace it",
                hint=f"go back first (ever checkout --force {out.path}), or overwrite it: "
                f"ever update --force {file.path}",
            )
        repo = dep.get("repo")
        if repo is None and self._rev is not None:
            raise InvalidError(f"{file.path} was not imported from a repository, so it has no revisions")
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
        _settle(workspace, file.path, out.path, content, data, force=True, restore=is_here)
        return is_new or importrecord.digest(data) != before

    def _is_settled(self, out: Out) -> bool:
        """Nothing has to come, when the source is as recorded."""
        return not self._download or (self._store is None and self._workspace.change_of(out) is None)

    def _from_repository(self, out: Out, dep: CommentedMap, repo: CommentedMap) -> tuple[bool, Content | None]:
        """Whether there is something to settle, and the content at the source now. Notes the revision."""
        workspace, rev = self._workspace, self._rev
        url = _found_url(workspace.root, str(repo["url"]))
        wanted = rev or repo.get("rev")
        with open_source(url, wanted or "HEAD" if Path(url).is_dir() else wanted) as source:
            commit = source.commit
        if commit == repo.get("rev_lock") and rev is None and self._is_settled(out):
            return False, None
        content, commit = _take_from_repository(
            workspace, url, str(dep["path"]), commit, repo.get("remote"), download=self._download, jobs=self._jobs
        )
        if rev is not None:
            importrecord.put(repo, "rev", rev, after="url")
        importrecord.put(repo, "rev_lock", commit, after="rev" if "rev" in repo else "url")
        return True, content

    def _from_address(self, file: DvcFile, out: Out, dep: CommentedMap) -> tuple[bool, Content | None]:
        """The same for an address. Notes its mark."""
        workspace, address = self._workspace, str(dep["path"])
        if is_local(address):
            address = os.path.normpath(workspace.root / file.path / ".." / local_path(address))
        origin = origin_of(workspace, address, dep.get("fs_config"))
        if self._is_settled(out) and importrecord.is_same(dep, origin.mark()):
            return False, None
        content, mark = take_address(workspace, origin, download=self._download, store=self._store, jobs=self._jobs)
        if not self._download and importrecord.is_same(dep, mark):
            return False, None
        importrecord.renew(dep, mark)
        return True, content


def _take_from_repository(
    workspace: Workspace,
    url: str,
    path: str,
    rev: str | None,
    remote: str | None,
    *,
    download: bool,
    jobs: int | None,
) -> tuple[Content | None, str]:
    where = _found_url(workspace.root, url)
    # A folder's files may be changed at any time; what is recorded must be a commit.
    pinned = rev or ("HEAD" if Path(where).is_dir() else None)
    with open_source(where, pinned, caches=[workspace.cache], remote=remote) as source:
        assert source.commit is not None
        source.entry(path)
        return take_from(workspace, source, path, jobs=jobs) if download else None, source.commit


def _settle(
    workspace: Workspace,
    file: str,
    out: str,
    content: Content | None,
    data: CommentedMap,
    *,
    force: bool,
    restore: bool = True,
) -> DvcFile:
    """Check the data out and write the record."""
    with workspace.locked():
        if content is not None and restore:
            workspace.restore([Out(path=out, content=content)], force=force)
        workspace.keep_out_of_git(out)
        durable.write_atomically(workspace.root / file, yamlfile.dump(data))
        stage(workspace, [file])
    return dvcfile.read(workspace.root, file)


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


def _stored_url(root: Path, url: str) -> str:
    """An address as the record has it: a relative path is meant from the workspace."""
    return _relative(url, root) if _is_relative_path(url) else url


def _found_url(root: Path, url: str) -> str:
    return str(root / url) if not Path(url).is_absolute() and (root / url).is_dir() else url


def _stored_path(file: Path, source: Path, asked: str) -> str:
    # As it was asked for: who names an absolute path means that one, wherever the workspace is moved to.
    return str(source) if Path(asked).is_absolute() or "://" in asked else _relative(asked, file.parent)


def _relative(path: str, folder: Path) -> str:
    return Path(os.path.relpath(Path(path).absolute(), folder)).as_posix()


def _is_relative_path(url: str) -> bool:
    return not Path(url).is_absolute() and Path(url).is_dir()
