"""`ever apply`, `retrain`, `promote`, `rollback`, `endpoint`, `alerts`, `explain`: the loop in a person's hands."""

from __future__ import annotations

import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import click

from everloop.cli.output import emit, hint, json_option, say, table
from everloop.loop.project import read_project
from everloop.loop.store import Explanation, Retraining
from everloop.pipelines import parse_assignments
from everloop.server.client import actor, open_hub


@click.command()
@click.option("--check", is_flag=True, help="Only check the file; the hub is not asked.")
@json_option
def apply(check: bool, as_json: bool) -> None:
    """Check everloop.yaml and its contracts, and hand them to the hub.

    \b
    Example:
      ever apply
    """
    if check:
        project, _ = read_project(Path.cwd())
        emit(project, as_json=as_json, text=f"everloop.yaml of {project.project!r} is sound")
        hint("ever apply")
        return
    applied = open_hub().apply(Path.cwd())
    text = f"project {applied.name!r} applied; endpoint {applied.endpoint!r}, policy {applied.policy}"
    emit(applied, as_json=as_json, text=text)
    hint("ever ingest DATASET FILE, then ever repro")


@click.command()
@click.argument("endpoint")
@click.option("-S", "--set-param", "assignments", multiple=True, metavar="KEY=VALUE", help="Change a param, this once.")
@click.option("--reason", default="manual", show_default=True, help="Why, for the records.")
@json_option
def retrain(endpoint: str, assignments: tuple[str, ...], reason: str, as_json: bool) -> None:
    """Train a challenger on the data known now, pass it through the gates and put it into shadow.

    The project's committed code runs in a checkout of its own; the working tree is not touched. The first version
    of an endpoint becomes its champion at once. The exit code is 1 when training failed or a gate did not pass.

    \b
    Example:
      ever retrain flight-delay --reason "new feature"
      ever retrain flight-delay -S train.learning_rate=0.05
    """
    at = datetime.now(UTC)
    hub = open_hub()
    retraining_id = f"{endpoint}-{at:%Y%m%dT%H%M%S%f}-manual"
    hub.loop.request_retraining(endpoint, retraining_id, at, actor(), reason, parse_assignments(assignments))
    done = hub.await_retraining(retraining_id)
    emit(done, as_json=as_json, text=_retraining_lines(done))
    if done.state not in ("champion", "shadow"):
        sys.exit(1)
    hint(f"ever endpoint show {endpoint}")


def _retraining_lines(done: Retraining) -> list[str]:
    lines = [f"retraining {done.retraining_id}: {done.state}" + (f", version {done.version}" if done.version else "")]
    for gate in done.gates.get("results", []):
        found = "-" if gate["found"] is None else f"{gate['found']:.4f}"
        lines.append(f"  {'passed' if gate['passed'] else 'FAILED'}  {gate['gate']}: {found}")
    return lines + ([f"  {done.message}"] if done.message and done.state == "failed" else [])


@click.command()
@click.argument("endpoint")
@click.argument("version", type=int)
@click.option("--reason", required=True, help="Why, for the ledger.")
@json_option
def promote(endpoint: str, version: int, reason: str, as_json: bool) -> None:
    """Make a version the champion of an endpoint now.

    \b
    Example:
      ever promote flight-delay 3 --reason "rolling forward again"
    """
    started = time.perf_counter()
    made = open_hub().loop.promote(endpoint, version, actor(), reason)
    emit(made, as_json=as_json, text=f"{endpoint}: version {made.champion} answers, after {_ms(started)}")
    hint(f"ever endpoint show {endpoint}")


@click.command()
@click.argument("endpoint")
@click.option("--reason", default="rolled back by hand", show_default=True, help="Why, for the ledger.")
@json_option
def rollback(endpoint: str, reason: str, as_json: bool) -> None:
    """Put the previous champion back. Every answer after this command is from it.

    \b
    Example:
      ever rollback flight-delay --reason "complaints from the desk"
    """
    started = time.perf_counter()
    hub = open_hub()
    # Named by the revision that it leaves, so that an answer lost on the way does not roll back twice.
    made = hub.loop.rollback(endpoint, actor(), reason, hub.serving.deployment(endpoint).revision)
    emit(made, as_json=as_json, text=f"{endpoint}: version {made.champion} answers again, after {_ms(started)}")
    hint(f"ever promote {endpoint} {made.previous} --reason …   (to roll forward again)")


