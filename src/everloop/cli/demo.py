"""`ever demo`: a year of real flights through the whole loop."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import click
import msgspec

from everloop.cli.output import json_option
from everloop.config import Settings
from everloop.demo import report, stage
from everloop.demo.play import Player
from everloop.demo.progress import Progress, ProgressFile
from everloop.demo.summary import Summary, summarise
from everloop.demo.world import FAST_SCRIPT, FIRST_DAY, YEAR_SCRIPT, Script, World
from everloop.errors import InvalidError
from everloop.pipelines import set_params
from everloop.server.client import Hub
from everloop.storage import HttpClient


@click.command()
@click.argument("folder", metavar="[DIR]", default="everloop-demo", type=click.Path(file_okay=False, path_type=Path))
@click.option("--fast", is_flag=True, help="Play every tenth flight of March to July, in steps of a week.")
@click.option("--seed", default=7, show_default=True, help="Seed of the training; the same seed decides the same.")
@json_option
def demo(folder: Path, fast: bool, seed: int, as_json: bool) -> None:
    """Play a year of real flights through the whole loop, from the first model to the last promotion.

    DIR becomes a workspace of its own (a Git repository) with the platform's files in DIR/.everloop. Ctrl-C stops
    cleanly; the same command goes on where it was.

    \b
    Example:
      ever demo
      ever demo /tmp/flights --fast
    """
    folder = folder.absolute()
    _use_our_tools()
    if folder.is_dir() and any(folder.iterdir()) and not (folder / ".everloop").is_dir():
        raise InvalidError(f"{folder} is not empty and holds no demo", hint="Name another folder.")
    settings = stage.choose_settings(folder / ".everloop")
    file = ProgressFile(settings.home_path)
    progress = file.load(fast=fast, seed=seed)
    script = FAST_SCRIPT if fast else YEAR_SCRIPT
    bar = _Bar(as_json=as_json, days=(script.last_day - FIRST_DAY).days + 1)
    with _stoppable() as look, bar.shown():
        summary = _play(folder, settings, file, progress, script, bar, look)
    commands = next_commands(folder, settings, summary)
    picture, document = report.write(summary, folder, commands)
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(summary), indent=2).decode())
        return
    click.echo(report.terminal(summary))
    click.echo(f"\nThe picture: {picture}\nThe report:  {document}\n\nLook further:")
    for command in commands:
        click.echo(f"  {command}")


def _play(
    folder: Path,
    settings: Settings,
    file: ProgressFile,
    progress: Progress,
    script: Script,
    bar: _Bar,
    look: Callable[[], None],
) -> Summary:
    started = time.perf_counter()
    workspace = stage.make_workspace(folder, bar.say)
    if not progress.is_set:
        set_params(folder / "params.yaml", {"train.seed": progress.seed})
        workspace.git.commit(["params.yaml"], "Choose the seed")
    world = World(stage.template(), settings.home_path / "world", script)
    bar.say("$ ever up")
    with stage.platform(settings):
        hub = Hub(settings, patience_s=stage.PATIENCE_S)
        gateway = HttpClient(settings.gateway, patience_s=stage.PATIENCE_S, name="gateway")
        if not progress.is_set:
            stage.bring_history(hub, workspace, world, bar.say)
            stage.run_pipeline(workspace, hub, bar.say)
            stage.first_champion(hub, bar.say)
            progress.is_set = True
            progress.seconds["setup"] = time.perf_counter() - started
            file.save(progress)
        stage.await_endpoint(gateway)
        player = Player(hub, gateway, world, file, progress, say=bar.say, advance=bar.advance, look=look)
        player.play()
        return summarise(hub, progress)


def next_commands(folder: Path, settings: Settings, summary: Summary) -> list[str]:
    """Return commands that work as they stand, in a shell in the demo's folder."""
    hub = "" if settings.hub == Settings().hub else f"EVERLOOP_HUB_URL={settings.hub} "
    endpoint = stage.ENDPOINT
    return [
        f"cd {folder} && {Path(sys.executable).parent}/ever up --home .everloop   # in another terminal",
        f"{hub}ever explain {summary.sample_prediction}",
        f"{hub}ever endpoint show {endpoint}",
        f"{hub}ever alerts",
        f"{hub}ever ledger verify",
        f"{hub}ever model list {stage.MODEL}",
    ]


def _use_our_tools() -> None:
    """Let the stages' `python` and `ever` be the ones of this installation, also without an activated environment."""
    here = str(Path(sys.executable).parent)
    os.environ["PATH"] = os.pathsep.join([here, os.environ.get("PATH", os.defpath)])


@contextmanager
def _stoppable() -> Iterator[Callable[[], None]]:
    """Let Ctrl-C and SIGTERM stop the demo; gives what the demo calls now and then to see whether it has to stop.

    An interrupt that arrives while Python runs a finaliser is printed and forgotten, so it is also remembered here.
    """
    asked = threading.Event()

    def stop(*_: object) -> None:
        asked.set()
        raise KeyboardInterrupt

    def look() -> None:
        if asked.is_set():
            raise KeyboardInterrupt

    previous = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield look
        look()
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


class _Bar:
    """Progress on stderr: a bar on a terminal, plain lines elsewhere, nothing of it in JSON."""

    def __init__(self, *, as_json: bool, days: int) -> None:
        self._quiet = as_json
        self._days = days
        self._advance: Callable[[int], None] | None = None
        self._print: Callable[[str], None] = lambda text: click.echo(text, err=True)

    @contextmanager
    def shown(self) -> Iterator[None]:
        """Show the bar while the block runs, on a terminal."""
        if self._quiet or not sys.stderr.isatty():
            yield
            return
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        columns = (TextColumn("playing 2013"), BarColumn(), MofNCompleteColumn(), TextColumn("days"))
        with Progress(*columns, TimeRemainingColumn(), console=Console(stderr=True)) as bar:
            task = bar.add_task("", total=self._days)
            self._advance = lambda days: bar.advance(task, days)
            self._print = lambda text: bar.console.print(text, markup=False, highlight=False)
            yield

    def say(self, text: str) -> None:
        if not self._quiet:
            self._print(text)

    def advance(self, days: int) -> None:
        if self._advance is not None:
            self._advance(days)
