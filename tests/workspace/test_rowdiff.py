"""Row-level differences of tables under version: counted as plain Python counts them, and bounded in memory."""

from __future__ import annotations

import csv
import gzip
import math
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from everloop.errors import InvalidError, NotFoundError, NotInstalledError
from everloop.workspace import Workspace
from everloop.workspace.csvfile import check_rows, layout_of
from everloop.workspace.rowreport import FileRows, Retyped, TableDiff
from everloop.workspace.tablediff import compare_tables
from everloop.workspace.tables import TableFile, is_table, open_tables

Cells = list[tuple[Any, ...]]


def diff_files(old: Path, new: Path, *key: str, memory: str = "512MB", samples: int = 5) -> TableDiff:
    files = {"old": TableFile(place=old, path=old.name), "new": TableFile(place=new, path=new.name)}
    with open_tables(files, memory=memory) as (connection, tables):
        return compare_tables(connection, tables["old"], tables["new"], key=key, samples=samples)


def csv_file(path: Path, columns: tuple[str, ...], rows: Cells, line_end: str = "\n") -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator=line_end, quoting=csv.QUOTE_ALL)
        writer.writerows([columns, *rows])
    return path


def parquet(path: Path, query: str) -> Path:
    duckdb.execute(f"COPY ({query}) TO '{path}' (FORMAT parquet)")
    return path


def oracle(old: Cells, new: Cells, n_key: int, n_values: int) -> tuple[int, int, int, int, list[int]]:
    """Added, removed, changed, repeated keys, and per value column the changed rows; the key is the first columns."""
    if not n_key:
        return (Counter(new) - Counter(old)).total(), (Counter(old) - Counter(new)).total(), 0, 0, [0] * n_values
    keys = [Counter(row[:n_key] for row in side) for side in (old, new)]
    repeated = {key for side in keys for key, count in side.items() if count > 1}
    rest = [Counter(row for row in side if row[:n_key] in repeated) for side in (old, new)]
    before, after = ({row[:n_key]: row for row in side if row[:n_key] not in repeated} for side in (old, new))
    both = before.keys() & after.keys()
    columns = [sum(before[key][n_key + n] != after[key][n_key + n] for key in both) for n in range(n_values)]
    return (
        len(after.keys() - both) + (rest[1] - rest[0]).total(),
        len(before.keys() - both) + (rest[0] - rest[1]).total(),
        sum(before[key] != after[key] for key in both),
        len(repeated),
        columns,
    )


def found(diff: TableDiff, columns: tuple[str, ...]) -> tuple[int, int, int, int, list[int]]:
    counts = [diff.changed_columns.get(name, 0) for name in columns]
    return diff.added, diff.removed, diff.changed, diff.repeated_keys, counts


TEXTS = st.one_of(
    st.sampled_from(["", "7", "007", "NULL", "nan", 'a"b', "a,b", "x\ny", " x ", "ü", "'; DROP TABLE l; --"]),
    st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="\0\r"), max_size=5),
)


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.tuples(TEXTS, TEXTS, TEXTS), max_size=12),
    st.lists(st.tuples(TEXTS, TEXTS, TEXTS), max_size=12),
    st.integers(0, 3),
    st.sampled_from(["\n", "\r\n"]),
)
def test_csv_as_plain_python_counts(tmp_path_factory: Any, old: Cells, new: Cells, n_key: int, line_end: str) -> None:
    folder = tmp_path_factory.getbasetemp()
    columns = ("a", "A", 'odd\n"name", ü')
    before = csv_file(folder / "old.csv", columns, old, line_end)
    diff = diff_files(before, csv_file(folder / "new.csv", columns, new), *columns[:n_key])
    assert found(diff, columns[n_key:]) == oracle(old, new, n_key, len(columns) - n_key)
    assert diff.n_new == len(new) == len(old) + diff.added - diff.removed
    assert diff.is_empty == (Counter(old) == Counter(new))


