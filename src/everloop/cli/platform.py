"""`ever up`, `ever hub`, `ever worker`, `ever gateway`: the processes of the platform."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from everloop.cli.output import say
from everloop.compute import Child, Supervisor, hold_lifeline
from everloop.config import Settings
from everloop.log import start_logging

Command = TypeVar("Command", bound=Callable[..., Any])

home_option = click.option("--home", metavar="DIR", help="Folder of the hub [default: ~/.everloop].")
_lifeline_option = click.option("--lifeline", type=int, hidden=True)


@click.command()
@home_option
@click.option("--hub-port", type=int, help="Port of the hub [default: 7300].")
@click.option("--gateway-port", type=int, help="Port of the gateway [default: 7301].")
@click.option("--schedule-s", type=float, help="Seconds between the loop's own ticks; 0 for none [default: 60].")
@_lifeline_option
def up(lifeline: int | None, **given: Any) -> None:
    """Start hub, worker and gateway, and keep them running until Ctrl-C.

    \b
    Example:
      ever up
      ever up --home /srv/everloop --hub-port 8300 --gateway-port 8301
    """
    settings = Settings.load(**given)
    if lifeline is not None:
        hold_lifeline(lifeline)
    say(f"hub      {settings.hub}\ngateway  {settings.gateway}\nlogs     {settings.home_path / 'logs'}")
    say("Ctrl-C stops everything. next: ever apply")
    Supervisor(settings.home_path, children(settings), on_event=lambda name, what: say(f"{name} {what}")).run()


def children(settings: Settings) -> list[Child]:
    """Return the processes of a whole platform on one machine, in the order of their start."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("EVERLOOP_")}
    environment |= settings.environment()
    # The stages of pipelines say `python` and `ever`: they get those of this installation, activated or not.
    environment["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), environment.get("PATH", os.defpath)])
    command = [sys.executable, "-m", "everloop"]
    return [
        Child(name=role, command=[*command, role, "--lifeline", "{lifeline}"], environment=environment)
        for role in ("hub", "worker", "gateway")
    ]


def _settings(lifeline: int | None, role: str, given: dict[str, Any]) -> Settings:
    if lifeline is not None:
        hold_lifeline(lifeline)
    settings = Settings.load(**given)
    start_logging(role, settings.log_level)
    return settings


@click.command()
@home_option
@click.option("--host", "hub_host", help="Loopback address to listen on.")
@click.option("--port", "hub_port", type=int, help="Port to listen on [default: 7300].")
@_lifeline_option
def hub(lifeline: int | None, **given: Any) -> None:
    """Run the hub (API, records, requests to the loop) in this terminal."""
    settings = _settings(lifeline, "hub", given)
    from everloop.server.app import hub_app
    from everloop.server.platform import Platform
    from everloop.web import run

    platform = Platform(settings)
    run(hub_app(platform), host=settings.hub_host, port=settings.hub_port, on_stop=platform.close)


@click.command()
@home_option
@click.option("--id", "worker_id", help="Name of this worker; a restarted worker keeps its name [default: worker-1].")
@_lifeline_option
def worker(lifeline: int | None, **given: Any) -> None:
    """Run a worker (the durable loop, training) in this terminal."""
    settings = _settings(lifeline, "worker", given)
    from everloop.loop.runner import run_worker
    from everloop.server.platform import Platform

    run_worker(Platform(settings).rooms, settings)


@click.command()
@home_option
@click.option("--host", "gateway_host", help="Loopback address to listen on.")
@click.option("--port", "gateway_port", type=int, help="Port to listen on [default: 7301].")
@_lifeline_option
def gateway(lifeline: int | None, **given: Any) -> None:
    """Run a gateway (predictions, feedback) in this terminal."""
    settings = _settings(lifeline, "gateway", given)
    from everloop.server.platform import Platform
    from everloop.serving.gateway import Gateway
    from everloop.web import run

    platform = Platform(settings)
    server = Gateway(platform.rooms.serving, platform.rooms.predictions, platform.package)

    def stop() -> None:
        server.close()
        platform.close()

    run(server.app, host=settings.gateway_host, port=settings.gateway_port, on_stop=stop)
