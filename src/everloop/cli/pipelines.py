"""`ever repro`: run the pipeline."""

from __future__ import annotations

from pathlib import Path

import click

from everloop import pipelines
from everloop.cli.output import emit, hint, json_option, say
from everloop.cli.reproflags import repro_flags
from everloop.cli.stageprogress import Progress
from everloop.config import Settings
from everloop.pipelines import OnError, Reach
from everloop.pipelines.executors import open_executor
from everloop.pipelines.tracked import tracked
from everloop.pipelines.values import DEFAULT_PARAMS_FILE
from everloop.workspace import Workspace
from everloop.workspace.walk import PIPELINE_FILE


@click.command()
@click.argument("targets", nargs=-1)
@click.option("-f", "--force", is_flag=True, help="Run the stages also when nothing changed.")
@repro_flags
@click.option("-j", "--jobs", type=click.IntRange(min=1), default=1, help="Commands at once.", show_default=True)
@click.option(
    "-S", "--set-param", "assignments", multiple=True, metavar="KEY=VALUE", help="Set a parameter in params.yaml first."
)
@click.option(
    "--executor",
    default="local",
    metavar="WHERE",
    help="Where commands run: local, ray, ray:HOST:PORT, ray://HOST:PORT.",
    show_default=True,
)
@click.option("--offline", is_flag=True, help="Keep the tracked run for `ever sync`, whether a hub answers or not.")
@json_option
def repro(
    targets: tuple[str, ...],
    force: bool,
    interactive: bool,
    single_item: bool,
    pipeline: bool,
    all_pipelines: bool,
    recursive: bool,
    downstream: bool,
    force_downstream: bool,
    pull: bool,
    allow_missing: bool,
    dry: bool,
    keep_going: bool,
    ignore_errors: bool,
    glob: bool,
    no_commit: bool,
    no_run_cache: bool,
    jobs: int,
    executor: str,
    assignments: tuple[str, ...],
    offline: bool,
    as_json: bool,
) -> None:
    """Run the stages whose inputs changed, and what TARGETS (those of this folder's dvc.yaml, if none) need.

    A stage that ran before with the same command, dependencies and parameters is restored from the run cache instead.
    With a hub (EVERLOOP_HUB_URL), it is a tracked run while it runs: params, metrics, commit, patch, data versions,
    logs. A hub that does not answer does not fail the pipeline: the run is kept for `ever sync`.

    \b
    Example:
      ever repro
      ever repro -j 4 --keep-going
      ever repro --executor ray -j 8
      ever repro train -S train.learning_rate=0.1
    """
    if dry and assignments:
        raise click.UsageError("--dry changes nothing, so it cannot go with -S")
    workspace = Workspace.open()
    if assignments:
        pipelines.set_params(workspace.root / DEFAULT_PARAMS_FILE, pipelines.parse_assignments(assignments))
    settings = Settings.load(offline=offline or None)
    progress = Progress(jobs)
    try:
        with (
            open_executor(executor, workspace) as where,
            tracked(workspace, settings, progress, say) as (listener, environment),
        ):
            report = pipelines.repro(
                workspace,
                targets or [PIPELINE_FILE],
                folder=Path.cwd(),
                reach=Reach(
                    single_item=single_item,
                    pipeline=pipeline,
                    all_pipelines=all_pipelines,
                    downstream=downstream,
                    recursive=recursive,
                    glob=glob,
                ),
                force=force,
                force_downstream=force_downstream,
                dry=dry,
                # What others have computed on a cluster is not computed twice.
                pull=pull or where is not None,
                allow_missing=allow_missing,
                commit=not no_commit,
                run_cache=not no_run_cache,
                on_error=OnError.IGNORE if ignore_errors else OnError.KEEP_GOING if keep_going else OnError.FAIL,
                jobs=jobs,
                confirm=_ask if interactive or workspace.config.is_interactive else None,
                executor=where,
                on_event=listener,
                environment=environment,
            )
    finally:
        progress.close()
    lines = [f"{stage.stage}: {stage.outcome} ({stage.seconds:.1f} s)" for stage in report.stages]
    emit(report, as_json=as_json, text=lines or "there are no stages")
    hint("ever repro" if dry else "ever metrics show" if report.ran else "ever status")


def _ask(sentence: str) -> bool:
    return click.confirm(f"reproduce {sentence}?", err=True)
