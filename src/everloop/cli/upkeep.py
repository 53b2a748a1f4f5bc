"""Keeping a workspace in order: records, cache and trash."""

from __future__ import annotations

import os
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from everloop.cli.opening import open_workspace
from everloop.cli.output import emit, hint, json_option, say, table
from everloop.errors import ConflictError, NotFoundError
from everloop.workspace import Workspace
from everloop.workspace.gc import Cloud, Scope

if TYPE_CHECKING:
    from everloop.workspace.trash import Operation

_SHOWN = 20


@click.command()
@click.argument("targets", nargs=-1, required=True)
@click.option("--outs", is_flag=True, help="Remove the data as well; `ever undo` brings them back.")
@json_option
def remove(targets: tuple[str, ...], outs: bool, as_json: bool) -> None:
    """Take data out of version, or a stage out of its pipeline; the data stay, unless --outs is given.

    TARGETS are .dvc files, the data of one, or stages.
    """
    from everloop.pipelines.removal import remove_stage

    workspace = open_workspace()
    data = [target for target in targets if target.endswith(".dvc") or os.path.lexists(target)]
    removed = [file.path for file in workspace.remove(_absolute(tuple(data)), outs=outs)] if data else []
    removed += [remove_stage(workspace, target, outs=outs) for target in targets if target not in data]
    emit(removed, as_json=as_json, text=[f"removed {address}" for address in removed])
    hint("ever undo" if outs else "git status")


@click.command()
@click.argument("source")
@click.argument("target")
@json_option
def move(source: str, target: str, as_json: bool) -> None:
    """Rename data with their .dvc file; TARGET is the new name, or a folder that is there already."""
    file = Workspace.open().move(*_absolute((source, target)))
    emit(file, as_json=as_json, text=f"moved {source} to {file.outs[0].path} ({file.path})")
    hint(f"git add {file.path} && git commit")


@click.command()
@click.argument("targets", nargs=-1)
@click.option("-f", "--force", is_flag=True, help="Do not ask.")
@click.option("-d", "--with-deps", is_flag=True, help="Also what TARGETS depend on.")
@click.option("-R", "--recursive", is_flag=True, help="TARGETS may be folders: all that is described below them.")
@click.option("--no-relink", is_flag=True, help="Leave the files as they are, whatever cache.type says.")
@json_option
def commit(
    targets: tuple[str, ...], force: bool, with_deps: bool, recursive: bool, no_relink: bool, as_json: bool
) -> None:
    """Record the workspace as it is, without running anything: data, and stages with what they have and made.

    TARGETS are data, .dvc files, outputs or stages; all, if none is named.
    """
    from everloop.pipelines.commit import commit as commit_all

    workspace = Workspace.open()
    words = [str(Path(word).absolute()) if Path(word).exists() else word for word in targets]
    done = commit_all(
        workspace,
        words or None,
        confirm=lambda sentence: force or _agrees(f"{sentence}. Record it?"),
        with_deps=with_deps,
        recursive=recursive,
        relink=not no_relink,
    )
    emit(done, as_json=as_json, text=[f"recorded {address}" for address in done] or "there is nothing to record")
    hint("ever status")


@click.command()
@click.argument("targets", nargs=-1, required=True)
@json_option
def unprotect(targets: tuple[str, ...], as_json: bool) -> None:
    """Give files that share their bytes with the cache bytes of their own, so that they can be edited."""
    workspace = Workspace.open()
    paths = [workspace.relative(target) for target in _absolute(targets)]
    for path in paths:
        if not (workspace.root / path).exists():
            raise NotFoundError(f"{path} does not exist in {workspace.root}")
        workspace.unprotect(path)
    emit(paths, as_json=as_json, text=[f"{path} can be edited" for path in paths])
    hint(f"ever add {' '.join(paths)} (after the edit)")


