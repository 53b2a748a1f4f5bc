"""The command `ever`: words in, words out."""

from __future__ import annotations

import gc
import sys

# New objects that wait before Python looks for cycles among them; its own 700 means a hundred looks at start-up alone.
_BETWEEN_LOOKS = 50_000


def main() -> None:
    """Run `ever`. Help is printed without importing anything that is not needed for it."""
    if sys.argv[1:] in (["--help"], ["-h"]):
        from everloop.cli.commands import help_text

        sys.stdout.write(help_text() + "\n")
        return
    if sys.argv[1:] in (["--version"], ["-V"]) and stands_in_for_dvc():
        from everloop.version import DVC_VERSION

        sys.stdout.write(DVC_VERSION + "\n")
        return
    if sys.argv[1:] == ["--version"]:
        from everloop import __version__

        sys.stdout.write(f"ever, version {__version__}\n")
        return
    gc.set_threshold(_BETWEEN_LOOKS)
    try:
        from everloop.cli.group import run

        run()
    finally:
        # Nor does the end of the process look once more through all that goes away with it.
        gc.freeze()


def stands_in_for_dvc() -> bool:
    """Whether this process was called by the name `dvc`, as a link to `ever` is."""
    return sys.argv[0].rpartition("/")[2] == "dvc"
