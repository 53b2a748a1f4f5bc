"""How commands read words: paths are meant from the current folder, and some options take several words, as DVC's."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import click


def absolute(targets: Iterable[str]) -> list[str]:
    """Paths on the command line as the workspace takes them, whose own paths are relative to its root."""
    return [str(Path(target).absolute()) for target in targets]


class ManyWords(click.Command):
    """A command of which some options take all words up to the next option: `--targets a b` is both."""

    lists: tuple[str, ...] = ("--targets", "--remote-config", "--fs-config")

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Turn `--targets a b` into `--targets a --targets b`, which click understands."""
        known = {spelling for param in self.params for spelling in param.opts if spelling in self.lists}
        spelled: list[str] = []
        taking = ""
        for word in args:
            if word.startswith("-") and word != "-":
                taking = word if word in known else ""
                spelled += [] if taking else [word]
            else:
                spelled += [taking, word] if taking else [word]
        return super().parse_args(ctx, spelled)


def assignments(words: Iterable[str]) -> dict[str, str]:
    """`NAME=VALUE` words as a table.

    Raises:
        click.UsageError: One is none.
    """
    table = {}
    for word in words:
        name, parted, value = word.partition("=")
        if not parted or not name:
            raise click.UsageError(f"expected NAME=VALUE, found {word!r}")
        table[name] = value
    return table
