"""Reading a YAML file that a person wrote into typed values, with errors that say the file, the line and the near word.

YAML 1.2 (ruamel): `on`, `off`, `yes` and `no` are text. Only plain values come out: no objects, no tags, nothing that
refers to itself. Whatever the text is, the answer is a value or `InvalidError`.
"""

from __future__ import annotations

import difflib
import io
import re
from datetime import date
from typing import Any, TypeVar

import msgspec
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from everloop.errors import EverloopError, InvalidError

Kind = TypeVar("Kind")
LIMIT_BYTES = 1 << 20
LIMIT_VALUES = 1 << 17
LIMIT_DEPTH = 64
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
    plain = _Plain(name).of(tree)
    try:
        return msgspec.convert(plain, kind)
    except msgspec.ValidationError as error:
        raise _explain(error, tree, kind, name) from error
    except EverloopError as error:
        # A value of ours refused a combination of its fields; msgspec does not tell us where.
        raise InvalidError(f"{name}: {error.message}", hint=error.hint) from error


def load_tree(text: str, *, name: str) -> Any:
    """Parse `text` into ruamel's round-trip tree, which knows its line numbers.

    Raises:
        InvalidError: it is not YAML, larger than 1 MiB, or names a key twice.
    """
    if len(text) > LIMIT_BYTES:
        raise InvalidError(f"{name} is larger than {LIMIT_BYTES:,} bytes")
    yaml = YAML(typ="rt", pure=True)
    yaml.composer.warn_double_anchors = False  # YAML 1.2 allows an anchor to be set anew
    try:
        return yaml.load(io.StringIO(text))
    except MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark is not None else 0
        raise InvalidError(f"{name}:{line}: not YAML: {error.problem}") from error
    except YAMLError as error:
        raise InvalidError(f"{name}: not YAML: {error}") from error
    except RecursionError as error:
        raise InvalidError(f"{name}: nested too deeply; {LIMIT_DEPTH} levels are enough for everyone") from error
    except Exception as error:
        # ruamel lets through whatever int(), datetime() and the like raise.
        raise InvalidError(f"{name}: a value cannot be read: {error}") from error


class _Plain:
    """Turns ruamel's tree into plain values. An alias counts as often as it is used: a bomb of aliases is refused."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._values = 0

    def of(self, node: Any, depth: int = 0) -> Any:
        self._values += 1
        if depth > LIMIT_DEPTH or self._values > LIMIT_VALUES:
            what = f"{LIMIT_DEPTH} levels" if depth > LIMIT_DEPTH else f"{LIMIT_VALUES:,} values"
            raise InvalidError(f"{self._name}: more than {what}", hint="An alias may not contain itself.")
        if isinstance(node, CommentedMap):
            return {self.of(key, depth + 1): self.of(value, depth + 1) for key, value in node.items()}
        if isinstance(node, CommentedSeq):
            return [self.of(value, depth + 1) for value in node]
        for scalar in (bool, int, float, str):
            if isinstance(node, scalar):
                # ruamel's scalars remember how they were written; msgspec wants the plain types.
                return node if isinstance(node, bool) else scalar(node)
        if node is None or isinstance(node, date | bytes):
            return node
        place = getattr(node, "lc", None)
        line = f":{place.line + 1}" if place is not None and place.line is not None else ""
        raise InvalidError(f"{self._name}{line}: a tag, or a mapping as a key, is not supported")


def _explain(error: msgspec.ValidationError, tree: Any, kind: Any, name: str) -> InvalidError:
    match = _AT.match(str(error))
    assert match is not None
    path = match["path"] or "$"
    unknown = _UNKNOWN.search(match["what"])
    steps = _STEP.findall(path)
    hint = None
    if unknown is not None:
        known = sorted(_known_at(msgspec.inspect.type_info(kind), steps))
        near = difflib.get_close_matches(unknown[1], known, n=1)
        hint = f"Did you mean {near[0]!r}?" if near else f"Known here: {', '.join(known)}."
    _, line = _place(tree, steps, unknown[1] if unknown else None, 1)
    where = path.removeprefix("$").removeprefix(".") or "the top level"
    return InvalidError(f"{name}:{line}: {match['what']} (at {where})", hint=hint)


def _place(node: Any, steps: list[tuple[str, str]], key: str | None, line: int) -> tuple[bool, int]:
    """Return whether the steps of a msgspec path, and `key` after them, lead on from `node`, and to which line."""
    if not steps:
        has_key = isinstance(node, CommentedMap) and key in node
        return has_key or key is None, int(node.lc.key(key)[0]) + 1 if has_key else line
    (word, index), *rest = steps
    if isinstance(node, CommentedMap) and index:
        # msgspec does not say which value of a mapping it means; the one that has the unknown key is it.
        for name in node if key is not None else ():
            found, at = _place(node[name], rest, key, int(node.lc.key(name)[0]) + 1)
            if found:
                return True, at
    elif isinstance(node, CommentedMap) and word in node:
        return _place(node[word], rest, key, int(node.lc.key(word)[0]) + 1)
    elif isinstance(node, CommentedSeq) and index.isdigit() and int(index) < len(node):
        return _place(node[int(index)], rest, key, int(node.lc.item(int(index))[0]) + 1)
    return False, line


def _known_at(info: Any, steps: list[tuple[str, str]]) -> set[str]:
    """Return the names of the fields that the struct at a msgspec path has."""
    if isinstance(info, msgspec.inspect.UnionType):
        return {name for each in info.types for name in _known_at(each, steps)}
    if not steps:
        return {field.encode_name for field in getattr(info, "fields", ())}
    (word, index), *rest = steps
    if not index:
        inner = [field.type for field in getattr(info, "fields", ()) if field.encode_name == word]
    else:
        inner = [getattr(info, name) for name in ("item_type", "value_type") if hasattr(info, name)]
        inner += getattr(info, "item_types", ())
    return {name for each in inner for name in _known_at(each, rest)}
