"""How commands read words: paths are meant from the current folder, and some options take several words, as DVC's."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import click


def absolute(targets: Iterable[str]) -> list[str]:
    """Paths on the command line as the workspace takes them, whose own paths are relative to its root."""
    return [str(Path(target).absolute()) for target in targets]


class ManyWords(click.Command):
    """A command whose option `--targets` takes all words up to the next option: `--targets a b` is both."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Turn `--targets a b` into `--targets a --targets b`, which click understands."""
        spelled: list[str] = []
        is_list = False
        for word in args:
            if word.startswith("-") and word != "-":
                is_list = word == "--targets"
                spelled += [] if is_list else [word]
            else:
                spelled += ["--targets", word] if is_list else [word]
        return super().parse_args(ctx, spelled)
