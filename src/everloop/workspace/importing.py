"""Data that come from elsewhere, with a record of where from: `import`, `import-url`, `update`.

Source: dvc 3.67 (`stage/imports.py`, `dependency/repo.py`). First the bytes come into the cache, then they are checked
out, then the `.dvc` file is written, so a crash leaves the old record or the new one. Leaves what the file says to
`importrecord.py`.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from everloop.errors import ConflictError, InvalidError, NotFoundError
from everloop.workspace import durable, dvcfile, importrecord, recordhash, yamlfile
from everloop.workspace.autostage import stage
from everloop.workspace.get import get_address, is_web, local_path, probe
from everloop.workspace.source import open_source
from everloop.workspace.take import take_files, take_from
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
        content, commit = _take_from_repository(workspace, stored, inner, rev, remote, download=download)
        repo = yamlfile.new_mapping(url=stored)
        for key, value in (("rev", rev), ("rev_lock", commit), ("remote", remote)):
            if value is not None:
                repo[key] = value
        dep = yamlfile.new_mapping(path=inner, repo=repo)
        return _settle(workspace, file, place, content, importrecord.new(dep, Path(place).name), force=force)

    def address(self, address: str, out: str | os.PathLike[str], *, force: bool = False) -> DvcFile:
        """Bring a file from `http(s)://`, or a file or folder of this machine, here, with a record of where from.

        Raises: as `repository`.
        """
        workspace, place = self._workspace, self._workspace.relative(out)
        file = _new_record(workspace, place, force)
        content, fields = _take_from_address(workspace, address)
        where = address if is_web(address) else _stored_path(workspace.root / file, local_path(address), address)
        dep = yamlfile.new_mapping(**fields, path=where)
        return _settle(workspace, file, place, content, importrecord.new(dep, Path(place).name), force=force)

    def update(
        self, targets: Iterable[str | os.PathLike[str]] | None = None, *, rev: str | None = None, force: bool = False
    ) -> UpdateReport:
        """Bring imports up to date with their sources.

        Args:
            targets: Imported data or their `.dvc` files; None means all.
            rev: The revision to follow from now on, of those from repositories.
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
        chosen = list(imports) if wanted is None else [_chosen(target, imports, files) for target in wanted]
        updated: list[str] = []
        unchanged: list[str] = []
        for path in chosen:
            is_new = _update(self._workspace, imports[path], rev, force=force)
            (updated if is_new else unchanged).append(path)
        return UpdateReport(updated=tuple(updated), unchanged=tuple(unchanged))


def _update(workspace: Workspace, file: DvcFile, rev: str | None, *, force: bool) -> bool:
    out, data, dep = importrecord.load(workspace.root, file)
    before = recordhash.digest(data)
    if not force and workspace.change_of(out) is Change.MODIFIED:
        raise ConflictError(
            f"{out.path} was changed here, and an update would replace it",
            hint=f"go back first (ever checkout --force {out.path}), or overwrite it: ever update --force {file.path}",
        )
    repo = dep.get("repo")
    if repo is not None:
        content = _renewed_from_repository(workspace, out, dep, repo, rev)
    elif rev is not None:
        raise InvalidError(f"{file.path} was not imported from a repository, so it has no revisions")
    else:
        content = _renewed_from_address(workspace, file, out, dep)
    if content is None:
        return False
    is_new = content != out.content or workspace.measure(out.path) != content
    _settle(workspace, file.path, out.path, content, data, force=True)
    return is_new or recordhash.digest(data) != before


def _renewed_from_repository(
    workspace: Workspace, out: Out, dep: CommentedMap, repo: CommentedMap, rev: str | None
) -> Content | None:
    """The content at the source now; None when this is what is recorded and here. Notes the revision."""
    url = _found_url(workspace.root, str(repo["url"]))
    wanted = rev or repo.get("rev")
    with open_source(url, wanted or "HEAD" if Path(url).is_dir() else wanted) as source:
        commit = source.commit
    if commit == repo.get("rev_lock") and rev is None and workspace.change_of(out) is None:
        return None
    content, commit = _take_from_repository(workspace, url, str(dep["path"]), commit, repo.get("remote"), download=True)
    if rev is not None:
        importrecord.put(repo, "rev", rev, after="url")
    importrecord.put(repo, "rev_lock", commit, after="rev" if "rev" in repo else "url")
    return content


def _renewed_from_address(workspace: Workspace, file: DvcFile, out: Out, dep: CommentedMap) -> Content | None:
    address = str(dep["path"])
    if is_web(address):
        known = dep.get("checksum") or dep.get("etag")
        if known is not None and probe(address) == known and workspace.change_of(out) is None:
            return None
    else:
        address = os.path.normpath(workspace.root / file.path / ".." / local_path(address))
    content, fields = _take_from_address(workspace, address)
    importrecord.renew(dep, fields)
    return content


def _take_from_repository(
    workspace: Workspace, url: str, path: str, rev: str | None, remote: str | None, *, download: bool
) -> tuple[Content | None, str]:
    where = _found_url(workspace.root, url)
    # A folder's files may be changed at any time; what is recorded must be a commit.
    pinned = rev or ("HEAD" if Path(where).is_dir() else None)
    with open_source(where, pinned, caches=[workspace.cache], remote=remote) as source:
        assert source.commit is not None
        source.entry(path)
        return take_from(workspace, source, path) if download else None, source.commit


def _take_from_address(workspace: Workspace, address: str) -> tuple[Content, dict[str, Any]]:
    """Take the bytes at an address into the cache; also what a record says of the address."""
    workspace.layout.scratch_dir.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="import-", dir=workspace.layout.scratch_dir) as folder:
        aside = Path(folder) / "data"
        said = get_address(address, aside)
        content = take_files(workspace, aside)
    if said is None:
        return content, {key: value for key, value in dvcfile.content_fields(content).items() if key != "isexec"}
    checksum = {} if said.checksum is None else {"checksum": said.checksum}
    return content, {**checksum, "size": said.size_bytes, "hash": "md5"}


def _settle(
    workspace: Workspace, file: str, out: str, content: Content | None, data: CommentedMap, *, force: bool
) -> DvcFile:
    """Check the data out and write the record."""
    with workspace.locked():
        if content is not None:
            workspace.restore([Out(path=out, content=content)], force=force)
        workspace.keep_out_of_git(out)
        importrecord.fill(data, content)
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


def _chosen(target: str, imports: dict[str, DvcFile], files: dict[str, DvcFile]) -> str:
    for path in (target, target + DVC_SUFFIX):
        if path in imports:
            return path
        if path in files:
            raise InvalidError(f"{path} was not imported, so there is no source to update it from")
    raise NotFoundError(f"{target} is no import of this workspace", hint="ever import URL PATH")


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
