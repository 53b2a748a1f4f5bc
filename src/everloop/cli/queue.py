"""`ever queue`: the experiments that wait, run or have ended, and the workers that run them."""

from __future__ import annotations

import time
from datetime import datetime
from typing import TYPE_CHECKING

import click

from everloop.cli.output import emit, hint, json_option, say, table
from everloop.errors import ConflictError, NotFoundError
from everloop.workspace import Workspace

if TYPE_CHECKING:
    from everloop.pipelines.experiments.tasks import Queue, Seen

_POLL_S = 0.1
_DAY = "%b %d, %Y"
_HOUR = "%I:%M %p"


@click.group()
def queue() -> None:
    """See and steer queued experiments.

    They are put there by `ever exp run --queue`.
    """


def _queue() -> tuple[Workspace, Queue]:
    from everloop.pipelines.experiments.tasks import Queue

    workspace = Workspace.open()
    return workspace, Queue(workspace)


@queue.command()
@click.option("-j", "--jobs", type=click.IntRange(min=1), default=1, metavar="N", help="How many at a time.")
@json_option
def start(jobs: int, as_json: bool) -> None:
    """Run what waits in the background. The workers begin at once, and end when nothing waits.

    \b
    Example:
      ever queue start -j 2
    """
    from everloop.pipelines.experiments import workers

    workspace, _ = _queue()
    started = workers.start(workspace, jobs)
    for worker in started:
        worker.leave()
    plural = "s" if len(started) > 1 else ""
    text = f"Started '{len(started)}' new experiments task queue worker{plural}."
    emit({"started": len(started)}, as_json=as_json, text=text)
    hint("ever queue status")


@queue.command()
@click.option("--kill", is_flag=True, help="End the experiments that run, too.")
@json_option
def stop(kill: bool, as_json: bool) -> None:
    """Let the workers end after the experiments they are at.

    \b
    Example:
      ever queue stop
    """
    from everloop.pipelines.experiments import control, workers
    from everloop.pipelines.experiments.tasks import State

    workspace, found = _queue()
    told = workers.stop(found)
    running = [seen.task for seen in found.seen() if seen.state is State.RUNNING and seen.task.is_queued]
    if kill:
        control.kill(workspace, running)
    text = "Queue workers will stop after running tasks finish."
    if kill:
        text = "All running tasks in the queue have been killed. Queue workers are stopping."
    emit({"workers": told, "running": [task.name for task in running]}, as_json=as_json, text=text)
    hint("ever queue status")


@queue.command()
@json_option
def status(as_json: bool) -> None:
    """List experiments that wait, run or have ended, and count the workers.

    \b
    Example:
      ever queue status
    """
    from everloop.pipelines.experiments import workers
    from everloop.pipelines.experiments.tasks import State

    _, found = _queue()
    order = [State.RUNNING, State.QUEUED, State.FAILED, State.SUCCESS]
    seen = sorted((each for each in found.seen() if each.task.is_queued), key=lambda each: order.index(each.state))
    active = sum(each.state is State.RUNNING for each in seen)
    idle = max(len(workers.alive(found)) - active, 0)
    rows = [(each.task.id[:7], each.task.name, _created(each), each.state) for each in seen]
    lines = [table(("Task", "Name", "Created", "Status"), rows) if rows else "No experiment tasks in the queue."]
    emit(
        {"tasks": seen, "workers": {"active": active, "idle": idle}},
        as_json=as_json,
        text=[*lines, "", f"Worker status: {active} active, {idle} idle"],
    )
    hint("ever queue logs NAME" if seen else "ever exp run --queue -S KEY=VALUE")


def _created(seen: Seen) -> str:
    made = datetime.fromtimestamp(seen.task.created_at).astimezone()
    return made.strftime(_HOUR if made.date() == datetime.now().astimezone().date() else _DAY)


@queue.command()
@click.argument("task")
@click.option("-e", "--encoding", metavar="NAME", help="Of what the commands print; UTF-8 if none is named.")
@click.option("-f", "--follow", is_flag=True, help="Go on while it runs.")
@json_option
def logs(task: str, encoding: str | None, follow: bool, as_json: bool) -> None:
    """Print what an experiment has printed. TASK is its name, or the begin of its id.

    \b
    Example:
      ever queue logs --follow brave-otter
    """
    from everloop.pipelines.experiments.tasks import State

    _, found = _queue()
    seen = found.find(task)
    path = found.log(seen.task)
    if not path.exists() and not (follow and seen.state is State.RUNNING):
        raise NotFoundError(
            f"{seen.task.name} has printed nothing: it is {seen.state.lower()}", hint="ever queue start"
        )
    if as_json:
        emit({"name": seen.task.name, "log": _text(found, seen, encoding)}, as_json=True, text="")
        return
    told = 0
    while True:
        state = found.find(seen.task.id).state
        text = _text(found, seen, encoding)
        click.echo(text[told:], nl=False)
        told = len(text)
        if not follow or state is not State.RUNNING:
            return
        time.sleep(_POLL_S)


def _text(found: Queue, seen: Seen, encoding: str | None) -> str:
    path = found.log(seen.task)
    return path.read_text(encoding=encoding or "utf-8", errors="replace") if path.exists() else ""


@queue.command()
@click.argument("tasks", metavar="TASK...", nargs=-1, required=True)
@click.option("-f", "--force", is_flag=True, help="At once, with SIGKILL.")
@json_option
def kill(tasks: tuple[str, ...], force: bool, as_json: bool) -> None:
    """End running experiments; they count as failed.

    \b
    Example:
      ever queue kill brave-otter
    """
    from everloop.pipelines.experiments import control
    from everloop.pipelines.experiments.tasks import State

    workspace, found = _queue()
    seen = [found.find(name) for name in tasks]
    idle = [each.task.name for each in seen if each.state is not State.RUNNING]
    if idle:
        raise ConflictError(f"{', '.join(idle)} does not run", hint="see what does: ever queue status")
    control.kill(workspace, [each.task for each in seen], force=force)
    emit([each.task.name for each in seen], as_json=as_json, text=f"{', '.join(tasks)} will end")
    hint("ever queue status")


@queue.command()
@click.argument("tasks", metavar="[TASK]...", nargs=-1)
@click.option("--all", "everything", is_flag=True, help="All that do not run.")
@click.option("--queued", is_flag=True, help="All that wait.")
@click.option("--success", is_flag=True, help="All that ended well; the experiments stay.")
@click.option("--failed", is_flag=True, help="All that failed.")
@json_option
def remove(tasks: tuple[str, ...], everything: bool, queued: bool, success: bool, failed: bool, as_json: bool) -> None:
    """Take experiments out of the queue, with their logs. What they came to stays.

    \b
    Example:
      ever queue remove --failed
    """
    from everloop.pipelines.experiments import control
    from everloop.pipelines.experiments.tasks import State

    flags = {State.QUEUED: queued, State.SUCCESS: success, State.FAILED: failed}
    wanted = {state for state, is_meant in flags.items() if is_meant or everything}
    if bool(tasks) == bool(wanted):
        raise click.UsageError("name tasks, or use --all, --queued, --success or --failed")
    workspace, found = _queue()
    chosen = [found.find(name) for name in tasks] or [seen for seen in found.seen() if seen.state in wanted]
    gone = control.remove(workspace, [seen.task for seen in chosen])
    emit(gone, as_json=as_json, text=f"Removed tasks in queue: {', '.join(gone)}" if gone else "No tasks found.")
    if not gone:
        say("nothing was removed")
    hint("ever queue status")
