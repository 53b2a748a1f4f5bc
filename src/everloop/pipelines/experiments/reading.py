"""Read what `states.py` describes out of trees, each distinct file once, however many commits have it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from everloop.errors import EverloopError, InvalidError
from everloop.pipelines import definition, lockfile, params
from everloop.pipelines.definition import Definition
from everloop.pipelines.experiments.states import Data, Dep, FileResult, Made, Problem, Shown
from everloop.pipelines.params import MISSING
from everloop.pipelines.readings import expanded, measured, problem_of
from everloop.pipelines.tree import Tree, pipeline_files
from everloop.pipelines.values import DEFAULT_PARAMS_FILE, OutKind, Stage
from everloop.workspace import DvcFile, dvcfile, valuefiles
from everloop.workspace.objectid import digits
from everloop.workspace.walk import DVC_SUFFIX
from everloop.workspace.yamlfile import parse_plain


class Reader:
    """Remembers what it has read.

    Args:
        param_deps: Only those parameters that stages depend on.
    """

    def __init__(self, *, param_deps: bool = False) -> None:
        self._param_deps = param_deps
        self._values: dict[tuple[str, bytes], FileResult] = {}
        self._locks: dict[bytes, dict[str, dict[str, Any]]] = {}
        self._data: dict[tuple[str, bytes], DvcFile] = {}
        self._definitions: dict[tuple[str, bytes], _Remembered] = {}

    def read(self, tree: Tree, rev: str, *, timestamp: str | None = None, name: str | None = None) -> Shown:
        """The state of a tree; what is wrong with its pipelines is told in it."""
        try:
            return Shown(rev=rev, name=name, data=self._read(tree, rev, timestamp))
        except EverloopError as error:
            return Shown(rev=rev, name=name, error=Problem(msg=error.message, type=type(error).__name__))

    def _read(self, tree: Tree, rev: str, timestamp: str | None) -> Data:
        described = tree.described()
        pipelines = [self._definition(tree, file) for file in pipeline_files(_Described(tree, described))]
        stages = [stage for pipeline in pipelines for stage in pipeline.stages]
        metrics = [out.path for stage in stages for out in stage.outs if out.kind is OutKind.METRIC]
        metrics += [path for pipeline in pipelines for path in pipeline.metrics]
        deps, outs = self._records(tree, stages)
        sources = {
            path: made for file in described if file.endswith(DVC_SUFFIX) for path, made in self._dvc(tree, file)
        }
        return Data(
            rev=rev,
            timestamp=timestamp,
            params=dict(self._params(tree, pipelines)),
            metrics={
                file: {"data": measured(found["data"])} if "data" in found else found
                for path in dict.fromkeys(metrics)
                for file, found in self._files(tree, path)
            },
            deps=deps,
            outs={**sources, **outs},
        )

    def _params(self, tree: Tree, pipelines: list[Definition]) -> Iterator[tuple[str, FileResult]]:
        wanted: dict[str, list[str]] = {}
        for pipeline in pipelines:
            for item in (item for stage in pipeline.stages for item in stage.params):
                # As DVC merges them: no key is all of the file, until another stage names some.
                wanted[item.path] = [*wanted.get(item.path, []), *item.keys] if item.keys else []
        if not self._param_deps:
            wanted |= {path: [] for pipeline in pipelines for path in pipeline.params}
            if tree.read(DEFAULT_PARAMS_FILE) is not None:
                wanted[DEFAULT_PARAMS_FILE] = []
        for path, keys in wanted.items():
            for file, found in self._files(tree, path):
                has_keys = keys and isinstance(found.get("data"), dict)
                yield file, {"data": _part(found["data"], keys)} if has_keys else found

    def _files(self, tree: Tree, path: str) -> Iterator[tuple[str, FileResult]]:
        """A file, or all that lie in a folder, which is found out only where no file is."""
        found = self._file(tree, path)
        for file in expanded(tree, [path]) if "error" in found else [path]:
            yield file, self._file(tree, file)

    def _file(self, tree: Tree, path: str) -> FileResult:
        try:
            data = tree.read(path)
        except InvalidError as error:
            return {"error": Problem(msg=error.message, type="IsADirectoryError")}
        if data is None:
            missing = f"[Errno 2] No such file or directory: '{path}'"
            return {"error": Problem(msg=missing, type="FileNotFoundError")}
        if (path, data) not in self._values:
            self._values[path, data] = _parsed(path, data)
        return self._values[path, data]

    def _definition(self, tree: Tree, file: str) -> Definition:
        text = tree.read(file) or b""
        remembered = self._definitions.setdefault((file, text), _Remembered())
        return remembered.of(tree, file)

    def _records(self, tree: Tree, stages: list[Stage]) -> tuple[dict[str, Dep], dict[str, Made]]:
        deps: dict[str, Dep] = {}
        outs: dict[str, Made] = {}
        for stage in stages:
            entry = self._lock(tree, lockfile.path_for(stage.file)).get(stage.name, {})
            read, made = _by_path(entry.get("deps")), _by_path(entry.get("outs"))
            for dep in stage.deps:
                deps[dep.path] = Dep(**_content(read.get(dep.written, {})))
            for out in stage.outs:
                if out.kind is OutKind.OUT:
                    content = _content(made.get(out.written, {}))
                    outs[out.path] = Made(**content, use_cache=out.is_cached, is_data_source=False)
        return deps, outs

    def _lock(self, tree: Tree, path: str) -> dict[str, dict[str, Any]]:
        data = tree.read(path)
        if data is None:
            return {}
        if data not in self._locks:
            read = parse_plain(data.decode("utf-8", "replace"), path)
            stages = read.get("stages") if isinstance(read, dict) else None
            self._locks[data] = {str(name): entry for name, entry in (stages or {}).items() if isinstance(entry, dict)}
        return self._locks[data]

    def _dvc(self, tree: Tree, file: str) -> Iterator[tuple[str, Made]]:
        data = tree.read(file) or b""
        if (file, data) not in self._data:
            self._data[file, data] = dvcfile.parse(data.decode("utf-8", "replace"), file, file)
        for out in self._data[file, data].outs:
            content = out.content
            yield (
                out.path,
                Made(
                    hash=digits(content.md5) if content else None,
                    size=content.size_bytes if content else None,
                    nfiles=content.n_files if content else None,
                    use_cache=out.is_cached,
                    is_data_source=True,
                ),
            )


class _Described:
    """A tree whose descriptions are known already."""

    def __init__(self, tree: Tree, described: list[str]) -> None:
        self.name = tree.name
        self.root = tree.root
        self.options = tree.options
        self._tree = tree
        self._described = described

    def described(self) -> list[str]:
        return self._described

    def read(self, path: str) -> bytes | None:
        return self._tree.read(path)

    def below(self, path: str) -> list[str]:
        return self._tree.below(path)


class Watched(_Described):
    """A tree that notes which files were read, in `seen`."""

    def __init__(self, tree: Tree) -> None:
        super().__init__(tree, [])
        self.seen: dict[str, bytes | None] = {}

    def described(self) -> list[str]:
        return self._tree.described()

    def read(self, path: str) -> bytes | None:
        self.seen[path] = self._tree.read(path)
        return self.seen[path]


class _Remembered:
    """What one text of a `dvc.yaml` has meant: it depends on the files that it names, as far as it does."""

    def __init__(self) -> None:
        self._paths: tuple[str, ...] = ()
        self._known: dict[tuple[bytes | None, ...], Definition] = {}

    def of(self, tree: Tree, file: str) -> Definition:
        key = tuple(tree.read(path) for path in self._paths)
        if key not in self._known:
            watched = Watched(tree)
            found = definition.read(watched, file)
            if tuple(watched.seen) != self._paths:
                self._paths, self._known = tuple(watched.seen), {}
            self._known[tuple(watched.seen.values())] = found
            return found
        return self._known[key]


def _parsed(path: str, data: bytes) -> FileResult:
    try:
        return {"data": valuefiles.parse_any(data.decode(), path)}
    except UnicodeDecodeError as error:
        return {"error": Problem(msg=f"{path} is not UTF-8 text: {error}", type="UnicodeDecodeError")}
    except EverloopError as error:
        return {"error": Problem(msg=error.message, type=problem_of(error, path).kind)}


def _part(values: dict[str, Any], keys: list[str]) -> dict[str, Any]:
    """The values of dotted keys, each at its place; what is not there is left out."""
    found: dict[str, Any] = {}
    for key in keys:
        value = params.lookup(values, key)
        if value is MISSING:
            continue
        *sections, last = key.split(".")
        place = found
        for section in sections:
            place = place.setdefault(section, {})
        place[last] = value
    return found


def _by_path(items: Any) -> dict[str, dict[str, Any]]:
    return {item["path"]: item for item in items or () if isinstance(item, dict) and "path" in item}


def _content(item: dict[str, Any]) -> dict[str, Any]:
    """What an entry of `dvc.lock` records of the bytes."""
    kinds = ("md5", "etag", "checksum")
    found = next((item[kind] for kind in kinds if kind in item), None)
    return {"hash": found, "size": item.get("size"), "nfiles": item.get("nfiles")}
