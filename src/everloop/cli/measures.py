"""`ever metrics` and `ever params`: what pipelines measured and were given, now and at revisions, as DVC tells it."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import click

from everloop import pipelines
from everloop.cli.output import hint, say
from everloop.cli.sametext import print_csv, print_json, print_table
from everloop.cli.words import ManyWords
from everloop.pipelines import MeasureDiff, Problem, Readings, RevisionScope
from everloop.workspace import Workspace

_DIGITS = 5
_NOTHING = "-"

Command = TypeVar("Command", bound=Callable[..., Any])

as_json_option = click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
_markdown_option = click.option("--md", "as_markdown", is_flag=True, help="Print a Markdown table.")
_no_path_option = click.option("--no-path", is_flag=True, help="Do not show the files' paths.")
_recursive_option = click.option(
    "-R", "--recursive", is_flag=True, help="For scripts: a folder means all files in it with and without."
)
_precision_option = click.option(
    "--precision", type=click.IntRange(min=0), metavar="N", help=f"Round to N digits after the point ({_DIGITS})."
)


@click.group()
def metrics() -> None:
    """Show and compare the metrics of the pipeline."""


@click.group()
def params() -> None:
    """Compare the parameters of the pipeline."""


@metrics.command("show")
@click.argument("targets", nargs=-1)
@click.option("-a", "--all-branches", is_flag=True, help="Those of all branches, too.")
@click.option("-T", "--all-tags", is_flag=True, help="Those of all tags, too.")
@click.option("-A", "--all-commits", is_flag=True, help="Those of all commits, too.")
@as_json_option
@_markdown_option
@click.option("--csv", "as_csv", is_flag=True, help="Print comma-separated values.")
@_recursive_option
@_precision_option
def metrics_show(
    targets: tuple[str, ...],
    all_branches: bool,
    all_tags: bool,
    all_commits: bool,
    as_json: bool,
    as_markdown: bool,
    as_csv: bool,
    recursive: bool,
    precision: int | None,
) -> None:
    """Print the metrics as they are now, or of many revisions; TARGETS are files or folders, else all that are named.

    \b
    Example:
      ever metrics show
      ever metrics show --all-branches --md
    """
    del recursive
    workspace = Workspace.open()
    scope = RevisionScope(all_branches=all_branches, all_tags=all_tags, all_commits=all_commits)
    found = pipelines.show_metrics(workspace, _inside(workspace, targets), scope)
    found = pipelines.without_same_workspace(workspace, found)
    _tell(pipelines.problems_of(found))
    if as_json:
        print_json({name: _shape(workspace, readings) for name, readings in found.items()})
        return
    head, rows = _measured_rows(workspace, found, precision or _DIGITS, with_revision=not scope.is_now)
    if as_csv:
        print_csv(head, rows)
    else:
        print_table(head, rows, as_markdown=as_markdown)
    hint("ever metrics diff (what changed since the last commit), ever repro -S KEY=VALUE")


@metrics.command("diff", cls=ManyWords)
@click.argument("before", default=pipelines.HEAD, metavar="[OLD]")
@click.argument("after", default=pipelines.WORKSPACE, metavar="[NEW]")
@click.option("--targets", multiple=True, metavar="PATH", help="Only these files, or those in these folders.")
@_recursive_option
@click.option("--all", "with_unchanged", is_flag=True, help="Show also what did not change.")
@as_json_option
@_markdown_option
@_no_path_option
@_precision_option
def metrics_diff(
    before: str,
    after: str,
    targets: tuple[str, ...],
    recursive: bool,
    with_unchanged: bool,
    as_json: bool,
    as_markdown: bool,
    no_path: bool,
    precision: int | None,
) -> None:
    """Tell how metrics differ between revisions OLD and NEW, or between OLD (HEAD) and the workspace.

    \b
    Example:
      ever metrics diff
      ever metrics diff main HEAD --md
    """
    del recursive
    workspace = Workspace.open()
    found = pipelines.diff_metrics(workspace, before, after, _inside(workspace, targets), with_unchanged=with_unchanged)
    _tell(found.problems)
    if as_json:
        print_json(_from_here(workspace, found.files))
        return
    head = ["Path", "Metric", before, after, "Change"]
    _print_diff(workspace, found, head, as_markdown=as_markdown, no_path=no_path, digits=precision or _DIGITS)
    hint("ever params diff (what they were measured with), ever plots diff")


@params.command("diff", cls=ManyWords)
@click.argument("before", default=pipelines.HEAD, metavar="[OLD]")
@click.argument("after", default=pipelines.WORKSPACE, metavar="[NEW]")
@click.option("--targets", multiple=True, metavar="PATH", help="Only these files.")
@click.option("--all", "with_unchanged", is_flag=True, help="Show also what did not change.")
@click.option("--deps", "only_used", is_flag=True, help="Only what stages depend on.")
@as_json_option
@_markdown_option
@_no_path_option
def params_diff(
    before: str,
    after: str,
    targets: tuple[str, ...],
    with_unchanged: bool,
    only_used: bool,
    as_json: bool,
    as_markdown: bool,
    no_path: bool,
) -> None:
    """Tell how parameters differ between revisions OLD and NEW, or between OLD (HEAD) and the workspace.

    \b
    Example:
      ever params diff
      ever params diff v1.0 --deps
    """
    workspace = Workspace.open()
    found = pipelines.diff_params(
        workspace,
        before,
        after,
        _inside(workspace, targets),
        with_unchanged=with_unchanged,
        only_used=only_used,
    )
    _tell(found.problems)
    if as_json:
        print_json(_from_here(workspace, found.files))
        return
    _print_diff(workspace, found, ["Path", "Param", before, after], as_markdown=as_markdown, no_path=no_path)
    hint("ever repro -S KEY=VALUE, ever metrics diff")


def _print_diff(
    workspace: Workspace,
    found: MeasureDiff,
    head: list[str],
    *,
    as_markdown: bool,
    no_path: bool,
    digits: int | None = None,
) -> None:
    parts = ("old", "new", "diff")[: len(head) - 2]
    rows = [
        [path, name, *(_text(change.get(part), digits) for part in parts)]
        for path, changes in _from_here(workspace, found.files).items()
        for name, change in changes.items()
    ]
    first = 1 if no_path else 0
    print_table(head[first:], [row[first:] for row in rows], as_markdown=as_markdown)


def _measured_rows(
    workspace: Workspace, found: Mapping[str, Readings], digits: int, *, with_revision: bool
) -> tuple[list[str], list[list[str]]]:
    lines = [
        (revision, path, {} if reading.problem else pipelines.flat_measures(reading.values))
        for revision, readings in found.items()
        for path, reading in _from_here(workspace, readings.files).items()
    ]
    names = sorted({name for _, _, values in lines for name in values})
    first = 0 if with_revision else 1
    rows = [[revision, path, *(_text(values.get(name), digits) for name in names)] for revision, path, values in lines]
    return ["Revision", "Path", *names][first:], [row[first:] for row in rows]


def _text(value: Any, digits: int | None = None) -> str:
    if value is None:
        return _NOTHING
    return str(round(value, digits) if digits is not None and isinstance(value, float) else value)


def _shape(workspace: Workspace, readings: Readings) -> dict[str, Any]:
    """As `dvc metrics show --json` has it."""
    if readings.problem is not None:
        return {"error": _error(readings.problem)}
    files = _from_here(workspace, readings.files)
    return {
        "data": {
            path: {"error": _error(reading.problem)} if reading.problem else {"data": reading.values}
            for path, reading in files.items()
        }
    }


def _error(problem: Problem) -> dict[str, str]:
    return {"type": problem.kind, "msg": problem.message}


def _tell(problems: Mapping[str, Mapping[str, Problem]]) -> None:
    """Say what could not be read, once for all the revisions that it holds of."""
    where: dict[str, list[str]] = {}
    for name, found in problems.items():
        for path, problem in found.items():
            # The name of a revision stands before a path in it.
            message = problem.message.removeprefix(f"{name}:")
            if problem.kind == "FileNotFoundError" and path:
                message = f"{path} is not there, nor in the cache"
            where.setdefault(message, []).append(name or pipelines.WORKSPACE)
    for message, names in where.items():
        more = f" and {len(names) - 3} more" if len(names) > 3 else ""
        say(f"not read at {', '.join(names[:3])}{more}: {message}")


def _inside(workspace: Workspace, targets: tuple[str, ...]) -> list[str]:
    """Paths on the command line, relative to the root."""
    return [workspace.relative(os.path.abspath(target)) for target in targets]  # noqa: PTH100  as it is written, no link followed


Found = TypeVar("Found")


def _from_here(workspace: Workspace, files: Mapping[str, Found]) -> dict[str, Found]:
    """The files by their paths as a person in the current folder writes them."""
    here = os.path.relpath(os.getcwd(), workspace.root)  # noqa: PTH109
    return {os.path.relpath(path, here): value for path, value in files.items()}
