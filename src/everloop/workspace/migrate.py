"""Give objects of DVC 2 the names that DVC 3 has for them, and rewrite the `.dvc` files that name them.

Source: dvc 3.67 (`cachemgr.py`, `repo/commit.py`). A new name is a second name of the same bytes where links work, so
it takes no space; the old one stays for other records and older revisions. Different from DVC, a directory's listing is
written anew with the new ids of its files, where DVC copies it with the old ones in it, and data need not be in the
workspace when the cache has them. Leaves `dvc.lock` to the pipelines.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from everloop.errors import ConflictError, EverloopError, NotFoundError
from everloop.workspace import durable, dvcfile, hashing, importrecord, inventory, links, objectid, slices, yamlfile
from everloop.workspace.autostage import stage
from everloop.workspace.cache import Cache, corrupt
from everloop.workspace.incoming import Incoming
from everloop.workspace.values import Content, DvcFile, Out

if TYPE_CHECKING:
    from everloop.workspace.workspace import Workspace


class MigrateReport(msgspec.Struct, frozen=True, kw_only=True):
    """What was migrated, or (dry) would be.

    Attributes:
        objects: `{id of DVC 2: id}` of what the cache has; dry, where nothing is hashed, the new id is empty.
        records: The `.dvc` and `dvc.lock` files that were rewritten.
        skipped: `{id or path: why}` of what stays as it is.
    """

    objects: dict[str, str]
    records: tuple[str, ...] = ()
    skipped: dict[str, str] = {}


class Migration:
    """Objects on their way to their new names.

    Args:
        cache: Where they are.
        incoming: Takes them in.
    """

    def __init__(self, cache: Cache, incoming: Incoming) -> None:
        self._cache = cache
        self._incoming = incoming
        self.renamed: dict[str, str] = {}

    def files(self, oids: list[str]) -> dict[str, str]:
        """Migrate files; returns what is wrong with those that stay: `{id: why}`."""
        new = [oid for oid in oids if oid not in self.renamed]
        wrong: dict[str, str] = {}
        hashed = slices.each(lambda part: [self._hashed(oid) for oid in part], new)
        for oid, md5 in zip(new, hashed, strict=True):
            if isinstance(md5, EverloopError):
                wrong[oid] = md5.message
                continue
            aside = self._incoming.reserve()
            source = self._cache.place(oid)
            if not links.hardlink(source, os.fspath(aside)):
                shutil.copyfile(source, aside)
            self._incoming.adopt(aside, md5, aside.stat().st_size)
            self.renamed[oid] = md5
        return wrong

    def directory(self, oid: str) -> str:
        """Migrate a directory with all of its files; its new id.

        Raises:
            NotFoundError: The cache does not have all of it.
            FailedError: An object is damaged.
        """
        if oid not in self.renamed:
            listing = self._cache.read_directory(oid)
            missing = sorted(self._cache.absent(listing.values()))
            if missing:
                raise NotFoundError(f"{len(missing)} of its files are not in the cache, the first is {missing[0]}")
            for file, why in self.files(list(dict.fromkeys(listing.values()))).items():
                raise ConflictError(f"{file} cannot be migrated: {why}")
            self.renamed[oid] = self._incoming.add_directory({path: self.renamed[md5] for path, md5 in listing.items()})
        return self.renamed[oid]

    def content(self, content: Content) -> Content:
        """Migrate what a record names.

        Raises: as `directory`.
        """
        if content.is_directory:
            return msgspec.structs.replace(content, md5=self.directory(content.md5))
        if not self._cache.has(content.md5):
            raise NotFoundError(f"{content.md5} is not in the cache")
        for why in self.files([content.md5]).values():
            raise ConflictError(why)
        return msgspec.structs.replace(content, md5=self.renamed[content.md5])

    def _hashed(self, oid: str) -> str | EverloopError:
        """The new id of a file, read once, or what is wrong with it."""
        path = self._cache.place(oid)
        new, old = hashing.digest(), hashing.digest(oid)
        with Path(path).open("rb", buffering=0) as stream:
            while chunk := stream.read(hashing.CHUNK_BYTES):
                new.update(chunk)
                old.update(chunk)
        return new.hexdigest() if old.hexdigest() == oid else corrupt(Path(path))


def migrate(workspace: Workspace, *, records: bool, dry: bool) -> MigrateReport:
    """Migrate the cache, and with `records` the `.dvc` files; see `Workspace.migrate`."""
    legacy = [oid for oid, _ in inventory.objects(workspace.cache) if objectid.is_legacy(oid)]
    if dry:
        files = [path for path, file in workspace.dvc_files().items() if records and any(map(_is_old, file.outs))]
        return MigrateReport(objects=dict.fromkeys(legacy, ""), records=tuple(files))
    skipped: dict[str, str] = {}
    with workspace.locked():
        with workspace.cache.incoming() as incoming:
            migration = Migration(workspace.cache, incoming)
            skipped |= migration.files([oid for oid in legacy if not objectid.is_directory(oid)])
            for oid in filter(objectid.is_directory, legacy):
                try:
                    migration.directory(oid)
                except EverloopError as error:
                    skipped[oid] = error.message
        written: list[str] = []
        for file in workspace.dvc_files().values() if records else ():
            try:
                written += [file.path] if _rewrite(workspace, file) else []
            except EverloopError as error:
                skipped[file.path] = error.message
        stage(workspace, written)
    return MigrateReport(objects=migration.renamed, records=tuple(written), skipped=skipped)


def as_new(workspace: Workspace, out: Out) -> Content | None:
    """What an out holds, by DVC 3's hash and in the cache: taken from the workspace, or else from the cache.

    Returns:
        None when it is of DVC 3 already, or was never recorded.

    Raises:
        NotFoundError: Neither has all of it.
        ConflictError: It was changed in the workspace.
    """
    if not _is_old(out):
        return None
    assert out.content is not None
    present = workspace.contents.like(out.content.md5).measure(out.path)
    if present is not None:
        if present.md5 != out.content.md5:
            raise ConflictError(f"{out.path} was changed", hint="record the change: ever add, ever commit, ever repro")
        if out.is_cached:
            return workspace.commit([out.path])[out.path]
        return workspace.measure(out.path)
    if not out.is_cached:
        raise NotFoundError(f"{out.path} is not there")
    with workspace.cache.incoming() as incoming:
        return Migration(workspace.cache, incoming).content(out.content)


def _rewrite(workspace: Workspace, file: DvcFile) -> bool:
    contents = {out.path: content for out in file.outs if (content := as_new(workspace, out)) is not None}
    if not contents:
        return False
    if file.is_import:
        _, data, _ = importrecord.load(workspace.root, file)
        importrecord.fill(data, contents[file.outs[0].path])
        durable.write_atomically(workspace.root / file.path, yamlfile.dump(data))
        return True
    outs = tuple(Out(path=path, content=content) for path, content in contents.items())
    dvcfile.write(workspace.root, DvcFile(path=file.path, outs=outs))
    return True


def _is_old(out: Out) -> bool:
    return out.content is not None and objectid.is_legacy(out.content.md5)
