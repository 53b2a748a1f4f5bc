"""Tell which data were added, deleted, modified or renamed between two revisions, or up to the workspace.

The shape is that of `dvc diff --json`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from everloop.errors import NotFoundError
from everloop.workspace.compare import Difference, Kind, Node, Present, Recorded, compare
from everloop.workspace.objectid import digits
from everloop.workspace.values import Out

if TYPE_CHECKING:
    from everloop.workspace.workspace import Workspace

NOT_IN_CACHE = "not in cache"
_KINDS = (Kind.ADDED, Kind.DELETED, Kind.MODIFIED, Kind.RENAMED)


def diff(
    workspace: Workspace, before: str = "HEAD", after: str | None = None, targets: Iterable[str] | None = None
) -> dict[str, list[dict[str, Any]]]:
    """Compare two revisions, or a revision with the workspace; see `Workspace.diff`."""
    if not workspace.git.has_commits():
        return {}
    outs = workspace.outs(before)
    now = workspace.outs(after)
    old = Recorded(outs, workspace.cache)
    if after is None:
        new: Present | Recorded = Present(now, workspace.contents)
    else:
        new = Recorded(now, workspace.cache)
    found = compare(old, new, granular=True)
    missing = list(_missing(workspace, outs)) if after is None else []
    if targets is not None:
        wanted = [target.removesuffix(".dvc") for target in targets]
        refuse_unknown(wanted, [*outs, *now], old, new)
        found = [entry for entry in found if is_wanted(entry, wanted)]
        missing = [node for node in missing if _is_below(node.path, wanted)]
    workspace.contents.save()
    report: dict[str, list[dict[str, Any]]] = {kind.value: [] for kind in _KINDS}
    report[NOT_IN_CACHE] = [
        {"path": node.shown, "hash": digits(node.md5)} for node in sorted(missing, key=lambda node: node.shown)
    ]
    for entry in found:
        if entry.kind in _KINDS:
            report[entry.kind].append(_described(entry))
    return report if any(report.values()) else {}


def _described(entry: Difference) -> dict[str, Any]:
    if entry.old is None or entry.new is None:
        node = entry.old or entry.new
        assert node is not None
        return {"path": node.shown, "hash": digits(node.md5)}
    if entry.kind is Kind.RENAMED:
        return {"path": {"old": entry.old.shown, "new": entry.new.shown}, "hash": digits(entry.old.md5)}
    return {"path": entry.old.shown, "hash": {"old": digits(entry.old.md5), "new": digits(entry.new.md5)}}


def _missing(workspace: Workspace, outs: Iterable[Out]) -> Iterable[Node]:
    """What the old state has that is not in the cache."""
    for out in outs:
        if out.content is None or not out.is_cached:
            continue
        gone = set(workspace.contents.missing(out.content.md5))
        if out.content.md5 in gone:
            yield Node(out.path, out.content.md5)
        elif gone:
            files = workspace.cache.read_directory(out.content.md5)
            yield from (Node(f"{out.path}/{name}", md5) for name, md5 in files.items() if md5 in gone)


def is_wanted(entry: Difference, targets: list[str]) -> bool:
    """Whether it is of one of the targets, or of what lies below one."""
    return any(node is not None and _is_below(node.path, targets) for node in (entry.old, entry.new))


def _is_below(path: str, targets: list[str]) -> bool:
    return any(path == target or path.startswith(f"{target}/") or target == "." for target in targets)


def refuse_unknown(targets: list[str], outs: list[Out], *states: Recorded | Present) -> None:
    """Refuse a target that neither state knows.

    Raises:
        NotFoundError: It is under version on neither side.
    """
    for target in targets:
        roots = {out.path for out in outs if out.is_cached}
        if any(_is_below(root, [target]) for root in roots):
            continue
        above = next((root for root in roots if target.startswith(f"{root}/")), None)
        names = [name for state in states if above in state.roots for name in state.files(above or "") or ()]
        if above is None or not any(_is_below(f"{above}/{name}", [target]) for name in names):
            raise NotFoundError(f"{target} is under version on neither side", hint="ever list . -R --dvc-only")
