"""YAML 1.2 as DVC reads and writes it: plain values in, comments and key order kept when a file is changed.

`on`, `yes` and `010` mean the string "on", the string "yes" and ten here, as in DVC; a YAML 1.1 reader would get all
three wrong. Leaves the meaning of the keys to the callers.
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

from everloop.errors import InvalidError, NotFoundError


def load_plain(path: Path) -> Any:
    """Read a file as plain dicts, lists and scalars; an empty file is None.

    Raises:
        NotFoundError: There is no such file.
        InvalidError: It is not YAML, or not UTF-8; the message has the line.
    """
    return _parse(YAML(typ="safe", pure=True), path, read_text(path))


def load_editable(path: Path) -> Any:
    """Read a file so that `dump` writes it back with its comments, order and quotes; mappings know their line numbers.

    Raises: as `load_plain`.
    """
    return _parse(_editor(), path, read_text(path))


def load_editable_mapping(path: Path) -> CommentedMap:
    """Read an editable file whose top level must be a mapping; an empty file is an empty mapping."""
    value = load_editable(path)
    if value is None:
        return CommentedMap()
    if not isinstance(value, CommentedMap):
        raise InvalidError(f"{path}: the top level must be a mapping of keys, found {type(value).__name__}")
    return value


def dump(value: Any) -> bytes:
    """Write in DVC's block style: lists not indented, long strings folded at column 80, unicode unescaped."""
    stream = io.BytesIO()
    _editor().dump(value, stream)
    return stream.getvalue()


def read_text(path: Path) -> str:
    """Read a UTF-8 file.

    Raises:
        NotFoundError: There is no such file.
        InvalidError: It is not UTF-8.
    """
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise NotFoundError(f"{path} does not exist") from error
    except UnicodeDecodeError as error:
        raise InvalidError(
            f"{path} is not UTF-8 text: byte {error.start} is {error.object[error.start]:#04x}"
        ) from error


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


def _parse(yaml: YAML, path: Path, text: str) -> Any:
    try:
        return yaml.load(text)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f", line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise InvalidError(f"{path}{where}: {error.problem or error.context or 'this is not YAML'}") from error
    except YAMLError as error:
        raise InvalidError(f"{path}: this is not YAML: {error}") from error
