"""What `ever repro` tells on stderr while it works: a line for each stage, and what a failing one printed last.

With one job all that stages print is passed on. With several, a terminal shows one line for each stage that runs, and
the logs keep the rest.
"""

from __future__ import annotations

import sys
import time

import click

from everloop.cli.manners import is_quiet
from everloop.cli.output import say
from everloop.pipelines.values import Event, EventKind, Outcome

_CLEAR_LINE = "\r\033[2K"
_UP = "\033[A"
_FASTEST_S = 0.1
_WIDTH = 100


class Progress:
    """Hears the events of one `repro`.

    Args:
        jobs: Commands at once.
    """

    def __init__(self, jobs: int) -> None:
        self._is_parallel = jobs > 1
        self._is_live = self._is_parallel and sys.stderr.isatty() and not is_quiet()
        # `{stage: (when it started, what it printed last)}`
        self._running: dict[str, tuple[float, str]] = {}
        self._n_shown = 0
        self._shown_at = 0.0

    def __call__(self, event: Event) -> None:
        """Tell of an event."""
        if event.kind is EventKind.PRINTED:
            self._printed(event)
        elif event.kind is EventKind.WAITING:
            self._tell(f"{event.stage}: {event.text}")
        elif event.kind is EventKind.STARTED:
            self._running[event.stage] = (time.monotonic(), "")
            self._tell(f"{event.stage}: {event.text}")
        else:
            self._finished(event)

    def close(self) -> None:
        """Leave the terminal as it was."""
        self._erase()

    def _printed(self, event: Event) -> None:
        if event.stage not in self._running or not self._is_parallel:
            self._tell(f"{event.stage} | {event.text}")
            return
        self._running[event.stage] = (self._running[event.stage][0], event.text)
        if self._is_live and time.monotonic() - self._shown_at > _FASTEST_S:
            self._erase()
            self._show()

    def _finished(self, event: Event) -> None:
        report = event.report
        assert report is not None
        was_running = self._running.pop(event.stage, None) is not None
        if report.outcome is Outcome.FAILED:
            self._tell(f"{event.stage}: {report.outcome} ({report.seconds:.1f} s): {report.reasons[0]}")
            if report.log:
                self._tell(f"{event.stage}: all that it printed is in {report.log}")
        elif report.outcome is Outcome.SKIPPED:
            self._tell(f"{event.stage}: {report.outcome}: {report.reasons[0]}")
        elif was_running and self._is_parallel:
            self._tell(f"{event.stage}: {report.outcome} ({report.seconds:.1f} s)")

    def _tell(self, text: str) -> None:
        self._erase()
        say(text)
        self._show()

    def _show(self) -> None:
        if not self._is_live:
            return
        now = time.monotonic()
        for stage, (started, line) in self._running.items():
            text = f"  {stage}  {now - started:.0f} s  {line}".rstrip()
            click.echo(click.style(text[:_WIDTH], dim=True), err=True)
        self._n_shown = len(self._running)
        self._shown_at = now

    def _erase(self) -> None:
        if self._n_shown:
            click.echo((_UP + _CLEAR_LINE) * self._n_shown, err=True, nl=False)
            self._n_shown = 0
