"""`ever push`, `pull`, `fetch` and `ever status --cloud`: data to and from remotes."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from everloop.cli.output import emit, hint, json_option, say
from everloop.cli.transferwords import transfer_options
from everloop.errors import FailedError
from everloop.pipelines import data_targets
from everloop.workspace import Revision, Workspace

if TYPE_CHECKING:
    from everloop.workspace.routes import Transfer
    from everloop.workspace.transfers import Transfers

_SHOWN_FAILURES = 10


run_cache_option = click.option(
    "--run-cache/--no-run-cache", default=False, help="Also the run cache: what stages have made of what."
)


@click.command()
@transfer_options
@run_cache_option
@click.option("--recheck", is_flag=True, help="Look for every object again, also where all were seen before.")
@json_option
def push(targets: tuple[str, ...], run_cache: bool, recheck: bool, as_json: bool, **words: Any) -> None:
    """Bring the data of the cache to a remote: all, or those that TARGETS name.

    TARGETS are data, .dvc files, stages, or paths inside a tracked folder. What is there already is not sent again;
    after a failure or a kill, push again.

    \b
    Example:
      ever push
      ever push -r shared data/flights
    """
    workspace = Workspace.open()
    report = _transfers(workspace).push(recheck=recheck, run_cache=run_cache, **_meaning(workspace, targets, words))
    _finish(report, "pushed", as_json=as_json, value=report)
    hint("git push")


@click.command()
@transfer_options
@run_cache_option
@click.option(
    "--type",
    "kinds",
    multiple=True,
    type=click.Choice(["metrics", "plots"]),
    help="Only what dvc.yaml files declare as that; may be given twice.",
)
@click.option("--max-size", type=click.IntRange(min=0), metavar="BYTES", help="Leave out data that are larger.")
@json_option
def fetch(
    targets: tuple[str, ...],
    run_cache: bool,
    max_size: int | None,
    kinds: tuple[str, ...],
    as_json: bool,
    **words: Any,
) -> None:
    """Bring data from a remote into the cache; `ever checkout` puts them in place."""
    workspace = Workspace.open()
    meaning = _meaning(workspace, targets, words)
    report = _transfers(workspace).fetch(max_bytes=max_size, kinds=kinds, run_cache=run_cache, **meaning)
    _finish(report, "fetched", as_json=as_json, value=report)
    hint("ever checkout")


@click.command()
@transfer_options
@run_cache_option
@click.option("-f", "--force", is_flag=True, help="Overwrite changes that are nowhere else.")
@click.option("--allow-missing", is_flag=True, help="Succeed also when the remote lacks some of the data.")
@json_option
def pull(
    targets: tuple[str, ...], run_cache: bool, force: bool, allow_missing: bool, as_json: bool, **words: Any
) -> None:
    """Bring data from a remote and put them in place: fetch, then checkout."""
    workspace = Workspace.open()
    report = _transfers(workspace).pull(force=force, run_cache=run_cache, **_meaning(workspace, targets, words))
    restored = [f"restored {path}" for path in report.checkout.restored]
    _finish(report.fetched, "fetched", as_json=as_json, value=report, lines=restored, tolerant=allow_missing)
    hint("ever status")


def show_cloud_status(targets: tuple[str, ...], *, quiet: bool, as_json: bool, words: dict[str, Any]) -> None:
    """Print how cache and remote differ; exit 1 when they do and nothing may be printed."""
    workspace = Workspace.open()
    found = _transfers(workspace).status(**_meaning(workspace, targets, words))
    if quiet:
        if found:
            sys.exit(1)
        return
    lines = [f"\t{change + ':':<20}{path}" for path, change in found.items()]
    emit(found, as_json=as_json, text=lines or "cache and remote are in sync")
    if found:
        hint("ever push (new), ever fetch (deleted: only the remote has it)")


def _transfers(workspace: Workspace) -> Transfers:
    # Here, because `ever status` reads its words as these commands do, and mostly asks no remote.
    from everloop.workspace.transfers import Transfers

    return Transfers(workspace)


def _meaning(workspace: Workspace, targets: tuple[str, ...], words: dict[str, Any]) -> dict[str, Any]:
    """The words of a command as the arguments of the verb."""
    wanted: list[str] | None = None
    if targets:
        where = str(Path.cwd())
        wanted = [
            str(workspace.root / path)
            for path in data_targets(
                workspace, targets, where, with_deps=words["with_deps"], recursive=words["recursive"]
            )
        ]
    return {
        "targets": wanted,
        "remote": words["remote"],
        "jobs": words["jobs"],
        "revisions": _revisions(workspace, words),
        "recursive": words["recursive"],
        "glob": words["glob"],
    }


def _revisions(workspace: Workspace, words: dict[str, Any]) -> list[Revision]:
    scopes = {name: words[name] for name in ("all_branches", "all_tags", "all_commits")}
    return workspace.revisions(**scopes) if any(scopes.values()) else []


def _finish(
    report: Transfer, verb: str, *, as_json: bool, value: object, lines: list[str] | None = None, tolerant: bool = False
) -> None:
    for file, why in report.unreadable.items():
        say(f"passed over {file}: {why}")
    for failure in report.failed[:_SHOWN_FAILURES]:
        say(f"failed: {failure.path} ({failure.md5}, remote {failure.remote}): {failure.reason}")
    count = len(report.done)
    summary = f"{count:,} {'file' if count == 1 else 'files'} {verb}"
    n_runs = len(report.runs)
    runs = [f"{n_runs:,} {'run' if n_runs == 1 else 'runs'} of the run cache {verb}"] if n_runs else []
    text = [*(lines or []), *runs, summary if count or report.failed else "everything is up to date"]
    emit(value, as_json=as_json, text=text)
    if report.failed and not tolerant:
        raise FailedError(
            f"{len(report.failed)} file(s) were not {verb}",
            hint="what arrived is kept; run the command again for the rest",
        )
