"""Read and write `dvc.lock`, the memory of what each stage's last run had and made.

Source: dvc 3.67 (`stage/serialize.py`), schema 2.0. Entries of stages that are gone are kept, as DVC does.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from everloop.errors import InvalidError
from everloop.pipelines.values import DEFAULT_PARAMS_FILE, LockedStage, Stage
from everloop.workspace import Content
from everloop.workspace.durable import write_atomically
from everloop.workspace.dvcfile import read_content
from everloop.workspace.objectid import digits, is_legacy
from everloop.workspace.yamlfile import dump, load_plain, load_rewritable

_SCHEMA = "2.0"


class Locks:
    """The lock files of a workspace, each read when a stage of it is asked for first, not for every stage."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._read: dict[str, dict[str, LockedStage]] = {}

    def of(self, stage: Stage) -> LockedStage | None:
        """What is remembered of the last run of a stage.

        Raises: as `read`.
        """
        path = path_for(stage.file)
        if path not in self._read:
            self._read[path] = read(self._root / path)
        return self._read[path].get(stage.name)

    def forget(self) -> None:
        """Read them again when next asked: a stage has run, and others may have written meanwhile."""
        self._read.clear()


def path_for(definition: str) -> str:
    """The lock file of a `dvc.yaml`: the one beside it."""
    return definition.removesuffix("dvc.yaml") + "dvc.lock"


def read(path: Path) -> dict[str, LockedStage]:
    """Read a lock file; no file is an empty one.

    Raises:
        InvalidError: It is malformed, or of another schema.
    """
    if not path.exists():
        return {}
    data = load_plain(path) or {}
    if not isinstance(data, dict):
        raise InvalidError(f"{path}: the top level must be a mapping, found {type(data).__name__}")
    if data.get("schema") != _SCHEMA:
        raise InvalidError(
            f"{path}: schema must be '{_SCHEMA}', found {data.get('schema')!r}",
            hint="remove the file to run all stages again; the data stay in the cache",
        )
    stages = data.get("stages") or {}
    if not isinstance(stages, dict):
        raise InvalidError(f"{path}: stages must be a mapping, found {type(stages).__name__}")
    return {str(name): _read_stage(entry, f"{path}: stage {name}") for name, entry in stages.items()}


def write_stage(path: Path, name: str, stage: LockedStage) -> None:
    """Replace one stage's entry, atomically; everything else in the file stays as it is."""
    data = load_rewritable(path) if path.exists() else {}
    data.setdefault("schema", _SCHEMA)
    if data.get("stages") is None:
        data["stages"] = {}
    data["stages"][name] = entry_of(stage)
    write_atomically(path, dump(data))


def entry_of(stage: LockedStage) -> dict[str, Any]:
    """The entry in DVC's order of keys and items."""
    entry: dict[str, Any] = {"cmd": stage.command if isinstance(stage.command, str) else list(stage.command)}
    if stage.deps:
        entry["deps"] = [_item(path, stage.deps[path]) for path in sorted(stage.deps)]
    if stage.params:
        # The default file comes first, whatever the alphabet says.
        files = sorted(stage.params, key=lambda file: (file != DEFAULT_PARAMS_FILE, file))
        entry["params"] = {file: _copy(dict(sorted(stage.params[file].items()))) for file in files}
    if stage.outs:
        entry["outs"] = [_item(path, stage.outs[path]) for path in sorted(stage.outs)]
    return entry


def _item(path: str, content: Content) -> dict[str, Any]:
    item: dict[str, Any] = {"path": path} | ({} if is_legacy(content.md5) else {"hash": "md5"})
    item |= {"md5": digits(content.md5), "size": content.size_bytes}
    if content.n_files is not None:
        item["nfiles"] = content.n_files
    if content.is_executable:
        item["isexec"] = True
    return item


def _copy(value: Any) -> Any:
    """Plain values, none of them shared: YAML would write a shared one as an alias."""
    if isinstance(value, dict):
        return {str(key) if isinstance(key, str) else key: _copy(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_copy(item) for item in value]
    return value


def _read_stage(entry: Any, where: str) -> LockedStage:
    if not isinstance(entry, dict):
        raise InvalidError(f"{where}: must be a mapping, found {type(entry).__name__}")
    command = entry.get("cmd")
    if isinstance(command, list):
        command = tuple(str(item) for item in command)
    elif not isinstance(command, str):
        raise InvalidError(f"{where}: cmd must be a string or a list, found {command!r}")
    params = entry.get("params") or {}
    if not isinstance(params, dict) or not all(isinstance(values, dict) for values in params.values()):
        raise InvalidError(f"{where}: params must map files to their values")
    return LockedStage(
        command=command,
        deps=_read_items(entry, "deps", where),
        params=params,
        outs=_read_items(entry, "outs", where),
    )


def _read_items(entry: dict[str, Any], key: str, where: str) -> dict[str, Content]:
    items = entry.get(key) or []
    if not isinstance(items, list):
        raise InvalidError(f"{where}: {key} must be a list, found {type(items).__name__}")
    contents: dict[str, Content] = {}
    for item in items:
        if not isinstance(item, dict) or not isinstance(item.get("path"), str):
            raise InvalidError(f"{where}: an item of {key} must be a mapping with a path, found {item!r}")
        content = read_content(item, f"{where}: {item['path']}")
        if content is not None:
            contents[item["path"]] = content
    return contents
