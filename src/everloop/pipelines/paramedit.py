"""Change values in files of parameters; comments, order and everything else stay.

YAML and JSON here, TOML by `tomledit.py`, Python by `pythonedit.py`. Leaves reading to `params.py` and how people write
changes on a command line to the commands.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from enum import StrEnum
from pathlib import Path, PurePosixPath
from typing import Any

import msgspec

from everloop.errors import InvalidError, NotFoundError
from everloop.latepattern import LatePattern
from everloop.pipelines.params import MISSING, flatten, lookup
from everloop.plaintext import nearest
from everloop.workspace import valuefiles
from everloop.workspace.durable import write_atomically
from everloop.workspace.yamlfile import dump, parse_rewritable, read_text

_INDENT = LatePattern(r"\n( +)\S")


class How(StrEnum):
    """What may be there before a change."""

    SET = "set"
    ADD = "add"
    SET_OR_ADD = "set or add"
    REMOVE = "remove"


class Edit(msgspec.Struct, frozen=True, kw_only=True):
    """One change.

    Attributes:
        key: Dotted; a number is a place in a list.
        value: The new one. With REMOVE the one that must be there; `MISSING` means any.
        how: SET: the key must be there. ADD: it must not, unless the value is a mapping that is merged into it.
    """

    key: str
    value: Any
    how: How = How.SET


def set_params(path: str | os.PathLike[str], values: Mapping[str, Any]) -> None:
    """Change values in a file of parameters.

    Args:
        path: The file.
        values: By dotted key. A key must be there, unless it has a `+` before it.

    Raises:
        NotFoundError: There is no such file.
        InvalidError: A key is unknown (names the nearest one), or the file cannot be changed so.
    """
    file = Path(path)
    if not file.exists():
        raise NotFoundError(f"{file} does not exist, so no parameter can be set in it")
    edits = [
        Edit(key=key.removeprefix("+"), value=value, how=How.SET_OR_ADD if key.startswith("+") else How.SET)
        for key, value in values.items()
    ]
    write_atomically(file, edited(read_text(file), str(file), edits))


def edited(text: str, name: str, edits: Iterable[Edit]) -> bytes:
    """A text of parameters with changes made, one after the other.

    Args:
        text: Of the file; empty when it is a new one.
        name: Its path, for errors; what kind it is of is told by the suffix.
        edits: What to change.

    Raises:
        InvalidError: A key is not what its change says (names the nearest one), or the file cannot be changed so.
    """
    suffix = PurePosixPath(name).suffix.lower()
    is_yaml = suffix not in (".json", ".toml", ".py")  # as for whoever reads it
    if suffix == ".json":
        text = text or "{}\n"
    data: Any = parse_rewritable(text, name) if is_yaml else valuefiles.parse(text, name)
    for edit in edits:
        _make(data, edit, name)
    if is_yaml:
        return dump(data)
    if suffix == ".toml":
        # Here, as Python's below, because few projects keep their parameters so.
        from everloop.pipelines import tomledit

        return tomledit.rewritten(text, data, name).encode()
    if suffix == ".py":
        from everloop.pipelines import pythonedit

        return pythonedit.rewritten(text, data, name).encode()
    indent = _INDENT.search(text)
    written = json.dumps(data, indent=len(indent[1]) if indent else None, ensure_ascii=False)
    return (written + "\n" * text.endswith("\n")).encode()


def _make(data: Any, edit: Edit, name: str) -> None:
    present = lookup(data, edit.key)
    if present is MISSING and edit.how in (How.SET, How.REMOVE):
        near = nearest(edit.key, flatten(data))
        meant = f"; do you mean {near!r}?" if near else ""
        hint = f"to add it, write +{edit.key}" if edit.how is How.SET else None
        raise InvalidError(f"{name} has no parameter {edit.key!r}{meant}", hint=hint)
    if edit.how is How.REMOVE:
        _remove(data, edit, present, name)
    elif edit.how is How.ADD and not (present is MISSING or present is None or isinstance(edit.value, dict)):
        raise InvalidError(
            f"{name} has {edit.key!r} already: {present!r}", hint=f"to set it all the same: ++{edit.key}"
        )
    elif isinstance(present, dict) and isinstance(edit.value, dict):
        how = edit.how if edit.how is How.SET else How.SET_OR_ADD
        for key, value in edit.value.items():
            _make(present, Edit(key=str(key), value=value, how=how), name)
    else:
        _assign(data, edit.key, edit.value, name)


def _remove(data: Any, edit: Edit, present: Any, name: str) -> None:
    if edit.value is not MISSING and edit.value != present:
        raise InvalidError(f"{name}: {edit.key} is {present!r}, not {edit.value!r}, and stays")
    section, _, last = edit.key.rpartition(".")
    place = lookup(data, section) if section else data
    del place[int(last) if isinstance(place, list) else last]


def _assign(data: Any, key: str, value: Any, name: str) -> None:
    *sections, last = key.split(".")
    place = data
    for section in sections:
        place = place[_number(section, name)] if isinstance(place, list) else place.setdefault(section, {})
        if not isinstance(place, dict | list):
            raise InvalidError(f"{name}: {key!r} cannot be set, because {section!r} is the value {place!r}")
    if isinstance(place, list):
        place[_number(last, name)] = value
    else:
        place[last] = value


def _number(text: str, name: str) -> int:
    if not text.isdecimal():
        raise InvalidError(f"{name}: a place in a list is a number, found {text!r}")
    return int(text)
