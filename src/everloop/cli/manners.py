"""What every command understands besides its own words: quiet, verbose, where to run, whether to wait for a lock.

`-q` and `-v` may stand before the command or behind it, as DVC has them; `--cd` and `--wait-for-lock` before it.
"""

from __future__ import annotations

import os
import sys
from contextlib import chdir, redirect_stdout
from pathlib import Path

import click

_QUIET = "everloop.quiet"
_VERBOSE = "everloop.verbose"


def is_quiet() -> bool:
    """Whether nobody wants to hear what a command has to say; errors are said all the same."""
    context = click.get_current_context(silent=True)
    return context is not None and _QUIET in context.meta


def give_manners(command: click.Command) -> click.Command:
    """Let a command, and those of a group, understand `-q` and `-v`, as far as they do not by themselves."""
    if isinstance(command, click.Group):
        for inner in command.commands.values():
            give_manners(inner)
        return command
    taken = {spelling for param in command.params for spelling in param.opts}
    for option in (_quiet_option(), _verbose_option()):
        if taken.isdisjoint(option.opts):
            command.params.append(option)
    return command


def global_options() -> list[click.Option]:
    """Those that stand before the command."""
    folder = click.Path(exists=True, file_okay=False)
    return [
        _quiet_option(),
        _verbose_option(),
        click.Option(
            ["--cd"], metavar="DIR", type=folder, expose_value=False, callback=_go, help="Run in another folder."
        ),
        click.Option(
            ["--wait-for-lock"],
            is_flag=True,
            expose_value=False,
            callback=_wait,
            help="Wait for a command that changes the workspace now, however long it takes.",
        ),
    ]


def tell_more(context: click.Context) -> None:
    """Print where the error of this moment comes from, if that was asked for."""
    if _VERBOSE in context.meta:
        import traceback

        traceback.print_exc(file=sys.stderr)


def _quiet_option() -> click.Option:
    return click.Option(
        ["-q", "--quiet"], is_flag=True, expose_value=False, callback=_hush, help="Print nothing but errors."
    )


def _verbose_option() -> click.Option:
    return click.Option(
        ["-v", "--verbose"], count=True, expose_value=False, callback=_note, help="Say where an error comes from."
    )


def _hush(context: click.Context, _: click.Parameter, value: bool) -> None:
    if value and _QUIET not in context.meta:
        context.meta[_QUIET] = True
        root = context.find_root()
        nowhere = root.with_resource(Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115 - closed with the root
        root.with_resource(redirect_stdout(nowhere))


def _note(context: click.Context, _: click.Parameter, value: int) -> None:
    if value:
        context.meta[_VERBOSE] = True


def _go(context: click.Context, _: click.Parameter, value: str | None) -> None:
    if value is not None:
        context.find_root().with_resource(chdir(value))


def _wait(context: click.Context, _: click.Parameter, value: bool) -> None:
    if value:
        from everloop.workspace import locks

        context.find_root().with_resource(locks.waiting())
