"""The command `ever`: words in, words out."""

from __future__ import annotations

import sys


def main() -> None:
    """Run `ever`. Help is printed without importing anything that is not needed for it."""
    if sys.argv[1:] in (["--help"], ["-h"]):
        from everloop.cli.commands import help_text

        sys.stdout.write(help_text() + "\n")
        return
    if sys.argv[1:] == ["--version"]:
        from everloop import __version__

        sys.stdout.write(f"ever, version {__version__}\n")
        return
    from everloop.cli.group import run

    run()
