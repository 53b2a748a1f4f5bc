"""`ever init`, `add`, `status`, `checkout`: the project's folder and its data."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from everloop.cli.fromhere import status_from
from everloop.cli.opening import open_workspace
from everloop.cli.output import emit, hint, json_option, say
from everloop.cli.remotes import show_cloud_status, transfer_options
from everloop.pipelines import data_targets
from everloop.pipelines import status as status_of_all
from everloop.workspace import AddReport, CheckoutReport, Content, Workspace


@click.command()
@click.argument("folder", default=".", type=click.Path(file_okay=False))
@click.option("--no-scm", is_flag=True, help="Do without Git.")
@click.option("--subdir", is_flag=True, help="FOLDER is a part of a larger Git repository.")
@click.option("-f", "--force", is_flag=True, help="Begin anew where there is a workspace already; the cache stays.")
@json_option
def init(folder: str, no_scm: bool, subdir: bool, force: bool, as_json: bool) -> None:
    """Make FOLDER a workspace, and a Git repository unless it is in one."""
    if no_scm and subdir:
        raise click.UsageError("--subdir is a part of a Git repository, so it cannot go with --no-scm")
    workspace = Workspace.init(folder, scm=not no_scm, subdir=subdir, force=force)
    emit({"root": str(workspace.root)}, as_json=as_json, text=f"made the workspace {workspace.root}")
    hint("ever add DATA")


@click.command()
@click.argument("targets", nargs=-1, required=True)
@click.option("--glob", is_flag=True, help="TARGETS are patterns; ** is any depth.")
@click.option("-o", "--out", metavar="PATH", help="Copy the one target, from anywhere, to this path first.")
@click.option("--no-commit", is_flag=True, help="Record the hashes only; `ever commit` takes the bytes later.")
@click.option("-f", "--force", is_flag=True, help="Replace what lies at --out; `ever undo` brings it back.")
@click.option("-R", "--recursive", is_flag=True, help="Each file of a folder gets a .dvc file of its own.")
@click.option("--no-relink", is_flag=True, help="Leave the files as they are, whatever cache.type says.")
@click.option("--to-remote", is_flag=True, help="Bring the bytes straight to a remote; nothing stays in the cache.")
@click.option("-r", "--remote", metavar="NAME", help="With --to-remote: which; else the default one.")
@click.option("--remote-jobs", type=click.IntRange(min=1), help="With --to-remote: how many files at a time.")
@json_option
def add(
    targets: tuple[str, ...],
    glob: bool,
    out: str | None,
    no_commit: bool,
    force: bool,
    recursive: bool,
    no_relink: bool,
    to_remote: bool,
    remote: str | None,
    remote_jobs: int | None,
    as_json: bool,
) -> None:
    """Put files or folders under version: their bytes into the cache, a .dvc file beside them for Git.

    A path inside a tracked folder changes that entry alone; the rest of the folder need not be there. With --to-remote
    the one target may be an address, too.

    \b
    Example:
      ever add data/flights
      ever add --to-remote s3://bucket/flights -o data/flights
    """
    if to_remote:
        if len(targets) != 1 or glob or recursive or no_commit:
            raise click.UsageError("--to-remote takes one target, without --glob, --recursive and --no-commit")
        from everloop.cli.sources import target_of

        target = target_of(out, targets[0])
        workspace = Workspace.open(target.parent)
        report = workspace.add_to_remote(targets[0], target, remote=remote, jobs=remote_jobs, force=force)
        _tell_added(report, as_json)
        return
    if remote or remote_jobs:
        raise click.UsageError("--remote and --remote-jobs go with --to-remote")
    if out is not None and (len(targets) != 1 or glob or recursive):
        raise click.UsageError("--out takes one target, without --glob and --recursive")
    workspace = Workspace.open()
    report = workspace.add(
        _absolute(targets),
        glob=glob,
        out=str(Path(out).absolute()) if out else None,
        commit=not no_commit,
        force=force,
        recursive=recursive,
        relink=not no_relink,
    )
    _tell_added(report, as_json)


def _tell_added(report: AddReport, as_json: bool) -> None:
    lines = [f"added {out.path} ({_size(out.content)})" for file in report.added for out in file.outs]
    lines += [f"{out.path} did not change" for file in report.unchanged for out in file.outs]
    emit(report, as_json=as_json, text=lines)
    for path, target in report.flattened.items():
        say(f"{path} leads out of its directory, to {target}: its bytes are kept, but not that it is a link")
    for path, target in report.left_out.items():
        say(f"{path} leads to a folder elsewhere, {target}: nothing of it is kept; add that folder by itself")
    files = " ".join(file.path for file in report.added)
    hint(f"git add {files} .gitignore && git commit" if files else "ever repro")


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


@click.command()
@click.argument("targets", nargs=-1)
@click.option("-f", "--force", is_flag=True, help="Overwrite changes that are nowhere else.")
@click.option("--rev", metavar="REV", help="Put back the data of a Git revision; the records stay as they are.")
@click.option("--allow-missing", is_flag=True, help="Pass over data that are not in the cache.")
@click.option("-d", "--with-deps", is_flag=True, help="Also the data that TARGETS are made from.")
@click.option("-R", "--recursive", is_flag=True, help="A folder means all data below it.")
@click.option("--relink", is_flag=True, help="Link files that are right to the cache as cache.type says now.")
@click.option("--summary", is_flag=True, help="Print only how many files changed.")
@json_option
def checkout(
    targets: tuple[str, ...],
    force: bool,
    rev: str | None,
    allow_missing: bool,
    with_deps: bool,
    recursive: bool,
    relink: bool,
    summary: bool,
    as_json: bool,
) -> None:
    """Put versioned files back in place, as the .dvc files and dvc.lock say.

    TARGETS are data, .dvc files, stages, or paths inside a tracked folder.

    \b
    Example:
      ever checkout data/flights
      ever checkout --rev v1.0 data/flights
      ever config cache.type hardlink && ever checkout --relink
    """
    workspace = open_workspace()
    meant = data_targets(workspace, targets, Path.cwd(), with_deps=with_deps, recursive=recursive)
    report = workspace.checkout(
        meant or None, force=force, rev=rev, allow_missing=allow_missing, recursive=recursive, relink=relink
    )
    lines = [f"restored {path}" for path in report.restored]
    lines += [f"passed over {path}, which is not whole in the cache" for path in report.missing]
    lines += [f"linked {path} anew" for path in report.relinked]
    if summary:
        lines = [_counted(report)]
    emit(report, as_json=as_json, text=lines or "nothing to restore")
    hint("ever add DATA (keep the older data), or ever checkout (back to the records)" if rev else "ever status")


def _counted(report: CheckoutReport) -> str:
    """The sentence of `dvc checkout --summary`."""
    counts = {"modified": report.n_modified, "added": report.n_added, "deleted": report.n_deleted}
    parts = [f"{count} file{'s' if count > 1 else ''} {kind}" for kind, count in counts.items() if count]
    return " and ".join(filter(None, (", ".join(parts[:-1]), *parts[-1:]))) or "No changes."


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
