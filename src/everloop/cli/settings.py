"""`ever config`, `ever remote`, `ever cache`: DVC's configuration."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from everloop.cli import stands_in_for_dvc
from everloop.cli.opening import open_workspace
from everloop.cli.output import emit, hint, json_option, say
from everloop.errors import NotFoundError
from everloop.workspace import Workspace, remotes
from everloop.workspace.configuration import Configuration, Level, Setting, split_name

Command = TypeVar("Command", bound=Callable[..., Any])

_LEVELS = {
    Level.LOCAL: "This machine only, the place for secrets (.dvc/config.local).",
    Level.PROJECT: "The project's, in Git (.dvc/config); where nothing else is said.",
    Level.GLOBAL: "All projects of this user.",
    Level.SYSTEM: "All users of this machine.",
}


def level_options(command: Command) -> Command:
    """Add `--local`, `--project`, `--global` and `--system`; the function receives `level`, None when none is given."""
    for level, text in reversed(_LEVELS.items()):
        command = click.option(f"--{level}", "level", flag_value=level.value, default=None, help=text)(command)
    return command


@click.command()
@click.argument("name", required=False)
@click.argument("value", required=False)
@click.option("-l", "--list", "is_list", is_flag=True, help="Show everything that is set; secrets are stars.")
@click.option("--show-origin", is_flag=True, help="Also show which file sets it.")
@click.option("-u", "--unset", is_flag=True, help="Take the option back.")
@level_options
@json_option
def config(
    name: str | None,
    value: str | None,
    is_list: bool,
    show_origin: bool,
    unset: bool,
    level: str | None,
    as_json: bool,
) -> None:
    """Get or set an option of DVC's configuration: NAME is SECTION.OPTION or remote.NAME.OPTION.

    \b
    Example:
      ever config cache.type hardlink,copy
      ever config --list --show-origin
    """
    configuration = _configuration()
    chosen = Level(level) if level else None
    if is_list:
        if name or unset:
            raise click.UsageError("--list takes no NAME, VALUE or --unset")
        found = configuration.settings(chosen)
        values = {setting.name: setting.shown for setting in found}
        emit(values, as_json=as_json, text=[_line(setting, show_origin=show_origin) for setting in found])
        return
    if name is None:
        raise click.UsageError("NAME is missing; `ever config --list` shows what is set")
    if value is None and not unset:
        try:
            setting = configuration.get(name, chosen)
        except NotFoundError:
            if chosen is None and stands_in_for_dvc():
                # DVC says nothing of what is set nowhere, and tools that ask take it for "no".
                return
            raise
        origin = f"{_origin(setting.file)}\t" if show_origin else ""
        emit({setting.name: setting.value}, as_json=as_json, text=f"{origin}{setting.value}")
        return
    if show_origin or (unset and value is not None):
        raise click.UsageError("--show-origin shows, and --unset takes no VALUE")
    file = configuration.unset(name, chosen) if value is None else configuration.set(name, value, chosen)
    emit({"file": str(file)}, as_json=as_json, text=f"wrote {_origin(file)}")
    if ".".join(split_name(name)) == "cache.type":
        hint("ever checkout --relink (files that are there keep their links until then)")


@click.group()
def remote() -> None:
    """Say where the data are kept for others."""


@remote.command("add")
@click.argument("name")
@click.argument("url")
@click.option("-d", "--default", is_flag=True, help="The one that is meant when none is named.")
@click.option("-f", "--force", is_flag=True, help="Replace a remote of that name with all of its options.")
@level_options
@json_option
def remote_add(name: str, url: str, default: bool, force: bool, level: str | None, as_json: bool) -> None:
    """Add the remote NAME at URL: a folder, s3://bucket/folder, gs://…, azure://…, or https://… for reading.

    \b
    Example:
      ever remote add -d shared s3://our-data/flights
    """
    added = remotes.add(_configuration(), name, url, level=_level(level), default=default, force=force)
    words = " as the default" if default else ""
    emit({"name": added.name, "url": added.url}, as_json=as_json, text=f"added the remote {added.name}{words}")
    hint("ever push" if default else f"ever push -r {added.name}")


@remote.command("list")
@level_options
@json_option
def remote_list(level: str | None, as_json: bool) -> None:
    """List the remotes. Secrets are stars in --json."""
    found = remotes.listed(_configuration(), _level(level))
    lines = ["\t".join([each.name, each.shown["url"], *(["(default)"] if each.is_default else [])]) for each in found]
    value = [{"name": each.name, "is_default": each.is_default, **each.shown} for each in found]
    if found or as_json:
        emit(value, as_json=as_json, text=lines)
    else:
        # On stdout stands nothing but remotes: tools read it line by line.
        say("there are no remotes")
        hint("ever remote add -d NAME URL")


@remote.command("modify")
@click.argument("name")
@click.argument("option")
@click.argument("value", required=False)
@click.option("-u", "--unset", is_flag=True, help="Take the option back.")
@level_options
@json_option
def remote_modify(name: str, option: str, value: str | None, unset: bool, level: str | None, as_json: bool) -> None:
    """Set an option of a remote. Secrets belong into --local, which Git never sees.

    \b
    Example:
      ever remote modify shared endpointurl http://minio:9000
      ever remote modify --local shared secret_access_key ...
    """
    if (value is None) != unset:
        raise click.UsageError("give a VALUE, or --unset")
    file = remotes.modify(_configuration(), name, option, value, level=_level(level))
    emit({"file": str(file)}, as_json=as_json, text=f"wrote {_origin(file)}")


@remote.command("remove")
@click.argument("name")
@level_options
def remote_remove(name: str, level: str | None) -> None:
    """Forget a remote. What is in it stays."""
    remotes.remove(_configuration(), name, level=_level(level))
    click.echo(f"removed the remote {name}")


@remote.command("rename")
@click.argument("name")
@click.argument("new")
@level_options
def remote_rename(name: str, new: str, level: str | None) -> None:
    """Give a remote another name."""
    remotes.rename(_configuration(), name, new, level=_level(level))
    click.echo(f"the remote {name} is {new} now")


@remote.command("default")
@click.argument("name", required=False)
@click.option("-u", "--unset", is_flag=True, help="No remote is the default any more.")
@level_options
def remote_default(name: str | None, unset: bool, level: str | None) -> None:
    """Say which remote is meant when none is named; without NAME, print it."""
    configuration = _configuration()
    if name is None and not unset:
        click.echo(configuration.get("core.remote", _level(level)).value)
        return
    remotes.set_default(configuration, None if unset else name, level=_level(level))
    click.echo("there is no default remote now" if unset else f"the default remote is {name} now")


@click.group()
def cache() -> None:
    """Say where the cache lies, or bring that of DVC 2 up to date."""


@cache.command("migrate")
@click.option(
    "--dvc-files", "records", is_flag=True, help="Also rewrite the .dvc and dvc.lock files that name objects."
)
@click.option("--dry", is_flag=True, help="Only list what would be done.")
@json_option
def cache_migrate(records: bool, dry: bool, as_json: bool) -> None:
    """Give the objects that DVC 2 has put into the cache the names of DVC 3.

    The old names stay, for records of older revisions: `ever gc` removes what nothing needs.

    \b
    Example:
      ever cache migrate --dvc-files --dry
    """
    from everloop.pipelines.migrate import migrate

    report = migrate(open_workspace(), records=records, dry=dry)
    word = "would be" if dry else "were"
    lines = [f"{len(report.objects):,} objects of DVC 2 {word} migrated"]
    lines += [f"{path} {'would be' if dry else 'was'} rewritten" for path in report.records]
    lines += [f"{name} stays as it is: {why}" for name, why in report.skipped.items()]
    emit(report, as_json=as_json, text=lines)
    if report.skipped:
        sys.exit(1)
    hint(
        "ever cache migrate --dvc-files" if not records else f"git add {' '.join(report.records) or '.'} && git commit"
    )


@cache.command("dir")
@click.argument("path", required=False)
@click.option("-u", "--unset", is_flag=True, help="Back to .dvc/cache.")
@level_options
def cache_dir(path: str | None, unset: bool, level: str | None) -> None:
    """Print where the cache lies, or set it to PATH. What is in the cache now stays where it is."""
    configuration = _configuration()
    if unset:
        configuration.unset("cache.dir", _level(level))
    elif path is not None:
        configuration.set("cache.dir", path, _level(level))
    elif level is not None:
        click.echo(configuration.get("cache.dir", _level(level)).value)
        return
    click.echo(str(Workspace.open().cache.root))


def _configuration() -> Configuration:
    try:
        return Configuration(Workspace.open().layout.dvc_dir)
    except NotFoundError:
        # The user's and the machine's own settings can be changed anywhere.
        return Configuration(None)


def _level(name: str | None) -> Level | None:
    return Level(name) if name else None


def _line(setting: Setting, *, show_origin: bool) -> str:
    origin = f"{_origin(setting.file)}\t" if show_origin else ""
    return f"{origin}{setting.name}={setting.shown}"


def _origin(file: Path) -> str:
    """A file of the workspace relative to its root, as DVC shows it."""
    return os.path.relpath(file, file.parent.parent) if file.parent.name == ".dvc" else str(file)
