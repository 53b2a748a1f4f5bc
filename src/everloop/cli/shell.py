"""`ever completion`: commands and options completed by the shell."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

_PLACES = {
    "bash": "~/.local/share/bash-completion/completions/{name}",
    "zsh": "a folder of $fpath, as _{name}",
    "fish": "~/.config/fish/completions/{name}.fish",
}


@click.command()
@click.option("-s", "--shell", type=click.Choice(list(_PLACES)), default="bash", help="Which one.", show_default=True)
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print what a shell needs to complete commands and options.

    \b
    Example:
      ever completion -s bash > ~/.local/share/bash-completion/completions/ever
      ever completion -s fish > ~/.config/fish/completions/ever.fish
    """
    from everloop.cli.output import hint

    root = ctx.find_root()
    name = root.info_name or "ever"
    found = get_completion_class(shell)
    assert found is not None
    click.echo(found(root.command, {}, name, f"_{name.upper()}_COMPLETE").source())
    hint(f"write it to {_PLACES[shell].format(name=name)}")
