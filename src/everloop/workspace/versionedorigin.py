"""Data at an address in a bucket that keeps versions, each file pinned to one: `import-url --version-aware`.

Source: dvc 3.67 (`dependency/base.py`, `output.py`): a record names the version of a file, or of each file of a folder,
and the data come from there and from no remote. Leaves addresses without versions to `origin.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any
from urllib.parse import urlsplit

import msgspec

from everloop.errors import InvalidError
from everloop.storage.bucket import Stored, VersionedBucket, open_bucket
from everloop.workspace import parallel
from everloop.workspace.origin import OriginFile, Pins, Sink, found_files, name_below
from everloop.workspace.parallel import Patience

_JOBS = 16
# What S3 calls the version of a file that came before the bucket kept any; DVC records none then.
_BEFORE = "null"


class VersionedOrigin:
    """See `Origin`.

    Args:
        address: As it was asked for.
        url: Where that is.
        options: Of the bucket.
        pins: Which versions.

    Raises:
        InvalidError: There are no versions in places of that kind.
    """

    is_here = False
    patience = Patience()

    def __init__(self, address: str, url: str, options: Mapping[str, str], pins: Pins) -> None:
        parts = urlsplit(url)
        bucket = open_bucket(f"{parts.scheme}://{parts.netloc}/", options)
        if not isinstance(bucket, VersionedBucket):
            raise InvalidError(f"{address}: {bucket.url} keeps no versions", hint="import it without --version-aware")
        self.address = address
        self._bucket: VersionedBucket = bucket
        self._key = parts.path.strip("/")
        self._wanted = pins.wanted
        self._recorded = {file["relpath"]: file for file in pins.recorded}
        self._known: dict[str, Stored] = {}

    def files(self) -> list[OriginFile]:
        if self._wanted is not None:
            return [OriginFile(name=name) for name in sorted(self._wanted)]
        return [OriginFile(name=name, size_bytes=stored.size_bytes) for name, stored in self._found.items()]

    @cached_property
    def _found(self) -> dict[str, Stored]:
        found = {}
        for stored in found_files(self._bucket, self._key, self.address):
            name = name_below(self._key, stored.key, self.address)
            found[name] = stored
            recorded = self._recorded.get(name, {})
            if stored.etag and recorded.get("etag") == stored.etag:
                self._known[name] = msgspec.structs.replace(stored, version_id=recorded.get("version_id"))
        return found

    def read(self, name: str, sink: Sink) -> None:
        """As `Origin.read`; a file that is not pinned comes in its newest version, and is pinned to that."""
        pinned = self._known[name].version_id if name in self._known else (self._wanted or {}).get(name)
        self._known[name] = self._told(self._bucket.get_version(self._place(name), pinned, sink))

    def mark(self) -> dict[str, Any]:
        """What a record says: of a file its etag and version, of a folder those of each file."""
        names = [file.name for file in self.files()]
        unknown = [name for name in names if name not in self._known]
        for done in parallel.each(self._look, unknown, jobs=_JOBS, patience=self.patience):
            if done.error is not None:
                raise done.error
            assert done.result is not None
            self._known[done.item] = done.result
        if names == [""]:
            return {**_fields(self._known[""]), "hash": "md5"}
        return {"hash": "md5", "files": [{"relpath": name, **_fields(self._known[name])} for name in sorted(names)]}

    def _look(self, name: str) -> Stored:
        return self._told(self._bucket.head_version(self._place(name), (self._wanted or {}).get(name)))

    def _told(self, stored: Stored) -> Stored:
        if stored.version_id is None:
            raise InvalidError(
                f"{self.address}: the bucket keeps no versions, so an import cannot be pinned to one",
                hint="let the bucket keep versions, or import it without --version-aware",
            )
        return msgspec.structs.replace(stored, version_id=None) if stored.version_id == _BEFORE else stored

    def _place(self, name: str) -> str:
        return "/".join(part for part in (self._key, name) if part)


def _fields(stored: Stored) -> dict[str, Any]:
    fields = {"etag": stored.etag, "size": stored.size_bytes, "version_id": stored.version_id}
    return {key: value for key, value in fields.items() if value is not None}
