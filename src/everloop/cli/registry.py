"""`ever model`: registered models, versions and aliases."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import click

from everloop.cli.output import emit, hint, json_option, table
from everloop.errors import ConflictError, NotFoundError
from everloop.registry import ModelVersion
from everloop.server.client import Hub, actor, open_hub


@click.group()
def model() -> None:
    """List, show, register and delete models and versions, move aliases."""


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
    hint(f"ever model show {name} VERSION")


@model.command()
@click.argument("name", metavar="MODEL")
@click.argument("version", metavar="VERSION|ALIAS")
@json_option
def show(name: str, version: str, as_json: bool) -> None:
    """Show a version: where it comes from, what people say of it, and its files.

    \b
    Examples:
      ever model show flight-delay 3
      ever model show flight-delay champion
    """
    found = _version(open_hub(), name, version)
    emit(found, as_json=as_json, text=_lines(found))
    hint(f"ever run show {found.run_id}" if found.run_id else f"ever model alias {name} ALIAS {found.version}")


@model.command()
@click.argument("name", metavar="MODEL")
@click.argument("source", metavar="SOURCE")
@click.option("--description", default="", help="What it is, as Markdown.")
@json_option
def register(name: str, source: str, description: str, as_json: bool) -> None:
    """Register what lies at SOURCE as the next version of MODEL, which is made when it is not there.

    SOURCE is a folder with a model package, or an address: runs:/RUN/PATH, models:/MODEL/VERSION, models:/m-…,
    mlflow-artifacts:/…, or one of an object store, whose bytes stay where they are.

    \b
    Examples:
      ever model register flight-delay model
      ever model register flight-delay runs:/7f3ac1d2e5b64f0c8a9b0c1d2e3f4a5b/model
    """
    hub = open_hub()
    if Path(source).is_dir():
        from everloop.registry.transfer import listing_digest, put_package

        files = put_package(Path(source), hub.put_file)
        given = ("", "", listing_digest(files), files)
    else:
        from everloop.server.mlflow.sources import Rooms, find_source

        found = find_source(Rooms(hub.tracking, hub.registry), source, "", "")
        given = (found.run_id, found.model_id, found.digest, found.files)
    with suppress(ConflictError):  # it is there, and gets another version
        hub.registry.create_model(name)
    made = hub.registry.create_version(name, source, actor(), *given, description)
    emit(made, as_json=as_json, text=f"registered {name} version {made.version}")
    hint(f"ever model alias {name} ALIAS {made.version}")


@model.command()
@click.argument("name", metavar="MODEL")
@click.argument("version", type=int, required=False)
@json_option
def delete(name: str, version: int | None, as_json: bool) -> None:
    """Delete a version, or a model with all its versions. The record is kept, and numbers are never used again.

    What an alias points at, or an endpoint uses, is not deleted.

    \b
    Example:
      ever model delete flight-delay 2
    """
    hub = open_hub()
    if version is None:
        hub.registry.delete_model(name, actor())
    else:
        hub.registry.delete_version(name, version, actor())
    what = name if version is None else f"{name} version {version}"
    emit({"model": name, "version": version}, as_json=as_json, text=f"deleted {what}")
    hint("ever ledger" if version is None else f"ever model list {name}")


@model.command()
@click.argument("name", metavar="MODEL")
@click.argument("alias_name", metavar="ALIAS")
@click.argument("version", type=int, required=False)
@click.option("--delete", "is_deleted", is_flag=True, help="Take the alias away.")
@click.option("--reason", default="", help="Why, for the ledger.")
@json_option
def alias(name: str, alias_name: str, version: int | None, is_deleted: bool, reason: str, as_json: bool) -> None:
    """Point an alias at a version. (The alias `champion` follows the traffic: use `ever promote`.)

    \b
    Examples:
      ever model alias flight-delay baseline 1
      ever model alias flight-delay baseline --delete
    """
    if alias_name == "champion":
        raise click.UsageError(
            "the alias 'champion' moves together with the traffic: use `ever promote ENDPOINT VERSION`"
        )
    if (version is None) != is_deleted:
        raise click.UsageError("say the VERSION to point at, or --delete")
    registry = open_hub().registry
    if version is None:
        registry.delete_alias(name, alias_name, actor(), reason)
        found, text = registry.get_model(name), f"{name}@{alias_name} is no more"
    else:
        found = registry.set_alias(name, alias_name, version, actor(), reason)
        text = f"{name}@{alias_name} is version {version}"
    emit(found, as_json=as_json, text=text)
    hint(f"ever model list {name}")


def _version(hub: Hub, name: str, version: str) -> ModelVersion:
    if not (version.isascii() and version.isdigit()):
        return hub.registry.resolve(name, version)
    found = hub.registry.get_version(name, int(version))
    if found.is_deleted:
        raise NotFoundError(f"version {version} of model {name!r} is deleted", hint=f"`ever model list {name}`")
    return found


def _lines(found: ModelVersion) -> list[str]:
    facts = {
        "model": f"{found.model} version {found.version}",
        "aliases": ", ".join(found.aliases),
        "stage": found.stage if found.stage != "None" else "",
        "description": found.description,
        "tags": ", ".join(f"{key}={value}" for key, value in found.tags.items()),
        "registered": f"{found.created_at:%Y-%m-%d %H:%M:%S} by {found.actor}"
        if found.actor
        else f"{found.created_at}",
        "run": found.run_id,
        "logged model": found.model_id,
        "source": found.source,
        "digest": found.digest or "none: its bytes are elsewhere, or nothing was there",
        "size": f"{sum(each.size_bytes for each in found.files):,} bytes in {len(found.files)} files",
    }
    lines = [f"{name:<12}  {value}" for name, value in facts.items() if value]
    return [*lines, *(f"  {each.path}  {each.size_bytes:,}" for each in found.files)]
