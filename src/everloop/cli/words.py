"""How commands read words: paths are meant from the current folder, and some options take several words, as DVC's."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import click


def absolute(targets: Iterable[str]) -> list[str]:
    """Paths on the command line as the workspace takes them, whose own paths are relative to its root."""
    return [str(Path(target).absolute()) for target in targets]


_LISTS = ("--targets", "--fs-config")


class ManyWords(click.Command):
    """A command whose option `--targets` takes all words up to the next option: `--targets a b` is both."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Turn `--targets a b` into `--targets a --targets b`, which click understands; `--fs-config`, too."""
        spelled: list[str] = []
        listed = ""
        for word in args:
            if word.startswith("-") and word != "-":
                listed = word if word in _LISTS else ""
                spelled += [] if listed else [word]
            else:
                spelled += [listed, word] if listed else [word]
        return super().parse_args(ctx, spelled)
