"""`ever plots`: draw what pipelines measured, as a page for people or as JSON for editors, in DVC's shapes."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from everloop import pipelines
from everloop.cli.measures import as_json_option
from everloop.cli.output import hint, say
from everloop.cli.sametext import print_json
from everloop.cli.words import ManyWords
from everloop.pipelines import PlotRequest, Plots
from everloop.workspace import Workspace

_OUT = "dvc_plots"
_OPTIONS = ("template", "x", "y", "header", "title", "x_label", "y_label")

Command = TypeVar("Command", bound=Callable[..., Any])


def _look_options(command: Command) -> Command:
    """How plots look: set for all of them."""
    options = [
        click.option("-t", "--template", metavar="NAME|FILE", help="Draw with this Vega-Lite template."),
        click.option("-x", metavar="FIELD", help="The column along the x axis."),
        click.option("-y", metavar="FIELD", help="The column along the y axis."),
        click.option(
            "--no-header", "header", flag_value=False, type=bool, default=None, help="Tables have no names of columns."
        ),
        click.option("--title", metavar="TEXT", help="The title."),
        click.option("--x-label", metavar="TEXT", help="What stands at the x axis."),
        click.option("--y-label", metavar="TEXT", help="What stands at the y axis."),
    ]
    for option in reversed(options):
        command = option(command)
    return command


def _page_options(command: Command) -> Command:
    """Where plots go."""
    options = [
        click.option("-o", "--out", metavar="DIR", help=f"The folder of the page, or of the images ({_OUT})."),
        click.option("--show-vega", is_flag=True, help="Print the Vega-Lite specification of one plot."),
        as_json_option,
        click.option("--split", is_flag=True, help="With --json: leave the anchors that an editor fills in."),
        click.option("--open", "opens", is_flag=True, help="Open the page in a browser."),
        click.option("--html-template", metavar="FILE", help="A page of one's own, with {plot_divs} in it."),
    ]
    for option in reversed(options):
        command = option(command)
    return command


@click.group()
def plots() -> None:
    """Draw what the pipeline measured, and compare it between revisions."""


@plots.command("show")
@click.argument("targets", nargs=-1)
@_look_options
@_page_options
def plots_show(targets: tuple[str, ...], **options: Any) -> None:
    """Draw the plots as they are now; TARGETS are their ids or files, else all that are defined.

    \b
    Example:
      ever plots show
      ever plots show logs/acc.tsv -y acc --template simple
    """
    workspace = Workspace.open()
    request = _request(workspace, targets, options)
    _show(workspace, lambda: pipelines.show_plots(workspace, request), targets, **_rest(options))
    hint("ever plots diff (beside the last commit)")


@plots.command("diff", cls=ManyWords)
@click.argument("revisions", nargs=-1)
@click.option("--targets", multiple=True, metavar="NAME|PATH", help="Only these plots.")
@click.option("-e", "--experiment", is_flag=True, help="Of one experiment also the commit that it started from.")
@_look_options
@_page_options
def plots_diff(revisions: tuple[str, ...], targets: tuple[str, ...], experiment: bool, **options: Any) -> None:
    """Draw the plots of REVISIONS together; of one, it and the workspace; of none, the last commit if that differs.

    \b
    Example:
      ever plots diff
      ever plots diff main v1.0 --targets logs
    """
    workspace = Workspace.open()
    request = _request(workspace, targets, options)
    _show(
        workspace,
        lambda: pipelines.diff_plots(workspace, request, revisions, with_baseline=experiment),
        targets,
        **_rest(options),
    )
    hint("ever metrics diff, ever params diff")


class _Unsetting(ManyWords):
    lists = ("--unset",)


@plots.command("modify", cls=_Unsetting)
@click.argument("target")
@_look_options
@click.option("--unset", multiple=True, metavar="OPTION", help="Take these options away.")
@as_json_option
def plots_modify(target: str, unset: tuple[str, ...], as_json: bool, **options: Any) -> None:
    """Change in dvc.yaml how TARGET, which a stage makes, is drawn; comments stay.

    \b
    Example:
      ever plots modify loss.csv -x step --title Loss
      ever plots modify loss.csv --unset title
    """
    workspace = Workspace.open()
    said = {name: value for name, value in options.items() if value is not None}
    taken = [name.replace("-", "_") for name in unset]
    stage = pipelines.modify_plot(workspace, workspace.relative(Path(target).absolute()), said, taken)
    if as_json:
        print_json({"stage": stage, "set": said, "unset": taken})
        return
    click.echo(f"changed how {stage} draws {target}")
    hint(f"ever plots show {target}")


@plots.command("templates")
@click.argument("template", required=False)
@as_json_option
def plots_templates(template: str | None, as_json: bool) -> None:
    """List the built-in templates, or print the Vega-Lite specification of TEMPLATE with its anchors.

    \b
    Example:
      ever plots templates
      ever plots templates linear > .dvc/plots/own.json
    """
    names = pipelines.plot_templates()
    if template is not None:
        print_json(pipelines.plot_template(template))
    elif as_json:
        print_json(names)
    else:
        click.echo("\n".join(names))
        hint("ever plots templates linear > .dvc/plots/own.json (change it), ever plots show -t own")


def _show(
    workspace: Workspace,
    load: Callable[[], Plots],
    targets: tuple[str, ...],
    *,
    out: str | None,
    show_vega: bool,
    as_json: bool,
    split: bool,
    opens: bool,
    html_template: str | None,
) -> None:
    if show_vega and (len(targets) != 1 or as_json):
        raise click.UsageError("--show-vega goes with exactly one target, and not with --json")
    settings = _settings(workspace)
    folder = Path(out or settings.get("out_dir", _OUT))
    found = load()
    _tell(found)
    if as_json:
        print_json(pipelines.plots_shape(workspace, found, folder, split=split))
        return
    if not found.revisions:
        say("no plots are defined, so no page is made: name a file, or list it under `plots` of dvc.yaml")
        return
    if show_vega:
        drawn = next((plot for plot in found.plots if not plot.is_image), None)
        if drawn is not None:
            print_json(pipelines.plot_specification(workspace, drawn) if drawn.points else {})
        return
    if not found.plots:
        say(f"no plot is meant by {', '.join(targets)}")
        return
    frame = html_template or settings.get("html_template")
    if frame is not None and not html_template:
        frame = os.path.join(workspace.layout.dvc_dir, frame)  # noqa: PTH118  absolute ones stay as they are
    page = pipelines.write_plots(workspace, found, folder, frame=None if frame is None else Path(frame))
    click.echo(page.as_uri())
    if opens or settings.get("auto_open", "").lower() in ("true", "yes", "on", "1"):
        click.launch(page.as_uri())


def _request(workspace: Workspace, targets: tuple[str, ...], options: dict[str, Any]) -> PlotRequest:
    here = os.path.relpath(os.getcwd(), workspace.root)  # noqa: PTH109
    relative = [os.path.relpath(target) if os.path.isabs(target) else target for target in targets]  # noqa: PTH117
    said = {name: options[name] for name in _OPTIONS if options[name] is not None}
    return PlotRequest(targets=tuple(relative), options=said, here=here)


def _rest(options: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in options.items() if name not in _OPTIONS}


def _settings(workspace: Workspace) -> dict[str, str]:
    """The section `plots` of the configuration."""
    found = (setting for setting in workspace.configuration.settings() if setting.name.startswith("plots."))
    return {setting.name.removeprefix("plots."): setting.value for setting in found}


def _tell(found: Plots) -> None:
    for problem in found.problems:
        message = problem.problem.message
        if problem.source and problem.problem.kind == "FileNotFoundError":
            message = f"{problem.source} is not there, nor in the cache"
        name = "" if problem.plot in message else f"{problem.plot}: "
        say(f"not drawn at {problem.revision}: {name}{message}")
