"""Parameters of a Python file: what its assignments say, read without running anything.

Source: dvc 3.67 (`utils/serialize/_py.py`). Assignments at the top level and in classes count, and those to `self` in
`__init__`; what is no literal is passed over.
"""

from __future__ import annotations

import ast
from collections.abc import Sequence
from typing import Any, NamedTuple

from everloop.errors import InvalidError


class Literal(NamedTuple):
    """A value, and the expression that says it."""

    value: Any
    node: ast.expr


Literals = dict[str, "Literal | Literals"]


def parse(text: str, name: str) -> dict[str, Any]:
    """The values by their name; a class is a mapping of its own. Tuples and sets stay what they are.

    Args:
        text: Of the file.
        name: Its path, for errors.

    Raises:
        InvalidError: It is not Python; names the line.
    """
    return _plain(literals(text, name))


def literals(text: str, name: str) -> Literals:
    """What `parse` gives, with the place of each value in the text.

    Raises:
        InvalidError: It is not Python; names the line.
    """
    try:
        return _values(ast.parse(text).body, of_self=False)
    except SyntaxError as error:
        raise InvalidError(f"{name}, line {error.lineno}: not Python: {error.msg}") from error
    except (ValueError, RecursionError, MemoryError) as error:
        # Zero bytes, and nesting beyond what the parser can do.
        raise InvalidError(f"{name}: not Python: {error}") from error


def _plain(found: Literals) -> dict[str, Any]:
    return {key: each.value if isinstance(each, Literal) else _plain(each) for key, each in found.items()}


def _values(body: Sequence[ast.stmt], *, of_self: bool) -> Literals:
    found: Literals = {}
    for statement in body:
        if isinstance(statement, ast.ClassDef):
            found[statement.name] = _values(statement.body, of_self=False)
        elif isinstance(statement, ast.FunctionDef) and statement.name == "__init__":
            found |= _values(statement.body, of_self=True)
        elif isinstance(statement, ast.Assign | ast.AnnAssign):
            found |= _assigned(statement, of_self=of_self)
    return found


def _assigned(statement: ast.Assign | ast.AnnAssign, *, of_self: bool) -> Literals:
    targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
    name = _name(targets[0], of_self=of_self) if len(targets) == 1 else None
    if name is None or statement.value is None:
        return {}
    try:
        return {name: Literal(ast.literal_eval(statement.value), statement.value)}
    except (ValueError, TypeError):
        return {}


def _name(target: ast.expr, *, of_self: bool) -> str | None:
    if isinstance(target, ast.Name):
        return None if of_self else target.id
    if isinstance(target, ast.Attribute) and isinstance(target.value, ast.Name) and target.value.id == "self":
        return target.attr
    return None
