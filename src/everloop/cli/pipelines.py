"""`ever repro`: run the pipeline."""

from __future__ import annotations

import click

from everloop import pipelines
from everloop.cli.output import emit, hint, json_option, say
from everloop.config import Settings
from everloop.errors import NotFoundError, UnavailableError
from everloop.pipelines import Event, EventKind, Report
from everloop.pipelines.values import DEFAULT_PARAMS_FILE
from everloop.server.client import open_hub
from everloop.workspace import Workspace


@click.command()
@click.argument("targets", nargs=-1)
@click.option("-f", "--force", is_flag=True, help="Run the stages also when nothing changed.")
@click.option("--dry", is_flag=True, help="Only tell what would be done.")
@click.option(
    "-S", "--set-param", "assignments", multiple=True, metavar="KEY=VALUE", help="Set a parameter in params.yaml first."
)
@json_option
def repro(targets: tuple[str, ...], force: bool, dry: bool, assignments: tuple[str, ...], as_json: bool) -> None:
    """Run the stages whose inputs changed, and what TARGETS (all, if none is named) need.

    With a hub (EVERLOOP_HUB_URL), what ran is a tracked run: params, metrics, commit, data versions, logs. A hub that
    does not answer does not fail the pipeline.

    \b
    Example:
      ever repro
      ever repro train -S train.learning_rate=0.1
    """
    if dry and assignments:
        raise click.UsageError("--dry changes nothing, so it cannot go with -S")
    workspace = Workspace.open()
    if assignments:
        pipelines.set_params(workspace.root / DEFAULT_PARAMS_FILE, pipelines.parse_assignments(assignments))
    report = pipelines.repro(workspace, targets or None, force=force, dry=dry, on_event=_tell)
    lines = [f"{stage.stage}: {stage.outcome} ({stage.seconds:.1f} s)" for stage in report.stages]
    emit(report, as_json=as_json, text=lines or "there are no stages")
    if report.ran and Settings.load().hub_url:
        _track(workspace, report)
    hint("ever repro" if dry else "ever metrics show" if report.ran else "ever status")


def _track(workspace: Workspace, report: Report) -> None:
    try:
        run_id = open_hub().record(workspace, report, experiment=workspace.root.name, commit=workspace.git.head())
        say(f"tracked as run {run_id}")
    except (UnavailableError, NotFoundError) as error:
        say(f"not tracked: {error.message}")


def _tell(event: Event) -> None:
    if event.kind is EventKind.STARTED:
        say(f"{event.stage}: {event.text}")
    elif event.kind is EventKind.PRINTED:
        say(f"{event.stage} | {event.text}")
