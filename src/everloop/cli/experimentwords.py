"""What commands of experiments have in common: which experiments are meant, and by which flags, as DVC has them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from everloop.pipelines.experiments.selection import Selection

Command = TypeVar("Command", bound=Callable[..., Any])


def selection_options(command: Command) -> Command:
    """Add `-A`, `--rev` and `-n`; the function receives `all_commits`, `revs` and `num`."""
    for option in (
        click.option(
            "-n",
            "--num",
            type=int,
            default=1,
            metavar="N",
            help="Also the N - 1 commits before each --rev; -1 means all.",
        ),
        click.option(
            "--rev", "revs", multiple=True, metavar="COMMIT", help="Those derived from COMMIT; may be repeated."
        ),
        click.option("-A", "--all-commits", is_flag=True, help="All experiments there are."),
    ):
        command = option(command)
    return command


def selection(names: tuple[str, ...], *, all_commits: bool, revs: tuple[str, ...], num: int) -> Selection:
    """The words of a command as what they mean."""
    from everloop.pipelines.experiments.selection import Selection

    return Selection(names=names, revs=revs, n=num, is_all=all_commits)
