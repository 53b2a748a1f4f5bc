"""Read the values of a file of parameters, metrics or variables: YAML, JSON or TOML, told by its suffix."""

from __future__ import annotations

import json
from pathlib import PurePosixPath
from typing import Any

from everloop.errors import InvalidError
from everloop.workspace.yamlfile import parse_plain

YAML_SUFFIXES = (".yaml", ".yml")


def parse(text: str, name: str) -> dict[str, Any]:
    """The mapping at the top of a file; an empty file is an empty mapping.

    Args:
        text: Of the file.
        name: Its path, for errors; what kind it is of is told by the suffix.

    Raises:
        InvalidError: It is malformed, or of another kind.
    """
    values = _parse(text, name)
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise InvalidError(f"{name}: the top level must be a mapping of keys, found {type(values).__name__}")
    return values


def _parse(text: str, name: str) -> Any:
    suffix = PurePosixPath(name).suffix.lower()
    if suffix in YAML_SUFFIXES:
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
    raise InvalidError(f"{name}: values are read from .yaml, .json and .toml files, not from {suffix!r}")
