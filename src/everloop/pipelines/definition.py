"""Read `dvc.yaml` into stages. What is not supported yet is named and refused, never passed over.

Source: dvc 3.67 (`schema.py`). Leaves how stages hang together to `graph.py`.
"""

from __future__ import annotations

import re
import string
from pathlib import PurePosixPath
from typing import Any

from everloop.errors import InvalidError, NotFoundError
from everloop.pipelines.tree import Tree, text_of, where
from everloop.pipelines.values import DEFAULT_PARAMS_FILE, OutKind, ParamsFile, Stage, StageOut, StagePath
from everloop.plaintext import nearest
from everloop.workspace.dvcfile import inside
from everloop.workspace.yamlfile import parse_editable_mapping, parse_simple

# As the YAML reader makes it; with the lines of its keys when the slow one has read it.
Mapping = dict[Any, Any]

_TEMPLATE = re.compile(r"(?<!\\)\$\{")
_TOP_KEYS = {"stages", "params", "metrics"}
_TOP_UNSUPPORTED = {"vars", "plots", "artifacts", "datasets"}
_STAGE_KEYS = {
    "cmd", "wdir", "deps", "params", "outs", "metrics", "plots", "frozen", "always_changed", "desc", "meta",
}  # fmt: skip
_STAGE_UNSUPPORTED = {"foreach", "do", "matrix", "vars"}
_OUT_OPTIONS: dict[str, type] = {
    "cache": bool, "persist": bool, "checkpoint": bool, "push": bool, "remote": str, "desc": str, "type": str,
    "labels": list, "meta": object,
}  # fmt: skip
_PLOT_OPTIONS: dict[str, type] = {
    "template": str, "x": str, "y": str, "x_label": str, "y_label": str, "title": str, "header": bool,
}  # fmt: skip
_FORBIDDEN_IN_NAMES = set(string.punctuation) - {"_", "-"}


class Definition:
    """One `dvc.yaml`: its stages in order, and the further params and metrics files that it names."""

    def __init__(self, stages: list[Stage], params: list[str], metrics: list[str]) -> None:
        self.stages = stages
        self.params = params
        self.metrics = metrics


def read(tree: Tree, file: str) -> Definition:
    """Read a `dvc.yaml`.

    Args:
        tree: Where it lies.
        file: Its path relative to the root.

    Raises:
        NotFoundError: There is no such file.
        InvalidError: Something is malformed or not supported; names the file, the line, the stage and the key.
    """
    text = text_of(tree, file)
    if text is None:
        raise NotFoundError(f"{where(tree, file)} does not exist")
    data = parse_simple(text)
    if isinstance(data, dict):
        try:
            return _definition(data, file)
        except InvalidError:
            # Read again, by the slow reader that knows the lines: the message is to name one.
            return _definition(parse_editable_mapping(text, where(tree, file)), file)
    return _definition(parse_editable_mapping(text, where(tree, file)), file)


def _definition(data: Mapping, file: str) -> Definition:
    _check_keys(data, _TOP_KEYS, _TOP_UNSUPPORTED, file, "")
    folder = PurePosixPath(file).parent
    listed: dict[str, list[str]] = {}
    for key in ("params", "metrics"):
        names = _strings(data, key, file, "")
        listed[key] = [inside(folder, name, _where(file, data, key, "")) for name in names]
    stages = data.get("stages") or {}
    if not isinstance(stages, dict):
        raise InvalidError(f"{_where(file, data, 'stages', '')}: must be a mapping of names to stages")
    return Definition([_stage(stages, name, file) for name in stages], **listed)


def _stage(stages: Mapping, name: Any, file: str) -> Stage:
    data = stages[name]
    where = _where(file, stages, name, "")
    if not isinstance(name, str) or not name or _FORBIDDEN_IN_NAMES & set(name):
        raise InvalidError(f"{where}: a stage's name has only letters, digits, - and _; found {name!r}")
    if not isinstance(data, dict):
        raise InvalidError(f"{where}: a stage must be a mapping of keys, found {type(data).__name__}")
    _check_keys(data, _STAGE_KEYS, _STAGE_UNSUPPORTED, file, name)
    _refuse_templates(data, file, name)
    folder = inside(PurePosixPath(file).parent, _typed(data, "wdir", str, ".", file, name), where) or "."
    base = PurePosixPath(folder)
    return Stage(
        name=name,
        file=file,
        command=_command(data, file, name),
        folder=folder,
        deps=tuple(_path(base, text, _where(file, data, "deps", name)) for text in _strings(data, "deps", file, name)),
        params=_params(data, base, file, name),
        outs=tuple(out for kind in OutKind for out in _outs(data, kind, base, file, name)),
        is_frozen=_typed(data, "frozen", bool, False, file, name),
        is_always_changed=_typed(data, "always_changed", bool, False, file, name),
        description=_typed(data, "desc", str, "", file, name),
    )


def _command(data: Mapping, file: str, stage: str) -> str | tuple[str, ...]:
    command = data.get("cmd")
    if isinstance(command, str) and command.strip():
        return _text(command)
    if isinstance(command, list) and command and all(isinstance(item, str) and item.strip() for item in command):
        return tuple(_text(item) for item in command)
    where = _where(file, data, "cmd", stage)
    raise InvalidError(f"{where}: cmd must be a shell command or a list of them, found {command!r}")


