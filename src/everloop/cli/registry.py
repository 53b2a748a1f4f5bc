"""`ever model`: registered models, versions and aliases."""

from __future__ import annotations

import click

from everloop.cli.output import emit, hint, json_option, table
from everloop.server.client import actor, open_hub


@click.group()
def model() -> None:
    """List models and versions, move aliases."""


@model.command("list")
@click.argument("name", metavar="MODEL", required=False)
@json_option
def list_models(name: str | None, as_json: bool) -> None:
    """List models, or the versions of one.

    \b
    Example:
      ever model list flight-delay
    """
    hub = open_hub()
    if name is None:
        models = hub.registry.list_models()
        rows = [(m.name, m.latest_version, ", ".join(f"{a}={v}" for a, v in m.aliases.items())) for m in models]
        emit(models, as_json=as_json, text=table(("model", "versions", "aliases"), rows))
        hint("ever model list MODEL")
        return
    versions = hub.registry.list_versions(name)
    rows_ = [
        (v.version, ", ".join(v.aliases), v.run_id[:12], str(v.evidence.get("commit", ""))[:12], v.digest[:12])
        for v in versions
    ]
    emit(versions, as_json=as_json, text=table(("version", "aliases", "run", "commit", "digest"), rows_))
    hint("ever run show RUN")


@model.command()
@click.argument("name", metavar="MODEL")
@click.argument("alias_name", metavar="ALIAS")
@click.argument("version", type=int)
@click.option("--reason", default="", help="Why, for the ledger.")
@json_option
def alias(name: str, alias_name: str, version: int, reason: str, as_json: bool) -> None:
    """Point an alias at a version. (The alias `champion` follows the traffic: use `ever promote`.)

    \b
    Example:
      ever model alias flight-delay baseline 1
    """
    if alias_name == "champion":
        raise click.UsageError(
            "the alias 'champion' moves together with the traffic: use `ever promote ENDPOINT VERSION`"
        )
    found = open_hub().registry.set_alias(name, alias_name, version, actor(), reason)
    emit(found, as_json=as_json, text=f"{name}@{alias_name} is version {version}")
    hint(f"ever model list {name}")