NUMBERS = st.one_of(st.none(), st.sampled_from([0.0, -0.0, 0.1, 1.0, math.nan, math.inf, 1e300]))
WHOLE = st.one_of(st.none(), st.integers(-3, 3), st.sampled_from([2**63 - 1, 2**53 + 1]))


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.tuples(WHOLE, NUMBERS), max_size=12),
    st.lists(st.tuples(WHOLE, NUMBERS), max_size=12),
    st.integers(0, 2),
)
def test_parquet_as_plain_python_counts(tmp_path_factory: Any, old: Cells, new: Cells, n_key: int) -> None:
    folder = tmp_path_factory.getbasetemp()
    with duckdb.connect(":memory:") as connection:
        for name, rows in (("old", old), ("new", new)):
            connection.execute(f"CREATE TABLE {name} (n BIGINT, x DOUBLE)")
            for row in rows:
                connection.execute(f"INSERT INTO {name} VALUES (?, ?)", row)
            connection.execute(f"COPY {name} TO '{folder}/{name}.parquet'")
    columns = ("n", "x")
    diff = diff_files(folder / "old.parquet", folder / "new.parquet", *columns[:n_key])

    def plain(rows: Cells) -> Cells:
        # Equality as SQL's DISTINCT has it: NaN is NaN, and one zero.
        return [(n, "nan" if x is not None and math.isnan(x) else x) for n, x in rows]

    assert found(diff, columns[n_key:]) == oracle(plain(old), plain(new), n_key, len(columns) - n_key)
    assert diff.n_new == len(old) + diff.added - diff.removed


def test_samples_say_what_differs(tmp_path: Path) -> None:
    old = csv_file(
        tmp_path / "old.csv", ("id", "v", "gone"), [("1", "a", ""), ("2", "b", ""), ("9", "d", ""), ("9", "d", "")]
    )
    new = csv_file(tmp_path / "new.csv", ("id", "v", "more"), [("1", "A", ""), ("3", "c", ""), ("9", "d", "")])
    diff = diff_files(old, new, "id")
    assert (diff.columns_added, diff.columns_removed) == ({"more": "VARCHAR"}, {"gone": "VARCHAR"})
    assert diff.samples.added == ({"id": "3", "v": "c"},)
    assert diff.samples.removed == ({"id": "2", "v": "b"}, {"id": "9", "v": "d"})
    (changed,) = diff.samples.changed
    assert (changed.key, changed.columns) == ({"id": "1"}, {"v": ("a", "A")})
    (repeated,) = diff.samples.repeated_keys
    assert (repeated.key, repeated.n_old, repeated.n_new) == ({"id": "9"}, 2, 1)


def test_the_same_values_in_other_types_are_retyped_not_changed(tmp_path: Path) -> None:
    old = parquet(
        tmp_path / "old.parquet",
        "SELECT 1 AS id, 5::INTEGER AS n, 1.50::DECIMAL(5,2) AS d, 7::BIGINT AS x, '3' AS t, 0.5::FLOAT AS f",
    )
    new = parquet(
        tmp_path / "new.parquet",
        "SELECT 1::BIGINT AS id, 5::BIGINT AS n, 1.5::DECIMAL(9,1) AS d, 7.0::DOUBLE AS x, 3 AS t, 0.5::DOUBLE AS f",
    )
    diff = diff_files(old, new, "id")
    assert (diff.added, diff.removed, diff.changed) == (0, 0, 0)
    assert diff.columns_retyped["x"] == Retyped(old="BIGINT", new="DOUBLE")
    assert set(diff.columns_retyped) == {"id", "n", "d", "x", "t", "f"}
    assert not diff.is_empty


def test_whole_numbers_beyond_what_a_double_holds_differ(tmp_path: Path) -> None:
    old = parquet(tmp_path / "old.parquet", f"SELECT {2**53 + 1}::BIGINT AS n")
    new = parquet(tmp_path / "new.parquet", f"SELECT {2**53}::DOUBLE AS n")
    assert diff_files(old, new).added == 1


def test_all_kinds_of_values_can_be_compared_and_shown(tmp_path: Path) -> None:
    query = (
        "SELECT {n} AS id, MAP {{'x': {n}}} AS m, '\\xAA'::BLOB AS b, {{'z': [{n}, NULL]}} AS s, INTERVAL 1 DAY AS i, "
        "TIMESTAMPTZ '2020-01-01 00:00:00+02' AS tz, DATE '2020-01-0{n}' AS d, 1.5::DECIMAL(10,{n}) AS c, "
        "NULL AS nothing"
    )
    old, new = (parquet(tmp_path / f"{n}.parquet", query.format(n=n)) for n in (1, 2))
    diff = diff_files(old, new)
    assert (diff.added, diff.removed) == (1, 1)
    (row,) = diff.samples.added
    assert (row["d"], row["m"], row["s"], row["c"], row["nothing"]) == (
        "2020-01-02", "{x=2}", "{'z': [2, NULL]}", "1.5", None,
    )  # fmt: skip
    assert row["tz"] == "2019-12-31 22:00:00+00"


