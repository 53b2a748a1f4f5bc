"""Everloop: the whole loop of a model in production, in one package.

The names here are the front door; each is loaded when it is first used, so `import everloop` costs nothing.
"""

from __future__ import annotations

from everloop.version import __version__

# `typing` alone takes half as long as Python's own start, so it is imported for the type checker only.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from everloop.data.opening import open  # noqa: A004  the words that everybody knows
    from everloop.data.tables import read_table
    from everloop.datasets import profile_columns
    from everloop.errors import EverloopError
    from everloop.pipelines.repro import repro
    from everloop.registry.package import read_package, save_model
    from everloop.tracking import load_live, start_run
    from everloop.workspace import Workspace

__all__ = [
    "EverloopError",
    "Workspace",
    "__version__",
    "load_live",
    "open",
    "profile_columns",
    "read_package",
    "read_table",
    "repro",
    "save_model",
    "start_run",
]

_HOMES = {
    "EverloopError": "everloop.errors",
    "Workspace": "everloop.workspace",
    "load_live": "everloop.tracking.livefolder",
    "open": "everloop.data",
    "profile_columns": "everloop.datasets",
    "read_package": "everloop.registry.package",
    "read_table": "everloop.data",
    "repro": "everloop.pipelines",
    "save_model": "everloop.registry.package",
    "start_run": "everloop.tracking.starting",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'everloop' has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
