"""Parameters: read them by dotted keys from YAML, JSON, TOML and Python files, change them, parse `-S key=value`.

Leaves which stage depends on which key to `definition.py`.
"""

from __future__ import annotations

import datetime
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from everloop.errors import InvalidError, NotFoundError
from everloop.pipelines.tree import Tree, text_of, where
from everloop.plaintext import nearest
from everloop.workspace import valuefiles
from everloop.workspace.durable import write_atomically
from everloop.workspace.yamlfile import dump, load_editable_mapping, parse_plain

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


def set_params(path: str | os.PathLike[str], values: Mapping[str, Any]) -> None:
    """Change values in a YAML file of parameters; comments, order and everything else stay.

    Args:
        path: The file.
        values: By dotted key. A key must be there, unless it has a `+` before it.

    Raises:
        NotFoundError: There is no such file.
        InvalidError: A key is unknown (names the nearest one), or the file is not YAML.
    """
    file = Path(path)
    if file.suffix.lower() not in valuefiles.YAML_SUFFIXES:
        raise InvalidError(f"{file}: only YAML files of parameters can be changed; edit this one by hand")
    if not file.exists():
        raise NotFoundError(f"{file} does not exist, so no parameter can be set in it")
    data = load_editable_mapping(file)
    for key, value in values.items():
        name = key.removeprefix("+")
        known = flatten(data)
        if not key.startswith("+") and lookup(data, name) is MISSING:
            near = nearest(name, known)
            meant = f"; do you mean {near!r}?" if near else ""
            raise InvalidError(f"{file} has no parameter {name!r}{meant}", hint=f"to add it, write +{name}")
        _assign(data, name, value, file)
    write_atomically(file, dump(data))


def _assign(data: Any, name: str, value: Any, file: Path) -> None:
    *sections, last = name.split(".")
    place = data
    for section in sections:
        place = place[int(section)] if isinstance(place, list) else place.setdefault(section, {})
        if not isinstance(place, dict | list):
            raise InvalidError(f"{file}: {name!r} cannot be set, because {section!r} is the value {place!r}")
    if isinstance(place, list):
        place[int(last)] = value
    else:
        place[last] = value
