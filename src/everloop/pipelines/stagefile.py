"""Change `dvc.yaml` as its author would: comments, order and quotes of all else stay.

Source: dvc 3.67 (`dvcfile.py`, `utils/collections.py`). Leaves what a stage may be to `definition.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from everloop.workspace.durable import write_atomically
from everloop.workspace.yamlcomments import editable, kept_behind
from everloop.workspace.yamlfile import dump, parse_editable_mapping, read_text


class StageFile:
    """One `dvc.yaml` that is to be changed; it need not exist yet.

    Args:
        root: The workspace.
        file: Its path relative to the root.

    Raises:
        InvalidError: It is not YAML, or not UTF-8; the message has the line.
    """

    def __init__(self, root: Path, file: str) -> None:
        self.file = file
        self._path = root / file
        self._text = read_text(self._path) if self._path.exists() else ""
        self._data = parse_editable_mapping(self._text, file)

    def entry(self, name: str) -> dict[str, Any] | None:
        """What is written for a stage, to be changed in place; None when there is none, or no mapping."""
        found = self._stages().get(name)
        return found if isinstance(found, dict) else None

    def __contains__(self, name: str) -> bool:
        return name in self._stages()

    def place(self, name: str) -> str:
        """The file and the line of a stage, as far as they are known; of `train@a` those of `train`."""
        return place_in(self.file, self._data, name)

    def put(self, name: str, entry: Mapping[str, Any]) -> None:
        """Write a stage at the end, or over the one of that name, whose comments stay where its keys do."""
        stages = self._stages()
        if self._data.get("stages") is None:
            self._data["stages"] = stages
        new = editable(dict(entry))
        before = stages.get(name)
        with kept_behind(stages, name):
            if isinstance(before, dict):
                _merge(new, before)
            else:
                stages[name] = new

    def mark(self, name: str, key: str, value: Any) -> bool:
        """Set one key of a stage that is there, of a `foreach` that of what it does; None takes the key out.

        Returns:
            Whether that was a change.
        """
        stages = self._stages()
        with kept_behind(stages, name):
            entry = stages[name]["do"] if "foreach" in stages[name] else stages[name]
            return mark(entry, key, value)

    def text(self) -> bytes:
        """The file as it would be written."""
        return dump(self._data)

    def write(self) -> None:
        """Write it, atomically."""
        write_atomically(self._path, self.text())

    def _stages(self) -> dict[str, Any]:
        found = self._data.get("stages")
        return found if isinstance(found, dict) else {}


def mark(entry: dict[str, Any], key: str, value: Any) -> bool:
    """Set a key of an editable mapping, or take it out when the value is None; whether that was a change."""
    if entry.get(key) == value:
        return False
    if value is not None:
        entry[key] = value
        return True
    with kept_behind(entry, key):
        del entry[key]
    return True


def place_in(file: str, data: Mapping[Any, Any], name: str) -> str:
    """As `StageFile.place`, of a file that was read with `parse_editable_mapping`."""
    stages = data.get("stages")
    places = getattr(stages, "lc", None)
    key = name if isinstance(stages, dict) and name in stages else name.partition("@")[0]
    if places is None or key not in (places.data or {}):
        return file
    return f"{file}, line {places.key(key)[0] + 1}"


def _merge(new: dict[str, Any], old: dict[str, Any]) -> None:
    """Make the old mapping equal to the new one; what is equal already is not touched, and so keeps its comments."""
    for key in [key for key in old if key not in new]:
        with kept_behind(old, key):
            del old[key]
    for key, value in new.items():
        before = old.get(key)
        if key in old and value == before:
            continue
        with kept_behind(old, key):
            if isinstance(value, dict) and isinstance(before, dict):
                _merge(value, before)
            elif isinstance(value, list) and isinstance(before, list):
                _merge_list(value, before)
            else:
                # By way of nothing, or a string would get the quotes of the old one.
                old[key] = None
                old[key] = value


def _merge_list(new: list[Any], old: list[Any]) -> None:
    # Those that are the same at the beginning keep what stands between them.
    kept = 0
    while kept < min(len(new), len(old)) and new[kept] == old[kept]:
        kept += 1
    while len(old) > kept:
        del old[len(old) - 1]
    old.extend(new[kept:])
