"""The door to ruamel: YAML 1.2 read whole, and written back with its comments, order, quotes and numbers as they were.

Its import takes as long as all else of a small command, so `yamlfile.py` opens this door only when it has to.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap
from ruamel.yaml.constructor import RoundTripConstructor
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import ScalarNode
from ruamel.yaml.representer import RoundTripRepresenter

from everloop.errors import InvalidError


def load(text: str, name: str | Path) -> Any:
    """Read plain values.

    Raises:
        InvalidError: It is not YAML; the message has the line.
    """
    return _parse(YAML(typ="safe", pure=True), name, text)


def load_editable(text: str, name: str | Path) -> Any:
    """Read values that `dump` writes back as they were.

    Raises: as `load`.
    """
    return _parse(_editor(), name, text)


def dump(value: Any) -> bytes:
    """Write in DVC's block style."""
    stream = io.BytesIO()
    _editor().dump(value, stream)
    return stream.getvalue()


def new_mapping(*items: Any, **fields: Any) -> CommentedMap:
    """As `dict(...)`, but a mapping that can have comments and keys in the middle."""
    return CommentedMap(*items, **fields)


class _WrittenFloat(float):
    """A float that is written back as it was read; ruamel would write it anew, and may lose its last digit."""

    written: str


class _EditorConstructor(RoundTripConstructor):
    """Builds values that can be written back."""

    def construct_yaml_float(self, node: ScalarNode) -> Any:
        """Keep the text of a plain float; one with an anchor is left to ruamel, which keeps the anchor."""
        value = super().construct_yaml_float(node)
        if node.anchor:
            return value
        kept = _WrittenFloat(value)
        kept.written = node.value
        return kept


class _EditorRepresenter(RoundTripRepresenter):
    """Writes them back."""

    def represent_written_float(self, value: _WrittenFloat) -> Any:
        """Write the text that was read."""
        return self.represent_scalar("tag:yaml.org,2002:float", value.written)


_EditorConstructor.add_constructor("tag:yaml.org,2002:float", _EditorConstructor.construct_yaml_float)
_EditorRepresenter.add_representer(_WrittenFloat, _EditorRepresenter.represent_written_float)


def _editor() -> YAML:
    yaml = YAML()
    yaml.Constructor = _EditorConstructor
    yaml.Representer = _EditorRepresenter
    yaml.default_flow_style = False
    yaml.preserve_quotes = True
    return yaml


def _parse(yaml: YAML, path: str | Path, text: str) -> Any:
    try:
        return yaml.load(text)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f", line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise InvalidError(f"{path}{where}: {error.problem or error.context or 'this is not YAML'}") from error
    except YAMLError as error:
        raise InvalidError(f"{path}: this is not YAML: {error}") from error