def _params(data: Mapping, base: PurePosixPath, file: str, stage: str) -> tuple[ParamsFile, ...]:
    where = _where(file, data, "params", stage)
    keys: dict[str, list[str] | None] = {}
    for item in _list(data, "params", file, stage):
        if isinstance(item, str):
            _extend(keys, DEFAULT_PARAMS_FILE, [_text(item)])
        elif isinstance(item, dict):
            for name, wanted in item.items():
                if wanted is not None and not (isinstance(wanted, list) and all(isinstance(k, str) for k in wanted)):
                    raise InvalidError(f"{where}: the keys of {name} must be a list of strings, found {wanted!r}")
                _extend(keys, str(name), None if wanted is None else [_text(key) for key in wanted])
        else:
            raise InvalidError(f"{where}: an item must be a key, or a file with a list of keys; found {item!r}")
    return tuple(
        ParamsFile(
            written=name,
            path=_path(base, name, where).path,
            keys=None if wanted is None else tuple(dict.fromkeys(wanted)),
        )
        for name, wanted in keys.items()
    )


def _extend(keys: dict[str, list[str] | None], name: str, wanted: list[str] | None) -> None:
    known = keys.get(name, [])
    # All of a file includes any key of it.
    keys[name] = None if known is None or not wanted else known + wanted


def _outs(data: Mapping, kind: OutKind, base: PurePosixPath, file: str, stage: str) -> list[StageOut]:
    allowed = _OUT_OPTIONS | (_PLOT_OPTIONS if kind is OutKind.PLOT else {})
    where = _where(file, data, kind, stage)
    outs = []
    for item in _list(data, kind, file, stage):
        pairs = [(item, {})] if isinstance(item, str) else list(item.items()) if isinstance(item, dict) else None
        if pairs is None:
            raise InvalidError(f"{where}: an item must be a path, or a path with options; found {item!r}")
        for path, options in pairs:
            _check_options(options, allowed, f"{where}: {path}")
            outs.append(
                StageOut(
                    written=_text(str(path)),
                    path=_path(base, _text(str(path)), where).path,
                    is_cached=options.get("cache", True),
                    is_persistent=options.get("persist", False),
                    kind=kind,
                )
            )
    return outs


def _check_options(options: Any, allowed: dict[str, type], where: str) -> None:
    if not isinstance(options, dict):
        raise InvalidError(f"{where}: options must be a mapping, as `cache: false`; found {options!r}")
    for key, value in options.items():
        if key not in allowed:
            raise InvalidError(f"{where}: the option {key!r} is not known{_suggestion(str(key), allowed)}")
        if not isinstance(value, allowed[key]):
            raise InvalidError(f"{where}: {key} must be {_spoken(allowed[key])}, found {value!r}")


def _path(base: PurePosixPath, text: str, where: str) -> StagePath:
    path = inside(base, text, where)
    if not path:
        raise InvalidError(f"{where}: {text!r} is the workspace itself")
    return StagePath(written=text, path=path)


def _check_keys(data: Mapping, known: set[str], unsupported: set[str], file: str, stage: str) -> None:
    for key in data:
        if key in unsupported:
            raise InvalidError(f"{_where(file, data, key, stage)} is not supported yet")
        if key not in known:
            where = _where(file, data, key, stage)
            raise InvalidError(f"{where}: the key {key!r} is not known{_suggestion(str(key), known)}")


def _refuse_templates(data: Mapping, file: str, stage: str) -> None:
    for key, value in data.items():
        for text in _all_strings(value):
            if _TEMPLATE.search(text):
                raise InvalidError(
                    f"{_where(file, data, key, stage)}: templating (${{...}}) is not supported yet; found {text!r}",
                    hint="write the value itself; for a variable of the shell write \\${NAME}",
                )


def _all_strings(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    if isinstance(value, dict):
        return [text for pair in value.items() for part in pair for text in _all_strings(part)]
    if isinstance(value, list):
        return [text for item in value for text in _all_strings(item)]
    return []


def _list(data: Mapping, key: str, file: str, stage: str) -> list[Any]:
    value = data.get(key)
    if value is None:
        return []
    if not isinstance(value, list):
        raise InvalidError(f"{_where(file, data, key, stage)}: must be a list, found {type(value).__name__}")
    return value


def _strings(data: Mapping, key: str, file: str, stage: str) -> list[str]:
    items = _list(data, key, file, stage)
    for item in items:
        if not isinstance(item, str):
            raise InvalidError(f"{_where(file, data, key, stage)}: must be a list of strings, found {item!r}")
    return [_text(item) for item in items]


def _typed(data: Mapping, key: str, kind: type, default: Any, file: str, stage: str) -> Any:
    value = data.get(key, default)
    if not isinstance(value, kind):
        raise InvalidError(f"{_where(file, data, key, stage)}: must be {_spoken(kind)}, found {value!r}")
    return str(value) if kind is str else value


def _text(value: str) -> str:
    """The string without its YAML style, and with `\\${` turned into `${` as DVC does."""
    return str(value).replace("\\${", "${")


def _where(file: str, data: Mapping, key: Any, stage: str) -> str:
    places = getattr(data, "lc", None)
    line = f", line {places.key(key)[0] + 1}" if places is not None and key in (places.data or {}) else ""
    return f"{file}{line}: {f'stage {stage}: ' if stage else ''}{key}"


def _spoken(kind: type) -> str:
    return {bool: "true or false", str: "a string", list: "a list"}.get(kind, kind.__name__)


def _suggestion(key: str, known: Any) -> str:
    near = nearest(key, sorted(known))
    return f"; do you mean {near!r}?" if near else ""
