"""Find data by their hash: in caches first, then in the remote of the repository that records them."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import BinaryIO, cast

import msgspec

from everloop.errors import NotFoundError
from everloop.workspace import hashing, parallel, remotes, versions
from everloop.workspace.cache import Cache, corrupt
from everloop.workspace.configuration import Configuration, Sections
from everloop.workspace.remote_store import RemoteStore
from everloop.workspace.remotes import Remote
from everloop.workspace.values import Out
from everloop.workspace.verified import open_verified


class Objects:
    """Objects of one repository. Thread-safe but for the first question to the remote.

    Args:
        caches: Where to look first, in this order.
        settings: The `.dvc` folder whose configuration names the remote; None when there is none.
        remote: Which of its remotes; None means the default one.
        given: What counts more than that configuration, section by section.
        remote_options: What counts more than the options that the remote has there.
    """

    def __init__(
        self,
        caches: Sequence[Cache],
        settings: Path | None,
        remote: str | None = None,
        *,
        given: Sections | None = None,
        remote_options: Mapping[str, str] | None = None,
    ) -> None:
        self._caches = tuple(caches)
        self._settings = settings
        self._remote_name = remote
        self._versioned: dict[str, Out] = {}
        self._given = given or {}
        self._remote_options = dict(remote_options or {})

    def know(self, outs: Iterable[Out]) -> None:
        """Take from records where cloud-versioned remotes have their files."""
        for out in outs:
            self._versioned |= {version.md5: out for version in out.versions}
            if out.content is not None and out.versions:
                self._versioned[out.content.md5] = out

    def listing(self, md5: str) -> dict[str, str]:
        """The files of a directory, `{path below it: md5}`.

        Raises:
            NotFoundError: Its object is nowhere.
            InvalidError: It is malformed, or a path in it leaves the directory.
        """
        cache = self._holder(md5)
        if cache is not None:
            return cache.read_directory(md5)
        if md5 in self._versioned:
            return {version.path: version.md5 for version in self._versioned[md5].versions}
        return hashing.decode_directory(self._store(md5).read(md5), md5, md5)

    def size_bytes(self, md5: str) -> int | None:
        """The length of a file; None when no cache has it."""
        cache = self._holder(md5)
        return None if cache is None else cache.path(md5).stat().st_size

    def fetch(self, md5: str, target: Path) -> None:
        """Bring an object to a new file, verified.

        Raises:
            NotFoundError: It is nowhere.
            FailedError: The cache's object is damaged.
        """
        cache = self._holder(md5)
        if cache is None:
            self._fetch_far(md5, target)
            return
        source = cache.path(md5)
        with source.open("rb", buffering=0) as stream, target.open("xb", buffering=0) as sink:
            copied, _ = hashing.md5_of_stream(stream, sink, like=md5)
        if copied != md5:
            target.unlink()
            raise corrupt(source)

    def place(self, md5: str, folder: Path) -> Path:
        """A file with an object's bytes, for reading only: the cache's own, or one that is brought to the folder.

        Raises: as `fetch`.
        """
        cache = self._holder(md5)
        if cache is not None:
            return cache.path(md5)
        target = folder / md5
        if not target.exists():
            aside = folder / f"{md5}.part"
            parallel.insist(lambda: self.fetch(md5, aside), self._store(md5).patience)
            aside.rename(target)
        return target

    def open(self, md5: str) -> BinaryIO:
        """An object's bytes as a stream, which begins before all have come and checks itself.

        Raises:
            NotFoundError: It is nowhere.
            FailedError, UnavailableError: From reading: what came is not what the id promises, or did not come whole.
        """
        cache = self._holder(md5)
        if cache is not None:
            return open_verified(cache.path(md5), md5)
        if self._is_far_version(md5):
            with tempfile.TemporaryDirectory(prefix="everloop-") as folder:
                # The name goes with the folder, the bytes when the stream is closed.
                aside = Path(folder) / md5
                self._fetch_far(md5, aside)
                return cast(BinaryIO, aside.open("rb"))
        from everloop.storage.arriving import arriving

        store = self._store(md5)
        return arriving(lambda sink: store.stream(md5, sink))

    def _is_far_version(self, md5: str) -> bool:
        """Whether the remote has it under its natural name, as one of several versions."""
        return md5 in self._versioned and self._found is not None and versions.keeps_versions(self._found)

    def _fetch_far(self, md5: str, target: Path) -> None:
        if self._is_far_version(md5) and self._found is not None:
            files = versions.wanted(self._versioned[md5], self._found.name)
            item = next((item for item in files if item.md5 == md5), None)
            if item is not None:
                versions.get(versions.open_bucket(self._found), item, target)
                return
        self._store(md5).fetch(md5, str(target))

    def address(self, md5: str) -> str:
        """Where an object is: in the repository's remote, or, when it names none, in a cache. Nobody is asked.

        Raises:
            NotFoundError: There is no remote, and no cache has it.
        """
        cache = self._holder(md5)
        if self._remote is None and cache is not None:
            return str(cache.path(md5))
        store = self._store(md5)
        return f"{store.url}/{store.key(md5)}"

    def _holder(self, md5: str) -> Cache | None:
        return next((cache for cache in self._caches if cache.has(md5)), None)

    def _store(self, md5: str) -> RemoteStore:
        if self._remote is None:
            raise NotFoundError(
                f"the object {md5} is in no cache here, and the repository names no remote that has it",
                hint="push it there, or name the remote: --remote NAME",
            )
        return self._remote

    @cached_property
    def _remote(self) -> RemoteStore | None:
        if self._found is None:
            return None
        # Reading remembers nothing, so the folder is never made.
        folder = self._settings or Path(".dvc")
        return RemoteStore(self._found, folder / "tmp" / "everloop" / "remotes")

    @cached_property
    def _found(self) -> Remote | None:
        if self._settings is None and not self._given:
            return None
        try:
            found = remotes.find(Configuration(self._settings, given=self._given), self._remote_name)
        except NotFoundError:
            if self._remote_name is not None:
                raise
            return None
        if self._remote_options:
            url = self._remote_options.get("url", found.url)
            found = msgspec.structs.replace(found, url=url, options={**found.options, **self._remote_options})
        return found