@click.command()
@click.option("-w", "--workspace", "keeps_workspace", is_flag=True, help="Keep what the workspace uses now.")
@click.option("--rev", "revs", multiple=True, help="Keep what a Git revision uses.")
@click.option("-n", "--num", type=int, default=1, help="That many commits of --rev and of each branch.")
@click.option("-a", "--all-branches", is_flag=True, help="Keep what the tips of all branches use.")
@click.option("-T", "--all-tags", is_flag=True, help="Keep what all tags use.")
@click.option("-A", "--all-commits", is_flag=True, help="Keep what any commit uses.")
@click.option("--date", "since", type=click.DateTime(["%Y-%m-%d"]), help="Keep what commits since this day use.")
@click.option("--all-experiments", is_flag=True, help="Keep what DVC's experiments use.")
@click.option("-p", "--projects", multiple=True, help="Another workspace with the same cache, kept by the same words.")
@click.option("-c", "--cloud", "collects", is_flag=True, help="Remove from the remote, too; there it is for good.")
@click.option("--not-in-remote", is_flag=True, help="Keep in the cache only what the remote lacks.")
@click.option("-r", "--remote", metavar="NAME", help="Which remote; the default one if none is named.")
@click.option("-j", "--jobs", type=click.IntRange(min=1), help="Requests to the remote at once.")
@click.option("--allow-missing", is_flag=True, help="Go on where the listing of a directory is not in the cache.")
@click.option("--skip-failed", is_flag=True, help="Go on where a record of a revision cannot be read.")
@click.option("--dry", is_flag=True, help="Only list what would be removed.")
@click.option("-f", "--force", is_flag=True, help="Do not ask.")
@json_option
def gc(
    keeps_workspace: bool,
    revs: tuple[str, ...],
    num: int,
    all_branches: bool,
    all_tags: bool,
    all_commits: bool,
    since: datetime | None,
    all_experiments: bool,
    projects: tuple[str, ...],
    collects: bool,
    not_in_remote: bool,
    remote: str | None,
    jobs: int | None,
    allow_missing: bool,
    skip_failed: bool,
    dry: bool,
    force: bool,
    as_json: bool,
) -> None:
    """Remove from the cache what nothing that is named here needs. What the workspace uses is always kept.

    What is removed goes into the trash: `ever undo` brings it back, `ever undo --empty` frees the space at once.

    \b
    Example:
      ever gc --workspace --dry
      ever gc --all-branches --all-tags
    """
    scope = Scope(
        workspace=keeps_workspace,
        revs=revs,
        n=num,
        all_branches=all_branches,
        all_tags=all_tags,
        all_commits=all_commits,
        # A day begins at midnight where the person is.
        since=since.astimezone(UTC) if since else None,
        all_experiments=all_experiments,
        projects=projects,
    )
    if not scope.is_named:
        raise click.UsageError("name what to keep: -w, --rev, -a, -T, -A, --date or --all-experiments")
    if remote is not None and not (collects or not_in_remote):
        raise click.UsageError("--remote goes with --cloud or --not-in-remote")
    workspace = open_workspace()
    cloud = Cloud(remote=remote, collects=collects, spares_remote=not_in_remote, jobs=jobs)
    tolerant = {"allow_missing": allow_missing, "skip_failed": skip_failed}
    report = workspace.gc(scope, cloud=cloud, dry=True, **tolerant)
    for record, why in report.skipped.items():
        say(f"passed over {record}: {why}")
    counted = f"{len(report.removed):,} objects, {report.size_bytes:,} bytes"
    if report.removed_remote:
        counted += f", and {len(report.removed_remote):,} objects of the remote for good"
    if not dry and (report.removed or report.removed_remote):
        if not force and not _agrees(f"Remove {counted} from {workspace.cache.root}?"):
            raise ConflictError(f"nothing was removed; it would be {counted}", hint="do not ask: --force")
        report = workspace.gc(scope, cloud=cloud, **tolerant)
    word = "would remove" if dry else "removed"
    emit(
        report,
        as_json=as_json,
        text=[
            *(dict.fromkeys((*report.removed, *report.removed_remote)) if dry else ()),
            f"{word} {counted}; {report.n_kept:,} stay",
        ],
    )
    hint("ever gc without --dry" if dry else "ever undo, or ever undo --empty to free the space now")


