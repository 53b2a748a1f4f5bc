"""`ever why`: the causes for which stages would run."""

from __future__ import annotations

from pathlib import Path

import click

from everloop.cli.output import emit, hint, json_option
from everloop.workspace import Workspace


@click.command()
@click.argument("targets", nargs=-1)
@json_option
def why(targets: tuple[str, ...], as_json: bool) -> None:
    """Say why stages would run: which parameter from what to what, which files of a directory, which command.

    TARGETS are stages or outputs; all stages that are not up to date, if none is named. Nothing is run.

    \b
    Example:
      ever why train
      ever why --json
    """
    from everloop.pipelines.why import why as explained

    workspace = Workspace.open()
    found = explained(workspace, targets, workspace.relative(Path.cwd()))
    lines = []
    for each in found:
        lines.append(f"{each.stage} {each.verdict}" + (":" if each.causes else ""))
        lines += [f"  {cause.text}" for cause in each.causes]
    emit(found, as_json=as_json, text=lines or "all stages are up to date")
    hint("ever repro" if lines else "ever dag")
