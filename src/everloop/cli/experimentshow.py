"""`ever exp show` and `ever exp diff`: experiments beside each other."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from everloop.cli.experimentwords import selection_options
from everloop.cli.output import emit, hint, json_option, say
from everloop.workspace import Workspace

if TYPE_CHECKING:
    from everloop.pipelines.experiments.grid import Grid

_IGNORED: Any = {"expose_value": False, "is_flag": True}


@click.command()
@selection_options
@click.option("-a", "--all-branches", is_flag=True, help="Those of the tips of all branches.")
@click.option("-T", "--all-tags", is_flag=True, help="Those of all tags.")
@click.option("--only-changed", is_flag=True, help="Only columns with more than one value.")
@click.option("--keep", multiple=True, metavar="PATTERN", help="Columns that stay in any case.")
@click.option("--drop", multiple=True, metavar="PATTERN", help="Columns to leave out.")
@click.option("--param-deps", is_flag=True, help="Only parameters that stages depend on.")
@click.option("--filter", "where", default="", metavar="FILTER", help="Only experiments that meet FILTER.")
@click.option("--sort-by", metavar="METRIC/PARAM", help="Sort the experiments of a baseline.")
@click.option("--sort-order", type=click.Choice(["asc", "desc"]), default="asc", help="Smallest or largest first.")
@click.option("--sha", "sha_only", is_flag=True, help="Call baselines by their commits.")
@click.option("--hide-failed", is_flag=True, help="Leave out those that failed.")
@click.option("--hide-queued", is_flag=True, help="Leave out those that wait.")
@click.option("--hide-workspace", is_flag=True, help="Leave out the workspace.")
@click.option("--precision", type=click.IntRange(min=1), metavar="N", help="Significant digits of numbers; usually 5.")
@click.option("--csv", "as_csv", is_flag=True, help="Print CSV.")
@click.option("--md", "as_markdown", is_flag=True, help="Print Markdown.")
@click.option(
    "--html", "page", type=click.Path(dir_okay=False), metavar="FILE", help="Write a page that can be sorted."
)
@click.option("--no-pager", **_IGNORED, help="Nothing is ever piped into a pager here.")
@click.option("--no-fetch", **_IGNORED, hidden=True)
@click.option("-f", "--force", "is_fresh", is_flag=True, help="Read all commits anew.")
@json_option
def show(as_csv: bool, as_markdown: bool, page: str | None, precision: int | None, as_json: bool, **words: Any) -> None:
    """Show experiments with their parameters and metrics: those of the current commit, or of the ones that are named.

    --json has the shape of `dvc exp show --json`.

    \b
    A FILTER is conditions joined by AND: metrics.auc > 0.8 AND params.lr < 0.1
      Columns: auc, metrics.auc, params.train.lr, deps.data.xml; where several
        files have the name, metrics.json:auc or metrics.metrics.json:auc;
        Experiment, rev, Created, State, Executor. Quote odd names: params."my lr"
      Comparators: = != > >= < <= LIKE ILIKE IN (…) NOT IN (…) IS NULL IS NOT NULL
      Values: 0.8, 'text', true, false

    \b
    Example:
      ever exp show --filter "metrics.auc > 0.8 AND params.model = 'tree'"
      ever exp show --only-changed --sort-by auc --sort-order desc
      ever exp show -A --html experiments.html
    """
    from everloop.pipelines.experiments import showing

    workspace = Workspace.open()
    shown = showing.show(workspace, _scope(words))
    if as_json:
        if words["where"]:
            from everloop.pipelines.experiments import rowfilter

            shown = rowfilter.filtered(shown, words["where"])
        # On one line, as the tool whose shape it is.
        _write_json(shown)
        return
    from everloop.pipelines.experiments import grid, tables

    built = grid.build(shown, _choice(words))
    if page is not None:
        _write_page(built, workspace, page, precision or tables.PRECISION)
    elif as_csv:
        click.echo(tables.comma_separated(built, precision), nl=False)
    elif as_markdown:
        click.echo(tables.markdown(built, precision or tables.PRECISION))
    elif built.rows:
        click.echo(tables.text(built, precision or tables.PRECISION))
    elif shown:
        say("no experiment meets the filter")
    else:
        say("there is no commit yet, so there are no experiments")
    hint("ever exp diff A B, ever exp apply NAME")


def _scope(words: dict[str, Any]) -> Any:
    from everloop.pipelines.experiments.showing import Scope

    keys = ("revs", "all_branches", "all_tags", "all_commits", "hide_queued", "hide_failed", "hide_workspace")
    return Scope(
        **{key: words[key] for key in (*keys, "param_deps", "sha_only", "is_fresh")},
        n=words["num"],
    )


def _choice(words: dict[str, Any]) -> Any:
    from everloop.pipelines.experiments.grid import Choice

    keys = ("only_changed", "keep", "drop", "where", "sort_by")
    return Choice(**{key: words[key] for key in keys}, is_descending=words["sort_order"] == "desc")


def _write_json(shown: Any) -> None:
    import msgspec

    click.echo(msgspec.json.encode(shown).decode())


def _write_page(built: Grid, workspace: Workspace, path: str, precision: int) -> None:
    from everloop.pipelines.experiments.page import page

    Path(path).write_text(page(built, f"Experiments of {workspace.root.name}", precision), encoding="utf-8")
    click.echo(str(Path(path).absolute()))


@click.command()
@click.argument("a_rev", required=False)
@click.argument("b_rev", required=False)
@click.option("--all", "unchanged", is_flag=True, help="Also what is the same.")
@click.option("--param-deps", is_flag=True, help="Only parameters that stages depend on.")
@click.option("--no-path", is_flag=True, help="Leave out the files' names.")
@click.option("--precision", type=click.IntRange(min=1), metavar="N", help="Significant digits of metrics; usually 5.")
@click.option("--md", "as_markdown", is_flag=True, help="Print Markdown.")
@json_option
def diff(
    a_rev: str | None,
    b_rev: str | None,
    unchanged: bool,
    param_deps: bool,
    no_path: bool,
    precision: int | None,
    as_markdown: bool,
    as_json: bool,
) -> None:
    """Tell which metrics and parameters differ between two experiments, or commits.

    A_REV is the current commit when it is left out, B_REV the workspace.

    \b
    Example:
      ever exp diff brave-otter
      ever exp diff brave-otter calm-heron --md
    """
    from everloop.cli.difftable import diff_lines
    from everloop.pipelines.experiments import diffing, tables

    found = diffing.diff(Workspace.open(), a_rev, b_rev, unchanged=unchanged, param_deps=param_deps)
    heads = (a_rev or "HEAD", b_rev or "workspace")
    lines: list[str] = []
    for kind, title, digits in (("metrics", "Metric", precision or tables.PRECISION), ("params", "Param", None)):
        told = diff_lines(found.get(kind, {}), title, heads, digits, has_path=not no_path, as_markdown=as_markdown)
        lines += ([""] if lines and told else []) + told
    emit(found, as_json=as_json, text=lines or "nothing differs")
    hint("ever exp apply NAME")
