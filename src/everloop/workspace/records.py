"""Everything that the files of a workspace record as data: the outs of `.dvc` files, and those of pipelines.

Of `dvc.yaml` and `dvc.lock` only the outs are read here, and leniently: where they lie, what they hold, how they are
kept. Stages, and telling what is wrong with a `dvc.yaml`, belong to the pipelines.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from everloop.workspace import dvcfile, families, yamlfile
from everloop.workspace.cloudentry import read_versions
from everloop.workspace.templating import Reader
from everloop.workspace.values import Out
from everloop.workspace.walk import DVC_SUFFIX, PIPELINE_FILE

LOCK_FILE = "dvc.lock"
_MEASURES = ("metrics", "plots")
_LISTS = ("outs", *_MEASURES)
# An option that nobody writes: which list an out stands in.
_KIND = "<kind>"


def is_record(name: str) -> bool:
    """Whether a file of that name (without its folders) records data."""
    return name in (PIPELINE_FILE, LOCK_FILE) or (name.endswith(DVC_SUFFIX) and name != DVC_SUFFIX)


def outs_on_disk(root: Path, files: Iterable[str]) -> list[Out]:
    """The outs of `.dvc` and `dvc.yaml` files as they are now.

    Args:
        root: The workspace.
        files: Their paths, relative to it.

    Raises:
        InvalidError: One is malformed or uses something that is not supported.
    """

    def read(path: str) -> str | None:
        file = root / path
        return yamlfile.read_text(file) if file.exists() else None

    return [out for path in files for out in outs_of(path, read, f"{root}/")]


def outs_of(path: str, read: Reader, where: str = "") -> list[Out]:
    """The outs of one `.dvc` file, or of one `dvc.yaml` with the `dvc.lock` beside it.

    Args:
        path: Of the file, relative to the workspace.
        read: Reads it, the lock, and the files of variables.
        where: What to put before the path in an error, as `main: `.

    Raises:
        InvalidError: It is malformed or uses something that is not supported.
        NotFoundError: There is no such file.
    """
    text = read(path) or ""
    if path.endswith(DVC_SUFFIX):
        return list(dvcfile.parse(text, path, where + path).outs)
    lock_path = path.removesuffix(PIPELINE_FILE) + LOCK_FILE
    definition = yamlfile.parse_plain(text, where + path)
    lock = yamlfile.parse_plain(read(lock_path) or "", where + lock_path)
    declared = families.expand(
        _mapping(definition), path, families.variables_of(_mapping(definition), path, read), _place(where + path)
    )
    return list(_pipeline_outs(declared, lock, PurePosixPath(path).parent, where + lock_path))


def measures_on_disk(root: Path, files: Iterable[str]) -> dict[str, set[str]]:
    """The paths that `dvc.yaml` files declare as measures beside their stages: `{"metrics": paths, "plots": paths}`.

    Args:
        root: The workspace.
        files: Paths of its `dvc.yaml` and other files, relative to it.

    Raises:
        InvalidError: One is malformed.
    """
    found: dict[str, set[str]] = {key: set() for key in _MEASURES}
    for file in files:
        if file.rpartition("/")[2] != PIPELINE_FILE:
            continue
        definition = _mapping(yamlfile.load_plain(root / file))
        for key in _MEASURES:
            listed = definition.get(key)
            for item in listed if isinstance(listed, list) else ():
                paths = (str(path) for path in _sources(item))
                found[key] |= {dvcfile.inside(PurePosixPath(file).parent, path, f"{root}/{file}") for path in paths}
    return found


def _sources(item: Any) -> Iterator[Any]:
    """The files that an entry of a list of metrics or plots names."""
    if not isinstance(item, dict):
        yield item
    for name, options in item.items() if isinstance(item, dict) else ():
        axes = [axis for key in ("x", "y") if isinstance(axis := _mapping(options).get(key), dict)]
        yield from (path for axis in axes for path in axis) if axes else (name,)


def _pipeline_outs(
    declared: Iterable[families.Declared], lock: Any, folder: PurePosixPath, where: str
) -> Iterator[Out]:
    """What the lock has of the declared outs; one that is declared no more is not restored either."""
    recorded = _mapping(_mapping(lock).get("stages"))
    for stage in declared:
        place = f"{where}: stage {stage.name}"
        base = PurePosixPath(dvcfile.inside(folder, str(stage.body.get("wdir") or "."), place))
        items = {
            str(item.get("path")): item
            for item in _mapping(recorded.get(stage.name)).get("outs") or ()
            if isinstance(item, dict)
        }
        for written, options in _declared(stage.body):
            yield _out(base, written, items.get(written, {}), options, place)


def _place(file: str) -> families.Where:
    return lambda _, key, stage: f"{file}: {f'stage {stage}: ' if stage else ''}{key}"


def _out(base: PurePosixPath, written: str, item: dict[str, Any], options: Mapping[str, Any], where: str) -> Out:
    return Out(
        path=dvcfile.inside(base, written, where),
        content=dvcfile.read_content(item, f"{where}: {written}"),
        is_cached=bool(options.get("cache", True)),
        is_pushed=bool(options.get("push", True)),
        remote=options.get("remote"),
        kind=options.get(_KIND, ""),
        versions=read_versions(item, f"{where}: {written}"),
    )


def _declared(stage: dict[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for key in _LISTS:
        listed = stage.get(key)
        kind = {_KIND: key} if key in _MEASURES else {}
        for item in listed if isinstance(listed, list) else ():
            if isinstance(item, dict):
                yield from ((str(path), {**_mapping(options), **kind}) for path, options in item.items())
            else:
                yield str(item), kind


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
