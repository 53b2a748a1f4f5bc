"""`ever repro` and `ever metrics`: run the pipeline, look at what it measured."""

from __future__ import annotations

import click

from everloop import pipelines
from everloop.cli.output import emit, hint, json_option, say, table
from everloop.config import Settings
from everloop.pipelines import Event, EventKind
from everloop.pipelines.tracked import tracked
from everloop.pipelines.values import DEFAULT_PARAMS_FILE
from everloop.workspace import Workspace


@click.command()
@click.argument("targets", nargs=-1)
@click.option("-f", "--force", is_flag=True, help="Run the stages also when nothing changed.")
@click.option("--dry", is_flag=True, help="Only tell what would be done.")
@click.option(
    "-S", "--set-param", "assignments", multiple=True, metavar="KEY=VALUE", help="Set a parameter in params.yaml first."
)
@click.option("--offline", is_flag=True, help="Keep the tracked run for `ever sync`, whether a hub answers or not.")
@json_option
def repro(
    targets: tuple[str, ...], force: bool, dry: bool, assignments: tuple[str, ...], offline: bool, as_json: bool
) -> None:
    """Run the stages whose inputs changed, and what TARGETS (all, if none is named) need.

    With a hub (EVERLOOP_HUB_URL), it is a tracked run while it runs: params, metrics, commit, patch, data versions,
    logs. A hub that does not answer does not fail the pipeline: the run is kept for `ever sync`.

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
    with tracked(workspace, Settings.load(offline=offline or None), _tell, say) as (listener, environment):
        report = pipelines.repro(
            workspace, targets or None, force=force, dry=dry, on_event=listener, environment=environment
        )
    lines = [f"{stage.stage}: {stage.outcome} ({stage.seconds:.1f} s)" for stage in report.stages]
    emit(report, as_json=as_json, text=lines or "there are no stages")
    hint("ever repro" if dry else "ever metrics show" if report.ran else "ever status")


def _tell(event: Event) -> None:
    if event.kind is EventKind.STARTED:
        say(f"{event.stage}: {event.text}")
    elif event.kind is EventKind.PRINTED:
        say(f"{event.stage} | {event.text}")


@click.group()
def metrics() -> None:
    """Show the metrics of the pipeline."""


@metrics.command("show")
@json_option
def show(as_json: bool) -> None:
    """Print the metrics as they are in the workspace now; --json has the shape of `dvc metrics show --json`."""
    workspace = Workspace.open()
    if as_json:
        files = {file: {"data": values} for file, values in pipelines.load_metrics(workspace).items()}
        emit({"": {"data": files}}, as_json=True, text="")
        return
    found = pipelines.read_metrics(workspace)
    emit(found, as_json=False, text=table(("metric", "value"), found.items()) if found else "there are no metrics yet")
    hint("ever repro -S KEY=VALUE")
