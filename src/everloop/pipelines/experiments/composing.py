"""Let Hydra compose `params.yaml` out of a folder of configurations. The only file that imports Hydra (extra `hydra`).

Source: dvc 3.67 (`utils/hydra.py`), the section `hydra` of the configuration. The file is written anew as a whole.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import msgspec

from everloop.errors import InvalidError, NotInstalledError
from everloop.pipelines.paramedit import Edit, How
from everloop.workspace import Workspace

_SIGNS = {How.SET: "", How.ADD: "+", How.SET_OR_ADD: "++", How.REMOVE: "~"}


class Composition(msgspec.Struct, frozen=True, kw_only=True):
    """Where the configurations lie.

    Attributes:
        folder: Absolute; counts when no module is named.
        module: A package of Python with them.
        name: Of the one that names the others, without its suffix.
        plugins: A folder with plugins of Hydra, absolute.
    """

    folder: str
    module: str | None
    name: str
    plugins: str


def composition_of(workspace: Workspace) -> Composition | None:
    """What is configured; None when `hydra.enabled` is not set."""
    section = workspace.configuration.merged().get("hydra", {})
    if section.get("enabled", "false").lower() not in ("true", "yes", "on", "1"):
        return None
    return Composition(
        folder=str(workspace.root / section.get("config_dir", "conf")),
        module=section.get("config_module"),
        name=section.get("config_name", "config"),
        plugins=str(workspace.root / section.get("plugins_path", "")),
    )


def compose(composition: Composition, edits: list[Edit]) -> str:
    """The text of the parameters.

    Args:
        composition: Where the configurations lie.
        edits: What is changed; the key of a group is its path, as `db` or `train/model`.

    Raises:
        NotInstalledError: Hydra is not there.
        InvalidError: Hydra cannot compose them; has its words.
    """
    try:
        from hydra import compose as compose_them
        from hydra import initialize_config_dir, initialize_config_module
        from hydra.core.plugins import Plugins
        from hydra.errors import HydraException
        from omegaconf import OmegaConf
        from omegaconf.errors import OmegaConfBaseException
    except ImportError as error:
        raise NotInstalledError(
            "hydra.enabled is set, and Hydra is not installed", hint="pip install 'everloop[hydra]', or --no-hydra"
        ) from error
    start = initialize_config_module if composition.module else initialize_config_dir
    with _on_path(composition.plugins):
        Plugins.instance()
    try:
        with start(composition.module or composition.folder, version_base=None):
            found: Any = compose_them(config_name=composition.name, overrides=[_word(edit) for edit in edits])
        OmegaConf.resolve(found)
        return OmegaConf.to_yaml(found)
    except (HydraException, OmegaConfBaseException) as error:
        raise InvalidError(f"Hydra cannot compose {composition.name} of {composition.folder}: {error}") from error


def _word(edit: Edit) -> str:
    value = "" if edit.how is How.REMOVE else f"={_said(edit.value)}"
    return f"{_SIGNS[edit.how]}{edit.key}{value}"


def _said(value: Any) -> str:
    """A value in Hydra's grammar, which has no quotes around keys."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {_said(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(_said(item) for item in value) + "]"
    return json.dumps(value, ensure_ascii=False)


@contextmanager
def _on_path(folder: str) -> Iterator[None]:
    sys.path.append(folder)
    try:
        yield
    finally:
        sys.path.remove(folder)
