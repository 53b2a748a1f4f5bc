"""How the stages and the data of a workspace hang together.

Leaves reading the files to `definition.py` and running to `repro.py`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from everloop.errors import InvalidError, NotFoundError
from everloop.pipelines import definition
from everloop.pipelines.tree import FolderTree, pipeline_files
from everloop.pipelines.values import Stage
from everloop.workspace import DvcFile, Workspace

Node = Stage | DvcFile


class MisfitError(InvalidError):
    """Stages and data that do not fit together; `addresses` says which."""

    def __init__(self, message: str, addresses: Iterable[str], *, hint: str) -> None:
        super().__init__(message, hint=hint)
        self.addresses = tuple(dict.fromkeys(addresses))


class Graph:
    """All stages and `.dvc` files of a workspace, each after what it depends on."""

    def __init__(self, stages: Iterable[Stage], data: Iterable[DvcFile]) -> None:
        """Connect them.

        Raises:
            MisfitError: Two make the same path, or one a path inside of the other's, or they depend on each other in a
                circle.
        """
        self.nodes: dict[str, Node] = {stage.address: stage for stage in stages}
        self.nodes.update({file.path: file for file in data})
        self._makers: dict[str, str] = {}
        for address, node in self.nodes.items():
            for out in node.outs:
                self._claim(out.path, address)
        self._inner = _by_parent(self._makers)
        self._refuse_nested()
        self._order = self._sorted()

    @property
    def stages(self) -> list[Stage]:
        """The stages, each after those it depends on."""
        return [node for address in self._order if isinstance(node := self.nodes[address], Stage)]

    def needed(self, address: str) -> list[str]:
        """The addresses that a stage depends on directly."""
        node = self.nodes[address]
        if isinstance(node, DvcFile):
            return []
        makers = (maker for dep in node.deps for maker in self._makers_of(dep.path))
        return list(dict.fromkeys(makers))

    def plan(self, targets: Iterable[str] | None) -> list[str]:
        """The addresses to look at for the targets, in order: they and all they depend on.

        What a frozen stage depends on is left out, as that stage is not run.

        Args:
            targets: Addresses or names of stages, paths of outs or of `.dvc` files; None means everything.

        Raises:
            NotFoundError: A target is none of them.
        """
        wanted = self._order if targets is None else [self.resolve(target) for target in targets]
        reached: set[str] = set()
        waiting = list(wanted)
        while waiting:
            address = waiting.pop()
            if address in reached:
                continue
            reached.add(address)
            node = self.nodes[address]
            if not (isinstance(node, Stage) and node.is_frozen):
                waiting.extend(self.needed(address))
        return [address for address in self._order if address in reached]

    def resolve(self, target: str) -> str:
        """The address that a target names; see `plan`."""
        if target in self.nodes:
            return target
        if target in self._makers:
            return self._makers[target]
        names = [address for address, node in self.nodes.items() if isinstance(node, Stage) and node.name == target]
        if len(names) == 1:
            return names[0]
        known = ", ".join(address for address, node in self.nodes.items() if isinstance(node, Stage)) or "none"
        what = f"names several stages: {', '.join(names)}" if names else "is neither a stage nor an output"
        raise NotFoundError(f"{target!r} {what}", hint=f"stages here: {known}")

    def holder(self, path: str) -> str | None:
        """The output that a path is, or lies in."""
        parts = path.split("/")
        places = ("/".join(parts[:depth]) for depth in range(1, len(parts) + 1))
        return next((place for place in places if place in self._makers), None)

    def _claim(self, path: str, address: str) -> None:
        if path in self._makers:
            first = self._makers[path]
            what = f"{address} names it twice" if first == address else f"{first} and {address} both make it"
            raise MisfitError(
                f"the output {path} must come from one place, but {what}",
                [first, address],
                hint="take it out of the outs of one of them, or have it make another path",
            )
        self._makers[path] = address

    def _refuse_nested(self) -> None:
        for path, address in self._makers.items():
            for inner in self._inner.get(path, []):
                raise MisfitError(
                    f"outputs overlap: {inner} of {self._makers[inner]} lies inside {path} of {address}",
                    [self._makers[inner], address],
                    hint="give each its own folder",
                )

    def _makers_of(self, path: str) -> Iterator[str]:
        parts = path.split("/")
        for depth in range(1, len(parts) + 1):
            maker = self._makers.get("/".join(parts[:depth]))
            if maker is not None:
                yield maker
        for inner in self._inner.get(path, []):
            yield self._makers[inner]

    def _sorted(self) -> list[str]:
        order: dict[str, None] = {}
        for address in self.nodes:
            self._visit(address, order)
        return list(order)

    def _visit(self, start: str, order: dict[str, None]) -> None:
        # Depth first with a stack of our own: pipelines may be deeper than Python's.
        trail: dict[str, Iterator[str]] = {start: iter(self.needed(start))} if start not in order else {}
        while trail:
            address, rest = next(reversed(trail.items()))
            following = next((need for need in rest if need not in order), None)
            if following is None:
                order[address] = None
                del trail[address]
            elif following in trail:
                circle = [*list(trail)[list(trail).index(following) :], following]
                raise MisfitError(
                    f"stages depend on each other in a circle: {' needs '.join(circle)}",
                    circle,
                    hint="take one of these dependencies out, or split the stage that needs what it helps to make",
                )
            else:
                trail[following] = iter(self.needed(following))


def load(workspace: Workspace) -> Graph:
    """Read all `dvc.yaml` and `.dvc` files of a workspace and connect them.

    Raises:
        InvalidError: A file is malformed or not supported, or they do not fit together; says in which lines.
    """
    tree = FolderTree(workspace)
    stages = [stage for file in pipeline_files(tree) for stage in definition.read(tree, file).stages]
    try:
        return Graph(stages, workspace.dvc_files().values())
    except MisfitError as error:
        declared = {stage.address: stage for stage in stages}
        places = [definition.declared_at(tree, declared[each]) for each in error.addresses if each in declared]
        raise InvalidError(f"{error.message} ({'; '.join(places)})", hint=error.hint) from error


def _by_parent(makers: Iterable[str]) -> dict[str, list[str]]:
    inner: dict[str, list[str]] = {}
    for path in makers:
        parts = path.split("/")
        for depth in range(1, len(parts)):
            inner.setdefault("/".join(parts[:depth]), []).append(path)
    return inner
