"""`ever status`: what changed, in a file of its own because it is asked most often and has to answer at once."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from everloop.cli.fromhere import status_from
from everloop.cli.output import emit, hint, json_option
from everloop.cli.transferwords import transfer_options
from everloop.pipelines import status as status_of_all
from everloop.workspace import Workspace


@click.command()
@transfer_options
@click.option("-c", "--cloud", is_flag=True, help="Compare the cache with a remote instead.")
@click.option("-q", "--quiet", is_flag=True, help="Print nothing; exit 1 when something changed.")
@click.option("--no-updates", is_flag=True, help="Accepted for DVC's sake: imports are never looked up.")
@json_option
def status(targets: tuple[str, ...], cloud: bool, quiet: bool, no_updates: bool, as_json: bool, **words: Any) -> None:
    """Say what changed since the last add or repro, or with --cloud how the cache and a remote differ.

    TARGETS are data, .dvc files, stages, outputs, or paths inside a tracked folder; all, if none is named.

    \b
    Example:
      ever status
      ever status --with-deps train
      ever status --cloud
    """
    del no_updates
    if cloud or words["remote"]:
        # Here, because `status` mostly asks no remote.
        from everloop.cli.remotes import show_cloud_status

        show_cloud_status(targets, quiet=quiet, as_json=as_json, words=words)
        return
    if any(value for word, value in words.items() if word not in ("with_deps", "recursive")):
        raise click.UsageError("--all-branches, --all-tags, --all-commits, --jobs and --glob go with --cloud")
    workspace, here = Workspace.open(), Path.cwd()
    report = status_of_all(workspace, targets, here, with_deps=words["with_deps"], recursive=words["recursive"])
    found = status_from(report, workspace.root, here)
    lines = [line for address, entries in found.items() for line in _described(address, entries)]
    if quiet:
        if found:
            sys.exit(1)
        return
    emit(found, as_json=as_json, text=lines or "data and pipelines are up to date")
    if found:
        hint("ever add DATA (new data), ever repro (stages), or ever checkout (back to what is recorded)")


def _described(address: str, entries: list[Any]) -> list[str]:
    lines = [f"{address}:"]
    for entry in entries:
        if isinstance(entry, str):
            lines.append(f"  {entry}")
            continue
        for title, found in entry.items():
            for path, change in found.items():
                words = (
                    ", ".join(f"{key} {kind}" for key, kind in change.items()) if isinstance(change, dict) else change
                )
                lines.append(f"  {title}: {path} {words}")
    return lines
