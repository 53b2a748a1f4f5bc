"""`ever run`: tracked runs."""

from __future__ import annotations

import re

import click

from everloop.cli.output import emit, hint, json_option, table
from everloop.server.client import open_hub
from everloop.tracking import Run


@click.group()
def run() -> None:
    """List and show tracked runs."""


@run.command("list")
@click.option("--experiment", help="Only runs of this experiment.")
@click.option("--limit", default=20, show_default=True, help="At most this many, the newest.")
@json_option
def list_runs(experiment: str | None, limit: int, as_json: bool) -> None:
    """List runs, newest first.

    \b
    Example:
      ever run list --experiment flights
    """
    tracking = open_hub().tracking
    chosen = None if experiment is None else [tracking.find_experiment(experiment).experiment_id]
    found = tracking.search_runs(chosen, limit=limit).runs
    rows = [(r.run_id[:12], r.experiment, r.name, r.status, f"{r.started_at:%Y-%m-%d %H:%M}", _brief(r)) for r in found]
    emit(found, as_json=as_json, text=table(("run", "experiment", "name", "status", "started", "metrics"), rows))
    hint("ever run show RUN")


@run.command()
@click.argument("run_id", metavar="RUN")
@json_option
def show(run_id: str, as_json: bool) -> None:
    """Show one run with its params, metrics, tags, artifacts and lineage. RUN may be the beginning of an id.

    \b
    Example:
      ever run show 7f3a
    """
    hub = open_hub()
    if re.fullmatch("[0-9a-f]{0,31}", run_id):
        page = hub.tracking.search_runs(filter=f"run_id LIKE '{run_id}%'", view="all", limit=2)
        matching = [each.run_id for each in page.runs]
        run_id = matching[0] if len(matching) == 1 else run_id.ljust(32, "0")
    found = hub.tracking.get_run(run_id)
    artifacts = hub.tracking.list_artifacts(run_id)
    edges = hub.tracking.edges_of(f"runs/{run_id}")
    lines = [f"run {found.run_id} ({found.status}) of {found.experiment}: {found.name}"]
    for title, values in (("metrics", found.metrics), ("params", found.params), ("tags", found.tags)):
        lines += [f"{title}:", *(f"  {key} = {value}" for key, value in values.items())]
    lines += ["artifacts:", *(f"  {each.path}  {each.size_bytes:,} bytes" for each in artifacts)]
    lines += ["lineage:", *(f"  {each.source} {each.relation} {each.target}" for each in edges)]
    emit({"run": found, "artifacts": artifacts, "edges": edges}, as_json=as_json, text=lines)
    hint("ever model list")


def _brief(run: Run) -> str:
    return " ".join(f"{key}={value:.4g}" for key, value in list(run.metrics.items())[:3] if isinstance(value, float))
