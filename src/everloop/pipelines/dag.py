"""The graph of a workspace as something to look at: stages, or what they make, and who needs whom.

Mermaid and DOT are those of `dvc dag`. Leaves reading and checking the pipelines to `graph.py`, and the drawing with
boxes to `drawing.py`.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import PurePosixPath

from everloop.pipelines.drawing import draw
from everloop.pipelines.graph import Graph
from everloop.pipelines.targets import chosen
from everloop.pipelines.tree import is_same_or_below
from everloop.pipelines.values import Stage
from everloop.workspace import Workspace


class Dag:
    """Nodes by their label, in order, each with the labels of those that it needs.

    Args:
        needs: `{label: labels}`; every label that is needed is a node, too.
    """

    def __init__(self, needs: Mapping[str, Iterable[str]]) -> None:
        self.needs: dict[str, list[str]] = {node: list(dict.fromkeys(needed)) for node, needed in needs.items()}

    @property
    def edges(self) -> list[tuple[str, str]]:
        """`(needed, who needs it)`."""
        return [(needed, node) for node, all_needed in self.needs.items() for needed in all_needed]

    def components(self) -> list[Dag]:
        """The parts that have nothing to do with each other, in the order of their first nodes."""
        near: dict[str, list[str]] = {node: list(needed) for node, needed in self.needs.items()}
        for source, node in self.edges:
            near[source].append(node)
        part_of: dict[str, int] = {}
        for start in self.needs:
            waiting = [] if start in part_of else [start]
            part = part_of.setdefault(start, len(part_of))
            while waiting:
                fresh = [node for node in near[waiting.pop()] if node not in part_of]
                part_of.update(dict.fromkeys(fresh, part))
                waiting += fresh
        parts: dict[int, dict[str, list[str]]] = {}
        for node, needed in self.needs.items():
            parts.setdefault(part_of[node], {})[node] = needed
        return [Dag(part) for part in parts.values()]

    def around(self, targets: Iterable[str], *, full: bool) -> Dag:
        """The part that some nodes need, they included; `full`: all that hangs together with them."""
        wanted = set(targets)
        if full:
            kept = {node for part in self.components() if wanted.intersection(part.needs) for node in part.needs}
        else:
            kept, waiting = set(wanted), list(wanted)
            while waiting:
                fresh = [node for node in self.needs[waiting.pop()] if node not in kept]
                kept.update(fresh)
                waiting += fresh
        return Dag({node: [n for n in needed if n in kept] for node, needed in self.needs.items() if node in kept})

    def collapsed(self) -> Dag:
        """The stages of each `foreach` and `matrix` as one node."""
        needs: dict[str, list[str]] = {}
        for node, needed in self.needs.items():
            needs.setdefault(_group(node), []).extend(map(_group, needed))
        return Dag({node: [each for each in needed if each != node] for node, needed in needs.items()})


def load(
    workspace: Workspace, connected: Graph, words: Iterable[str] = (), folder: str = ".", *, outs: bool, full: bool
) -> Dag:
    """The graph of a workspace, as it is called from a folder of it.

    Args:
        workspace: Where.
        connected: All that it has.
        words: Stages, outputs, `.dvc` files, meant from the folder; none means everything.
        folder: Relative to the root.
        outs: Show what is made instead of who makes it.
        full: With words: all that hangs together with them, too; else only what they need.

    Raises:
        NotFoundError: A word means nothing.
    """
    whole = _of_outs(connected, folder) if outs else _of_stages(connected, folder)
    words = list(words)
    if not words:
        return whole
    meant = chosen(workspace, connected, words, workspace.root / folder)
    if outs:
        made = {address: [out.path for out in connected.nodes[address].outs] for address in meant}
        paths = [path for address, some in meant.items() for path in made[address] if some is None or path in some]
        return whole.around([_from(folder, path) for path in paths], full=full)
    return whole.around([_label(connected, address, folder) for address in meant], full=full)


def to_mermaid(dag: Dag) -> str:
    """A flow chart; nodes and edges of each part are sorted, as DVC has them."""
    lines = ["flowchart TD"]
    number = 0
    for part in dag.components():
        ids: dict[str, str] = {}
        for node in sorted(part.needs):
            number += 1
            ids[node] = f"node{number}"
            lines.append(f'\t{ids[node]}["{node}"]')
        lines += [f"\t{ids[needed]}-->{ids[node]}" for needed, node in sorted(part.edges)]
    return "\n".join(lines)


def to_dot(dag: Dag) -> str:
    """For Graphviz."""
    lines = ["strict digraph {", *(f'"{node}";' for node in dag.needs)]
    return "\n".join([*lines, *(f'"{needed}" -> "{node}";' for needed, node in dag.edges), "}", ""])


def to_text(dag: Dag) -> str:
    """Boxes and lines, part by part; a part that is too large to be drawn has a line for each node."""
    return "\n".join(draw(part.needs) or _listed(part) for part in dag.components())


def _listed(dag: Dag) -> str:
    return "\n".join(f"{node} <- {', '.join(needed)}" if needed else node for node, needed in dag.needs.items())


def _of_stages(connected: Graph, folder: str) -> Dag:
    labels = {address: _label(connected, address, folder) for address in connected.nodes}
    return Dag({labels[a]: [labels[needed] for needed in connected.needed(a)] for a in connected.nodes})


def _of_outs(connected: Graph, folder: str) -> Dag:
    needs: dict[str, list[str]] = {}
    for address, node in connected.nodes.items():
        around = [out.path for maker in connected.needed(address) for out in connected.nodes[maker].outs]
        deps = [dep.path for dep in node.deps] if isinstance(node, Stage) else []
        needed = [path for path in around if any(_overlap(path, dep) for dep in deps)]
        for out in node.outs:
            needs[_from(folder, out.path)] = [_from(folder, path) for path in needed]
    return Dag(needs)


def _overlap(one: str, other: str) -> bool:
    return is_same_or_below(one, other) or is_same_or_below(other, one)


def _label(connected: Graph, address: str, folder: str) -> str:
    node = connected.nodes[address]
    if not isinstance(node, Stage):
        return _from(folder, node.path)
    file = _from(folder, node.file)
    return node.name if file == "dvc.yaml" else f"{file}:{node.name}"


def _from(folder: str, path: str) -> str:
    return path if folder == "." else PurePosixPath(os.path.relpath(path, folder)).as_posix()


def _group(label: str) -> str:
    return label if label.endswith(".dvc") else label.partition("@")[0]
