"""`ever diff` and `ever data status`: how data differ between revisions, records and the workspace."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import click

from everloop.cli.output import emit, hint, json_option, say
from everloop.cli.rows import show_row_diff
from everloop.cli.words import ManyWords, absolute
from everloop.workspace import DataStatus, Workspace

_KINDS = ("added", "deleted", "renamed", "modified", "not in cache")
_TITLES = {
    "not_in_cache": "Not in cache",
    "not_in_remote": "Not in remote",
    "committed": "Recorded since the last commit",
    "uncommitted": "Changed since the records",
    "untracked": "Untracked files",
    "unchanged": "Unchanged data",
}


@click.command(cls=ManyWords)
@click.argument("before", default="HEAD", metavar="[OLD]")
@click.argument("after", required=False, metavar="[NEW]")
@click.option("--targets", multiple=True, metavar="PATH", help="Only these data, or paths inside of directories.")
@click.option("--show-hash", is_flag=True, help="Show hashes too.")
@click.option("--hide-missing", is_flag=True, help="Do not tell what is not in the cache.")
@click.option("--md", "as_markdown", is_flag=True, help="Print a Markdown table.")
@click.option("--rows", is_flag=True, help="Compare the rows of tables (CSV, Parquet) instead.")
@click.option("-k", "--key", multiple=True, metavar="COLUMN", help="With --rows: what tells one row from another.")
@click.option("--samples", type=click.IntRange(min=0), default=5, help="With --rows: how many to show of each kind.")
@click.option("--memory", metavar="SIZE", help="With --rows: how much may be taken, as 2GB; the rest goes to the disk.")
@json_option
def diff(
    before: str,
    after: str | None,
    targets: tuple[str, ...],
    show_hash: bool,
    hide_missing: bool,
    as_markdown: bool,
    rows: bool,
    key: tuple[str, ...],
    samples: int,
    memory: str | None,
    as_json: bool,
) -> None:
    """Tell which data differ between revisions OLD and NEW, or between OLD (HEAD) and the workspace.

    \b
    Example:
      ever diff
      ever diff v1.0 main --md
      ever diff v1.0 --rows --key id --targets data/flights.csv
    """
    workspace = Workspace.open()
    before, after = _commit(workspace, before), after and _commit(workspace, after)
    if rows:
        show_row_diff(
            before,
            after,
            absolute(targets) or None,
            key=key,
            samples=samples,
            memory=memory,
            as_markdown=as_markdown,
            as_json=as_json,
        )
        return
    if key or memory:
        raise click.UsageError("--key and --memory go with --rows")
    found = workspace.diff(before, after, absolute(targets) or None)
    if hide_missing or after is not None:
        found.pop("not in cache", None)
    if not show_hash:
        found = {kind: [{"path": entry["path"]} for entry in entries] for kind, entries in found.items()}
    lines = list(_markdown(found, show_hash) if as_markdown else _lines(found))
    if lines or as_json:
        emit(found, as_json=as_json, text=lines)
    else:
        # Scripts ask whether anything is printed at all.
        say("no data differ")
    hint("ever checkout --rev REV (go back), or ever add DATA (record what changed)")


def _commit(workspace: Workspace, rev: str) -> str:
    """The commit of an experiment that is named; any other revision as it is."""
    if rev == "HEAD":
        return rev
    from everloop.pipelines.moments import resolve

    return resolve(workspace, rev)


@click.group()
def data() -> None:
    """Look at the data under version."""


@data.command("status")
@click.argument("targets", nargs=-1)
@click.option("--granular", is_flag=True, help="Look into directories.")
@click.option("--unchanged", is_flag=True, help="Also tell what did not change.")
@click.option(
    "--untracked-files",
    is_flag=False,
    flag_value="all",
    default="no",
    type=click.Choice(["no", "all"]),
    help="Also tell which files neither Git nor a record knows.",
)
@click.option("--not-in-remote", is_flag=True, help="Also ask the remote what it does not have.")
@click.option("-r", "--remote", metavar="NAME", help="The remote to ask; else the default one.")
@click.option(
    "--no-remote-refresh",
    "remote_refresh",
    is_flag=True,
    default=True,
    flag_value=False,
    help="Do not ask the remote: answer with what earlier commands have seen there.",
)
@json_option
def status(
    targets: tuple[str, ...],
    granular: bool,
    unchanged: bool,
    untracked_files: str,
    not_in_remote: bool,
    remote: str | None,
    remote_refresh: bool,
    as_json: bool,
) -> None:
    """Compare the last commit, the records and the data with each other."""
    found = Workspace.open().data_status(
        absolute(targets),
        granular=granular,
        unchanged=unchanged,
        not_in_remote=not_in_remote,
        remote=remote,
        remote_refresh=remote_refresh,
    )
    report = _report(found, with_unchanged=unchanged, with_untracked=untracked_files == "all")
    lines = [line for key, entries in report.items() for line in _section(_TITLES[key], entries)]
    if found.is_git_dirty:
        lines.append(f"Git has {'other ' if report else ''}changes: git status")
    emit(report, as_json=as_json, text=lines or "nothing changed")
    hint("git commit (recorded), ever add DATA or ever checkout (changed)")


def _report(found: DataStatus, *, with_unchanged: bool, with_untracked: bool) -> dict[str, Any]:
    """The shape of `dvc data status --json`, which leaves out what is empty."""
    report = {
        "not_in_cache": found.not_in_cache,
        "not_in_remote": found.not_in_remote,
        "committed": found.committed,
        "uncommitted": found.uncommitted,
        "untracked": found.untracked if with_untracked else [],
        "unchanged": found.unchanged if with_unchanged else [],
    }
    return {key: entries for key, entries in report.items() if entries}


def _section(title: str, entries: Any) -> Iterator[str]:
    yield f"{title}:"
    if isinstance(entries, dict):
        for kind, paths in entries.items():
            yield from (f"    {kind}: {_shown(path)}" for path in paths)
    else:
        yield from (f"    {path}" for path in entries)


def _lines(found: dict[str, list[dict[str, Any]]]) -> Iterator[str]:
    counts = []
    for kind in _KINDS:
        entries = found.get(kind) or []
        if entries:
            yield f"{kind.capitalize()}:"
            for entry in entries:
                yield f"    {_short(entry['hash']) + '  ' if 'hash' in entry else ''}{_shown(entry['path'])}"
            yield ""
        n_files = sum(not _shown(entry["path"]).endswith("/") for entry in entries)
        counts += [f"{n_files} {kind}"] if n_files else []
    if counts:
        yield f"files: {', '.join(counts)}"


def _markdown(found: dict[str, list[dict[str, Any]]], show_hash: bool) -> Iterator[str]:
    heads = ["Status", *(["Hash"] if show_hash else []), "Path"]
    yield f"| {' | '.join(heads)} |"
    yield f"|{'|'.join('---' for _ in heads)}|"
    for kind in _KINDS:
        for entry in found.get(kind) or ():
            cells = [kind, *([_short(entry["hash"])] if show_hash else []), _shown(entry["path"])]
            # A line's end or a bar in a name would end the cell.
            yield f"| {' | '.join(cell.replace('|', chr(92) + '|').replace(chr(10), ' ') for cell in cells)} |"


def _shown(path: Any) -> str:
    return f"{path['old']} -> {path['new']}" if isinstance(path, dict) else str(path)


def _short(md5: Any) -> str:
    return f"{md5['old'][:8]}..{md5['new'][:8]}" if isinstance(md5, dict) else str(md5)[:8]
