"""`ever exp`: list, save, apply, rename and remove experiments.

Running, showing and moving them have files of their own.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from everloop.cli.experimentruns import run
from everloop.cli.experimentshow import diff, show
from everloop.cli.experimenttransfers import pull, push
from everloop.cli.experimentwords import selection, selection_options
from everloop.cli.output import emit, hint, json_option, say
from everloop.workspace import Workspace

if TYPE_CHECKING:
    from everloop.pipelines.experiments.refs import Experiment


@click.group()
def experiments() -> None:
    """Run, compare and keep experiments.

    They are Git commits below refs/exps, as DVC keeps them: each tool sees the other's.
    """


@experiments.command("list")
@click.argument("git_remote", required=False)
@selection_options
@click.option("--name-only", "--names-only", is_flag=True, help="Print the names alone.")
@click.option("--sha-only", "--shas-only", is_flag=True, help="Print the commits alone.")
@json_option
def list_command(
    git_remote: str | None,
    all_commits: bool,
    revs: tuple[str, ...],
    num: int,
    name_only: bool,
    sha_only: bool,
    as_json: bool,
) -> None:
    """List experiments of the current commit, here or in a Git remote.

    \b
    Example:
      ever exp list --all-commits
      ever exp list origin
    """
    from everloop.pipelines.experiments import selection as selecting

    if name_only and sha_only:
        raise click.UsageError("--name-only and --sha-only exclude each other")
    workspace = Workspace.open()
    wanted = selection((), all_commits=all_commits, revs=revs, num=num)
    found = selecting.select(workspace, wanted, git_remote)
    if name_only or sha_only:
        lines = [each.name if name_only else each.commit for each in found]
    else:
        called = selecting.names_of(workspace.git, {each.baseline for each in found})
        lines = list(_by_baseline(found, called, has_commits=git_remote is None))
    if lines or as_json:
        emit(found, as_json=as_json, text=lines)
    hint("ever exp show" if found else "ever exp run -S KEY=VALUE")


def _by_baseline(found: list[Experiment], called: dict[str, str], *, has_commits: bool) -> Iterator[str]:
    baseline = ""
    for each in found:
        if each.baseline != baseline:
            baseline = each.baseline
            yield f"{called.get(baseline, baseline[:7])}:"
        yield f"\t{each.commit[:7]} [{each.name}]" if has_commits else f"\t{each.name}"


@experiments.command()
@click.argument("targets", nargs=-1)
@click.option("-n", "--name", metavar="NAME", help="Of the experiment; drawn when none is given.")
@click.option("-m", "-M", "--message", metavar="TEXT", help="Of the commit.")
@click.option("-f", "--force", is_flag=True, help="Replace an experiment of the same name.")
@click.option("-R", "--recursive", is_flag=True, help="A folder means all that is described below it.")
@click.option("-I", "--include-untracked", multiple=True, metavar="PATH", help="Take an untracked file in, too.")
@json_option
def save(
    targets: tuple[str, ...],
    name: str | None,
    message: str | None,
    force: bool,
    recursive: bool,
    include_untracked: tuple[str, ...],
    as_json: bool,
) -> None:
    """Save the workspace as it is as an experiment; nothing is run.

    \b
    Example:
      ever exp save --name tried-by-hand
    """
    from everloop.cli.words import absolute
    from everloop.pipelines.experiments import saving

    workspace = Workspace.open()
    include = [workspace.relative(path) for path in absolute(include_untracked)]
    saved = saving.save(
        workspace, targets or None, name=name, message=message, include=include, recursive=recursive, force=force
    )
    tell_left_out(saved.left_out)
    told = saved.experiment
    emit(told, as_json=as_json, text=f"Experiment has been saved as: {told.name}")
    hint(f"ever exp apply {told.name}")


def tell_left_out(paths: tuple[str, ...]) -> None:
    """Name the untracked files that are not in an experiment."""
    if paths:
        shown = ", ".join(paths[:10]) + (f" and {len(paths) - 10} more" if len(paths) > 10 else "")
        say(f"not in the experiment, because Git does not track them: {shown}")


@experiments.command("apply")
@click.argument("experiment")
@click.option("--no-force", "is_careful", is_flag=True, help="Refuse to overwrite files that were changed.")
@json_option
def apply_command(experiment: str, is_careful: bool, as_json: bool) -> None:
    """Put the files and data of an experiment into the workspace. Branch and commit stay.

    What files held before is kept in a commit that refs/everloop/before-apply names; data that were replaced come back
    with `ever undo`.

    \b
    Example:
      ever exp apply brave-otter
    """
    from everloop.pipelines.experiments.apply import BEFORE, apply

    done = apply(Workspace.open(), experiment, force=not is_careful)
    emit(done, as_json=as_json, text=f"the workspace holds the experiment {experiment} now")
    if done.written or done.removed:
        say(f"what its files held before: git restore --source={BEFORE} -- .")
    hint("git add --all && git commit, or ever exp branch")


@experiments.command()
@click.argument("experiment")
@click.argument("branch_name", metavar="[BRANCH]", required=False)
@json_option
def branch(experiment: str, branch_name: str | None, as_json: bool) -> None:
    """Make a Git branch of an experiment.

    \b
    Example:
      ever exp branch brave-otter better-rate
    """
    from everloop.pipelines.experiments import naming

    made = naming.branch(Workspace.open(), experiment, branch_name)
    emit({"branch": made}, as_json=as_json, text=f"Git branch {made!r} has been made of experiment {experiment!r}")
    hint(f"git checkout {made}")


@experiments.command()
@click.argument("experiment")
@click.argument("name")
@click.option("-g", "--git-remote", metavar="REMOTE", help="Rename it in this Git remote.")
@click.option("-f", "--force", is_flag=True, help="Replace another experiment of that name.")
@json_option
def rename(experiment: str, name: str, git_remote: str | None, force: bool, as_json: bool) -> None:
    """Give an experiment another name.

    \b
    Example:
      ever exp rename brave-otter larger-batches
    """
    from everloop.pipelines.experiments import naming

    done = naming.rename(Workspace.open(), experiment, name, force=force, remote=git_remote)
    emit(done, as_json=as_json, text=f"renamed {experiment} to {done.name}")
    hint("ever exp list")


@experiments.command()
@click.argument("names", metavar="[EXPERIMENT]...", nargs=-1)
@selection_options
@click.option("--queue", "is_queued", is_flag=True, help="Remove all that wait in the queue.")
@click.option("--keep", is_flag=True, help="Remove all others instead.")
@click.option("-g", "--git-remote", metavar="REMOTE", help="Remove them in this Git remote.")
@json_option
def remove(
    names: tuple[str, ...],
    all_commits: bool,
    revs: tuple[str, ...],
    num: int,
    is_queued: bool,
    keep: bool,
    git_remote: str | None,
    as_json: bool,
) -> None:
    """Remove experiments, also such that wait in the queue. Their data stay in the cache until `ever gc`.

    \b
    Example:
      ever exp remove brave-otter
      ever exp remove --rev HEAD --keep
    """
    from everloop.pipelines.experiments import control
    from everloop.pipelines.experiments import selection as selecting

    if bool(names) == (all_commits or bool(revs) or is_queued):
        raise click.UsageError("name experiments, or use --rev, --all-commits or --queue")
    if is_queued and (keep or git_remote):
        raise click.UsageError("--queue goes neither with --keep nor with --git-remote")
    workspace = Workspace.open()
    gone = control.remove_waiting(workspace, () if git_remote or keep else names, everything=is_queued)
    left = tuple(name for name in names if name not in gone)
    if left or all_commits or revs or keep:
        wanted = selection(left, all_commits=all_commits, revs=revs, num=num)
        gone += selecting.remove(workspace, wanted, keep=keep, remote=git_remote)
    emit(gone, as_json=as_json, text=f"Removed experiments: {', '.join(gone)}" if gone else "no experiments to remove")
    hint("ever exp list")


@experiments.command()
@json_option
def clean(as_json: bool) -> None:
    """Remove what killed processes have left: folders of experiments, and references that nothing needs.

    \b
    Example:
      ever exp clean
    """
    from everloop.pipelines.experiments import control

    done = control.clean(Workspace.open())
    said = f"removed {len(done.worktrees)} folder(s) and {len(done.refs)} reference(s)"
    emit(done, as_json=as_json, text=said if done.worktrees or done.refs else "there is nothing to clean")
    hint("ever queue status")


for command in (run, show, diff, push, pull):
    experiments.add_command(command)
experiments.add_command(list_command, "ls")
experiments.add_command(remove, "rm")
