"""The keys of one stage of a `dvc.yaml`, every `${...}` in them replaced, made into a `Stage`.

Source: dvc 3.67 (`schema.py`, `stage/loader.py`).
"""

from __future__ import annotations

import posixpath
from collections.abc import Callable
from pathlib import PurePosixPath
from typing import Any

from everloop.errors import InvalidError
from everloop.pipelines.values import DEFAULT_PARAMS_FILE, OutKind, ParamsFile, Stage, StageOut, StagePath
from everloop.plaintext import nearest
from everloop.workspace.dvcfile import inside
from everloop.workspace.families import Declared, Where

# As the YAML reader makes it; with the lines of its keys when the slow one has read it.
Mapping = dict[Any, Any]

_KEYS = {
    "cmd", "wdir", "deps", "params", "outs", "metrics", "plots", "frozen", "always_changed", "desc", "meta", "vars",
    "foreach", "do", "matrix",
}  # fmt: skip
_OUT_OPTIONS: dict[str, type] = {
    "cache": bool, "persist": bool, "checkpoint": bool, "push": bool, "remote": str, "desc": str, "type": str,
    "labels": list, "meta": object,
}  # fmt: skip
_PLOT_OPTIONS: dict[str, type] = {
    "template": str, "x": str, "y": str, "x_label": str, "y_label": str, "title": str, "header": bool,
}  # fmt: skip


def check_keys(declared: Declared, where: Where) -> None:
    """Refuse keys of a stage, or of its family, that nobody knows.

    Args:
        declared: The stage, or one of the family.
        where: Names the place of a key.

    Raises:
        InvalidError: There is one; names the nearest that is known.
    """
    for key in declared.source:
        require_known(key, _KEYS, where(declared.source, key, declared.group))


def stage(declared: Declared, file: str, root: str, where: Where) -> Stage:
    """Make the stage.

    Args:
        declared: Its keys and values.
        file: The `dvc.yaml`, relative to the workspace's root.
        root: The workspace, absolute.
        where: Names the place of a key in an error.

    Raises:
        InvalidError: A value is of the wrong kind, or a path leaves the workspace.
    """
    return _Body(declared, file, root, where).stage()


class _Body:
    """The keys of one stage."""

    def __init__(self, declared: Declared, file: str, root: str, where: Where) -> None:
        self._declared = declared
        self._data = declared.body
        self._file = file
        self._root = root
        self._where_of = where

    def stage(self) -> Stage:
        folder = PurePosixPath(self._file).parent
        if self._data.get("wdir") is not None:
            folder = PurePosixPath(inside(folder, self._typed("wdir", str, "."), self._where("wdir")) or ".")
        return Stage(
            name=self._declared.name,
            file=self._file,
            command=self._command(),
            folder=str(folder),
            deps=tuple(self._read_path(folder, text, "deps") for text in self._strings("deps")),
            params=self._params(folder),
            outs=tuple(out for kind in OutKind if kind in self._data for out in self._outs(kind, folder)),
            is_frozen=self._typed("frozen", bool, False),
            is_always_changed=self._typed("always_changed", bool, False),
            description=self._typed("desc", str, ""),
            meta=self._data.get("meta"),
        )

    def _where(self, key: str) -> str:
        return self._where_of(self._declared.source, key, self._declared.name)

    def _command(self) -> str | tuple[str, ...]:
        command = self._data.get("cmd")
        if isinstance(command, str) and command.strip():
            return str(command)
        if isinstance(command, list) and command and all(isinstance(item, str) and item.strip() for item in command):
            return tuple(str(item) for item in command)
        raise InvalidError(f"{self._where('cmd')}: must be a shell command or a list of them, found {command!r}")

    def _params(self, folder: PurePosixPath) -> tuple[ParamsFile, ...]:
        keys: dict[str, list[str] | None] = {}
        for item in self._list("params"):
            if isinstance(item, str):
                _extend(keys, DEFAULT_PARAMS_FILE, [item])
            elif isinstance(item, dict):
                for name, wanted in item.items():
                    _extend(keys, str(name), self._wanted(name, wanted))
            else:
                raise InvalidError(
                    f"{self._where('params')}: an item must be a key, or a file with a list of keys; found {item!r}"
                )
        return tuple(
            ParamsFile(
                written=name,
                path=self._read_path(folder, name, "params").path,
                keys=None if wanted is None else tuple(dict.fromkeys(wanted)),
            )
            for name, wanted in keys.items()
        )

    def _read_path(self, folder: PurePosixPath, text: str, key: str) -> StagePath:
        """A path that is only read: it may lie outside of the workspace, and is absolute then."""
        if "://" in text:
            raise InvalidError(
                f"{self._where(key)}: {text!r} is an address, which a stage cannot depend on",
                hint=f"bring it here and keep it up to date: ever import-url {text}",
            )
        joined = posixpath.normpath(f"{folder}/{text}")
        if text.startswith("/") or joined == ".." or joined.startswith("../"):
            return StagePath(written=text, path=posixpath.normpath(posixpath.join(self._root, str(folder), text)))
        return _path(folder, text, self._where, key)

    def _wanted(self, name: Any, wanted: Any) -> list[str] | None:
        if wanted is None or (isinstance(wanted, list) and all(isinstance(key, str) for key in wanted)):
            return wanted
        raise InvalidError(f"{self._where('params')}: the keys of {name} must be a list of strings, found {wanted!r}")

    def _outs(self, kind: OutKind, folder: PurePosixPath) -> list[StageOut]:
        allowed = _OUT_OPTIONS | (_PLOT_OPTIONS if kind is OutKind.PLOT else {})
        outs = []
        for item in self._list(kind):
            pairs = [(item, {})] if isinstance(item, str) else list(item.items()) if isinstance(item, dict) else None
            if pairs is None:
                raise InvalidError(
                    f"{self._where(kind)}: an item must be a path, or a path with options; found {item!r}"
                )
            outs += [self._out(str(path), options, allowed, kind, folder) for path, options in pairs]
        return outs

    def _out(self, path: str, options: Any, allowed: dict[str, type], kind: OutKind, folder: PurePosixPath) -> StageOut:
        if options:
            # A plot may have several sets of options; what is kept of it is said in the first.
            for each in options if kind is OutKind.PLOT and isinstance(options, list) else [options]:
                _check_options(each, allowed, f"{self._where(kind)}: {path}")
            options = options[0] if isinstance(options, list) else options
        said = options or {}
        return StageOut(
            written=path,
            path=_path(folder, path, self._where, kind).path,
            is_cached=said.get("cache", True),
            is_persistent=said.get("persist", False),
            is_pushed=said.get("push", True),
            remote=said.get("remote"),
            kind=kind,
            plot={key: said[key] for key in _PLOT_OPTIONS if key in said} if said else {},
        )

    def _list(self, key: str) -> list[Any]:
        value = self._data.get(key)
        return value if isinstance(value, list) else listed(value, self._where(key))

    def _strings(self, key: str) -> list[str]:
        value = self._data.get(key)
        return strings(value, self._where(key)) if value else []

    def _typed(self, key: str, kind: type, default: Any) -> Any:
        if key not in self._data:
            return default
        value = self._data[key]
        if not isinstance(value, kind):
            raise InvalidError(f"{self._where(key)}: must be {_spoken(kind)}, found {value!r}")
        return str(value) if kind is str else value


