"""The exit codes that callers of `dvc` know, where `ever` runs under that name.

An editor's extension asks again and again after a code that it takes for a passing trouble, such as a lock; 255 tells
it that asking again is of no use.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from everloop.cli.commands import ALIASES
from everloop.errors import EverloopError, OutsideError

# Source: dvc 3.67 (`cli/__init__.py`), and its commands: some catch their errors and end with 1, these do not.
USAGE = 254
_CONFIGURATION = 251
_OUTSIDE = 253
_UNCAUGHT = 255
_CONFIGURING = frozenset({"cache", "config", "remote"})
_NOT_CATCHING = frozenset(
    {"checkout", "dag", "data", "du", "experiments", "gc", "metrics", "params", "queue", "repro", "root", "stage"}
)
_CATCHING = frozenset({("experiments", "diff"), ("experiments", "save"), ("experiments", "show")})
_WITH_VALUE = frozenset({"--cd"})


def exit_code(error: EverloopError | OSError, words: Sequence[str]) -> int:
    """What DVC would end with.

    Args:
        error: What stopped the command.
        words: The command line, without the program's name.
    """
    if isinstance(error, OutsideError):
        return _OUTSIDE
    command, *rest = [*_plain(words), "", ""][:2]
    command = ALIASES.get(command, command)
    if command in _CONFIGURING:
        return _CONFIGURATION
    return _UNCAUGHT if command in _NOT_CATCHING and (command, *rest) not in _CATCHING else 1


def _plain(words: Sequence[str]) -> Iterator[str]:
    """Those that are neither options nor their values, as far as options stand before the command."""
    is_value = False
    for word in words:
        if not is_value and not word.startswith("-"):
            yield word
        is_value = word in _WITH_VALUE
