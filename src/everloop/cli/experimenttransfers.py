"""`ever exp push` and `ever exp pull`: experiments and their data to and from others."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from everloop.cli.experimentwords import selection, selection_options
from everloop.cli.output import emit, hint, json_option, say
from everloop.errors import ConflictError, FailedError
from everloop.workspace import Workspace

if TYPE_CHECKING:
    from everloop.pipelines.experiments.transfer import Data, Transferred

Command = TypeVar("Command", bound=Callable[..., Any])


def _transfer_options(command: Command) -> Command:
    for option in (
        json_option,
        click.option("--run-cache/--no-run-cache", default=False, help="Also the run cache."),
        click.option("-j", "--jobs", type=click.IntRange(min=1), help="Requests for data at once."),
        click.option("-r", "--remote", metavar="NAME", help="Which remote has the data; else the default one."),
        click.option("--no-cache", is_flag=True, help="Leave the data where they are."),
        click.option("-f", "--force", is_flag=True, help="Replace other experiments of the same name."),
        selection_options,
        click.argument("names", metavar="[EXPERIMENT]...", nargs=-1),
        click.argument("git_remote"),
    ):
        command = option(command)
    return command


@click.command()
@_transfer_options
def push(git_remote: str, names: tuple[str, ...], as_json: bool, **words: Any) -> None:
    """Bring experiments to GIT_REMOTE, and their data to the remote: those of the current commit, or named ones.

    \b
    Example:
      ever exp push origin
      ever exp push origin brave-otter
    """
    from everloop.pipelines.experiments import transfer

    wanted = selection(names, all_commits=words["all_commits"], revs=words["revs"], num=words["num"])
    done = transfer.push(Workspace.open(), git_remote, wanted, force=words["force"], data=_data(words))
    _finish(done, "pushed", f"{git_remote} has", as_json=as_json)
    hint(f"ever exp list {git_remote}")


@click.command()
@_transfer_options
def pull(git_remote: str, names: tuple[str, ...], as_json: bool, **words: Any) -> None:
    """Bring experiments from GIT_REMOTE, and their data from the remote into the cache.

    \b
    Example:
      ever exp pull origin --all-commits
    """
    from everloop.pipelines.experiments import transfer

    wanted = selection(names, all_commits=words["all_commits"], revs=words["revs"], num=words["num"])
    done = transfer.pull(Workspace.open(), git_remote, wanted, force=words["force"], data=_data(words))
    _finish(done, "pulled", "there are", as_json=as_json)
    hint("ever exp show")


def _data(words: dict[str, Any]) -> Data | None:
    from everloop.pipelines.experiments.transfer import Data

    return None if words["no_cache"] else Data(**{key: words[key] for key in ("remote", "jobs", "run_cache")})


def _finish(done: Transferred, verb: str, where: str, *, as_json: bool) -> None:
    lines = [f"{name}: {verb}" for name in done.success]
    lines += [f"{name}: up to date" for name in done.up_to_date]
    failed = done.data.failed if done.data is not None else ()
    if done.data is not None and done.data.done:
        lines.append(f"{len(done.data.done):,} files of data {verb}")
    for failure in failed[:10]:
        say(f"failed: {failure.path} ({failure.md5}, remote {failure.remote}): {failure.reason}")
    emit(done, as_json=as_json, text=lines or "there are no experiments")
    if done.diverged:
        raise ConflictError(f"{where} other experiments named {', '.join(done.diverged)}", hint="replace them: --force")
    if failed:
        raise FailedError(f"{len(failed)} file(s) were not {verb}", hint="run the command again for the rest")
