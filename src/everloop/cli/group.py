"""The click group of `ever`, which imports a command's module only when it is used, and the exit codes of errors."""

from __future__ import annotations

import errno
import importlib
import os
import sys
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

import click

from everloop.cli import standin, stands_in_for_dvc
from everloop.cli.commands import ALIASES, COMMANDS, help_text
from everloop.cli.manners import give_manners, global_options, tell_more
from everloop.errors import EverloopError
from everloop.version import __version__

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

_OF_THE_MACHINE = frozenset(
    {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO, errno.EMFILE}
)


class LazyGroup(click.Group):
    """A group over `COMMANDS`."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        cmd_name = ALIASES.get(cmd_name, cmd_name)
        if cmd_name not in COMMANDS:
            return None
        _, module, attribute, _ = COMMANDS[cmd_name]
        command: click.Command = getattr(importlib.import_module(module), attribute)
        return give_manners(command)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except EverloopError:
            tell_more(ctx)
            raise

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        from click.shell_completion import CompletionItem

        # Out of the table: to ask each command for its help would import all of them.
        names = [name for name in COMMANDS if name.startswith(incomplete)]
        options = click.Command.shell_complete(self, ctx, incomplete)
        return [CompletionItem(name, help=COMMANDS[name][3]) for name in names] + options

    def get_help(self, ctx: click.Context) -> str:
        return help_text()


@click.command(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, "-V", "--version", prog_name="ever")
def cli() -> None:
    """Run the whole loop of a model in production."""


cli.params += global_options()


def _shown() -> AbstractContextManager[None]:
    """How far long work is, where a person sees it."""
    if not sys.stderr.isatty() or os.environ.get("TERM") == "dumb":
        return nullcontext()
    from everloop.cli.progressline import ProgressLine
    from everloop.progress import listening

    return listening(ProgressLine())


def run() -> None:
    """Run the command line and exit: 0 done, 1 failed or a gate not passed, 2 wrong usage, 130 stopped."""
    try:
        with _shown():
            cli(standalone_mode=False)
    except click.exceptions.Exit as error:
        sys.exit(error.exit_code)
    except click.ClickException as error:
        error.show()
        sys.exit(standin.USAGE if stands_in_for_dvc() and error.exit_code == 2 else error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        click.echo("stopped", err=True)
        sys.exit(130)
    except OSError as error:
        # The machine's own limits are no fault of the program, and a traceback helps nobody: what, and where.
        if error.errno not in _OF_THE_MACHINE:
            raise
        where = f": {error.filename}" if error.filename else ""
        click.echo(click.style("error: ", fg="red") + f"{error.strerror}{where}", err=True)
        sys.exit(_code(error))
    except EverloopError as error:
        click.echo(click.style("error: ", fg="red") + error.message, err=True)
        if error.hint:
            click.echo(error.hint, err=True)
        sys.exit(_code(error))


def _code(error: EverloopError | OSError) -> int:
    return standin.exit_code(error, sys.argv[1:]) if stands_in_for_dvc() else 1
