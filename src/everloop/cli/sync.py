"""`ever sync`: tell the hub of the runs that could not be told when they ran."""

from __future__ import annotations

import sys

import click

from everloop.cli.output import emit, hint, json_option, say, table
from everloop.config import Settings
from everloop.errors import FailedError
from everloop.tracking.sync import Progress
from everloop.tracking.sync import sync as send_waiting


@click.command()
@click.argument("runs", nargs=-1, metavar="[RUN]...")
@click.option("--hub", "hub_url", help="Send to this hub, whichever hub a run names.")
@json_option
def sync(runs: tuple[str, ...], hub_url: str | None, as_json: bool) -> None:
    """Send what waits in the spool to the hub: of every run, or of RUNs by the beginning of their ids.

    Runs wait that were offline, that found no hub, or whose process was killed; those are then marked as failed. It may
    be stopped and started again, and run twice at once: each entry counts once.

    \b
    Example:
      ever sync
      ever sync 7f3a --hub http://127.0.0.1:7300
    """
    settings = Settings.load()
    found = send_waiting(
        settings.spool_path,
        hub_url or settings.hub,
        runs=runs or None,
        to_this_hub=hub_url is not None,
        on_progress=_show,
        tell=say,
    )
    rows = [(each.run_id[:12], each.state, each.entries, each.trouble or each.hub) for each in found]
    emit(
        found,
        as_json=as_json,
        text=table(("run", "state", "entries", "hub"), rows) if rows else "nothing waits to be sent",
    )
    waiting = [each for each in found if each.state == "waiting"]
    if waiting:
        raise FailedError(
            f"{len(waiting)} of {len(found)} runs wait still: {waiting[0].trouble}",
            hint="Start the hub with `ever up`, or say where it is with EVERLOOP_HUB_URL, and repeat: ever sync",
        )
    hint("ever run list")


def _show(progress: Progress) -> None:
    if sys.stderr.isatty():
        say(f"{progress.run_id[:12]}: {progress.n_sent:,} of {progress.n_entries:,} entries")
