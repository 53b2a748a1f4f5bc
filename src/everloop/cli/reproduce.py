"""`ever reproduce`: whether a revision's pipeline still makes what it made."""

from __future__ import annotations

import sys
from pathlib import Path

import click
import msgspec

from everloop.cli.output import emit, hint, json_option, say
from everloop.pipelines import Event, EventKind
from everloop.workspace import Workspace


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

    Nothing of the workspace is touched. Exits with 1 when an output is different.

    \b
    Example:
      ever reproduce v1.0 --tolerance 1e-6
      ever reproduce v1.0 -o certificate.json
    """
    from everloop.pipelines.certificate import Verdict
    from everloop.pipelines.reproduction import reproduce as run_again

    certificate = run_again(Workspace.open(), revision, tolerance=tolerance, on_event=_tell)
    if out is not None:
        Path(out).write_bytes(msgspec.json.format(msgspec.json.encode(certificate)) + b"\n")
    emit(certificate, as_json=as_json, text=certificate.lines())
    hint("ever diff, or ever why STAGE")
    if certificate.verdict is Verdict.DIFFERENT:
        sys.exit(1)


def _tell(event: Event) -> None:
    if event.kind is EventKind.STARTED:
        say(f"{event.stage}: runs again")
    elif event.kind is EventKind.PRINTED:
        say(f"{event.stage} | {event.text}")
