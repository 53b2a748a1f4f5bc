"""`ever` under the name `dvc` and the real `dvc`, asked in the same words."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.workspace.dvcpeer import DVC, called, environment

EVER = Path(sys.executable).with_name("ever")


def call(tool: Path, folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    # So wide that DVC folds no line, however long the paths here are.
    home = environment(_scene(folder) / "home") | {"COLUMNS": "1000"}
    if tool == DVC:
        return called(folder, *words, env=home)
    return subprocess.run([str(tool), *words], cwd=folder, env=home, capture_output=True, text=True, check=False)


def _scene(folder: Path) -> Path:
    """The folder that the repository lies in, also for a folder of the repository."""
    return next((above for above in folder.parents if (above / "home").is_dir()), folder.parent)


def order_free(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: order_free(item) for key, item in value.items() if key != "size"}
    return sorted(map(order_free, value), key=str) if isinstance(value, list) else value
