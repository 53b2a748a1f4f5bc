"""What the paths hold by the hash of DVC 2, to be compared with its records. Nothing is taken into the cache so."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Sequence

import msgspec

from everloop.workspace import hashing, objectid
from everloop.workspace.contents import Contents, Held
from everloop.workspace.incoming import Incoming
from everloop.workspace.state import Listing
from everloop.workspace.values import Content


class LegacyContents(Contents):
    """As `Contents`, with ids of DVC 2 outside and their digits inside: memory and listings hold no kinds."""

    def look(self, path: str) -> Held | None:
        held = super().look(path)
        if held is None:
            return None
        content = msgspec.structs.replace(held.content, md5=objectid.legacy(held.content.md5))
        return Held(content, lambda: {name: objectid.legacy(md5) for name, md5 in held.files().items()})

    def files(self, path: str) -> dict[str, str]:
        return {name: objectid.legacy(md5) for name, md5 in super().files(path).items()}

    def keep(self, path: str, incoming: Incoming) -> Content:
        raise NotImplementedError(f"{path}: new objects are never of DVC 2's kind")

    def missing(self, md5: str) -> list[str]:
        # The cache's stamp does not tell of these objects.
        return self._cache.missing(md5)

    def verified(self, path: str, listing: Listing) -> Iterator[str | None]:
        return (md5 and objectid.legacy(md5) for md5 in super().verified(path, listing))

    def remember(self, path: str, found: os.stat_result, md5: str) -> None:
        super().remember(path, found, objectid.digits(md5))

    def remember_directory(
        self, path: str, written: Listing, md5s: Sequence[str], gone: Collection[str], md5: str
    ) -> None:
        super().remember_directory(path, written, [*map(objectid.digits, md5s)], gone, objectid.digits(md5))

    def _hash(self, path: str | os.PathLike[str]) -> str:
        return objectid.digits(hashing.md5_of_file(path, objectid.LEGACY))