@click.command()
@click.option("--list", "lists", is_flag=True, help="List what can be undone.")
@click.option("--empty", is_flag=True, help="Empty the trash; nothing can be undone after that.")
@click.option("-f", "--force", is_flag=True, help="Do not ask before the trash is emptied.")
@json_option
def undo(lists: bool, empty: bool, force: bool, as_json: bool) -> None:
    """Bring back what the last checkout, gc or remove --outs replaced or removed."""
    workspace = open_workspace()
    if lists or empty:
        operations = workspace.trash.operations()
        if empty and (force or not operations or _agrees(f"Empty the trash of {len(operations)} operations?")):
            with workspace.locked():
                operations = workspace.trash.empty()
        elif empty:
            raise ConflictError("nothing was emptied", hint="do not ask: --force")
        listed = table(("when", "what", "files", "objects", "bytes"), [_row(operation) for operation in operations])
        emit([_told(operation) for operation in operations], as_json=as_json, text=listed if operations else "empty")
        return
    report = workspace.undo()
    lines = _first([f"restored {path}" for path in report.restored])
    lines += _first([f"removed {path}" for path in report.removed])
    lines += [f"{report.n_objects:,} objects are in the cache again"] if report.n_objects else []
    emit(report, as_json=as_json, text=lines or f"{report.verb}: everything was there already")
    hint("ever status")


@click.command()
@click.option(
    "-c", "--cloud", is_flag=True, help="Check a remote; heal it out of the cache where that has a good copy."
)
@click.option("--fetch", is_flag=True, help="Heal the cache out of a remote.")
@click.option("-r", "--remote", metavar="NAME", help="Which remote; the default one if none is named.")
@click.option("-j", "--jobs", type=click.IntRange(min=1), help="Objects at once.")
@json_option
def verify(cloud: bool, fetch: bool, remote: str | None, jobs: int | None, as_json: bool) -> None:
    """Hash the cache again, move damaged objects aside, name the paths that need them. Exit code 1 if there are any."""
    if cloud and fetch:
        raise click.UsageError("--fetch heals the cache, --cloud looks at a remote: one at a time")
    if remote is not None and not (cloud or fetch):
        raise click.UsageError("--remote goes with --cloud or --fetch")
    report = Workspace.open().verify(cloud=cloud, fetch=fetch, remote=remote, jobs=jobs)
    lines = [f"{report.n_objects:,} objects, {report.size_bytes:,} bytes: {len(report.corrupt)} damaged"]
    for item in report.corrupt:
        healed = ", and a good copy is in its place" if item.is_healed else ""
        lines.append(f"{item.md5} is damaged, moved to {item.moved_to}{healed}")
        lines += _first([f"  needed by {path}" for path in item.paths])
    damaged = {item.md5 for item in report.corrupt}
    absent = [path for path, ids in report.missing.items() if not damaged.intersection(ids)]
    lines += _first([f"{path} is not in the cache" for path in absent])
    emit(report, as_json=as_json, text=lines)
    if report.corrupt:
        hint("ever add (where the file is still right), ever repro, or ever verify --fetch")
        sys.exit(1)


