"""Parameters: read them by dotted keys from YAML, JSON and TOML files, and parse `key=value`.

Leaves which stage depends on which key to `definition.py`, and changing files to `paramedit.py`.
"""

from __future__ import annotations

import datetime
import json
from collections.abc import Iterable, Mapping
from pathlib import PurePosixPath
from typing import Any

from everloop.errors import InvalidError
from everloop.pipelines.tree import Tree, text_of, where
from everloop.workspace.yamlfile import parse_plain

_YAML_SUFFIXES = (".yaml", ".yml")
MISSING = object()


def load(tree: Tree, path: str) -> dict[str, Any] | None:
    """Read a file of parameters or metrics; None when it is not there.

    Raises:
        InvalidError: It is malformed, of another kind than YAML, JSON and TOML, or holds a date.
    """
    text = text_of(tree, path)
    return None if text is None else parse(text, where(tree, path))


def parse(text: str, name: str) -> dict[str, Any]:
    """Read a text that is in memory already.

    Args:
        text: Of the file.
        name: Its path, for errors; what kind it is of is told by the suffix.

    Raises: as `load`.
    """
    values = _parse(text, name)
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise InvalidError(f"{name}: the top level must be a mapping of keys, found {type(values).__name__}")
    for key, value in flatten(values).items():
        if isinstance(value, datetime.date | datetime.time):
            raise InvalidError(
                f"{name}: {key} is a date, which dvc.lock cannot hold", hint=f'quote it, to make it a string: "{value}"'
            )
    return values


def _parse(text: str, name: str) -> Any:
    suffix = PurePosixPath(name).suffix.lower()
    if suffix in _YAML_SUFFIXES:
        return parse_plain(text, name)
    try:
        if suffix == ".json":
            return json.loads(text)
        if suffix == ".toml":
            # Here, because few projects keep their parameters so.
            import tomllib

            return tomllib.loads(text)
    except ValueError as error:
        raise InvalidError(f"{name}: {error}") from error
    raise InvalidError(f"{name}: params and metrics are read from .yaml, .json and .toml files, not from {suffix!r}")


def lookup(values: Mapping[str, Any], key: str) -> Any:
    """The value at a dotted key, `a.b` or `a.0`; `MISSING` when there is none."""
    value: Any = values
    for part in key.split("."):
        if isinstance(value, Mapping) and part in value:
            value = value[part]
        elif isinstance(value, list) and part.isdecimal() and int(part) < len(value):
            value = value[int(part)]
        else:
            return MISSING
    return value


def select(values: Mapping[str, Any], keys: Iterable[str] | None) -> dict[str, Any]:
    """The values of those keys that are there; None means all at the top level."""
    if keys is None:
        return dict(values)
    found = {key: lookup(values, key) for key in keys}
    return {key: value for key, value in found.items() if value is not MISSING}


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
