"""Read the values of a file of parameters, metrics or variables: YAML, JSON, TOML or Python, told by its suffix."""

from __future__ import annotations

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
        InvalidError: It is malformed, or no mapping.
    """
    values = parse_any(text, name)
    if not isinstance(values, dict):
        raise InvalidError(f"{name}: the top level must be a mapping of keys, found {type(values).__name__}")
    return values


def parse_any(text: str, name: str) -> Any:
    """Read a text whose top level may also be a list or a scalar; nothing at all is an empty mapping.

    As for DVC, what is not JSON, TOML or Python by its suffix is YAML.

    Raises:
        InvalidError: It is malformed; names the line where one is known.
    """
    suffix = PurePosixPath(name).suffix.lower()
    try:
        if suffix == ".json":
            # Here, as the readers of further kinds.
            import json

            return json.loads(text) or {}
        if suffix == ".toml":
            # Here, as Python's below, because few projects keep their parameters so.
            import tomllib

            return tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise InvalidError(f"{name}: {error}") from error
    if suffix == ".py":
        from everloop.workspace import pythonvalues

        return pythonvalues.parse(text, name)
    return parse_plain(text, name) or {}
