"""One undisturbed play of the fast demo, which every test here looks at."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.demo import plays


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the undisturbed demo, after it has played to its end."""
    return tmp_path_factory.mktemp("undisturbed") / "demo"


@pytest.fixture(scope="session")
def summary(folder: Path) -> dict[str, Any]:
    """What the undisturbed demo came to."""
    return plays.finish(plays.start(folder), folder)
