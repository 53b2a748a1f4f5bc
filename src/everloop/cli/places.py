"""`ever root` and `version`: where one is, and what with."""

from __future__ import annotations

import platform
from pathlib import Path

import click

from everloop.cli import stands_in_for_dvc
from everloop.cli.output import emit, json_option
from everloop.errors import NotFoundError
from everloop.version import DVC_VERSION, __version__
from everloop.workspace import Workspace


@click.command()
@json_option
def root(as_json: bool) -> None:
    """Print the workspace's folder, relative to the current one."""
    found = Workspace.open().root
    relative = "/".join([".."] * len(Path.cwd().relative_to(found).parts)) or "."
    emit({"root": str(found)}, as_json=as_json, text=relative)


@click.command()
@json_option
def version(as_json: bool) -> None:
    """Print the versions of Everloop and Python, and where workspace and cache are."""
    # Who asks for DVC looks for its name, and for nothing else, in the first line.
    facts = {"DVC version": f"{DVC_VERSION} (everloop {__version__})"} if stands_in_for_dvc() else {}
    facts |= {
        "everloop": __version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
    }
    try:
        workspace = Workspace.open()
    except NotFoundError:
        facts["workspace"] = "none here"
    else:
        facts |= {
            "workspace": str(workspace.root),
            "cache": str(workspace.cache.root),
            "cache.type": ",".join(workspace.cache.link_types),
        }
    emit(facts, as_json=as_json, text=[f"{name}: {value}" for name, value in facts.items()])
