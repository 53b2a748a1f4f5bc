"""`ever import`, `import-url`, `update`: data of other repositories and addresses, with a record of where from."""

from __future__ import annotations

import click

from everloop.cli.output import emit, hint, json_option, say
from everloop.cli.sources import (
    configuration_options,
    force_option,
    fs_config_option,
    jobs_option,
    out_option,
    remote_option,
    rev_option,
    target_of,
)
from everloop.cli.words import ManyWords, absolute, assignments
from everloop.workspace import DvcFile, Workspace, options


@click.command("import", cls=ManyWords)
@click.argument("url")
@click.argument("path")
@rev_option
@remote_option
@configuration_options
@out_option
@click.option("--no-exec", is_flag=True, help="Only record it, and do not even look there; `ever update` brings it.")
@click.option("--no-download", is_flag=True, help="Only record it; `ever update` brings it.")
@jobs_option
@force_option
@json_option
def import_command(
    url: str,
    path: str,
    rev: str | None,
    remote: str | None,
    config: str | None,
    remote_config: tuple[str, ...],
    out: str | None,
    no_exec: bool,
    no_download: bool,
    jobs: int | None,
    force: bool,
    as_json: bool,
) -> None:
    """Bring a file or folder of a repository into the workspace, pinned to its revision.

    \b
    Example:
      ever import ../registry data/flights -o flights --rev v1.0
      ever update flights --rev v1.1
    """
    _refuse_both(no_exec, no_download)
    target = target_of(out, path)
    given = assignments(remote_config)
    _warn_of_secrets(given, "make a configuration file with it and import with --config FILE")
    file = Workspace.open(target.parent).imports.repository(
        url,
        path,
        target,
        rev=rev,
        remote=remote,
        config=config,
        remote_options=given,
        download=not no_download,
        execute=not no_exec,
        jobs=jobs,
        force=force,
    )
    _tell_imported(file, as_json)


@click.command("import-url", cls=ManyWords)
@click.argument("url")
@click.argument("out", required=False)
@click.option("--to-remote", is_flag=True, help="Bring the bytes straight to a remote instead of here.")
@click.option("-r", "--remote", metavar="NAME", help="With --to-remote: which; else the default one.")
@click.option("--no-exec", is_flag=True, help="Only record it, and do not even look there; `ever update` brings it.")
@click.option("--no-download", is_flag=True, help="Only record it, with what the server says of it.")
@jobs_option
@fs_config_option
@click.option("--version-aware", is_flag=True, help="Pin each file to its version in a bucket that keeps versions.")
@force_option
@json_option
def import_url(
    url: str,
    out: str | None,
    to_remote: bool,
    remote: str | None,
    no_exec: bool,
    no_download: bool,
    jobs: int | None,
    fs_config: tuple[str, ...],
    version_aware: bool,
    force: bool,
    as_json: bool,
) -> None:
    """Bring what lies at an address into the workspace, and keep track of it.

    An address is http(s)://, s3://, ssh://, ..., remote://NAME/path (with the options of that remote), or a path.

    \b
    Example:
      ever import-url s3://bucket/flights data/flights
      ever import-url --to-remote https://example.org/rows.csv
      ever import-url --version-aware s3://bucket/model.bin
    """
    _refuse_both(no_exec, no_download)
    if to_remote and (no_exec or no_download):
        raise click.UsageError("--to-remote brings the bytes, so it cannot go with --no-exec or --no-download")
    if to_remote and version_aware:
        raise click.UsageError("--version-aware keeps the data where they are, so it cannot go with --to-remote")
    if remote and not to_remote:
        raise click.UsageError("--remote goes with --to-remote")
    target = target_of(out, url)
    known = assignments(fs_config)
    _warn_of_secrets(known, "make a remote and import remote://NAME/path")
    file = Workspace.open(target.parent).imports.address(
        url,
        target,
        to_remote=to_remote,
        remote=remote,
        download=not no_download,
        execute=not no_exec,
        jobs=jobs,
        fs_config=known,
        version_aware=version_aware,
        force=force,
    )
    _tell_imported(file, as_json)


@click.command()
@click.argument("targets", nargs=-1)
@click.option("--rev", metavar="REV", help="The revision to follow from now on, or the id of a version to pin.")
@click.option("-R", "--recursive", is_flag=True, help="A folder means all imports below it.")
@click.option("--no-download", is_flag=True, help="Only record what is there now; the data come with the next update.")
@click.option("--to-remote", is_flag=True, help="Bring the bytes straight to a remote instead of here.")
@click.option("-r", "--remote", metavar="NAME", help="With --to-remote: which; else the default one.")
@jobs_option
@click.option("-f", "--force", is_flag=True, help="Overwrite imported data that were changed here.")
@json_option
def update(
    targets: tuple[str, ...],
    rev: str | None,
    recursive: bool,
    no_download: bool,
    to_remote: bool,
    remote: str | None,
    jobs: int | None,
    force: bool,
    as_json: bool,
) -> None:
    """Bring imported data up to date with their sources; all of them, if none is named.

    \b
    Example:
      ever update flights --rev v1.1
      ever update -R data --no-download
    """
    if to_remote and no_download:
        raise click.UsageError("--to-remote brings the bytes, so it cannot go with --no-download")
    if remote and not to_remote:
        raise click.UsageError("--remote goes with --to-remote")
    report = Workspace.open().imports.update(
        absolute(targets) or None,
        rev=rev,
        recursive=recursive,
        download=not no_download,
        to_remote=to_remote,
        remote=remote,
        jobs=jobs,
        force=force,
    )
    lines = [f"updated {path}" for path in report.updated]
    lines += [f"{path}: nothing new" for path in report.unchanged]
    emit(report, as_json=as_json, text=lines or "nothing is imported")
    hint(f"git commit {' '.join(report.updated)}" if report.updated else "ever import URL PATH")


def _warn_of_secrets(recorded: dict[str, str], instead: str) -> None:
    for name in sorted(options.SECRETS.intersection(recorded)):
        say(f"{name} is a secret, and the .dvc file keeps it: better {instead}")


def _refuse_both(no_exec: bool, no_download: bool) -> None:
    if no_exec and no_download:
        raise click.UsageError("--no-exec and --no-download exclude each other")


def _tell_imported(file: DvcFile, as_json: bool) -> None:
    emit(file, as_json=as_json, text=[f"imported {out.path}, as {file.path} records" for out in file.outs])
    hint(f"git add {file.path} && git commit")
