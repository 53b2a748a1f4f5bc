"""`ever environment`: the Python environments of stages."""

from __future__ import annotations

import click

from everloop.cli.output import emit, hint, json_option, say, table
from everloop.errors import NotFoundError
from everloop.workspace import Workspace


@click.group()
def environment() -> None:
    """Build the Python environments of stages, list them, remove old ones."""


@environment.command()
@click.argument("targets", nargs=-1)
@json_option
def build(targets: tuple[str, ...], as_json: bool) -> None:
    """Build the environments of stages now, all if none is named; those that are there are left as they are.

    \b
    Example:
      ever environment build
    """
    from everloop.pipelines import graph
    from everloop.pipelines.stageenvironment import environment_of
    from everloop.pipelines.values import Stage

    workspace = Workspace.open()
    connected = graph.load(workspace)
    nodes = [connected.nodes[connected.resolve(each)] for each in targets] if targets else connected.stages
    stages = [node for node in nodes if isinstance(node, Stage)]
    found = {stage.address: environment_of(workspace, stage, say) for stage in stages}
    there = {stage: each for stage, each in found.items() if each is not None}
    if targets and not there:
        raise NotFoundError(
            "no environment is declared",
            hint="meta: {everloop: {environment: …}} of a stage, or environment: in everloop.yaml",
        )
    rows = [(stage, each.lock or "", each.python, each.path) for stage, each in there.items()]
    text = table(("stage", "lock", "python", "environment"), rows) if rows else "no environment is declared"
    emit(there, as_json=as_json, text=text)
    hint("ever repro")


@environment.command("list")
@json_option
def list_command(as_json: bool) -> None:
    """List the environments that are kept, that used last first.

    \b
    Example:
      ever environment list
    """
    from everloop.compute.environments import built, default_home

    ages = built()
    rows = [(key, f"{age_s / 86_400:.1f}", str(default_home() / key)) for key, age_s in ages.items()]
    text = table(("environment", "unused for days", "folder"), rows) if rows else "no environment is kept"
    emit([{"key": key, "unused_s": age_s} for key, age_s in ages.items()], as_json=as_json, text=text)
    hint("ever environment gc")


@environment.command()
@click.option("--unused-days", default=30.0, show_default=True, help="Those that were not used for so long.")
@json_option
def gc(unused_days: float, as_json: bool) -> None:
    """Remove environments that were not used for a while; they are built again when a stage needs them.

    \b
    Example:
      ever environment gc --unused-days 7
    """
    from everloop.compute.environments import collect

    removed = collect(unused_days=unused_days)
    emit({"removed": removed}, as_json=as_json, text=[f"removed {key}" for key in removed] or "nothing to remove")
