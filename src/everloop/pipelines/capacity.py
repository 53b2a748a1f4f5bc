"""What the stages that run on this machine at once have taken of it, of what they say that they need.

A stage that says nothing takes nothing: `-j` alone counts it. Executors on clusters count by themselves.
"""

from __future__ import annotations

from collections.abc import Iterable

from everloop.compute import machine
from everloop.compute.job import Resources
from everloop.pipelines import resources
from everloop.pipelines.graph import Graph
from everloop.pipelines.values import Stage

# Parts of a processor add up with errors.
_SLACK = 1e-9


class Capacity:
    """Belongs to one thread.

    Args:
        total: What there is.
        graph: Has the stages.
    """

    def __init__(self, total: Resources, graph: Graph) -> None:
        self._total = total
        self._graph = graph
        # Of all that run; None says nothing.
        self._taken: dict[str, Resources | None] = {}

    def take(self, address: str) -> bool:
        """Take what a stage asks for, if that is free; what is more than the machine has is free when nothing runs.

        Raises:
            InvalidError: What it asks for is no amount.
        """
        wanted = self._wanted(address)
        if any(map(self._excess, self._taken.values())) or (self._excess(wanted) and self._taken):
            return False
        if wanted is not None and not self._excess(wanted):
            others = [each for each in self._taken.values() if each is not None]
            if _missing([wanted, *others], self._total):
                return False
        self._taken[address] = wanted
        return True

    def give_back(self, address: str) -> None:
        """It does not run, or no more."""
        self._taken.pop(address, None)

    def excess(self, address: str) -> str:
        """What a stage that has taken asks for more than there is: `64 cpus, and this machine has 2`; else empty."""
        return self._excess(self._taken.get(address))

    def _excess(self, wanted: Resources | None) -> str:
        return _missing([wanted], self._total) if wanted is not None else ""

    def _wanted(self, address: str) -> Resources | None:
        node = self._graph.nodes[address]
        return resources.declared(node) if isinstance(node, Stage) else None


def of_this_machine(graph: Graph, addresses: Iterable[str]) -> Capacity | None:
    """To count these stages with; None when none of them asks for anything."""
    stages = (node for address in addresses if isinstance(node := graph.nodes[address], Stage))
    asks = any(isinstance(stage.meta, dict) and "everloop" in stage.meta for stage in stages)
    return Capacity(machine.resources(), graph) if asks else None


def _missing(wanted: list[Resources], total: Resources) -> str:
    for name, asked, there in (
        ("cpus", sum(each.cpus for each in wanted), total.cpus),
        ("gpus", sum(each.gpus for each in wanted), total.gpus),
        ("bytes of memory", sum(each.memory_bytes or 0 for each in wanted), total.memory_bytes),
    ):
        if there is not None and asked > there + _SLACK:
            return f"{asked:,.10g} {name}, and this machine has {there:,.10g}"
    return ""
