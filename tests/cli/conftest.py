from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.standin import EVER


@pytest.fixture(scope="module")
def stand_in(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A `dvc` that is a link to `ever`, as an extension's setting or a folder of PATH would have it."""
    link = tmp_path_factory.mktemp("bin") / "dvc"
    link.symlink_to(EVER)
    return link
