"""Reading a YAML file that a person wrote into typed values, with errors that say the file, the line and the near word.

YAML 1.2 (ruamel): `on`, `off`, `yes` and `no` are text. The safe loader makes plain values only.
"""

from __future__ import annotations

import difflib
import io
import re
from typing import Any, TypeVar

import msgspec
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from everloop.errors import InvalidError

Kind = TypeVar("Kind")
LIMIT_BYTES = 1 << 20
_AT = re.compile(r"^(?P<what>.*?)(?: - at `(?:key in )?(?P<path>\$[^`]*)`)?$", re.DOTALL)
_STEP = re.compile(r"\.([^.\[]+)|\[(\d+|\.\.\.)\]")
_UNKNOWN = re.compile(r"unknown field `([^`]+)`")


def parse_yaml(text: str, kind: type[Kind], *, name: str) -> Kind:
    """Parse `text` into `kind` (a msgspec type).

    Args:
        name: what to call the text in errors, mostly its path.

    Raises:
        InvalidError: it is not YAML, or a value does not fit; names the file, the line, and the nearest known word.
    """
    tree = load_tree(text, name=name)
    try:
        return msgspec.convert(_plain(tree), kind)
    except msgspec.ValidationError as error:
        raise _explain(error, tree, kind, name) from error


def load_tree(text: str, *, name: str) -> Any:
    """Parse `text` into ruamel's round-trip tree, which knows its line numbers.

    Raises:
        InvalidError: it is not YAML, larger than 1 MiB, or names a key twice.
    """
    if len(text) > LIMIT_BYTES:
        raise InvalidError(f"{name} is larger than {LIMIT_BYTES:,} bytes")
    try:
        return YAML(typ="rt", pure=True).load(io.StringIO(text))
    except MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark is not None else 0
        raise InvalidError(f"{name}:{line}: not YAML: {error.problem}") from error
    except YAMLError as error:
        raise InvalidError(f"{name}: not YAML: {error}") from error


def _plain(node: Any) -> Any:
    if isinstance(node, dict):
        return {key: _plain(value) for key, value in node.items()}
    if isinstance(node, list):
        return [_plain(value) for value in node]
    for scalar in (bool, int, float, str):
        if isinstance(node, scalar):
            # ruamel's scalars remember how they were written; msgspec wants the plain types.
            return node if isinstance(node, bool) else scalar(node)
    return node


def _explain(error: msgspec.ValidationError, tree: Any, kind: Any, name: str) -> InvalidError:
    match = _AT.match(str(error))
    assert match is not None
    path = match["path"] or "$"
    unknown = _UNKNOWN.search(match["what"])
    hint = None
    if unknown is not None:
        known = sorted(_field_names(msgspec.inspect.type_info(kind), set()))
        near = difflib.get_close_matches(unknown[1], known, n=1)
        hint = f"Did you mean {near[0]!r}?" if near else f"Known here or below: {', '.join(known)}."
    line = _line_of(tree, path, unknown[1] if unknown else None)
    where = path.removeprefix("$").removeprefix(".") or "the top level"
    return InvalidError(f"{name}:{line}: {match['what']} (at {where})", hint=hint)


def _line_of(tree: Any, path: str, key: str | None) -> int:
    """Return the line, from 1, of the value at a msgspec path, or of `key` inside it."""
    node, line = tree, 1
    for word, index in _STEP.findall(path):
        step: Any = int(index) if index.isdigit() else word
        if isinstance(node, CommentedMap) and step in node:
            line = node.lc.key(step)[0] + 1
        elif isinstance(node, CommentedSeq) and isinstance(step, int) and step < len(node):
            line = node.lc.item(step)[0] + 1
        else:
            return int(line)
        node = node[step]
    if key is not None and isinstance(node, CommentedMap) and key in node:
        line = node.lc.key(key)[0] + 1
    return int(line)


def _field_names(info: Any, seen: set[type]) -> set[str]:
    names: set[str] = set()
    if isinstance(info, msgspec.inspect.StructType):
        if info.cls in seen:
            return names
        seen.add(info.cls)
        for field in info.fields:
            names.add(field.encode_name)
            names |= _field_names(field.type, seen)
    for part in ("types", "item_types"):
        for inner in getattr(info, part, ()):
            names |= _field_names(inner, seen)
    for part in ("item_type", "value_type"):
        inner = getattr(info, part, None)
        if inner is not None:
            names |= _field_names(inner, seen)
    return names