@click.command("check-ignore")
@click.argument("targets", nargs=-1)
@click.option("-d", "--details", is_flag=True, help="Print the pattern and where it stands.")
@click.option("-a", "--all", "shows_all", is_flag=True, help="All patterns that match, not the last one; with -d.")
@click.option("-n", "--non-matching", is_flag=True, help="Also paths that no pattern matches; with -d.")
@click.option("--stdin", "reads_stdin", is_flag=True, help="Read the paths from standard input, one a line.")
def check_ignore(
    targets: tuple[str, ...], details: bool, shows_all: bool, non_matching: bool, reads_stdin: bool
) -> None:
    """Tell which paths a .dvcignore file excludes. Exit code 1 if none."""
    from everloop.workspace import checkignore

    if bool(targets) == reads_stdin:
        raise click.UsageError("name TARGETS, or give --stdin")
    if (shows_all or non_matching) and not details:
        raise click.UsageError("--all and --non-matching go with --details")
    workspace = Workspace.open()
    words = [line.rstrip("\n") for line in sys.stdin] if reads_stdin else list(targets)
    matched = False
    for word in words:
        found = checkignore.matches(workspace.root, workspace.relative(Path(word).absolute()))
        matched |= bool(found)
        if details:
            shown = [str(match) for match in (found if shows_all else found[-1:])] or ["::"] * non_matching
            for text in shown:
                click.echo(f"{text}\t{word}")
        elif found and found[-1].is_excluding:
            click.echo(word)
    sys.exit(0 if matched else 1)


@click.command()
@click.option("-f", "--force", is_flag=True, help="Do not ask.")
@json_option
def destroy(force: bool, as_json: bool) -> None:
    """Make this folder no workspace any more: .dvc files, dvc.yaml, settings and the cache below .dvc go.

    The data that lie in the folder stay, and so do remotes and a cache that is elsewhere.
    """
    from everloop.workspace.destroy import plan

    workspace = open_workspace()
    going = plan(workspace)
    losses = _first([f"{path}: its text is not in Git, and goes for good" for path in going.uncommitted])
    losses += _first([f"{path}: only the cache has what is recorded, and goes" for path in going.only_in_cache])
    if not force:
        for line in losses:
            say(line)
        what = f"{len(going.records):,} records and .dvc" + (" with its cache" if going.cache else "")
        if not _agrees(f"Remove {what} from {workspace.root}, and all older data that no remote has?"):
            raise ConflictError(f"nothing was removed; it would be {what}", hint="do not ask: --force")
    emit(workspace.destroy(), as_json=as_json, text=[*losses, f"{workspace.root} is no workspace any more"])
    hint("ever init")


@click.command()
@json_option
def doctor(as_json: bool) -> None:
    """Look at everything the workspace stands on. Exit code 1 if something is broken."""
    from everloop.workspace.doctor import Verdict, examine

    findings = examine(Workspace.open())
    rows = [(finding.verdict.value, finding.name, finding.text) for finding in findings]
    emit(findings, as_json=as_json, text=table(("", "what", "found"), rows))
    if any(finding.verdict is Verdict.BAD for finding in findings):
        sys.exit(1)
    hint("ever verify")


def _first(lines: list[str]) -> list[str]:
    """As many lines as a person reads; the others are counted, and `--json` has them all."""
    rest = len(lines) - _SHOWN
    return [*lines[:_SHOWN], f"and {rest:,} more"] if rest > 0 else lines


def _absolute(targets: tuple[str, ...]) -> list[str]:
    return [str(Path(target).absolute()) for target in targets]


def _agrees(question: str) -> bool:
    """Ask a person; where there is none, the answer is no."""
    return sys.stdin.isatty() and sys.stderr.isatty() and click.confirm(question, err=True)


def _row(operation: Operation) -> tuple[str, ...]:
    when = operation.at.astimezone().strftime("%Y-%m-%d %H:%M:%S")
    counts = (f"{count:,}" for count in (len(operation.files), len(operation.objects), operation.size_bytes))
    return (when, operation.verb, *counts)


def _told(operation: Operation) -> dict[str, object]:
    return {
        "id": operation.id,
        "verb": operation.verb,
        "at": operation.at,
        "files": [file.path for file in operation.files],
        "objects": list(operation.objects),
        "size_bytes": operation.size_bytes,
    }
