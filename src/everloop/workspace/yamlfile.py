"""YAML 1.2 as DVC reads and writes it: plain values in, comments and key order kept when a file is changed.

`on`, `yes` and `010` mean the string "on", the string "yes" and ten here, as in DVC; a YAML 1.1 reader would get all
three wrong. Leaves the meaning of the keys to the callers.
"""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from everloop.errors import InvalidError, NotFoundError
from everloop.workspace import plainyaml

if TYPE_CHECKING:
    from ruamel.yaml.comments import CommentedMap


def load_plain(path: Path) -> Any:
    """Read a file as plain dicts, lists and scalars; an empty file is None.

    Raises:
        NotFoundError: There is no such file.
        InvalidError: It is not YAML, or not UTF-8; the message has the line.
    """
    return parse_plain(read_text(path), path)


def parse_plain(text: str, name: str | Path) -> Any:
    """Read YAML that is in memory already, as `load_plain` does; the name is that of the errors.

    Raises:
        InvalidError: It is not YAML; the message has the line.
    """
    value = plainyaml.parse(text)
    return _ruamel().load(text, name) if value is plainyaml.UNDECIDED else value


def parse_simple(text: str) -> Any:
    """Read YAML that is as simple as what DVC writes, fast; None for all else, and for an empty text."""
    value = plainyaml.parse(text)
    return None if value is plainyaml.UNDECIDED else value


def load_editable(path: Path) -> Any:
    """Read a file so that `dump` writes it back with its comments, order and quotes; mappings know their line numbers.

    Raises: as `load_plain`.
    """
    return _ruamel().load_editable(read_text(path), path)


def load_editable_mapping(path: Path) -> CommentedMap:
    """Read an editable file whose top level must be a mapping; an empty file is an empty mapping."""
    return parse_editable_mapping(read_text(path), path)


def load_rewritable(path: Path) -> dict[Any, Any]:
    """Read a mapping to change and write back with `dump`: plain when the text has nothing that would be lost, else
    editable.

    Raises: as `load_editable_mapping`.
    """
    return parse_rewritable(read_text(path), path)


def parse_rewritable(text: str, name: str | Path) -> dict[Any, Any]:
    """Read text that is in memory already, as `load_rewritable` does; the name is that of the errors.

    Raises: as `parse_editable_mapping`.
    """
    value = plainyaml.parse(text)
    if isinstance(value, dict) and plainyaml.dump(value) == text.encode():
        return value
    return parse_editable_mapping(text, name)


def parse_editable_mapping(text: str, name: str | Path) -> CommentedMap:
    """Read text that is in memory already, as `load_editable_mapping` does; the name is that of the errors.

    Raises:
        InvalidError: It is not YAML, or no mapping.
    """
    value = _ruamel().load_editable(text, name)
    if value is None:
        value = _ruamel().new_mapping()
    if not isinstance(value, dict):
        raise InvalidError(f"{name}: the top level must be a mapping of keys, found {type(value).__name__}")
    return cast("CommentedMap", value)


def dump(value: Any) -> bytes:
    """Write in DVC's block style: lists not indented, long strings folded at column 80, unicode unescaped."""
    written = plainyaml.dump(value)
    if written is None:
        written = cast("bytes", _ruamel().dump(value))
    return written


def new_mapping(*items: Any, **fields: Any) -> CommentedMap:
    """As `dict(...)`, for a file that does not exist yet; keys may be inserted in its middle."""
    return cast("CommentedMap", _ruamel().new_mapping(*items, **fields))


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


def _ruamel() -> Any:
    """The reader of all YAML, which takes as long to import as all else of a small command."""
    return importlib.import_module("everloop.workspace.yamledit")
