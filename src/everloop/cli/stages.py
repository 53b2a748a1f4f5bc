"""`ever stage`, `freeze`, `unfreeze`, and `ever run -n`, the older spelling of adding a stage and running it."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from everloop.cli.output import emit, hint, json_option, say
from everloop.cli.pipelines import repro as repro_command
from everloop.errors import EverloopError
from everloop.workspace import Workspace

Command = TypeVar("Command", bound=Callable[..., Any])

# Of the options that declare outputs: how they are spelled, the list, in the cache, kept when the stage runs, the help.
_OUTS: dict[str, tuple[tuple[str, ...], str, bool, bool, str]] = {
    "outs": (("-o", "--outs"), "outs", True, False, "A file or folder that it makes."),
    "outs_no_cache": (("-O", "--outs-no-cache"), "outs", False, False, "The same, not kept in the cache."),
    "outs_persist": (("--outs-persist",), "outs", True, True, "The same, not removed before the stage runs."),
    "outs_persist_no_cache": (("--outs-persist-no-cache",), "outs", False, True, "Neither removed nor in the cache."),
    "metrics": (("-m", "--metrics"), "metrics", True, False, "A file of metrics that it makes."),
    "metrics_no_cache": (("-M", "--metrics-no-cache"), "metrics", False, False, "The same, not kept in the cache."),
    "plots": (("--plots",), "plots", True, False, "A file of a plot that it makes."),
    "plots_no_cache": (("--plots-no-cache",), "plots", False, False, "The same, not kept in the cache."),
}


def _many(name: str, *spellings: str, metavar: str, text: str) -> Callable[[Command], Command]:
    return click.option(*spellings, name, multiple=True, metavar=metavar, help=text)


def declares_stage(command: Command) -> Command:
    """Add the options that declare a stage; the function receives them by name."""
    options = [
        _many("deps", "-d", "--deps", metavar="PATH", text="What it depends on."),
        _many("params", "-p", "--params", metavar="[FILE:]KEYS", text="Parameters that it depends on, with commas."),
        *(_many(name, *spelled, metavar="PATH", text=text) for name, (spelled, *_, text) in _OUTS.items()),
        click.option("-w", "--wdir", metavar="DIR", help="Where it runs."),
        click.option("--always-changed", is_flag=True, help="Run it every time."),
        click.option("--desc", metavar="TEXT", help="What people should know about it."),
        click.option("-f", "--force", is_flag=True, help="Replace a stage of that name."),
    ]
    for option in reversed(options):
        command = option(command)
    return command


@click.group()
def stage() -> None:
    """Add stages to dvc.yaml, list them."""


@stage.command("add", context_settings={"allow_interspersed_args": False})
@click.option("-n", "--name", required=True, help="Of the stage.")
@declares_stage
@click.option("--run", "is_run", is_flag=True, help="Run it at once, with what it depends on.")
@json_option
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
def add_command(is_run: bool, as_json: bool, **words: Any) -> None:
    """Write a stage into dvc.yaml here. The words behind the options are its command.

    Paths are meant from --wdir. Nothing is written when the stage does not fit to the others: outputs that overlap, a
    circle, a name that is taken.

    \b
    Example:
      ever stage add -n train -d train.py -d data -p lr,epochs -o model -M metrics.json python train.py
      ever stage add -n train -f -d train.py -o model 'python train.py > log'
    """
    added = _add(words)
    if is_run:
        _run(added, as_json)
        return
    emit({"stage": added.address, "file": added.file}, as_json=as_json, text=f"added {added.address} to {added.file}")
    hint(f"ever repro {added.address}")


@stage.command("list")
@click.argument("targets", nargs=-1)
@click.option("--all", "everything", is_flag=True, help="All stages and .dvc files of the workspace.")
@click.option("--fail", is_flag=True, help="Fail at a file that cannot be read; otherwise it is named and passed over.")
@click.option("-R", "--recursive", is_flag=True, help="A folder means all below it.")
@click.option("--name-only", "--names-only", is_flag=True, help="Only the names.")
@json_option
def list_command(
    targets: tuple[str, ...], everything: bool, fail: bool, recursive: bool, name_only: bool, as_json: bool
) -> None:
    """List stages with what they make or depend on, or their own description.

    TARGETS are dvc.yaml and .dvc files, stages, outputs, folders; dvc.yaml here, if none is named.

    \b
    Example:
      ever stage list
      ever stage list --all --name-only
    """
    from everloop.pipelines.stagelist import list_stages

    workspace = Workspace.open()
    found = list_stages(
        workspace,
        targets,
        _here(workspace),
        everything=everything,
        recursive=recursive,
        on_unreadable=None if fail else lambda error: say(f"passed over: {error.message}"),
    )
    width = max((len(each.stage) for each in found), default=0)
    lines = [each.stage if name_only else f"{each.stage:<{width}}  {each.description}" for each in found]
    if as_json or lines:
        emit([each.stage for each in found] if name_only else found, as_json=as_json, text=lines)
    hint("ever repro, ever dag, or ever why STAGE")


@click.command()
@click.argument("targets", nargs=-1, required=True)
@json_option
def freeze(targets: tuple[str, ...], as_json: bool) -> None:
    """Freeze stages or .dvc files: repro leaves them as they are, update does not renew them.

    A group of foreach or matrix is frozen as a whole.

    \b
    Example:
      ever freeze download
    """
    _set_frozen(targets, as_json, frozen=True)
    hint("ever unfreeze TARGET")


@click.command()
@click.argument("targets", nargs=-1, required=True)
@json_option
def unfreeze(targets: tuple[str, ...], as_json: bool) -> None:
    """Let frozen stages run again, and frozen .dvc files be renewed.

    \b
    Example:
      ever unfreeze download
    """
    _set_frozen(targets, as_json, frozen=False)
    hint("ever repro")


def add_and_run(as_json: bool, **words: Any) -> None:
    """What `ever run -n` does."""
    _run(_add(words), as_json)


def _add(words: dict[str, Any]) -> Any:
    from everloop.pipelines.newstage import NewOut, NewStage, command_of, params_of
    from everloop.pipelines.stageadd import add_stage
    from everloop.pipelines.values import OutKind

    workspace = Workspace.open()
    outs = [
        NewOut(path=path, kind=OutKind(kind), is_cached=is_cached, is_persistent=is_persistent)
        for option, (_, kind, is_cached, is_persistent, _) in _OUTS.items()
        for path in words[option]
    ]
    new = NewStage(
        name=words["name"],
        command=command_of(words["command"]),
        deps=words["deps"],
        params=params_of(words["params"]),
        outs=tuple(outs),
        folder=words["wdir"],
        is_always_changed=words["always_changed"],
        description=words["desc"],
    )
    added = add_stage(workspace, new, _here(workspace), force=words["force"])
    for path in added.not_ignored:
        say(f"{path}: its folder does not exist, so its .gitignore is written when the stage runs")
    return added.stage


def _run(added: Any, as_json: bool) -> None:
    say(f"added {added.address} to {added.file}")
    context = click.get_current_context()
    context.invoke(repro_command, targets=(added.address,), as_json=as_json)


def _set_frozen(targets: tuple[str, ...], as_json: bool, *, frozen: bool) -> None:
    from everloop.pipelines.freeze import set_frozen

    workspace = Workspace.open()
    word = "frozen" if frozen else "unfrozen"
    changed: list[str] = []
    failed: dict[str, str] = {}
    for target in targets:
        try:
            changed += set_frozen(workspace, target, _here(workspace), frozen=frozen)
        except EverloopError as error:
            failed[target] = error.message
            say(str(error))
    text = [f"{address} is {word}" for address in changed] or f"nothing to do: all is {word} already"
    if as_json or changed or not failed:
        emit({"changed": changed, "failed": failed}, as_json=as_json, text=text)
    if failed:
        sys.exit(1)


def _here(workspace: Workspace) -> str:
    """The current folder, relative to the root."""
    return workspace.relative(Path.cwd())
