"""Read and write `dvc.lock`, the memory of what each stage's last run had and made.

Source: dvc 3.67 (`stage/serialize.py`), schema 2.0. Entries of stages that are gone are kept, as DVC does.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from everloop.errors import InvalidError
from everloop.pipelines.lockblocks import SCHEMA, Blocks
from everloop.pipelines.values import DEFAULT_PARAMS_FILE, LockedStage, Stage
from everloop.workspace import Content
from everloop.workspace.durable import write_atomically
from everloop.workspace.dvcfile import read_content
from everloop.workspace.objectid import digits, is_legacy
from everloop.workspace.state import Identity, identity
from everloop.workspace.yamlfile import dump, load_plain, load_rewritable, read_text


class Locks:
    """The lock files of a workspace: each is read once per change, and what ran is written to it in groups.

    Use it while the workspace is locked.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._files: dict[str, _File] = {}

    def of(self, stage: Stage) -> LockedStage | None:
        """What is remembered of the last run of a stage, written or not.

        Raises: as `read`.
        """
        file = self._file(stage)
        return file.waiting.get(stage.name) or file.stages().get(stage.name)

    def put(self, stage: Stage, locked: LockedStage) -> None:
        """Remember a run; the file is told by `write`."""
        self._file(stage).waiting[stage.name] = locked

    def write(self) -> list[str]:
        """Write what waits, each file at once and atomically; the files that were written, relative to the root.

        Raises: as `read`, when somebody has damaged a file meanwhile.
        """
        written = [path for path, file in self._files.items() if file.waiting]
        for path in written:
            self._files[path].write()
        return written

    def _file(self, stage: Stage) -> _File:
        path = path_for(stage.file)
        if path not in self._files:
            self._files[path] = _File(self._root / path)
        return self._files[path]


class _File:
    """One lock file: its stages as long as its stat says that nobody changed it, and those that wait to be written."""

    def __init__(self, path: Path) -> None:
        self.waiting: dict[str, LockedStage] = {}
        self._path = path
        self._seen: Identity | None = None
        self._data: _Data | None = None
        self._stages: dict[str, LockedStage] = {}

    def stages(self) -> dict[str, LockedStage]:
        self._refresh()
        return self._stages

    def write(self) -> None:
        data = self._refresh()
        data.put({name: entry_of(stage) for name, stage in self.waiting.items()})
        write_atomically(self._path, data.dump())
        self._stages |= self.waiting
        self.waiting.clear()
        self._seen = self._stat()

    def _refresh(self) -> _Data:
        found = self._stat()
        if self._data is None or found != self._seen:
            self._data = _Data(self._path)
            self._stages = self._data.stages()
            self._seen = found
        return self._data

    def _stat(self) -> Identity | None:
        try:
            return identity(self._path.stat())
        except FileNotFoundError:
            return None


class _Data:
    """What a lock file says, ready to be changed: stage by stage, or as a whole where it is not laid out so."""

    def __init__(self, path: Path) -> None:
        self._path = path
        text = read_text(path) if path.exists() else ""
        self._blocks = Blocks.of(text, path)
        # Parsed as a whole when it has to be changed as a whole.
        self._whole: dict[Any, Any] | None = None

    def stages(self) -> dict[str, LockedStage]:
        entries = (
            self._blocks.values if self._blocks is not None else _entries(load_plain(self._path) or {}, self._path)
        )
        return {str(name): read_entry(entry, f"{self._path}: stage {name}") for name, entry in entries.items()}

    def put(self, entries: dict[str, dict[str, Any]]) -> None:
        if self._blocks is not None:
            self._blocks.put(entries)
            return
        if self._whole is None:
            self._whole = load_rewritable(self._path)
        self._whole.setdefault("schema", SCHEMA)
        if self._whole.get("stages") is None:
            self._whole["stages"] = {}
        self._whole["stages"].update(entries)

    def dump(self) -> bytes:
        return self._blocks.text().encode() if self._blocks is not None else dump(self._whole)


def path_for(definition: str) -> str:
    """The lock file of a `dvc.yaml`: the one beside it."""
    return definition.removesuffix("dvc.yaml") + "dvc.lock"


def read(path: Path) -> dict[str, LockedStage]:
    """Read a lock file; no file is an empty one.

    Raises:
        InvalidError: It is malformed, or of another schema.
    """
    return _Data(path).stages()


def write_stage(path: Path, name: str, stage: LockedStage) -> None:
    """Replace one stage's entry, atomically; everything else in the file stays as it is."""
    data = _Data(path)
    data.put({name: entry_of(stage)})
    write_atomically(path, data.dump())


def _entries(data: Any, path: Path) -> dict[Any, Any]:
    if not isinstance(data, dict):
        raise InvalidError(f"{path}: the top level must be a mapping, found {type(data).__name__}")
    if not data:
        return {}
    if data.get("schema") != SCHEMA:
        raise InvalidError(
            f"{path}: schema must be '{SCHEMA}', found {data.get('schema')!r}",
            hint="remove the file to run all stages again; the data stay in the cache",
        )
    stages = data.get("stages") or {}
    if not isinstance(stages, dict):
        raise InvalidError(f"{path}: stages must be a mapping, found {type(stages).__name__}")
    return stages


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


def read_entry(entry: Any, where: str) -> LockedStage:
    """Read the entry of one stage.

    Args:
        entry: As YAML has it.
        where: It stands, for errors.

    Raises:
        InvalidError: It is malformed.
    """
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
