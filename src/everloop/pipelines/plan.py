"""Which stages a `repro` looks at, and in which order: the targets, and what hangs on them.

Source: dvc 3.67 (`repo/reproduce.py`, `repo/stage.py`). Leaves how stages hang together to `graph.py`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from fnmatch import fnmatchcase

import msgspec

from everloop.errors import NotFoundError
from everloop.pipelines.graph import Graph, Node
from everloop.pipelines.values import Stage
from everloop.workspace import Workspace
from everloop.workspace.walk import PIPELINE_FILE


class Reach(msgspec.Struct, frozen=True, kw_only=True):
    """How far the targets of a `repro` reach.

    Attributes:
        single_item: They alone, in their order.
        pipeline: All that hangs together with them, whichever way.
        all_pipelines: Everything; targets do not matter.
        downstream: They and all that depend on them, instead of what they depend on.
        recursive: A target may be a folder: all that is described below it.
        glob: The names of stages are patterns of the shell.
    """

    single_item: bool = False
    pipeline: bool = False
    all_pipelines: bool = False
    downstream: bool = False
    recursive: bool = False
    glob: bool = False


class Plan:
    """Addresses in the order in which one after the other can be looked at.

    Attributes:
        addresses: In order.
    """

    def __init__(self, addresses: Iterable[str], needs: Callable[[str], list[str]]) -> None:
        self.addresses = tuple(addresses)
        planned = set(self.addresses)
        self._needs = {address: [need for need in needs(address) if need in planned] for address in self.addresses}
        self._dependents = _reversed(self.addresses, self._needs.__getitem__)

    def needs(self, address: str) -> list[str]:
        """What must have been looked at before, directly, as far as it is in the plan; a frozen stage needs nothing."""
        return self._needs[address]

    def dependents(self, address: str) -> list[str]:
        """What depends on it directly, as far as it is in the plan."""
        return self._dependents.get(address, [])

    def all_dependents(self, address: str) -> list[str]:
        """What depends on it, directly or not, in the plan's order."""
        reached = _reached([address], self.dependents) - {address}
        return [other for other in self.addresses if other in reached]


def make(
    workspace: Workspace,
    whole: Graph,
    targets: Iterable[str] | None,
    reach: Reach,
    folder: str | os.PathLike[str] | None = None,
) -> Plan:
    """Find out what to look at.

    Args:
        workspace: Where.
        whole: All that it has.
        targets: Addresses or names of stages, `dvc.yaml` and `.dvc` files, outputs; None means everything.
        reach: How far they reach.
        folder: What paths are relative to; None means the root.

    Raises:
        NotFoundError: A target means nothing.
    """

    def needs(address: str) -> list[str]:
        node = whole.nodes[address]
        return [] if isinstance(node, Stage) and node.is_frozen else whole.needed(address)

    if targets is None or reach.all_pipelines:
        return Plan(whole.plan(None), needs)
    wanted: dict[str, None] = {}
    for target in targets:
        wanted.update(dict.fromkeys(_meant(workspace, whole, target, reach, folder)))
    if reach.single_item and not reach.pipeline:
        return Plan(wanted, lambda _: [])
    if not (reach.pipeline or reach.downstream):
        return Plan(whole.plan(wanted), needs)
    dependents = _reversed(whole.nodes, needs)

    def following(address: str) -> list[str]:
        return [*dependents.get(address, []), *(needs(address) if reach.pipeline else ())]

    reached = _reached(wanted, following)
    return Plan([address for address in whole.plan(None) if address in reached], needs)


def _meant(
    workspace: Workspace, whole: Graph, target: str, reach: Reach, folder: str | os.PathLike[str] | None
) -> list[str]:
    path = workspace.relative(os.path.join(folder, target) if folder else target)  # noqa: PTH118
    if reach.recursive and path not in whole.nodes and (workspace.root / path).is_dir():
        return [address for address, node in whole.nodes.items() if _is_below(path, node)]
    file, _, name = path.rpartition(":")
    if path.rpartition("/")[2] == PIPELINE_FILE:
        file, name = path, "*"
        if not (workspace.root / path).is_file():
            raise NotFoundError(
                f"{path} does not exist in {workspace.root}", hint="name a stage, or look at all: ever repro -P"
            )
    elif not reach.glob:
        return [_one(workspace, whole, target, path, folder)]
    base = workspace.relative(folder or ".")
    here = PIPELINE_FILE if base == "." else f"{base}/{PIPELINE_FILE}"
    pattern = name if file else target
    found = [
        address
        for address, node in whole.nodes.items()
        if isinstance(node, Stage) and node.file == (file or here) and fnmatchcase(node.name, pattern)
    ]
    if not found and name != "*":
        raise NotFoundError(f"no stage of {file or here} matches {pattern!r}", hint="ever repro --glob 'train*'")
    return found


def _one(workspace: Workspace, whole: Graph, target: str, path: str, folder: str | os.PathLike[str] | None) -> str:
    """A stage of the folder that one is in comes first, then what the word means from the root."""
    base = workspace.relative(folder or ".")
    here = target if base == "." else f"{base}/{PIPELINE_FILE}:{target}"
    root_stage = path.removeprefix(f"{PIPELINE_FILE}:")
    for name in (here, path, root_stage):
        if name in whole.nodes:
            return name
    try:
        return whole.resolve(path)
    except NotFoundError:
        return whole.resolve(target)


def _reversed(addresses: Iterable[str], needs: Callable[[str], list[str]]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for address in addresses:
        for need in needs(address):
            found.setdefault(need, []).append(address)
    return found


def _reached(start: Iterable[str], following: Callable[[str], list[str]]) -> set[str]:
    reached: set[str] = set()
    waiting = list(start)
    while waiting:
        address = waiting.pop()
        if address not in reached:
            reached.add(address)
            waiting.extend(following(address))
    return reached


def _is_below(folder: str, node: Node) -> bool:
    file = node.file if isinstance(node, Stage) else node.path
    return folder == "." or file.startswith(folder + "/")
