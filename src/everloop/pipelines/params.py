"""Parameters: read them by dotted keys from YAML, JSON, TOML and Python files, and parse `key=value`.

Leaves which stage depends on which key to `definition.py`, and changing files to `paramedit.py`.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Mapping
from typing import Any

from everloop.errors import InvalidError
from everloop.pipelines.tree import Tree, text_of, where
from everloop.workspace import valuefiles
from everloop.workspace.yamlfile import parse_plain

MISSING = object()


def load(tree: Tree, path: str) -> dict[str, Any] | None:
    """Read a file of parameters or metrics; None when it is not there.

    Raises:
        InvalidError: It is malformed, or no mapping of keys.
    """
    text = text_of(tree, path)
    return None if text is None else valuefiles.parse(text, where(tree, path))


def lookup(values: Mapping[str, Any], key: str) -> Any:
    """The value at a dotted key, `a.b` or `a.0`; `MISSING` when there is none."""
    value: Any = values
    for part in key.split("."):
        if isinstance(value, Mapping) and part in value:
            value = value[part]
        elif isinstance(value, list | tuple) and part.isdecimal() and int(part) < len(value):
            value = value[int(part)]
        else:
            return MISSING
    return value


def select(values: Mapping[str, Any], keys: Iterable[str] | None, name: str = "") -> dict[str, Any]:
    """The values of those keys that are there, as `dvc.lock` keeps them: a tuple is a list.

    Args:
        values: Of a file.
        keys: Dotted; None means all at the top level.
        name: Of the file, for errors.

    Raises:
        InvalidError: One of these values is, or holds, a date.
    """
    found = dict(values) if keys is None else {key: lookup(values, key) for key in keys}
    where = f"{name}: " if name else ""
    return {key: _kept(value, f"{where}{key}") for key, value in found.items() if value is not MISSING}


def _kept(value: Any, where: str) -> Any:
    if isinstance(value, datetime.date | datetime.time):
        raise InvalidError(
            f"{where} is a date, which dvc.lock cannot hold", hint=f'quote it, to make it a string: "{value}"'
        )
    if isinstance(value, Mapping):
        return {key: _kept(item, f"{where}.{key}") for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_kept(item, where) for item in value]
    return sorted(value, key=str) if isinstance(value, set) else value


def flatten(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested mappings as one dict with dotted keys; lists stay values, empty mappings vanish."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            flat.update(flatten(value, f"{prefix}{key}."))
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def parse_assignments(texts: Iterable[str]) -> dict[str, Any]:
    """Parse `key=value` words; the value is read as YAML 1.2, so `0.1`, `true`, `[1, 2]` and `null` have their types.

    A `+` before the key allows `set_params` to make a new one.

    Raises:
        InvalidError: There is no `=`, no key, or the value is not YAML.
    """
    assignments: dict[str, Any] = {}
    for text in texts:
        key, separator, value = text.partition("=")
        if not separator or not key.strip("+ "):
            raise InvalidError(f"{text!r} is not of the form key=value", hint="as in -S train.lr=0.1")
        try:
            assignments[key.strip()] = parse_plain(value, text)
        except InvalidError as error:
            raise InvalidError(f"{text!r}: the value is not YAML", hint="quote it: -S 'name=\"a: b\"'") from error
    return assignments