def test_delimiters_byte_order_marks_and_gzip(tmp_path: Path) -> None:
    old = csv_file(tmp_path / "old.csv", ("id", "v"), [("1", "a;b")])
    new = tmp_path / "new.csv.gz"
    new.write_bytes(gzip.compress('\ufeffid;v\r\n1;"a;b"\r\n'.encode()))
    assert diff_files(old, new, "id").is_empty
    (tmp_path / "t.tsv").write_text("id\tv\n1\ta;b\n")
    assert diff_files(tmp_path / "t.tsv", new, "id").is_empty


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a,a\n1,2\n", "twice: a"),
        ("a,b\n1,2,3\n", "Expected Number of Columns: 2 Found: 3"),
        ("a,b\n1\n", "Expected Number of Columns: 2 Found: 1"),
        ('a\n"x\n', "cannot be read"),
        ("a,b\n1,2\r\n3,4\n", "mixes kinds of line ends"),
    ],
)
def test_a_file_that_is_no_table_says_so(tmp_path: Path, text: str, says: str) -> None:
    (tmp_path / "x.csv").write_text(text, newline="")
    with pytest.raises(InvalidError, match=says):
        diff_files(tmp_path / "x.csv", tmp_path / "x.csv")
    (tmp_path / "x.parquet").write_text(text)
    with pytest.raises(InvalidError, match=r"x\.parquet cannot be read"):
        diff_files(tmp_path / "x.parquet", tmp_path / "x.parquet")


def test_what_is_no_amount_of_memory_is_refused(tmp_path: Path) -> None:
    old = csv_file(tmp_path / "old.csv", ("id",), [])
    with pytest.raises(InvalidError, match="'much' is no amount"):
        diff_files(old, old, memory="much")


def test_empty_files_and_tables_without_a_common_column(tmp_path: Path) -> None:
    (tmp_path / "empty.csv").write_text("")
    some = csv_file(tmp_path / "some.csv", ("id",), [("1",), ("2",)])
    other = csv_file(tmp_path / "other.csv", ("name",), [("1",)])
    assert diff_files(tmp_path / "empty.csv", tmp_path / "empty.csv").is_empty
    assert (diff_files(tmp_path / "empty.csv", some).added, diff_files(some, other).removed) == (2, 2)
    with pytest.raises(NotFoundError, match="no column 'id' after; there are: name"):
        diff_files(some, other, "id")


@pytest.mark.parametrize("key", [(), ("id",)])
def test_a_table_larger_than_the_memory_goes_to_the_disk(tmp_path: Path, key: tuple[str, ...]) -> None:
    rows = "SELECT {i} AS id, md5(({i})::VARCHAR) || repeat('x', 150) || {i} AS v FROM range(600_000) t(i)"
    for name, number in (("old", "i"), ("new", "i + 1000")):
        duckdb.execute(f"COPY ({rows.format(i=number)}) TO '{tmp_path}/{name}.parquet' (ROW_GROUP_SIZE 10_000)")
    diff = diff_files(tmp_path / "old.parquet", tmp_path / "new.parquet", *key, memory="90MB", samples=1)
    assert (diff.added, diff.removed, diff.changed) == (1000, 1000, 0)


def test_a_reader_that_loses_a_row_is_found_out(tmp_path: Path) -> None:
    place = tmp_path / "x.csv"
    for text, n_rows in (("a\n1\n2", 2), ('a,b\r\n1,"x\r\ny"\r\n\r\n3,4\r\n', 2), ('a\n5" pipe\n6\n', 2), ("a\n", 0)):
        place.write_text(text, newline="")
        layout = layout_of(place, "x.csv")
        check_rows(place, "x.csv", layout, n_rows)
        with pytest.raises(InvalidError, match="one reader finds"):
            check_rows(place, "x.csv", layout, n_rows + 2)


def test_is_table() -> None:
    yes = ("a/b.csv", "B.TSV", "x.csv.gz", "p.parquet", "p.pq")
    assert [is_table(path) for path in (*yes, "p.parquet.gz", "csv", "x.json")] == [True] * 5 + [False] * 3


