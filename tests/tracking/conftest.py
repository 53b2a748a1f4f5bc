"""What the tests of the logger share: no settings of the person who runs them, and a folder of their own."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture
def own_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Run in an empty folder, outside of any pipeline, with an empty EVERLOOP_HOME beside it."""
    for name in list(os.environ):
        if name.startswith(("EVERLOOP_", "DVC")):
            monkeypatch.delenv(name)
    folder = tmp_path / "project"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setenv("HOME", str(tmp_path))
    return folder
