"""A stage that is to be added: its words from the command line, and its entry as `dvc stage add` writes it.

Source: dvc 3.67 (`stage/serialize.py`, `utils/cli_parse.py`). Leaves where it goes to `stageadd.py`.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import PurePosixPath
from typing import Any

import msgspec

from everloop.pipelines.values import DEFAULT_PARAMS_FILE, OutKind
from everloop.workspace import Workspace

# What a person noted at an output, and where DVC writes it: around what the command line says.
_NOTED_BEFORE = ("desc", "type", "labels", "meta")
_NOTED_BEHIND = ("remote", "push")


class NewOut(msgspec.Struct, frozen=True, kw_only=True):
    """A path that the new stage makes.

    Attributes:
        path: Relative to the stage's folder, or absolute.
        kind: The list that declares it.
        is_cached: Its bytes are kept in the cache.
        is_persistent: It is not removed before the stage runs.
    """

    path: str
    kind: OutKind = OutKind.OUT
    is_cached: bool = True
    is_persistent: bool = False


class NewStage(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be added.

    Attributes:
        name: Letters, digits, `-` and `_`.
        command: One shell script.
        deps: Paths relative to the stage's folder, or absolute.
        params: `{file: keys}`; no keys means all of the file.
        outs: What it makes.
        folder: Where it runs, relative to the `dvc.yaml`'s folder.
        is_always_changed: It runs every time.
        description: For people; None keeps that of the stage that is replaced.
    """

    name: str
    command: str
    deps: tuple[str, ...] = ()
    params: dict[str, tuple[str, ...]] = {}
    outs: tuple[NewOut, ...] = ()
    folder: str | None = None
    is_always_changed: bool = False
    description: str | None = None


def command_of(words: Iterable[str]) -> str:
    """The words of a command line as one script; as DVC: those with spaces get quotes, a single word is left alone."""
    listed = list(words)
    return listed[0] if len(listed) == 1 else " ".join(_quoted(word) for word in listed)


def params_of(words: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """The `[FILE:]KEY,KEY` words of a command line as `{file: keys}`."""
    found: dict[str, dict[str, None]] = {}
    for word in words:
        file, _, keys = word.rpartition(":")
        found.setdefault(file or DEFAULT_PARAMS_FILE, {}).update(dict.fromkeys(filter(None, keys.split(","))))
    return {file: tuple(keys) for file, keys in found.items()}


def entry_of(workspace: Workspace, new: NewStage, folder: str, home: str, old: dict[str, Any]) -> dict[str, Any]:
    """The stage in DVC's order of keys and items, without what is empty.

    Args:
        workspace: Where.
        new: The stage.
        folder: Of the `dvc.yaml`, relative to the root.
        home: Where the stage runs, relative to the root.
        old: The entry that it replaces: `meta`, the description and what is noted at its outputs stay.
    """
    kept = _options_of(old)
    outs = sorted((_written(workspace, home, out.path), out) for out in new.outs)
    lists = {kind.value: [_item(p, out, kept.get(p, {})) for p, out in outs if out.kind is kind] for kind in OutKind}
    entry = {
        "desc": old.get("desc") if new.description is None else new.description,
        "cmd": new.command,
        "wdir": None if home == folder else PurePosixPath(os.path.relpath(home, folder)).as_posix(),
        "deps": sorted(_written(workspace, home, path) for path in new.deps),
        "params": _params(new.params),
        **lists,
        "always_changed": new.is_always_changed,
        "meta": old.get("meta"),
    }
    return {key: value for key, value in entry.items() if value}


def _written(workspace: Workspace, home: str, path: str) -> str:
    """A path as the file has it: as it was given, an absolute one relative to the stage's folder."""
    return os.path.relpath(workspace.relative(path), home) if PurePosixPath(path).is_absolute() else path


def _params(params: dict[str, tuple[str, ...]]) -> list[Any]:
    default = sorted(params.get(DEFAULT_PARAMS_FILE, ()))
    files = [file for file in sorted(params) if file != DEFAULT_PARAMS_FILE or not default]
    return [*default, *({file: sorted(params[file]) or None} for file in files)]


def _item(path: str, out: NewOut, kept: dict[str, Any]) -> Any:
    options = {key: kept[key] for key in _NOTED_BEFORE if key in kept}
    options |= {} if out.is_cached else {"cache": False}
    options |= {"persist": True} if out.is_persistent else {}
    options |= {key: kept[key] for key in _NOTED_BEHIND if key in kept}
    return {path: options} if options else path


def _options_of(entry: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """What is noted at the outputs of a stage that is there, by their path as it is written."""
    items = [item for kind in OutKind for item in entry.get(kind.value) or []]
    return {path: options or {} for item in items if isinstance(item, dict) for path, options in item.items()}


def _quoted(word: str) -> str:
    if not word:
        return '""'
    return f'"{word}"' if " " in word and '"' not in word else word
