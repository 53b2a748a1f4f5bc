"""`ever dag`: the graph of the pipelines."""

from __future__ import annotations

from pathlib import Path

import click

from everloop.cli.output import emit, hint, json_option
from everloop.workspace import Workspace


@click.command()
@click.argument("targets", nargs=-1)
@click.option("--dot", "as_dot", is_flag=True, help="Print it for Graphviz.")
@click.option("--mermaid", "as_mermaid", is_flag=True, help="Print it as a Mermaid flow chart.")
@click.option("--md", "as_markdown", is_flag=True, help="The same, as a block for Markdown.")
@click.option("--full", is_flag=True, help="All that hangs together with TARGETS, not only what they need.")
@click.option("-o", "--outs", is_flag=True, help="Show what is made instead of the stages that make it.")
@click.option("--collapse-foreach-matrix", "is_collapsed", is_flag=True, help="One node for a foreach or matrix.")
@json_option
def dag(
    targets: tuple[str, ...],
    as_dot: bool,
    as_mermaid: bool,
    as_markdown: bool,
    full: bool,
    outs: bool,
    is_collapsed: bool,
    as_json: bool,
) -> None:
    """Show how stages and data hang together: what is needed stands above what needs it.

    TARGETS are stages or outputs; everything, if none is named. A graph too wide for a terminal is a list:
    `train <- prepare, data.dvc`.

    \b
    Example:
      ever dag train
      ever dag --md --outs > graph.md
    """
    from everloop.pipelines import dag as graphs
    from everloop.pipelines import graph

    if outs and is_collapsed:
        raise click.UsageError("--outs and --collapse-foreach-matrix exclude each other")
    workspace = Workspace.open()
    folder = workspace.relative(Path.cwd())
    found = graphs.load(workspace, graph.load(workspace), targets, folder, outs=outs, full=full)
    found = found.collapsed() if is_collapsed else found
    if as_json:
        emit(
            {"nodes": list(found.needs), "edges": [{"from": a, "to": b} for a, b in found.edges]}, as_json=True, text=""
        )
        return
    if as_dot:
        text = graphs.to_dot(found)
    elif as_mermaid or as_markdown:
        chart = graphs.to_mermaid(found)
        text = f"```mermaid\n{chart}\n```" if as_markdown else chart
    else:
        text = graphs.to_text(found) if found.needs else "there are no stages and no data under version"
    emit(found, as_json=False, text=text)
    hint("ever why STAGE, or ever repro")
