"""What the documentation shows is true: snippets run, commands and options exist, settings are real, links lead on."""

from __future__ import annotations

import importlib
import os
import re
import subprocess
import sys
from pathlib import Path

import click
import pytest

from everloop.cli.commands import ALIASES, COMMANDS
from everloop.config import PREFIX, Settings

ROOT = Path(__file__).parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), *(ROOT / "examples").glob("*/README.md")])
_BLOCK = re.compile(r"^```(?P<kind>\w*)\n(?P<text>.*?)^```", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\]\((?!https?://|#)([^)#\s]+)")
_SETTING = re.compile(r"`?(EVERLOOP_[A-Z_]+)")
_INLINE = re.compile(r"`(ever [^`]+)`")

names = pytest.mark.parametrize("page", PAGES, ids=[str(page.relative_to(ROOT)) for page in PAGES])


def blocks(page: Path, *kinds: str) -> list[str]:
    """The texts of a page's fenced blocks of some kinds."""
    return [found["text"] for found in _BLOCK.finditer(page.read_text()) if found["kind"] in kinds]


def commands(page: Path) -> list[list[str]]:
    """The words of every `ever …` that a page shows, in blocks and in its text."""
    shown = [line.strip() for text in blocks(page, "console", "sh", "") for line in text.splitlines()]
    parts = [part.strip() for line in shown for part in re.split(r"&&|;", line.partition("#")[0])]
    inline = _INLINE.findall(_BLOCK.sub("", page.read_text()))
    calls = [*(part for part in parts if part.startswith("ever ")), *inline]
    return [call.replace("[", " ").replace("]", " ").split()[1:] for call in calls]


def command_of(words: list[str]) -> tuple[click.Command, list[str]]:
    """The command that words call, and the words after its name."""
    _, module, attribute, _ = COMMANDS[words[0]]
    command: click.Command = getattr(importlib.import_module(module), attribute)
    rest = words[1:]
    while isinstance(command, click.Group) and rest and rest[0] in command.commands:
        command, rest = command.commands[rest[0]], rest[1:]
    return command, rest


@names
def test_python_snippets_run(page: Path, tmp_path: Path) -> None:
    code = "\n".join(blocks(page, "python"))
    if not code:
        return
    environment = os.environ | {"HOME": str(tmp_path), "DVC_NO_ANALYTICS": "1"}
    ran = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr


@names
def test_commands_and_their_options_exist(page: Path) -> None:
    for words in commands(page):
        if not words or words[0].startswith(("-", "…", "COMMAND")):
            continue
        words[0] = ALIASES.get(words[0], words[0])
        assert words[0] in COMMANDS, f"ever {' '.join(words)}"
        command, rest = command_of(words)
        known = {option for param in command.params for option in (*param.opts, *param.secondary_opts)} | {"--help"}
        for word in rest:
            if word.startswith("-") and len(word) > 1:
                assert word.partition("=")[0] in known, f"ever {' '.join(words)}"


@names
def test_settings_exist(page: Path) -> None:
    for name in _SETTING.findall(page.read_text()):
        assert name == PREFIX or name.removeprefix(PREFIX).lower() in Settings.__struct_fields__, name


@names
def test_links_lead_somewhere(page: Path) -> None:
    for target in _LINK.findall(page.read_text()):
        assert (page.parent / target).exists(), target
