"""The same demo on PostgreSQL: rooms and workflows alike, with the same decisions as on SQLite."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.demo import plays

pytestmark = pytest.mark.demo


def test_the_demo_on_postgresql_takes_the_same_decisions(
    summary: dict[str, Any], postgres_url: str, tmp_path: Path
) -> None:
    folder = tmp_path / "demo"
    url = postgres_url.replace("postgresql+psycopg://", "postgresql://")
    found = plays.finish(plays.start(folder, EVERLOOP_DATABASE_URL=url), folder)
    assert plays.decided(found) == plays.decided(summary)
    assert found["captured"] == summary["captured"]
    assert not (folder / ".everloop" / "everloop.db").exists()
