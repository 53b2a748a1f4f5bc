"""The page for people who come from DVC is true: what it says works is there, what it says is not there is not."""

from __future__ import annotations

import importlib
import json
import subprocess
from pathlib import Path

import click
import pytest

from everloop.cli.commands import ALIASES, COMMANDS

PAGE = Path(__file__).parents[2] / "docs/coming-from-dvc.md"
PYTHON = Path(__file__).parents[1] / "peers/.venv/bin/python"
# Asks the real tool for its commands and their flags.
DUMP = """
import argparse, json
from dvc.cli.parser import get_main_parser
found = {}
def walk(parser, name):
    inner = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    if not inner:
        found[name] = [a.option_strings for a in parser._actions if a.option_strings and a.help != argparse.SUPPRESS]
        return
    seen = set()
    for word, child in inner[0].choices.items():
        if id(child) not in seen:
            seen.add(id(child))
            walk(child, f"{name} {word}".strip())
walk(get_main_parser(), "")
print(json.dumps(found))
"""
EVERYWHERE = {"-h", "-q", "-v"}
INTERNAL = ("daemon ", "experiments exec-run", "experiments queue-worker")


def rows() -> dict[str, tuple[str, list[str]]]:
    """`{command: (verdict, flags that are not there)}`."""
    found = {}
    for line in PAGE.read_text().splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if len(cells) == 4 and cells[1] in ("works", "differs", "not yet"):
            found[cells[0].strip("`")] = (cells[1], [flag.strip("`") for flag in cells[2].split()])
    return found


def command(name: str) -> click.Command | None:
    first, *rest = name.split()
    entry = COMMANDS.get(ALIASES.get(first, first))
    if entry is None:
        return None
    found = getattr(importlib.import_module(entry[1]), entry[2])
    for word in rest:
        found = found.commands.get(word) if isinstance(found, click.Group) else None
    return None if isinstance(found, click.Group) else found


def flags(found: click.Command) -> set[str]:
    return {flag for param in found.params for flag in (*param.opts, *param.secondary_opts)}


@pytest.mark.parametrize(("name", "row"), rows().items(), ids=list(rows()))
def test_row_is_true(name: str, row: tuple[str, list[str]]) -> None:
    verdict, absent = row
    if name.startswith("git-hook "):
        return
    found = command(name)
    assert (found is None) == (verdict == "not yet"), f"{name} is {verdict!r} on the page"
    if found is not None:
        assert flags(found).isdisjoint(absent), f"take {flags(found) & set(absent)} of {name} out of the column"


@pytest.mark.peer
def test_every_command_and_flag_of_dvc_is_on_the_page() -> None:
    dumped = subprocess.run([str(PYTHON), "-c", DUMP], capture_output=True, text=True, check=True)
    listed = rows()
    for name, options in json.loads(dumped.stdout).items():
        if name.startswith(INTERNAL):
            continue
        assert name in listed, f"dvc has {name}, the page does not"
        found = command(name)
        if found is None or name.startswith("git-hook "):
            continue
        for spellings in options:
            is_there = set(spellings) <= flags(found) or EVERYWHERE.intersection(spellings)
            assert is_there or spellings[-1] in listed[name][1], f"{name} {spellings} is neither there nor named"
