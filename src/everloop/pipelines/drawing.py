"""Draw a graph with boxes and lines on a terminal: what is needed above what needs it.

Boxes lie in layers; an edge over several layers passes between the boxes of each. Every source has a line of its own
below it, from which it goes down to those that need it. Leaves what the graph is to `dag.py`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

MOST_COLUMNS = 400
# Places where edges pass a layer.
_MOST_CELLS = 4_000
_SWEEPS = 4
_GAP = 3
_BOX_ROWS = 3

# A node, or the place where an edge from it passes a layer: (label, layer).
Cell = tuple[str, int]


def draw(needs: Mapping[str, Sequence[str]]) -> str | None:
    """The picture of one connected graph.

    Args:
        needs: `{label: labels}`, without circles.

    Returns:
        Lines without spaces at their ends; None when it would be too wide or too tangled to be read.
    """
    layer_of = _layers(needs)
    n_layers = 1 + max(layer_of.values())
    if sum(layer_of[node] - layer_of[need] - 1 for node in needs for need in needs[node]) > _MOST_CELLS:
        return None
    edges = _edges(needs, layer_of)
    layers: list[list[Cell]] = [[] for _ in range(n_layers)]
    cells = [(node, layer) for node, layer in layer_of.items()]
    for cell in dict.fromkeys([*cells, *(cell for pair in edges for cell in pair)]):
        layers[cell[1]].append(cell)
    boxes = {(node, layer) for node, layer in layer_of.items()}
    widths = {cell: len(cell[0]) + 4 if cell in boxes else 1 for layer in layers for cell in layer}
    if max(sum(widths[cell] + _GAP for cell in layer) for layer in layers) > MOST_COLUMNS:
        return None
    _order(layers, edges)
    centers = _centers(layers, edges, widths)
    if max(centers.values()) - min(centers.values()) > MOST_COLUMNS:
        return None
    return _Canvas(layers, edges, widths, centers, boxes).text()


def _layers(needs: Mapping[str, Sequence[str]]) -> dict[str, int]:
    """A layer for each node: below all that it needs; one that needs nothing stands right above who needs it first."""
    layer_of: dict[str, int] = {}
    for start in needs:
        trail = [start]
        while trail:
            node = trail[-1]
            missing = [need for need in needs[node] if need not in layer_of]
            trail += missing
            if not missing:
                layer_of[trail.pop()] = 1 + max((layer_of[need] for need in needs[node]), default=-1)
    lowest: dict[str, int] = {}
    for node, needed in needs.items():
        for need in needed:
            lowest[need] = min(lowest.get(need, layer_of[node]), layer_of[node])
    return {node: layer if needs[node] else lowest.get(node, 1) - 1 for node, layer in layer_of.items()}


def _edges(needs: Mapping[str, Sequence[str]], layer_of: Mapping[str, int]) -> list[tuple[Cell, Cell]]:
    """Edges between cells of neighbouring layers; those of one source share the places that they pass."""
    pairs: dict[tuple[Cell, Cell], None] = {}
    for node, needed in needs.items():
        for need in needed:
            for layer in range(layer_of[need], layer_of[node] - 1):
                pairs[(need, layer), (need, layer + 1)] = None
            pairs[(need, layer_of[node] - 1), (node, layer_of[node])] = None
    return list(pairs)


def _order(layers: list[list[Cell]], edges: Sequence[tuple[Cell, Cell]]) -> None:
    """Order each layer by the mean place of its neighbours, down and up again, so that few lines cross."""
    above: dict[Cell, list[Cell]] = {}
    below: dict[Cell, list[Cell]] = {}
    for upper, lower in edges:
        above.setdefault(lower, []).append(upper)
        below.setdefault(upper, []).append(lower)
    place = {cell: float(index) for layer in layers for index, cell in enumerate(layer)}
    for sweep in range(_SWEEPS):
        near = below if sweep % 2 else above
        for layer in reversed(layers) if sweep % 2 else layers:
            means = {cell: _mean([place[each] for each in near.get(cell, [])], place[cell]) for cell in layer}
            layer.sort(key=means.__getitem__)
            place.update({cell: float(index) for index, cell in enumerate(layer)})


def _mean(values: Sequence[float], otherwise: float) -> float:
    return sum(values) / len(values) if values else otherwise


def _centers(
    layers: Sequence[Sequence[Cell]], edges: Sequence[tuple[Cell, Cell]], widths: Mapping[Cell, int]
) -> dict[Cell, int]:
    """The column of each cell's middle: below the mean of those above, as far as its neighbours leave room."""
    above: dict[Cell, list[Cell]] = {}
    for upper, lower in edges:
        above.setdefault(lower, []).append(upper)
    centers: dict[Cell, int] = {}
    for layer in layers:
        wanted = [round(_mean([centers[each] for each in above.get(cell, [])], 0)) for cell in layer]
        placed: list[int] = []
        end = -(1 << 30)
        for cell, center in zip(layer, wanted, strict=True):
            left = max(end + _GAP, center - widths[cell] // 2)
            placed.append(left + widths[cell] // 2)
            end = left + widths[cell]
        shift = round(_mean([got - want for got, want in zip(placed, wanted, strict=True)], 0))
        taken = {centers[each] for cell in layer for each in above.get(cell, [])}
        for cell, center in zip(layer, placed, strict=True):
            centers[cell] = center - shift
            foreign = taken - {centers[each] for each in above.get(cell, [])}
            if widths[cell] == 1 and centers[cell] in foreign:
                # Its line must not run into that of another source.
                centers[cell] += 1
    return centers


class _Canvas:
    """Rows of characters, filled from the top."""

    def __init__(
        self,
        layers: Sequence[Sequence[Cell]],
        edges: Sequence[tuple[Cell, Cell]],
        widths: Mapping[Cell, int],
        centers: Mapping[Cell, int],
        boxes: set[Cell],
    ) -> None:
        self._widths, self._centers, self._boxes = widths, centers, boxes
        self._left = min(centers[cell] - widths[cell] // 2 for layer in layers for cell in layer)
        self._rows: list[dict[int, str]] = []
        below: dict[Cell, list[Cell]] = {}
        for upper, lower in edges:
            below.setdefault(upper, []).append(lower)
        for layer in layers:
            self._layer(layer)
            self._lines({cell: below[cell] for cell in layer if cell in below})

    def text(self) -> str:
        """The picture."""
        lines = []
        for row in self._rows:
            end = max(row, default=-1)
            lines.append("".join(row.get(column, " ") for column in range(end + 1)))
        return "\n".join(lines)

    def _layer(self, layer: Sequence[Cell]) -> None:
        top = len(self._rows)
        self._rows += [{} for _ in range(_BOX_ROWS)]
        for cell in layer:
            if cell not in self._boxes:
                self._down(self._column(cell), top, top + _BOX_ROWS)
                continue
            edge = f"+{'-' * (self._widths[cell] - 2)}+"
            left = self._column(cell) - self._widths[cell] // 2
            for row, text in enumerate((edge, f"| {cell[0]} |", edge)):
                self._rows[top + row].update(zip(range(left, left + len(text)), text, strict=True))

    def _lines(self, below: Mapping[Cell, Sequence[Cell]]) -> None:
        """The rows between two layers: each source's line across has a row of its own, unless there is room in one."""
        entries = self._entries(below)
        if not entries:
            return
        top = len(self._rows)
        across: list[list[tuple[int, int]]] = []
        row_of: dict[Cell, int] = {}
        for cell, columns in entries.items():
            span = (min(*columns, self._column(cell)), max(*columns, self._column(cell)))
            if span[0] == span[1]:
                continue
            row = next((n for n, spans in enumerate(across) if all(_apart(span, each) for each in spans)), len(across))
            across += [[]] if row == len(across) else []
            across[row].append(span)
            row_of[cell] = row
        n_rows = max(len(across) + 1, 2)
        self._rows += [{} for _ in range(n_rows)]
        for cell, columns in entries.items():
            start = self._column(cell)
            bus = top + row_of.get(cell, 0)
            self._down(start, top, bus)
            for column in columns:
                self._down(column, bus, top + n_rows)
            if cell in row_of:
                self._across(bus, min(*columns, start), max(*columns, start), {*columns, start})

    def _entries(self, below: Mapping[Cell, Sequence[Cell]]) -> dict[Cell, list[int]]:
        """The columns in which the lines of each source arrive: those of one box stand apart from each other."""
        arriving: dict[Cell, list[Cell]] = {}
        for upper, lowers in below.items():
            for lower in lowers:
                arriving.setdefault(lower, []).append(upper)
        entries: dict[Cell, list[int]] = {cell: [] for cell in below}
        for lower, uppers in arriving.items():
            half = max(self._widths[lower] // 2 - 1, 0)
            step = min(4, 2 * half / max(len(uppers) - 1, 1))
            first = self._column(lower) - step * (len(uppers) - 1) / 2
            for number, upper in enumerate(sorted(uppers, key=self._column)):
                entries[upper].append(round(first + number * step))
        return entries

    def _column(self, cell: Cell) -> int:
        return self._centers[cell] - self._left

    def _down(self, column: int, top: int, end: int) -> None:
        for row in self._rows[top:end]:
            row[column] = "|"

    def _across(self, row: int, left: int, right: int, corners: set[int]) -> None:
        cells = self._rows[row]
        for column in range(left, right + 1):
            cells[column] = "+" if column in corners else "-"


def _apart(one: tuple[int, int], other: tuple[int, int]) -> bool:
    return one[1] + 1 < other[0] or other[1] + 1 < one[0]
