"""`ever init`, `add`, `status`, `checkout`: the project's folder and its data."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from everloop.cli.output import emit, hint, json_option
from everloop.pipelines import checkout as restore_all
from everloop.pipelines import status as status_of_all
from everloop.workspace import Content, Workspace


@click.command()
@click.argument("folder", default=".", type=click.Path(file_okay=False))
@click.option("--no-scm", is_flag=True, help="Do without Git.")
@json_option
def init(folder: str, no_scm: bool, as_json: bool) -> None:
    """Make FOLDER a workspace, and a Git repository unless it is in one."""
    workspace = Workspace.init(folder, scm=not no_scm)
    emit({"root": str(workspace.root)}, as_json=as_json, text=f"made the workspace {workspace.root}")
    hint("ever add DATA")


@click.command()
@click.argument("targets", nargs=-1, required=True)
@json_option
def add(targets: tuple[str, ...], as_json: bool) -> None:
    """Put files or folders under version: their bytes into the cache, a .dvc file beside them for Git."""
    workspace = Workspace.open()
    report = workspace.add(_absolute(targets))
    lines = [f"added {out.path} ({_size(out.content)})" for file in report.added for out in file.outs]
    lines += [f"{out.path} did not change" for file in report.unchanged for out in file.outs]
    emit(report, as_json=as_json, text=lines)
    files = " ".join(file.path for file in report.added)
    hint(f"git add {files} .gitignore && git commit" if files else "ever repro")


@click.command()
@json_option
def status(as_json: bool) -> None:
    """Say what changed since the last add or repro."""
    workspace = Workspace.open()
    found = status_of_all(workspace)
    lines = [line for address, entries in found.items() for line in _described(address, entries)]
    emit(found, as_json=as_json, text=lines or "data and pipelines are up to date")
    if found:
        hint("ever add DATA (new data), ever repro (stages), or ever checkout (back to what is recorded)")


@click.command()
@click.argument("targets", nargs=-1)
@click.option("-f", "--force", is_flag=True, help="Overwrite changes that are nowhere else.")
@json_option
def checkout(targets: tuple[str, ...], force: bool, as_json: bool) -> None:
    """Put versioned files back in place, as the .dvc files and dvc.lock say."""
    workspace = Workspace.open()
    report = restore_all(workspace, _absolute(targets) or None, force=force)
    lines = [f"restored {path}" for path in report.restored]
    emit(report, as_json=as_json, text=lines or "nothing to restore")
    hint("ever status")


def _absolute(targets: tuple[str, ...]) -> list[str]:
    # Words on the command line are meant from the current folder, the workspace's own paths from its root.
    return [str(Path(target).absolute()) for target in targets]


def _size(content: Content | None) -> str:
    if content is None:
        return "empty"
    files = "" if content.n_files is None else f"{content.n_files:,} files, "
    return f"{files}{content.size_bytes:,} bytes"


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
