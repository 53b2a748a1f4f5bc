"""The words that all commands about data and remotes understand: which data, of which revisions, and which remote."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

Command = TypeVar("Command", bound=Callable[..., Any])


def transfer_options(command: Command) -> Command:
    """Add what all transfers understand; the function receives `targets` and one dict of the rest, `words`."""
    for option in (
        click.option("--glob", is_flag=True, help="TARGETS are patterns of the shell."),
        click.option("-R", "--recursive", is_flag=True, help="A folder means all data below it."),
        click.option("-d", "--with-deps", is_flag=True, help="Also the data that TARGETS are made from."),
        click.option("-A", "--all-commits", is_flag=True, help="Also the data of all commits."),
        click.option("-T", "--all-tags", is_flag=True, help="Also the data of all tags."),
        click.option("-a", "--all-branches", is_flag=True, help="Also the data of all branches."),
        click.option("-j", "--jobs", type=click.IntRange(min=1), help="Requests at once."),
        click.option("-r", "--remote", metavar="NAME", help="Which remote; the default one if none is named."),
        click.argument("targets", nargs=-1),
    ):
        command = option(command)
    return command
