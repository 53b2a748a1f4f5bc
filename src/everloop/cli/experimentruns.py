"""`ever exp run`: run an experiment here, aside, or later."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from everloop.cli.output import emit, hint, json_option, say
from everloop.cli.reproflags import repro_flags
from everloop.errors import FailedError
from everloop.pipelines import Event, EventKind, OnError
from everloop.workspace import Workspace
from everloop.workspace.walk import PIPELINE_FILE

if TYPE_CHECKING:
    from everloop.pipelines.commit import Confirm
    from everloop.pipelines.experiments.queueing import Wish
    from everloop.pipelines.experiments.tasks import Seen

_PASSED_ON = (
    "force",
    "single_item",
    "pipeline",
    "all_pipelines",
    "recursive",
    "downstream",
    "force_downstream",
    "pull",
    "allow_missing",
    "dry",
    "glob",
)
_TAKEN_BACK = {"no_commit": "commit", "no_run_cache": "run_cache"}


@click.command()
@click.argument("targets", nargs=-1)
@click.option("-n", "--name", metavar="NAME", help="Of the experiment; drawn when none is given.")
@click.option("-m", "-M", "--message", metavar="TEXT", help="Of the commit.")
@click.option(
    "-S",
    "--set-param",
    "assignments",
    multiple=True,
    metavar="[FILE:]KEY=VALUE",
    help="Set a parameter; +KEY adds one, ~KEY removes one; several values (1,2 or range(1,5)) make a grid.",
)
@click.option("--queue", "is_queued", is_flag=True, help="Only put it into the queue.")
@click.option("--run-all", is_flag=True, help="Run everything that waits in the queue.")
@click.option("-j", "--jobs", type=click.IntRange(min=1), default=1, metavar="N", help="With --run-all: N at a time.")
@click.option("--temp", is_flag=True, help="Run it in a folder aside; the workspace stays as it is.")
@click.option(
    "-C", "--copy-paths", multiple=True, metavar="PATH", help="With --temp, --queue: copy an ignored or untracked path."
)
@click.option("-f", "--force", is_flag=True, help="Run all stages; replace an experiment of the same name.")
@repro_flags
@click.option("--no-hydra", is_flag=True, help="Do not let Hydra compose params.yaml, whatever is configured.")
@json_option
def run(
    targets: tuple[str, ...],
    is_queued: bool,
    run_all: bool,
    jobs: int,
    temp: bool,
    interactive: bool,
    no_hydra: bool,
    as_json: bool,
    **words: Any,
) -> None:
    """Run the pipeline as an experiment: bring its stages up to date and keep the result as a commit of its own.

    Without --temp or --queue it runs in the workspace, which holds the result afterwards.

    \b
    Example:
      ever exp run -S train.lr=0.1
      ever exp run --queue -S 'train.lr=0.1,0.2' -S 'train.depth=range(1,5)'
      ever exp run --run-all -j 2
    """
    workspace = Workspace.open()
    if run_all:
        _run_all(workspace, jobs, as_json=as_json)
        return
    if (temp or is_queued) and words["no_commit"]:
        raise click.UsageError(
            "--no-commit keeps outputs in the workspace alone, so it goes neither with --temp nor --queue"
        )
    wish = _wish(workspace, targets, words, composed=not no_hydra)
    if is_queued:
        _queue(workspace, wish, as_json=as_json)
    else:
        asks = interactive or workspace.config.is_interactive
        _run(workspace, wish, is_aside=temp, confirm=_ask if asks else None, as_json=as_json)


def _wish(workspace: Workspace, targets: tuple[str, ...], words: dict[str, Any], *, composed: bool) -> Wish:
    from everloop.cli.words import absolute
    from everloop.pipelines.experiments.queueing import Wish

    return Wish(
        # As of `repro`: without targets, the pipeline of this folder.
        targets=targets or (PIPELINE_FILE,),
        assignments=words["assignments"],
        name=words["name"],
        message=words["message"],
        copy_paths=tuple(workspace.relative(path) for path in absolute(words["copy_paths"])),
        force=words["force"],
        options=_options(workspace, words),
        composed=composed,
    )


def _options(workspace: Workspace, words: dict[str, Any]) -> dict[str, Any]:
    """The flags for `repro` that were given, as they can be kept in a file."""
    given: dict[str, Any] = {flag: True for flag in _PASSED_ON if words[flag]}
    given.update({word: False for flag, word in _TAKEN_BACK.items() if words[flag]})
    if words["keep_going"] or words["ignore_errors"]:
        given["on_error"] = OnError.IGNORE if words["ignore_errors"] else OnError.KEEP_GOING
    folder = workspace.relative(Path.cwd())
    return given | ({"folder": folder} if folder not in ("", ".") else {})


def _queue(workspace: Workspace, wish: Wish, *, as_json: bool) -> None:
    from everloop.pipelines.experiments import overrides, queueing

    made = queueing.put(workspace, wish)
    lines = []
    for task, changes in made:
        with_what = f" with {overrides.shown(changes)}" if changes else ""
        lines.append(f"Queued experiment '{task.name}' for future execution{with_what}.")
    emit([task for task, _ in made], as_json=as_json, text=lines)
    hint("ever queue start, or ever exp run --run-all")


def _ask(sentence: str) -> bool:
    return click.confirm(f"reproduce {sentence}?", err=True)


def _run(workspace: Workspace, wish: Wish, *, is_aside: bool, confirm: Confirm | None, as_json: bool) -> None:
    from everloop.cli.experiments import tell_left_out
    from everloop.pipelines.experiments import running

    is_dry = bool(wish.options.get("dry"))
    if is_aside and not is_dry:
        ran = running.run_aside(workspace, wish, on_event=_tell)
    else:
        ran = running.run(workspace, wish, on_event=_tell, confirm=confirm)
    stages = ran.report.stages if ran.report is not None else ()
    lines = [f"{stage.stage}: {stage.outcome} ({stage.seconds:.1f} s)" for stage in stages]
    if ran.saved is None:
        emit(ran.report, as_json=as_json, text=lines or "there are no stages")
        return
    tell_left_out(ran.saved.left_out)
    name = ran.saved.experiment.name
    emit(ran.saved.experiment, as_json=as_json, text=[*lines, f"Ran experiment(s): {name}"])
    hint(f"ever exp apply {name}" if is_aside else "ever exp show")


def _run_all(workspace: Workspace, jobs: int, *, as_json: bool) -> None:
    from everloop.pipelines.experiments import control
    from everloop.pipelines.experiments.tasks import State

    ended = control.run_all(workspace, jobs, on_change=_tell_change)
    done = [seen.task.name for seen in ended if seen.state is State.SUCCESS]
    failed = [seen.task.name for seen in ended if seen.state is not State.SUCCESS]
    text = f"Ran experiment(s): {', '.join(done)}" if done else "no experiment was run"
    emit(ended, as_json=as_json, text=text)
    if failed:
        raise FailedError(
            f"{len(failed)} experiment(s) did not end well: {', '.join(failed)}", hint=f"ever queue logs {failed[0]}"
        )
    hint("ever exp show")


def _tell_change(seen: Seen) -> None:
    from everloop.pipelines.experiments.tasks import State

    said = seen.state.lower()
    if seen.state is State.FAILED and seen.end is not None:
        said += f": {seen.end.error.splitlines()[0]}"
    if seen.start is not None and seen.end is not None and seen.state is not State.RUNNING:
        said += f" ({max(seen.end.ended_at - seen.start.started_at, 0):.1f} s)"
    say(f"{seen.task.name}: {said}")
    sys.stderr.flush()


def _tell(event: Event) -> None:
    if event.kind is EventKind.STARTED:
        say(f"{event.stage}: {event.text}")
    elif event.kind is EventKind.PRINTED:
        say(f"{event.stage} | {event.text}")
