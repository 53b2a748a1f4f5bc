"""The flags that `ever repro` and `ever exp run` share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

Command = TypeVar("Command", bound=Callable[..., Any])

_FLAGS = (
    ("-i", "--interactive", "Ask before each stage."),
    ("-s", "--single-item", "Only the targets, not what they depend on."),
    ("-p", "--pipeline", "All that hangs together with the targets."),
    ("-P", "--all-pipelines", "All pipelines of the workspace."),
    ("-R", "--recursive", "A target may be a folder: all that is described below it."),
    ("--downstream", "The targets and what depends on them."),
    ("--force-downstream", "Run what depends on a stage that ran, in any case."),
    ("--pull", "Bring missing data, outputs and runs from the remote."),
    ("--allow-missing", "Leave stages of which only data are missing."),
    ("--dry", "Only tell what would be done."),
    ("-k", "--keep-going", "After a failure, go on with what does not depend on it."),
    ("--ignore-errors", "After a failure, go on with everything."),
    ("--glob", "Targets are patterns of stage names."),
    ("--no-commit", "Record the outputs, keep no copy in the cache yet."),
    ("--no-run-cache", "Run a stage also when an equal run is known."),
)


def repro_flags(command: Command) -> Command:
    """Add them; the function receives each by its long name."""
    for *spellings, text in reversed(_FLAGS):
        command = click.option(*spellings, is_flag=True, help=text)(command)
    return command
