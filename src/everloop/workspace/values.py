"""The nouns of the workspace: what bytes a path holds, what a `.dvc` file says, how a path changed.

Values only: reading and writing of `.dvc` files lives in `dvcfile.py`, the bytes in `cache.py`.
"""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path

import msgspec

from everloop.workspace.traits import Traits

DIRECTORY_SUFFIX = ".dir"


class Content(msgspec.Struct, frozen=True, kw_only=True):
    """The bytes of a file or of a directory, by their hash.

    Attributes:
        md5: 32 hex digits, followed by `.dir` for a directory.
        size_bytes: Length of the file, or the sum over the files of the directory.
        n_files: Number of files in the directory; None for a file.
        is_executable: The file has an executable bit; always False for a directory.
    """

    md5: str
    size_bytes: int
    n_files: int | None = None
    is_executable: bool = False

    @property
    def is_directory(self) -> bool:
        return self.md5.endswith(DIRECTORY_SUFFIX)


class Version(msgspec.Struct, frozen=True, kw_only=True):
    """A file in cloud-versioned remotes.

    Attributes:
        path: Relative to the directory that is under version; "" when the file is it itself.
        md5: Of its bytes.
        size_bytes: Their number.
        ids: `{remote: id of the version there}`; None where the remote knows only the newest one.
    """

    path: str
    md5: str
    size_bytes: int
    ids: dict[str, str | None]


class Reach(msgspec.Struct, frozen=True, kw_only=True):
    """How the data of another repository are reached, where its own configuration is not enough.

    Attributes:
        remote: The name of its remote that has them; None means its default one.
        config: A configuration file that counts more than its own, absolute or relative to the workspace.
        given: What counts more, too: `((section, option, value), ...)`.
        options: Of its remote, which count more: `((name, value), ...)`.
    """

    remote: str | None = None
    config: str | None = None
    given: tuple[tuple[str, str, str], ...] = ()
    options: tuple[tuple[str, str], ...] = ()


class Imported(msgspec.Struct, frozen=True, kw_only=True):
    """Where data were imported from.

    Attributes:
        address: Of a repository, or of the data; a relative path is meant from the workspace.
        is_repository: `path`, `commit` and `reach` belong to it.
        path: Inside of the repository.
        commit: The one that is recorded, else the revision that was asked for.
        reach: How the repository's data are reached.
        options: Of the address: `((name, value), ...)`.
        mark: What the server, or the hash, said of the address.
        pins: The version of each file there, by its name below the address: `((name, id), ...)`. None means that the
            bucket keeps no versions, or nobody asked for them; empty, that none are recorded yet.
    """

    address: str
    is_repository: bool = False
    path: str = ""
    commit: str | None = None
    reach: Reach = Reach()
    options: tuple[tuple[str, str], ...] = ()
    mark: str | None = None
    pins: tuple[tuple[str, str | None], ...] | None = None


class Out(msgspec.Struct, frozen=True, kw_only=True):
    """A path under version.

    Attributes:
        path: Relative to the workspace root, with forward slashes.
        content: What the record says the path holds; None when it was never committed.
        is_cached: The bytes are kept in the cache (`cache: true`); otherwise only their hash is recorded.
        is_pushed: They go to remotes as well (`push: true`).
        remote: The name of the only remote that has them; None means the one that a command means.
        traits: What a directory has besides bytes; None when nothing is recorded.
        versions: Where cloud-versioned remotes have its files.
        kind: `metrics` or `plots`, as the stage that makes it says; "" for everything else.
        imported: Where they come from, when they were imported.
    """

    path: str
    content: Content | None = None
    is_cached: bool = True
    is_pushed: bool = True
    remote: str | None = None
    traits: Traits | None = None
    versions: tuple[Version, ...] = ()
    kind: str = ""
    imported: Imported | None = None


class DvcFile(msgspec.Struct, frozen=True, kw_only=True):
    """A `.dvc` file: the record of the outs that were added beside it.

    Attributes:
        path: Of the `.dvc` file, relative to the workspace root.
        outs: Their paths are relative to the workspace root, as everywhere but inside the file.
        is_import: It has dependencies: another tool brought the data in, and only that tool may renew it.
    """

    path: str
    outs: tuple[Out, ...]
    is_import: bool = False


class Revision(msgspec.Struct, frozen=True, kw_only=True):
    """A commit that was asked for.

    Attributes:
        commit: Its hash, in full.
        names: The branches, tags and words that meant it; empty when it was only reached.
    """

    commit: str
    names: tuple[str, ...] = ()


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """What a revision records as data.

    Attributes:
        revision: Which.
        outs: Of all `.dvc` files and pipelines.
        unreadable: `{file: why}` of those that could not be read; whoever deletes by a snapshot must look here.
    """

    revision: Revision
    outs: tuple[Out, ...] = ()
    unreadable: dict[str, str] = {}


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """A file or folder of a repository, whoever keeps it.

    Attributes:
        path: Relative to the workspace, posix; "" is the workspace itself.
        is_out: It is data under version, or lies inside of such a directory.
        is_directory: It is a folder.
        size_bytes: None when nobody here knows it, and for folders that are no data.
        md5: Of data; None for everything else.
    """

    path: str
    is_out: bool = False
    is_directory: bool = False
    is_executable: bool = False
    size_bytes: int | None = None
    md5: str | None = None


class Change(StrEnum):
    """How a path differs from its record; the words are those of `dvc status`."""

    MODIFIED = "modified"
    DELETED = "deleted"
    NEW = "new"
    NOT_IN_CACHE = "not in cache"


class AddReport(msgspec.Struct, frozen=True, kw_only=True):
    """What `add` did.

    Attributes:
        added: The `.dvc` files written.
        unchanged: Those that were up to date already.
        flattened: Links to files that are kept as files, since they lead out of their directory: `{path: target}`.
        left_out: Links to folders outside of their directory, of which nothing is kept: `{path: target}`.
    """

    added: tuple[DvcFile, ...]
    unchanged: tuple[DvcFile, ...]
    flattened: dict[str, str] = {}
    left_out: dict[str, str] = {}


class CheckoutReport(msgspec.Struct, frozen=True, kw_only=True):
    """What `checkout` did.

    Attributes:
        restored: Paths of data that were restored.
        unchanged: Those that were right already.
        missing: Those that are not whole in the cache.
        relinked: Those of which files are linked to the cache in another way now.
        n_added: Files that are there now and were not.
        n_modified: Files that were replaced.
        n_deleted: Files that are gone.
    """

    restored: tuple[str, ...]
    unchanged: tuple[str, ...]
    missing: tuple[str, ...] = ()
    relinked: tuple[str, ...] = ()
    n_added: int = 0
    n_modified: int = 0
    n_deleted: int = 0


class Layout(msgspec.Struct, frozen=True, kw_only=True):
    """Where things lie: workspace root, its private scratch folder and DVC's lock folder."""

    root: Path

    @property
    def dvc_dir(self) -> Path:
        return self.root / ".dvc"

    @property
    def lock_dir(self) -> Path:
        return self.dvc_dir / "tmp"

    @property
    def scratch_dir(self) -> Path:
        return self.lock_dir / "everloop"
