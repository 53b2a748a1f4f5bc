"""A table by its address: a relation of duckdb, whatever revision is meant."""

from __future__ import annotations

import shutil
from pathlib import Path

import duckdb
import pytest

import everloop
from everloop.errors import InvalidError, NotInstalledError
from everloop.workspace import Workspace


def test_of_any_revision_from_cache_and_remote(workspace: Workspace, bare: str) -> None:
    assert everloop.read_table("d/a.csv").fetchall() == [(1, "b"), (2, "c")]
    old = everloop.read_table("ever://@v1//d/a.csv")
    assert old.fetchall() == [(1, "a")]
    counted = duckdb.sql("SELECT count(*) FROM old")
    assert counted is not None
    assert counted.fetchall() == [(1,)]
    shutil.rmtree(workspace.cache.root)
    assert everloop.read_table("p.parquet", repo=bare, rev="v1").aggregate("sum(id)").fetchall() == [(499500,)]
    assert everloop.read_table(f"ever://{bare}@v1//d/a.csv").fetchall() == [(1, "a")]


def test_with_a_connection_of_its_own(workspace: Workspace) -> None:
    with duckdb.connect(":memory:") as connection:
        table = everloop.read_table("p.parquet", connection=connection)
        assert table.filter("id > 997").fetchall() == [(998,), (999,)]


def test_names_that_mean_patterns_elsewhere_are_names(workspace: Workspace) -> None:
    (workspace.root / "a*.csv").write_text("id\n1\n")
    (workspace.root / "ab.csv").write_text("id\n2\n")
    assert everloop.read_table("a*.csv").fetchall() == [(1,)]


def test_frames_take_it_over(workspace: Workspace) -> None:
    assert everloop.read_table("ever://@v1//d/a.csv").df().to_dict("list") == {"id": [1], "v": ["a"]}


def test_what_is_no_table_says_so(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InvalidError, match="ends in none of"):
        everloop.read_table("code.py")
    Path("broken.parquet").write_text("text")
    with pytest.raises(InvalidError, match=r"broken\.parquet cannot be read as a table"):
        everloop.read_table("broken.parquet")
    monkeypatch.setitem(__import__("sys").modules, "duckdb", None)
    with pytest.raises(NotInstalledError):
        everloop.read_table("d/a.csv")
