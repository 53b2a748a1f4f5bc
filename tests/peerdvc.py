"""The real DVC for tests of a room: where it lies, and how it is called without anybody's settings."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

DVC = Path(__file__).parent / "peers/.venv/bin/dvc"
needs_dvc = pytest.mark.skipif(
    not DVC.exists(), reason="the peers are not set up: uv sync --locked --project tests/peers"
)


def call_dvc(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run it; whatever comes out."""
    home = folder.parent / "dvc-home"
    home.mkdir(exist_ok=True)
    (home / "config").write_text("[core]\n    analytics = false\n    check_update = false\n")
    places = dict.fromkeys(("HOME", "DVC_SITE_CACHE_DIR", "DVC_GLOBAL_CONFIG_DIR"), str(home))
    more = {"DVC_SYSTEM_CONFIG_DIR": "/nowhere", "DVC_NO_ANALYTICS": "1", "SHELL": "/bin/sh", "COLUMNS": "200"}
    return subprocess.run(
        [str(DVC), *words],
        cwd=folder,
        env={**os.environ, **places, **more},
        capture_output=True,
        text=True,
        check=False,
    )


def dvc(folder: Path, *words: str) -> str:
    """Run it; it must do what it is asked."""
    done = call_dvc(folder, *words)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
