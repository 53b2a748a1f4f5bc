"""Tell which rows of the tables under version differ between two revisions, or up to the workspace.

The tables come out of the cache, or a remote, or the workspace, without a checkout. Leaves which files differ to
`compare.py`, and the rows to `tablediff.py`.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from everloop.errors import ConflictError, EverloopError, NotInstalledError
from everloop.workspace.compare import Difference, Kind, Node, Present, Recorded, compare
from everloop.workspace.diff import is_wanted, refuse_unknown
from everloop.workspace.objects import Objects
from everloop.workspace.rowreport import FileRows, Samples, TableDiff
from everloop.workspace.tablediff import compare_tables
from everloop.workspace.tables import MEMORY, Table, TableFile, failures_named, import_duckdb, is_table, open_tables
from everloop.workspace.values import Out

if TYPE_CHECKING:
    from everloop.workspace.workspace import Workspace


def row_diff(
    workspace: Workspace,
    before: str = "HEAD",
    after: str | None = None,
    targets: Iterable[str] | None = None,
    *,
    key: Sequence[str] = (),
    samples: int = 5,
    memory: str = MEMORY,
    remote: str | None = None,
) -> list[FileRows]:
    """Compare the rows of all tables that differ; see `Workspace.row_diff`."""
    import_duckdb()
    if not workspace.git.has_commits():
        return []
    objects = Objects([workspace.cache], workspace.layout.dvc_dir, remote)
    found = _differing(workspace, before, after, targets, objects)
    compared = []
    with tempfile.TemporaryDirectory(prefix="everloop-") as folder:
        for difference in found:
            places = _Places(workspace, objects, Path(folder), is_present=after is None)
            compared.append(_compared(difference, places, key, samples, memory))
    return compared


class _Places:
    """Where the bytes of both sides are."""

    def __init__(self, workspace: Workspace, objects: Objects, folder: Path, *, is_present: bool) -> None:
        self._workspace = workspace
        self._objects = objects
        self._folder = folder
        self._is_present = is_present

    def of(self, difference: Difference) -> dict[str, TableFile]:
        places = {}
        if difference.old is not None:
            places["old"] = self._of_object(difference.old)
        if difference.new is not None:
            present = TableFile(place=self._workspace.root / difference.new.path, path=difference.new.path)
            places["new"] = present if self._is_present else self._of_object(difference.new)
        return places

    def _of_object(self, node: Node) -> TableFile:
        return TableFile(place=self._objects.place(node.md5, self._folder), path=node.path)


class _Reachable(Recorded):
    """What records say, with the listings of directories from a remote, if the cache lacks them."""

    def __init__(self, outs: Iterable[Out], workspace: Workspace, objects: Objects) -> None:
        super().__init__(outs, workspace.cache)
        self._objects = objects

    def files(self, path: str) -> Mapping[str, str] | None:
        return self._objects.listing(self.roots[path])


def _differing(
    workspace: Workspace, before: str, after: str | None, targets: Iterable[str] | None, objects: Objects
) -> list[Difference]:
    outs, now = workspace.outs(before), workspace.outs(after)
    old = _Reachable(outs, workspace, objects)
    new = Present(now, workspace.contents) if after is None else _Reachable(now, workspace, objects)
    found = compare(old, new, granular=True)
    workspace.contents.save()
    if targets is not None:
        wanted = [target.removesuffix(".dvc") for target in targets]
        refuse_unknown(wanted, [*outs, *now], old, new)
        found = [difference for difference in found if is_wanted(difference, wanted)]
    # What was only renamed has the same rows.
    return [
        difference
        for difference in found
        if difference.kind in (Kind.ADDED, Kind.DELETED, Kind.MODIFIED) and _is_of_tables(difference)
    ]


def _is_of_tables(difference: Difference) -> bool:
    nodes = [node for node in (difference.old, difference.new) if node is not None]
    return all(is_table(node.path) and not node.is_directory for node in nodes)


def _compared(difference: Difference, places: _Places, key: Sequence[str], samples: int, memory: str) -> FileRows:
    node = difference.new or difference.old
    assert node is not None
    try:
        files = places.of(difference)
        stats = {name: file.place.stat() for name, file in files.items()}
        with open_tables(files, memory=memory) as (connection, tables), failures_named(node.path):
            if len(tables) == 2:
                rows = compare_tables(connection, tables["old"], tables["new"], key=key, samples=samples)
            else:
                (table,) = tables.values()
                (n_rows,) = connection.execute(f"SELECT count(*) FROM {table.name}").fetchone() or (0,)  # noqa: S608
                rows = _whole(table, n_rows)
        for name, file in files.items():
            now = file.place.stat()
            if (now.st_mtime_ns, now.st_size) != (stats[name].st_mtime_ns, stats[name].st_size):
                raise ConflictError(f"{file.path} changed while it was read")
    except NotInstalledError:
        raise
    except EverloopError as error:
        return FileRows(path=node.path, kind=difference.kind, problem=error.message)
    return FileRows(path=node.path, kind=difference.kind, rows=rows)


def _whole(table: Table, n_rows: int) -> TableDiff:
    """A table that is only on one side."""
    columns = dict(zip(table.columns, table.types, strict=True))
    is_old = table.name == "old"
    return TableDiff(
        n_old=n_rows if is_old else 0,
        n_new=0 if is_old else n_rows,
        added=0 if is_old else n_rows,
        removed=n_rows if is_old else 0,
        changed=0,
        columns_added={} if is_old else columns,
        columns_removed=columns if is_old else {},
        samples=Samples(),
    )
