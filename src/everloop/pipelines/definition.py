"""Read `dvc.yaml`: its stages, of families each, and what it names beside them.

Source: dvc 3.67 (`schema.py`). Leaves the keys of one stage to `declaration.py`, `${...}`, `foreach` and `matrix` to
the workspace, and how stages hang together to `graph.py`.
"""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Any

from everloop.errors import InvalidError, NotFoundError
from everloop.pipelines import declaration
from everloop.pipelines.declaration import Mapping, strings, where_of
from everloop.pipelines.tree import Tree, text_of, where
from everloop.pipelines.values import Stage
from everloop.workspace import families
from everloop.workspace.dvcfile import inside
from everloop.workspace.templating import Variables
from everloop.workspace.yamlfile import parse_editable_mapping, parse_simple

_TOP_KEYS = {"stages", "vars", "params", "metrics", "plots", "artifacts", "datasets"}
_PLOT_KEYS = {"x", "y", "x_label", "y_label", "title", "template"}
_ARTIFACT_KEYS = {"path", "desc", "type", "labels", "meta"}
# More of them than anybody can want; a few lines of YAML may ask for any number.
_MOST_STAGES = 100_000


class Definition:
    """One `dvc.yaml`.

    Attributes:
        stages: In the order of the file.
        params: Further files of parameters, relative to the workspace's root.
        metrics: Further files of metrics, likewise.
        plots: Further plots: an id or a path relative to the file, and the options.
        artifacts: Named results: `{name: {"path": relative to the file, ...}}`.
    """

    def __init__(
        self,
        stages: list[Stage],
        params: list[str],
        metrics: list[str],
        plots: list[tuple[str, dict[str, Any]]],
        artifacts: dict[str, dict[str, Any]],
    ) -> None:
        self.stages = stages
        self.params = params
        self.metrics = metrics
        self.plots = plots
        self.artifacts = artifacts


def read(tree: Tree, file: str) -> Definition:
    """Read a `dvc.yaml`.

    Args:
        tree: Where it lies.
        file: Its path relative to the root.

    Raises:
        NotFoundError: There is no such file.
        InvalidError: Something is malformed; names the file, the line, the stage and the key.
    """
    text = text_of(tree, file)
    if text is None:
        raise NotFoundError(f"{where(tree, file)} does not exist")
    data = parse_simple(text)
    if isinstance(data, dict):
        try:
            return _Reader(tree, file).definition(data)
        except InvalidError:
            # Read again, by the slow reader that knows the lines: the message is to name one.
            pass
    return _Reader(tree, file).definition(parse_editable_mapping(text, where(tree, file)))


def declared_at(tree: Tree, stage: Stage) -> str:
    """Where a stage is written, as `dvc.yaml, line 3`. The file is read again, slowly: for messages only.

    Args:
        tree: In which it lies.
        stage: Read from there.
    """
    # Here, as few commands end in such a message.
    from everloop.pipelines.stagefile import place_in

    name = where(tree, stage.file)
    text = text_of(tree, stage.file)
    return place_in(name, parse_editable_mapping(text, name), stage.name) if text is not None else name


class _Reader:
    """Reads one file."""

    def __init__(self, tree: Tree, file: str) -> None:
        self._tree = tree
        self._file = file
        self._folder = PurePosixPath(file).parent

    def definition(self, data: Mapping) -> Definition:
        for key in data:
            declaration.require_known(key, _TOP_KEYS, self._where(data, key, ""))
        if not isinstance(data.get("stages") or {}, dict):
            raise InvalidError(f"{self._where(data, 'stages', '')}: must be a mapping of names to stages")
        variables = families.variables_of(data, self._file, lambda path: text_of(self._tree, path), self._tree.options)
        return Definition(
            stages=self._stages(data, variables),
            params=self._files(data, "params", variables),
            metrics=self._files(data, "metrics", variables),
            plots=self._plots(data, variables),
            artifacts=self._artifacts(data, variables),
        )

    def _where(self, data: Any, key: Any, stage: str) -> str:
        return where_of(where(self._tree, self._file), data, key, stage)

    def _stages(self, data: Mapping, variables: Variables) -> list[Stage]:
        stages: dict[str, Stage] = {}
        checked: set[str] = set()
        for declared in families.expand(data, self._file, variables, self._where):
            place = self._where(data["stages"], declared.group, "")
            if declared.group not in checked:
                checked.add(declared.group)
                declaration.check_keys(declared, self._where)
                _require_name(declared.group, place)
            stages[declared.name] = declaration.stage(declared, self._file, self._tree.root, self._where)
            if len(stages) > _MOST_STAGES:
                raise InvalidError(f"{place}: more than {_MOST_STAGES:,} stages come of it")
        return list(stages.values())

    def _files(self, data: Mapping, key: str, variables: Variables) -> list[str]:
        place = self._where(data, key, "")
        names = strings(self._resolved(data, key, variables), place)
        return [inside(self._folder, name, place) for name in names]

    def _plots(self, data: Mapping, variables: Variables) -> list[tuple[str, dict[str, Any]]]:
        place = self._where(data, "plots", "")
        plots: list[tuple[str, dict[str, Any]]] = []
        for item in declaration.listed(self._resolved(data, "plots", variables), place):
            pairs = [(item, {})] if isinstance(item, str) else list(item.items()) if isinstance(item, dict) else None
            if pairs is None:
                raise InvalidError(f"{place}: an item must be a path, or a name with options; found {item!r}")
            for name, options in pairs:
                if not isinstance(options or {}, dict):
                    raise InvalidError(f"{place}: the options of {name} must be a mapping, found {options!r}")
                for key in options or {}:
                    declaration.require_known(key, _PLOT_KEYS, f"{place}: {name}: {key}")
                plots.append((str(name), dict(options or {})))
        return plots

    def _artifacts(self, data: Mapping, variables: Variables) -> dict[str, dict[str, Any]]:
        place = self._where(data, "artifacts", "")
        found = self._resolved(data, "artifacts", variables) or {}
        if not isinstance(found, dict):
            raise InvalidError(f"{place}: must be a mapping of names to artifacts, found {found!r}")
        for name, options in found.items():
            if not isinstance(options, dict) or not isinstance(options.get("path"), str):
                raise InvalidError(f"{place}: {name} must be a mapping with a path, found {options!r}")
            for key in options:
                declaration.require_known(key, _ARTIFACT_KEYS, f"{place}: {name}: {key}")
        return {str(name): dict(options) for name, options in found.items()}

    def _resolved(self, data: Mapping, key: str, variables: Variables) -> Any:
        try:
            return variables.resolve(data.get(key))
        except InvalidError as error:
            raise InvalidError(f"{self._where(data, key, '')}: {error.message}", hint=error.hint) from error


def _require_name(name: str, place: str) -> None:
    if not name or "@" in name:
        raise InvalidError(f"{place}: a stage's name is not empty and has no @, which marks the stages of a family")
