"""`ever reproduce`: whether a revision's pipeline still makes what it made."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click
import msgspec

from everloop.cli.output import emit, hint, json_option, say
from everloop.pipelines import Event, EventKind
from everloop.workspace import Workspace

if TYPE_CHECKING:
    from everloop.pipelines.recorded import Recorded


@click.command()
@click.argument("revision", default="HEAD")
@click.option(
    "--tolerance",
    type=click.FloatRange(min=0.0),
    default=0.0,
    show_default=True,
    help="Metrics a and b agree when |a - b| <= tolerance * max(1, |a|).",
)
@click.option(
    "-o", "--out", type=click.Path(dir_okay=False), metavar="FILE", help="Write the certificate as JSON, too."
)
@json_option
def reproduce(revision: str, tolerance: float, out: str | None, as_json: bool) -> None:
    """Run the pipeline of REVISION (HEAD) again, aside, and compare all outputs with what it recorded.

    REVISION may also be a tracked run (runs/ID) or a model version (models/NAME@3) of the hub: the commit of its run,
    with the changes that were not committed, and what it came to.

    Nothing of the workspace is touched. Exits with 1 when an output is different.

    \b
    Example:
      ever reproduce v1.0 --tolerance 1e-6
      ever reproduce v1.0 -o certificate.json
      ever reproduce models/delay@champion
    """
    from everloop.pipelines.certificate import Verdict
    from everloop.pipelines.reproduction import reproduce as run_again

    certificate = run_again(Workspace.open(), _meant(revision), tolerance=tolerance, on_event=_tell)
    if out is not None:
        Path(out).write_bytes(msgspec.json.format(msgspec.json.encode(certificate)) + b"\n")
    emit(certificate, as_json=as_json, text=certificate.lines())
    hint("ever diff, or ever why STAGE")
    if certificate.verdict is Verdict.DIFFERENT:
        sys.exit(1)


def _meant(revision: str) -> str | Recorded:
    from everloop.pipelines.recorded import is_address, recorded

    if not is_address(revision):
        return revision
    from everloop.server.client import open_hub

    hub = open_hub()
    return recorded(revision, hub.tracking, hub.registry, hub.get_bytes)


def _tell(event: Event) -> None:
    if event.kind is EventKind.STARTED:
        say(f"{event.stage}: runs again")
    elif event.kind is EventKind.PRINTED:
        say(f"{event.stage} | {event.text}")
