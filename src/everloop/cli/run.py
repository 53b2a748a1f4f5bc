"""`ever run`: the tracked runs; and with `-n`, the older spelling of adding a stage and running it."""

from __future__ import annotations

from typing import Any

import click

from everloop.cli import tracking
from everloop.cli.output import json_option
from everloop.cli.stages import add_and_run, declares_stage


class _Run(click.Group):
    """With `-n`, the words behind the options are the command of a stage; without, a command of the group."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        # A command of the group has options of its own, behind its name.
        is_stage = args[:1] and args[0].startswith("-") and any(word.startswith(("-n", "--name")) for word in args)
        if not is_stage:
            return super().parse_args(ctx, args)
        # As a plain command: to the group the first word of the stage's command would be a command of its own.
        return click.Command.parse_args(self, ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        return click.Command.invoke(self, ctx) if ctx.params["name"] else super().invoke(ctx)


@click.group(cls=_Run, commands=tracking.run.commands)
@click.option("-n", "--name", help="Add a stage of this name to dvc.yaml, and run it.")
@declares_stage
@json_option
@click.pass_context
def run(ctx: click.Context, /, name: str | None, as_json: bool, **words: Any) -> None:
    """List and show tracked runs; with -n, add a stage and run it, as `ever stage add --run`.

    \b
    Example:
      ever run list
      ever run -n train -d train.py -o model python train.py
    """
    if name is not None:
        if not ctx.args:
            raise click.UsageError("the command of the stage is missing: write it behind the options")
        add_and_run(as_json, name=name, command=tuple(ctx.args), **words)
    elif any(words.values()):
        raise click.UsageError("a stage needs a name: ever run -n NAME ... COMMAND")