@pytest.fixture
def project(workspace: Workspace) -> Workspace:
    """Two commits; the workspace then differs from both."""
    root = workspace.root
    (root / "data").mkdir()
    csv_file(root / "data/a.csv", ("id", "v"), [("1", "a"), ("2", "b")])
    csv_file(root / "data/same.csv", ("id", "v"), [("1", "a")])
    parquet(root / "p.parquet", "SELECT 1 AS id")
    workspace.add(["data", "p.parquet"])
    workspace.git.commit(["."], "First")
    csv_file(root / "data/a.csv", ("id", "v"), [("1", "a"), ("2", "B")])
    csv_file(root / "data/new.csv", ("id", "v"), [("1", "a"), ("2", "b")])
    (root / "data/a.txt").write_text("no table")
    (root / "p.parquet").unlink()
    parquet(root / "p.parquet", "SELECT * FROM range(3) t(id)")
    workspace.add(["data", "p.parquet"])
    workspace.git.commit(["."], "Second")
    csv_file(root / "data/a.csv", ("id", "v"), [("2", "B")])
    return workspace


def counts(files: list[FileRows]) -> dict[str, tuple[int, int, int]]:
    return {file.path: (file.rows.added, file.rows.removed, file.rows.changed) for file in files if file.rows}


def test_between_revisions_and_with_the_workspace(project: Workspace) -> None:
    assert counts(project.row_diff("HEAD~1", "HEAD", key=["id"])) == {
        "data/a.csv": (0, 0, 1),
        "data/new.csv": (2, 0, 0),
        "p.parquet": (2, 0, 0),
    }
    assert counts(project.row_diff(key=["id"])) == {"data/a.csv": (0, 1, 0)}
    assert counts(project.row_diff("HEAD", "HEAD~1", ["data"]))["data/new.csv"] == (0, 2, 0)
    assert counts(project.row_diff("HEAD~1", targets=["data/a.csv", "p.parquet.dvc"])).keys() == {
        "data/a.csv",
        "p.parquet",
    }
    with pytest.raises(NotFoundError, match=r"data/b\.csv is under version on neither side"):
        project.row_diff("HEAD~1", targets=["data/b.csv"])


def test_bytes_come_from_the_remote_when_the_cache_lacks_them(project: Workspace, tmp_path: Path) -> None:
    (project.layout.dvc_dir / "config").write_text(
        f"[core]\n    remote = store\n['remote \"store\"']\n    url = {tmp_path}/store\n"
    )
    project.transfers.push(revisions=project.revisions(all_commits=True))
    shutil.rmtree(project.cache.root)
    assert counts(project.row_diff("HEAD~1", "HEAD", key=["id"]))["data/a.csv"] == (0, 0, 1)
    assert not list(project.cache.root.rglob("*.dir")), "nothing is checked out, and nothing fetched for good"


def test_before_the_first_commit_nothing_differs(workspace: Workspace) -> None:
    csv_file(workspace.root / "a.csv", ("id",), [("1",)])
    workspace.add(["a.csv"])
    assert workspace.row_diff() == []


def test_one_bad_file_does_not_hide_the_others(project: Workspace) -> None:
    csv_file(project.root / "data/a.csv", ("v",), [("2",)])
    (project.root / "data/new.csv").write_text("id,v\n1,2,3\n")
    found = {file.path: file for file in project.row_diff("HEAD~1", key=["id"])}
    assert found["data/a.csv"].problem == "there is no column 'id' after; there are: v"
    assert "data/new.csv cannot be read" in str(found["data/new.csv"].problem)
    assert found["p.parquet"].rows is not None


def test_without_duckdb_it_says_what_to_install(project: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "duckdb", None)
    with pytest.raises(NotInstalledError) as caught:
        project.row_diff()
    assert caught.value.hint == "pip install 'everloop[tables]'"


def test_a_hostile_file_reads_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "secret.csv").write_text("id\n42\n")
    old = csv_file(tmp_path / "*.csv", ("id",), [("1",)])
    assert diff_files(old, old).n_old == 1
    files = {"old": TableFile(place=old, path=old.name)}
    with open_tables(files) as (connection, _), pytest.raises(duckdb.Error, match="disabled"):
        connection.execute(f"SELECT * FROM read_csv('{tmp_path}/secret.csv')")
