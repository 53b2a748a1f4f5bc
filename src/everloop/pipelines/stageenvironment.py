"""The Python environment in which a stage runs: its own, or that of the project, or that of whoever calls `ever`.

A stage declares it in `meta: {everloop: {environment: …}}` of `dvc.yaml`, the project in `environment: …` of
`everloop.yaml`. Leaves building to `compute/environments.py`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from everloop.errors import InvalidError
from everloop.workspace import Workspace, yamlfile

if TYPE_CHECKING:
    from everloop.compute.environments import Environment, Progress
    from everloop.compute.environmentspec import EnvironmentSpec
    from everloop.pipelines.values import Stage

PROJECT_FILE = "everloop.yaml"
_KEY = "environment"


def spec_of(workspace: Workspace, stage: Stage) -> EnvironmentSpec | None:
    """What is declared for a stage; None when nothing is, or when it says `environment: false`.

    Paths of a stage's own declaration are relative to the stage's folder, as all of its paths.

    Raises:
        InvalidError: The declaration is malformed.
        NotFoundError: A file that it names is not there.
    """
    # Here, because most pipelines declare none.
    from everloop.compute.environmentspec import read_spec

    own = _own(stage)
    if own is not None:
        where = f"{stage.file}: stage {stage.name}: meta.everloop.environment"
        return read_spec(own, workspace.root / stage.folder, where)
    declared = _of_project(workspace)
    return None if declared is None else read_spec(declared, workspace.root, f"{PROJECT_FILE}: {_KEY}")


def environment_of(workspace: Workspace, stage: Stage, on_progress: Progress | None = None) -> Environment | None:
    """The environment of a stage, built when it is not there; None when none is declared.

    It goes to the command as `compute.environments.variables`, and what identifies it to a record as
    `msgspec.to_builtins` of it.

    Raises: as `spec_of`, and as `compute.environments.prepare`.
    """
    spec = spec_of(workspace, stage)
    if spec is None:
        return None
    from everloop.compute.environments import prepare

    return prepare(spec, on_progress=on_progress)


def _own(stage: Stage) -> Any:
    ours = stage.meta.get("everloop") if isinstance(stage.meta, dict) else None
    return ours.get(_KEY) if isinstance(ours, dict) else None


def _of_project(workspace: Workspace) -> Any:
    path = workspace.root / PROJECT_FILE
    if not path.is_file():
        return None
    data = yamlfile.load_plain(path)
    if data is not None and not isinstance(data, dict):
        raise InvalidError(f"{PROJECT_FILE}: the top level must be a mapping, found {type(data).__name__}")
    return (data or {}).get(_KEY)
