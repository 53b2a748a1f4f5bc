"""Change values of a Python file of parameters where they stand; every other character stays.

DVC (3.67, `utils/serialize/_py.py`) replaces ` = old` by ` = new` in a line, which misses strings and whatever is not
written as Python prints it. Here the parser tells where a value stands. No name is added or taken away.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from typing import Any

from everloop.errors import InvalidError
from everloop.pipelines.plainvalues import is_same
from everloop.workspace import pythonvalues
from everloop.workspace.pythonvalues import Literal, Literals


def rewritten(text: str, wanted: Mapping[str, Any], name: str) -> str:
    """The text with other values.

    Args:
        text: Of the file.
        wanted: What `pythonvalues.parse` shall read from the result.
        name: Its path, for errors.

    Raises:
        InvalidError: A name would be added or removed, or a value cannot be said in Python; names file and key.
    """
    data = text.encode()
    starts = [0]  # of each line, in bytes, as the parser counts
    for line in data.splitlines(keepends=True):
        starts.append(starts[-1] + len(line))
    found = pythonvalues.literals(text, name)
    for node, new in sorted(_of_names(found, wanted, "", name), key=_place, reverse=True):
        start = starts[node.lineno - 1] + node.col_offset
        end = starts[(node.end_lineno or node.lineno) - 1] + (node.end_col_offset or 0)
        data = data[:start] + repr(new).encode() + data[end:]
    changed = data.decode()
    if not is_same(pythonvalues.parse(changed, name), dict(wanted)):
        raise InvalidError(f"{name}: Python has no literal for one of these values", hint="edit the file by hand")
    return changed


def _of_names(found: Literals, wanted: Mapping[str, Any], section: str, name: str) -> Iterator[tuple[ast.expr, Any]]:
    for key in found.keys() ^ wanted.keys():
        verb = "removed from" if key in found else "added to"
        raise InvalidError(f"{name}: {section}{key} cannot be {verb} a Python file", hint="edit it by hand")
    for key, each in found.items():
        new = wanted[key]
        if isinstance(each, Literal):
            yield from _of_value(each.node, each.value, new)
        elif isinstance(new, Mapping):
            yield from _of_names(each, new, f"{section}{key}.", name)
        else:
            raise InvalidError(f"{name}: {section}{key} is a class, and cannot be set to {new!r}")


def _of_value(node: ast.expr, old: Any, new: Any) -> Iterator[tuple[ast.expr, Any]]:
    """The smallest expressions that differ."""
    if is_same(old, new):
        return
    if isinstance(node, ast.Dict) and isinstance(new, dict) and [*old] == [*new] and len(old) == len(node.values):
        for value, key in zip(node.values, old, strict=True):
            yield from _of_value(value, old[key], new[key])
    elif isinstance(node, ast.List) and isinstance(new, list) and len(old) == len(new):
        for value, before, after in zip(node.elts, old, new, strict=True):
            yield from _of_value(value, before, after)
    else:
        yield node, new


def _place(change: tuple[ast.expr, Any]) -> tuple[int, int]:
    return change[0].lineno, change[0].col_offset
