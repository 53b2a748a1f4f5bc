"""The front from Python: what the commands show, without printing; and the page that lists the calls is true."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import pytest

import everloop.workspace
from everloop.cli.commands import COMMANDS
from everloop.errors import NotFoundError
from everloop.workspace import Workspace

PAGE = (Path(__file__).parents[2] / "docs/workspace.md").read_text()
TABLE = PAGE.partition("## From Python")[2].partition("## Settings")[0]
# Commands that are the command line's own.
OF_THE_COMMAND_LINE = {"completion", "git-hook", "merge-driver", "version", "data"}
SECTIONS = {"Workspace", "Remotes", "Upkeep", "Git", "Sources"}


def calls() -> list[str]:
    rows = [line.split("|")[2] for line in TABLE.splitlines() if line.startswith("| ")][2:]
    return [call.partition("(")[0] for row in rows for call in re.findall(r"`([^`]+)`", row)]


@pytest.mark.parametrize("call", calls())
def test_every_call_on_the_page_is_there(call: str) -> None:
    first, _, rest = call.partition(".")
    if first == "everloop":
        module, _, name = call.rpartition(".")
        try:
            importlib.import_module(call)
        except ImportError:
            assert hasattr(importlib.import_module(module), name)
        return
    found = getattr(everloop.workspace, first)
    assert not rest or hasattr(found, rest)
    assert first in everloop.workspace.__all__


def test_every_command_of_a_workspace_is_on_the_page() -> None:
    shown = set(re.findall(r"`ever ([a-z-]+)", TABLE))
    expected = {name for name, (section, *_) in COMMANDS.items() if section in SECTIONS} - OF_THE_COMMAND_LINE
    assert expected <= shown


def test_entries_and_usage_of_now_and_of_a_revision(workspace: Workspace) -> None:
    (workspace.root / "d").mkdir()
    (workspace.root / "d/a").write_text("one")
    (workspace.root / ".hidden").write_text("h")
    workspace.add(["d"])
    workspace.git.commit(["."], "First")
    (workspace.root / "d/b").write_text("more")
    workspace.add(["d"])
    assert [entry.path for entry in workspace.entries("d")] == ["a", "b"]
    assert [entry.path for entry in workspace.entries(workspace.root / "d", "HEAD")] == ["a"]
    assert [entry.path for entry in workspace.entries(".hidden")] == [".hidden"]
    assert [entry.path for entry in workspace.entries(dvc_only=True, recursive=True)] == ["d/a", "d/b"]
    assert workspace.usage("d") == [("d/a", 3), ("d/b", 4), ("d", 7)]
    assert workspace.usage("d", "HEAD", summarise=True) == [("d", 3)]
    with pytest.raises(NotFoundError):
        workspace.entries("nowhere")
    with workspace.source("HEAD") as source, source.open("d/a") as stream:
        assert stream.read() == b"one"


def test_check_ignore_doctor_and_configuration(workspace: Workspace) -> None:
    (workspace.root / ".dvcignore").write_text("*.tmp\n!kept.tmp\n")
    assert [match.is_excluding for match in workspace.check_ignore("x.tmp")] == [True]
    assert [match.is_excluding for match in workspace.check_ignore("kept.tmp")][-1] is False
    assert workspace.check_ignore("x") == ()
    assert {finding.name for finding in workspace.doctor()} >= {"cache"}
    workspace.configuration.set("core.remote", "far")
    assert workspace.configuration.get("core.remote").value == "far"
