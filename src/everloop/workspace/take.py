"""Take data from elsewhere into the cache, without putting them in place yet."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from everloop.errors import NotFoundError
from everloop.workspace import parallel, toremote, walk
from everloop.workspace.configuration import Configuration, Sections, read_sections
from everloop.workspace.dvcfile import content_fields
from everloop.workspace.get import get_address
from everloop.workspace.incoming import Incoming
from everloop.workspace.objectid import is_legacy
from everloop.workspace.origin import Origin, Pins, open_origin
from everloop.workspace.remote_store import RemoteStore
from everloop.workspace.source import Source, open_source
from everloop.workspace.values import Content, Entry, Reach

if TYPE_CHECKING:
    from everloop.workspace.workspace import Workspace

_JOBS = 8


def origin_of(
    workspace: Workspace,
    address: str,
    fs_config: Mapping[str, str] | None = None,
    *,
    pins: Pins | None = None,
) -> Origin:
    """What lies at an address, as the workspace's configuration and `.dvcignore` have it; see `open_origin`."""
    configuration = Configuration(workspace.layout.dvc_dir)
    return open_origin(
        address,
        configuration,
        fs_config=fs_config,
        ignore=workspace.dvcignore,
        pins=pins,
    )


def open_repository(workspace: Workspace, url: str, rev: str | None, reach: Reach) -> AbstractContextManager[Source]:
    """Open a repository; data are looked for in the workspace's cache first.

    Raises: as `open_source`, and InvalidError when the configuration file is malformed.
        NotFoundError: There is no such configuration file.
    """
    given: Sections = {}
    if reach.config is not None:
        file = workspace.root / reach.config
        if not file.is_file():
            raise NotFoundError(f"{file} does not exist, which has the configuration for {url}")
        given = read_sections(file)
    for section, option, value in reach.given:
        given.setdefault(section, {})[option] = value
    return open_source(
        url,
        rev,
        caches=[workspace.cache],
        remote=reach.remote,
        given=given or None,
        remote_options=dict(reach.options) or None,
    )


def take_address(
    workspace: Workspace, origin: Origin, *, download: bool, store: RemoteStore | None = None, jobs: int | None = None
) -> tuple[Content | None, dict[str, Any]]:
    """Take what lies at an address into the cache; also what a record says of the address.

    Args:
        workspace: Whose cache.
        origin: The address.
        download: False takes nothing; the content is None then.
        store: A remote that gets the bytes instead of the cache.
        jobs: How many files at a time; None means what suits the kind.

    Raises: as `Origin.read`.
    """
    content = None
    if store is not None:
        content = toremote.send(workspace, origin, store, jobs=jobs)
    elif download:
        workspace.layout.scratch_dir.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="import-", dir=workspace.layout.scratch_dir) as folder:
            aside = Path(folder) / "data"
            get_address(origin.address, aside, origin=origin, jobs=jobs)
            content = take_files(workspace, aside)
    mark = origin.mark()
    if mark is None:
        fields = content_fields(content or toremote.measure(origin, jobs=jobs or _JOBS))
        mark = {key: value for key, value in fields.items() if key != "isexec"}
    return content, mark


def take_from(workspace: Workspace, source: Source, path: str, *, jobs: int | None = None) -> Content:
    """Take a file or folder of another repository into the cache; what is there already is not brought again.

    Raises:
        NotFoundError: Its bytes are nowhere.
        FailedError: They are damaged.
    """
    top = source.entry(path)
    files = list(source.files(path))
    with workspace.cache.incoming() as incoming:
        # What another repository has by DVC 2 comes in anew, by the hash of DVC 3.
        hashes = {entry.path: entry.md5 for entry in files if entry.md5 is not None and not is_legacy(entry.md5)}
        missing = sorted({md5 for md5 in hashes.values() if not workspace.cache.has(md5)})
        wanted = [(md5, incoming.reserve()) for md5 in missing]
        hashes |= {entry.path: _plain(source, entry, incoming) for entry in files if entry.path not in hashes}
        for answer in parallel.each(lambda pair: source.fetch_object(*pair), wanted, jobs=jobs or _JOBS):
            if answer.error is not None:
                raise answer.error
            md5, aside = answer.item
            incoming.adopt(aside, md5, aside.stat().st_size)
        if top.is_directory:
            start = len(path) + 1 if path else 0
            md5 = incoming.add_directory({name[start:]: file_md5 for name, file_md5 in hashes.items()})
    size_bytes = sum(workspace.cache.path(file_md5).stat().st_size for file_md5 in hashes.values())
    if top.is_directory:
        return Content(md5=md5, size_bytes=size_bytes, n_files=len(hashes))
    return Content(md5=hashes[path], size_bytes=size_bytes, is_executable=top.is_executable)


def take_files(workspace: Workspace, source: Path) -> Content:
    """Take a file or folder of this machine into the cache.

    Raises:
        InvalidError: It holds something that is neither file nor folder.
    """
    with workspace.cache.incoming() as incoming:
        if not source.is_dir():
            found = source.stat()
            md5 = incoming.add_file(source, found)
            return Content(md5=md5, size_bytes=found.st_size, is_executable=bool(found.st_mode & 0o111))
        hashes: dict[str, str] = {}
        size_bytes = 0
        for name, found in walk.data_files(source.parent, source.name, workspace.dvcignore):
            hashes[name] = incoming.add_file(source / name, found)
            size_bytes += found.st_size
        return Content(md5=incoming.add_directory(hashes), size_bytes=size_bytes, n_files=len(hashes))


def _plain(source: Source, entry: Entry, incoming: Incoming) -> str:
    """Take a file that Git has, or that has no hash of DVC 3."""
    aside = incoming.reserve()
    source.fetch(entry, aside)
    md5 = incoming.add_file(aside, aside.stat())
    aside.unlink()
    return md5
