"""The filesystem for fsspec: what others read through it is what was recorded."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator

import duckdb
import fsspec
import pandas as pd
import pytest

from everloop.data.filesystem import EverFileSystem
from everloop.errors import InvalidError
from everloop.workspace import Workspace


@pytest.fixture(autouse=True)
def no_kept_instances() -> Iterator[None]:
    """fsspec keeps them by their arguments, whatever folder is the current one."""
    yield
    EverFileSystem.clear_instance_cache()


def test_fsspec_finds_it_by_its_protocol(workspace: Workspace) -> None:
    with fsspec.open("ever://@v1//d/a.csv") as file:
        assert file.read() == b"id,v\n1,a\n"
    with fsspec.open("ever://d/a.csv", "r") as file:
        assert file.read() == "id,v\n1,b\n2,c\n"


def test_folders_are_listed_by_address(workspace: Workspace) -> None:
    fs = fsspec.filesystem("ever")
    assert fs.ls("ever://@v1//d", detail=False) == ["@v1//d/a.csv", "@v1//d/sub"]
    assert {"@v1//code.py", "@v1//d", "@v1//p.parquet"} < set(fs.ls("@v1//", detail=False))
    assert fs.find("@v1//d") == ["@v1//d/a.csv", "@v1//d/sub/b.csv"]
    assert fs.glob("ever://@v1//d/*.csv") == ["@v1//d/a.csv"]
    assert fs.glob("@v1//**/*.csv") == ["@v1//d/a.csv", "@v1//d/sub/b.csv"]
    told = fs.info("@v1//d/a.csv")
    assert (told["name"], told["size"], told["type"]) == ("@v1//d/a.csv", 9, "file")
    assert told["md5"] == hashlib.md5(b"id,v\n1,a\n").hexdigest()
    assert fs.modified("@v1//d/a.csv") != fs.modified("@HEAD//d/a.csv")
    assert (fs.isdir("@v1//d"), fs.isfile("@v1//d"), fs.exists("@v1//nowhere")) == (True, False, False)
    assert fs._parent("@v1//d/a.csv") == "@v1//d"
    assert fs.ls("d/sub", detail=False) == ["d/sub/b.csv"]


def test_without_a_revision_files_are_as_they_are(workspace: Workspace) -> None:
    (workspace.root / "d/a.csv").write_text("changed by hand")
    fs = fsspec.filesystem("ever")
    for path in ("d/a.csv", "//d/a.csv", f"{workspace.root}//d/a.csv"):
        assert fs.cat_file(path) == b"changed by hand"
        assert fs.info(path)["size"] == 15
    assert fs.ls("//d")[0]["size"] == 15
    (workspace.root / "d/a.csv").unlink()
    assert fs.cat_file("//d/a.csv") == b"id,v\n1,b\n2,c\n"


def test_of_one_repository_and_revision_with_plain_paths(bare: str, workspace: Workspace) -> None:
    fs = fsspec.filesystem("ever", repo=bare, rev="v1")
    assert fs.find("d") == ["d/a.csv", "d/sub/b.csv"]
    assert fs.cat_file("d/a.csv") == b"id,v\n1,a\n"
    assert fs.cat_file("d/a.csv", start=5, end=6) == b"1"
    fs.get("d", f"{workspace.root.parent}/copy/", recursive=True)
    assert (workspace.root.parent / "copy/sub/b.csv").read_text() == "id\n007\n"


def test_pandas_reads_it(workspace: Workspace) -> None:
    assert pd.read_csv("ever://@v1//d/a.csv").to_dict("list") == {"id": [1], "v": ["a"]}
    options = {"rev": "v1"}
    assert pd.read_csv("ever://d/sub/b.csv", storage_options=options, dtype=str)["id"].tolist() == ["007"]


def test_duckdb_reads_it(workspace: Workspace, bare: str) -> None:
    with duckdb.connect(":memory:") as connection:
        connection.register_filesystem(fsspec.filesystem("ever"))
        assert connection.sql("SELECT * FROM 'ever://@v1//d/a.csv'").fetchall() == [(1, "a")]
        assert connection.sql("SELECT sum(id) FROM 'ever://@v1//p.parquet'").fetchall() == [(499500,)]
        assert connection.sql("SELECT count(*) FROM read_csv('ever://@HEAD//d/*.csv')").fetchall() == [(2,)]


def test_it_is_for_reading_and_errors_are_those_of_files(workspace: Workspace) -> None:
    fs = fsspec.filesystem("ever")
    with pytest.raises(FileNotFoundError, match="does not exist"):
        fs.open("@v1//nowhere")
    with pytest.raises(InvalidError, match="for reading only"):
        fs.open("@v1//d/a.csv", "wb")
    with pytest.raises(InvalidError, match="no file of a repository"):
        fs.info("models/delay@1/x")


def test_it_does_not_travel_with_open_processes(workspace: Workspace) -> None:
    import pickle

    fs = fsspec.filesystem("ever", rev="v1")
    assert fs.cat_file("d/a.csv") == b"id,v\n1,a\n"
    again = pickle.loads(pickle.dumps(fs))
    assert again.cat_file("d/a.csv") == b"id,v\n1,a\n"
    assert os.getcwd() == str(workspace.root)  # noqa: PTH109
