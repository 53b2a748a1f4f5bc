"""What Git calls, and how it comes to call it: `ever install`, the hooks and the merge driver."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click

from everloop.cli.opening import open_workspace
from everloop.cli.output import emit, hint, json_option, say
from everloop.errors import NotFoundError
from everloop.workspace import Workspace, remotes
from everloop.workspace.configuration import Configuration
from everloop.workspace.mergedriver import merge_files

_HOOKS = ("pre-commit", "post-checkout", "pre-push")


@click.command()
@click.option("--use-pre-commit-tool", is_flag=True, help="Name the hooks in .pre-commit-config.yaml instead.")
@json_option
def install(use_pre_commit_tool: bool, as_json: bool) -> None:
    """Let Git call Everloop: status before a commit, checkout after one, push before one, and merging by entry."""
    report = Workspace.open().install(hooks=_HOOKS, use_pre_commit_tool=use_pre_commit_tool)
    word = "named in .pre-commit-config.yaml: the hook" if use_pre_commit_tool else "installed the hook"
    lines = [f"{word} {name}" for name in report.hooks]
    lines += [f"the hook {name} of DVC stays" for name in report.kept]
    emit(report, as_json=as_json, text=[*lines, f"installed the merge driver, named in {report.attributes}"])
    if use_pre_commit_tool:
        hint("pre-commit install -t pre-commit -t post-checkout -t pre-push, then git add -A && git commit")
    else:
        hint("git add .gitattributes && git commit")


@click.command("git-hook")
@click.argument("name", type=click.Choice(_HOOKS))
@click.argument("arguments", nargs=-1)
def git_hook(name: str, arguments: tuple[str, ...]) -> None:
    """Do what a Git hook does; Git calls this, after `ever install`."""
    from everloop.pipelines import status

    try:
        workspace = open_workspace()
    except NotFoundError:
        return
    if name == "pre-commit":
        for address in status(workspace):
            say(f"changed: {address}")
        return
    if name == "pre-push":
        _push(workspace)
        return
    # Git says 1 for another commit and 0 for single files; in a rebase the person is not done yet.
    # The pre-commit tool tells it in the environment.
    kind = arguments[2] if len(arguments) >= 3 else os.environ.get("PRE_COMMIT_CHECKOUT_TYPE")
    is_other_commit = kind == "1"
    git_folder = Path(workspace.git.ask("rev-parse", "--absolute-git-dir").rstrip("\n"))
    if is_other_commit and not (git_folder / "rebase-merge").is_dir():
        for path in workspace.checkout().restored:
            say(f"restored {path}")


def _push(workspace: Workspace) -> None:
    if not remotes.listed(Configuration(workspace.layout.dvc_dir)):
        say("no remote is configured, so no data were pushed")
        return
    report = workspace.transfers.push()
    for path in report.done.values():
        say(f"pushed {path}")
    for failure in report.failed:
        say(f"{failure.path} did not reach {failure.remote}: {failure.reason}")
    if report.failed:
        sys.exit(1)


@click.command("merge-driver")
@click.argument("base", type=click.Path(path_type=Path))
@click.argument("ours", type=click.Path(path_type=Path))
@click.argument("theirs", type=click.Path(path_type=Path))
@click.argument("name", default="")
def merge_driver(base: Path, ours: Path, theirs: Path, name: str) -> None:
    """Merge versions of a .dvc file or dvc.lock by entry; Git calls this. Exit code 1 at conflicts."""
    try:
        # Git calls from the top of the repository, of which the workspace may be a part.
        workspace: Workspace | None = Workspace.open(Path(name).parent)
    except NotFoundError:
        workspace = None
    conflicts = merge_files(workspace, base, ours, theirs, name=name or str(ours))
    for place in conflicts:
        say(f"conflict in {name or ours}: {place}")
    if conflicts:
        sys.exit(1)
