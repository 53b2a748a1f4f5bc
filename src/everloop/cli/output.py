"""How commands speak: results to stdout, hints and progress to stderr, JSON on request, silence when piped."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import click
import msgspec

from everloop.cli.manners import is_quiet
from everloop.plaintext import table

__all__ = ["emit", "hint", "json_option", "say", "table"]

Command = TypeVar("Command", bound=Callable[..., Any])


def json_option(command: Command) -> Command:
    """Add `--json` to a command; its function receives `as_json`."""
    return click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")(command)


def emit(value: Any, *, as_json: bool, text: str | Iterable[str]) -> None:
    """Print a result: the value as JSON, or the text (a string, or lines) for people."""
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(value), indent=2).decode())
        return
    click.echo(text if isinstance(text, str) else "\n".join(text))


def hint(text: str) -> None:
    """Name the next useful command, on stderr and only when a person is there to read it."""
    if sys.stderr.isatty() and not is_quiet():
        click.echo(click.style(f"next: {text}", dim=True), err=True)


def say(text: str) -> None:
    """Tell what is going on, on stderr."""
    if not is_quiet():
        click.echo(text, err=True)