def listed(value: Any, place: str) -> list[Any]:
    """A value that must be a list; None is an empty one.

    Raises:
        InvalidError: It is none; `place` is where.
    """
    if value is None:
        return []
    if not isinstance(value, list):
        raise InvalidError(f"{place}: must be a list, found {type(value).__name__}")
    return value


def strings(value: Any, place: str) -> list[str]:
    """A value that must be a list of strings; numbers that `${...}` has left are written out.

    Raises:
        InvalidError: It is none; `place` is where.
    """
    items = listed(value, place)
    for item in items:
        if not isinstance(item, str | int | float):
            raise InvalidError(f"{place}: must be a list of strings, found {item!r}")
    return [str(item) for item in items]


def require_known(key: Any, known: set[str], place: str) -> None:
    """Refuse a key that nobody knows.

    Raises:
        InvalidError: It is none of the known; names the nearest.
    """
    if key not in known:
        near = nearest(str(key), sorted(known))
        meant = f"; do you mean {near!r}?" if near else ""
        raise InvalidError(f"{place}: the key {key!r} is not known{meant}")


def where_of(file: str, data: Any, key: Any, stage: str) -> str:
    """What to call a key of a mapping in an error: the file, the line when it is known, the stage, the key."""
    places = getattr(data, "lc", None)
    line = f", line {places.key(key)[0] + 1}" if places is not None and key in (places.data or {}) else ""
    return f"{file}{line}: {f'stage {stage}: ' if stage else ''}{key}"


def _extend(keys: dict[str, list[str] | None], name: str, wanted: list[str] | None) -> None:
    known = keys.get(name, [])
    # All of a file includes any key of it.
    keys[name] = None if known is None or not wanted else known + wanted


def _check_options(options: Any, allowed: dict[str, type], where: str) -> None:
    if not isinstance(options, dict):
        raise InvalidError(f"{where}: options must be a mapping, as `cache: false`; found {options!r}")
    for key, value in options.items():
        require_known(key, set(allowed), where)
        if not isinstance(value, allowed[key]):
            raise InvalidError(f"{where}: {key} must be {_spoken(allowed[key])}, found {value!r}")


def _path(base: PurePosixPath, text: str, where: Callable[[str], str], key: str) -> StagePath:
    try:
        path = inside(base, text, key)
    except InvalidError:
        # The place is made only when it is wanted: there may be thousands of stages.
        path = inside(base, text, where(key))
    if not path:
        raise InvalidError(f"{where(key)}: {text!r} is the workspace itself")
    return StagePath(written=text, path=path)


def _spoken(kind: type) -> str:
    return {bool: "true or false", str: "a string", list: "a list"}.get(kind, kind.__name__)
