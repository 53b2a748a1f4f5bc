"""The click group of `ever`, which imports a command's module only when it is used, and the exit codes of errors."""

from __future__ import annotations

import errno
import importlib
import sys

import click

from everloop.cli.commands import ALIASES, COMMANDS, help_text
from everloop.errors import EverloopError
from everloop.version import __version__

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
        return command

    def get_help(self, ctx: click.Context) -> str:
        return help_text()


@click.command(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="ever")
def cli() -> None:
    """Run the whole loop of a model in production."""


def run() -> None:
    """Run the command line and exit: 0 done, 1 failed or a gate not passed, 2 wrong usage, 130 stopped."""
    try:
        cli(standalone_mode=False)
    except click.exceptions.Exit as error:
        sys.exit(error.exit_code)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        click.echo("stopped", err=True)
        sys.exit(130)
    except OSError as error:
        # The machine's own limits are no fault of the program, and a traceback helps nobody: what, and where.
        if error.errno not in _OF_THE_MACHINE:
            raise
        where = f": {error.filename}" if error.filename else ""
        click.echo(click.style("error: ", fg="red") + f"{error.strerror}{where}", err=True)
        sys.exit(1)
    except EverloopError as error:
        click.echo(click.style("error: ", fg="red") + error.message, err=True)
        if error.hint:
            click.echo(error.hint, err=True)
        sys.exit(1)