def _ms(started: float) -> str:
    return f"{(time.perf_counter() - started) * 1000:.0f} ms"


@click.group()
def endpoint() -> None:
    """Show endpoints, their traffic and windows."""


@endpoint.command("list")
@json_option
def list_endpoints(as_json: bool) -> None:
    """List endpoints and what they serve."""
    found = open_hub().serving.list_deployments()
    rows = [(d.endpoint, d.model, d.champion, ", ".join(map(str, d.shadows)) or "-", d.revision) for d in found]
    emit(found, as_json=as_json, text=table(("endpoint", "model", "champion", "shadows", "revision"), rows))
    hint("ever endpoint show ENDPOINT")


@endpoint.command()
@click.argument("name", metavar="ENDPOINT")
@json_option
def show(name: str, as_json: bool) -> None:
    """Show an endpoint: its traffic, challenges, retrainings and last windows.

    \b
    Example:
      ever endpoint show flight-delay
    """
    hub = open_hub()
    deployment = hub.serving.deployment(name)
    challenges = hub.loop.list_challenges(name)
    retrainings = hub.loop.list_retrainings(name)
    windows = hub.monitoring.list_windows(name)
    value = {"deployment": deployment, "challenges": challenges, "retrainings": retrainings, "windows": windows}
    rows = [
        (f"{c.started_at:%Y-%m-%d}", f"{c.challenger} against {c.champion}", c.state, c.verdict.get("reason", ""))
        for c in challenges
    ]
    text = [
        f"{name}: version {deployment.champion} answers (revision {deployment.revision}: {deployment.reason})",
        f"in shadow: {', '.join(map(str, deployment.shadows)) or 'none'}; previous: {deployment.previous or 'none'}",
        table(("since", "challenge", "state", "last look"), rows) if rows else "no challenge yet",
    ]
    emit(value, as_json=as_json, text=text)
    hint(f"ever alerts --subject endpoints/{name}")


@click.command()
@click.option("--kind", type=click.Choice(["contract", "drift", "decay"]), help="Only this kind.")
@click.option("--subject", help="Only this subject, as `endpoints/flight-delay`.")
@json_option
def alerts(kind: str | None, subject: str | None, as_json: bool) -> None:
    """List what monitoring and contracts found, oldest first."""
    found = open_hub().monitoring.list_alerts(kind, subject)  # type: ignore[arg-type]  # click checked the choice
    rows = [(f"{a.happened_at:%Y-%m-%d}", a.severity, a.kind, a.subject, a.message) for a in found]
    emit(found, as_json=as_json, text=table(("when", "severity", "kind", "subject", "message"), rows))
    hint("ever ledger list")


@click.command()
@click.argument("prediction_id", metavar="PREDICTION_ID")
@json_option
def explain(prediction_id: str, as_json: bool) -> None:
    """Trace one prediction back to model version, run, commit, data, gates, decision, and its late label.

    \b
    Example:
      ever explain 2013-07-04-120
    """
    found = open_hub().loop.explain(prediction_id)
    emit(found, as_json=as_json, text=explanation_lines(found))
    hint(f"ever run show {found.run_id[:12]}")
    if found.label is None:
        say("its label has not arrived yet")


def explanation_lines(found: Explanation) -> list[str]:
    """Return an explanation as lines for people."""
    label = "not known yet" if found.label is None else f"{found.label:g} (arrived {found.labelled_at:%Y-%m-%d %H:%M})"
    score = "none" if found.score is None else f"{found.score:.4f}"
    shadows = ", ".join(f"{name} said {value:.4f}" for name, value in found.shadows.items() if value is not None)
    gates = found.gates.get("results", [])
    inputs = ", ".join(f"{name}={value}" for name, value in found.inputs.items())
    return [
        f"prediction  {found.prediction_id} of {found.endpoint}, {found.occurred_at:%Y-%m-%d %H:%M} UTC",
        f"  answer    {score}; label {label}",
        f"  inputs    {inputs}",
        f"  shadows   {shadows or 'none'}",
        f"model       {found.model}",
        f"run         runs/{found.run_id}",
        f"commit      {found.commit}",
        *(f"data        {address}" for address in found.datasets),
        f"gates       {found.gates.get('kind', 'none')}, {len(gates)} judged, ledger {found.gates.get('ledger', '-')}",
        f"decision    revision {found.decision['revision']} by {found.decision['actor']}: {found.decision['reason']}",
    ]
