"""A batch that breaks its contract is reported rule by rule, and no file makes the check raise."""

from __future__ import annotations

import math
from pathlib import Path

import duckdb
import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from everloop.datasets import CheckReport, Contract, NumericProfile, Violation, check, parse_contract

CONTRACT = """\
null_values: ["", NA]
columns:
  place: {type: string, one_of: [EWR, JFK]}
  temp: {type: number, min: -30, max: 120, max_nulls: 0.5, max_jump: 20}
  n: {type: integer}
  at: {type: timestamp, min: 2013-01-01}
  wet: {type: boolean, max_nulls: 1}
"""
HEADER = "place,temp,n,at,wet\n"
GOOD = HEADER + "".join(f"EWR,{60 + k},{k},2013-01-01T0{k}:00:00Z,true\n" for k in range(8))


def run(
    tmp_path: Path, data: str | bytes, contract: str = CONTRACT, previous: CheckReport | None = None
) -> CheckReport:
    path = tmp_path / "batch.csv"
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    return check(parse_contract(contract, name="c"), path, previous.profile if previous else None)


def only(report: CheckReport) -> Violation:
    assert len(report.violations) == 1, report.violations
    assert not report.ok
    return report.violations[0]


def test_a_good_batch_is_accepted_and_profiled(tmp_path: Path) -> None:
    report = run(tmp_path, GOOD)
    assert report.ok
    assert report.n_rows == 8
    assert report.profile is not None
    temp = report.profile.columns["temp"]
    assert isinstance(temp, NumericProfile)
    assert (temp.median, temp.count, temp.nulls) == (63.5, 8, 0)
    assert msgspec.json.decode(msgspec.json.encode(report), type=CheckReport) == report


@pytest.mark.parametrize(
    ("row", "rule", "column", "value", "message"),
    [
        ("LGA,60,1,2013-01-01,true", "one_of", "place", "LGA", "is not one of EWR, JFK"),
        ("EWR,warm,1,2013-01-01,true", "type", "temp", "warm", "is not of type number"),
        ("EWR,nan,1,2013-01-01,true", "type", "temp", "nan", "not of type number"),
        ("EWR,1e999,1,2013-01-01,true", "type", "temp", "1e999", "not of type number"),
        ("EWR,60,1.5,2013-01-01,true", "type", "n", "1.5", "not of type integer"),
        ("EWR,60,0x10,2013-01-01,true", "type", "n", "0x10", "not of type integer"),
        ("EWR,60,99999999999999999999,2013-01-01,true", "type", "n", "99999999999999999999", "integer"),
        ("EWR,60,1,yesterday,true", "type", "at", "yesterday", "not of type timestamp"),
        ("EWR,60,1,2013-02-30,true", "type", "at", "2013-02-30", "not of type timestamp"),
        ("EWR,60,1,infinity,true", "type", "at", "infinity", "not of type timestamp"),
        ("EWR,60,1,2013-01-01,perhaps", "type", "wet", "perhaps", "not of type boolean"),
        ("EWR,-31,1,2013-01-01,true", "min", "temp", "-31", "is below -30"),
        ("EWR,121,1,2013-01-01,true", "max", "temp", "121", "is above 120"),
        ("EWR,60,1,2012-12-31T23:59:59Z,true", "min", "at", "2012-12-31T23:59:59Z", "is below 2013-01-01"),
        ("EWR,60,1,2013-01-01T01:00:00+02:00,true", "min", "at", "2013-01-01T01:00:00+02:00", "is below"),
        ("NA,60,1,2013-01-01,true", "nulls", "place", None, "has no value, none is allowed"),
    ],
)
def test_a_bad_value_is_reported_with_its_row(
    tmp_path: Path, row: str, rule: str, column: str, value: str | None, message: str
) -> None:
    found = only(run(tmp_path, GOOD + row + "\n" + row + "\n"))
    assert (found.rule, found.column, found.count) == (rule, column, 2)
    assert [(sample.row, sample.value) for sample in found.samples] == [(9, value), (10, value)]
    assert message in found.message


def test_some_nulls_may_be_allowed(tmp_path: Path) -> None:
    half = "EWR,,1,2013-01-01,\n" * 8
    assert run(tmp_path, GOOD + half).ok
    found = only(run(tmp_path, GOOD + half + "EWR,NA,1,2013-01-01,\n"))
    assert (found.rule, found.count) == ("nulls", 9)
    assert "at most 50.0% are allowed" in found.message


def test_a_renamed_column_is_guessed(tmp_path: Path) -> None:
    missing, extra = run(tmp_path, GOOD.replace("temp", "temp_c")).violations
    assert (missing.rule, missing.column) == ("missing_column", "temp")
    assert missing.suggestion is not None
    assert "'temp_c' came instead: was 'temp' renamed?" in missing.suggestion
    assert (extra.rule, extra.column) == ("extra_column", "temp_c")
    assert extra.suggestion == "Is it 'temp' under a new name?"


def test_extra_columns_may_be_allowed_and_columns_optional(tmp_path: Path) -> None:
    contract = CONTRACT.replace("wet: {", "wet: {required: false, ") + "extra_columns: allow\n"
    assert run(tmp_path, GOOD.replace("wet", "other"), contract).ok


def test_a_change_of_unit_is_named(tmp_path: Path) -> None:
    before = run(tmp_path, GOOD)
    celsius = HEADER + "".join(f"EWR,{(60 + k - 32) / 1.8:.2f},{k},2013-01-02,true\n" for k in range(8))
    found = only(run(tmp_path, celsius, previous=before))
    assert (found.rule, found.column) == ("max_jump", "temp")
    assert "went from 63.5 to 17.5, by more than 20" in found.message
    assert found.suggestion == "That is what a change of unit from °F to °C looks like."


def test_a_median_out_of_range(tmp_path: Path) -> None:
    found = only(run(tmp_path, GOOD, CONTRACT.replace("max_jump: 20", "median: [0, 10]")))
    assert (found.rule, found.message) == ("median", "column 'temp': the median is 63.5, it must lie in [0, 10]")


def test_a_repeated_key(tmp_path: Path) -> None:
    again = "EWR,60,3,2013-01-01T03:00:00Z,true\n"
    found = only(run(tmp_path, GOOD + again, CONTRACT + "unique: [place, n]\n"))
    assert (found.rule, found.count) == ("unique", 1)
    assert [(s.row, s.value) for s in found.samples] == [(9, "EWR, 3 (first in row 4)")]


def test_a_row_check(tmp_path: Path) -> None:
    contract = CONTRACT + "checks: [{name: hot, expression: temp < 65 or n < 6}]\n"
    found = only(run(tmp_path, GOOD, contract))
    assert (found.rule, found.count, [s.row for s in found.samples]) == ("check", 2, [7, 8])
    assert run(tmp_path, GOOD.replace("66", "NA").replace("67", "NA"), contract).ok


def test_a_row_check_that_fails_to_run_is_reported(tmp_path: Path) -> None:
    contract = CONTRACT + "checks: [{name: cast, expression: place::INTEGER > 0}]\n"
    assert "could not be evaluated" in only(run(tmp_path, GOOD, contract)).message


def test_a_row_check_cannot_read_files_or_run_for_ever(tmp_path: Path) -> None:
    path = tmp_path / "batch.csv"
    path.write_text(GOOD)
    endless = Contract(
        columns=parse_contract(CONTRACT, name="c").columns,
        checks=parse_contract(
            CONTRACT + "checks: [{name: x, expression: '(select sum(a.i * b.i) from range(10000000) a(i), "
            "range(10000000) b(i)) > n'}]\n",
            name="c",
        ).checks,
    )
    assert "given up after 0.2 s" in only(check(endless, path, timeout_s=0.2)).message


@pytest.mark.parametrize(
    ("data", "rule", "message", "suggestion"),
    [
        (b"", "file", "the file is empty", "cut off"),
        (b"\n\n", "header", "names no columns", "header"),
        ("é,b\n".encode("latin-1"), "file", "not UTF-8: byte 0, about line 1", "Latin-1"),
        ("place\n1\n".encode("utf-16"), "file", "UTF-16", "Export it as UTF-8"),
        (GOOD.encode() + b"EWR\0,1,2,3,4\n", "file", "NUL bytes, the first in line 10", "damaged"),
        (GOOD.encode() + "EWR,é".encode()[:-1], "file", "middle of a UTF-8 character", "cut off"),
        (b"\x1f\x8b\x08\0", "file", "compressed (gzip)", "Decompress"),
        (b"PAR1garbage", "file", "could not be read as Parquet", "cut off"),
        (GOOD + "EWR,1\n", "ragged", "1 rows do not have the 5 values", "unquoted ','"),
        (GOOD + "EWR,1,2,2013-01-01,true,6\n", "ragged", "1 rows do not have", "unquoted"),
        (GOOD + '"EWR,1,2,2013-01-01,true\n', "file", "not a CSV: line 10", "quote not closed"),
        (GOOD + '"E"WR,1,2,2013-01-01,true\n', "file", "not a CSV: line 10", "quote"),
        ("place,temp,temp\n1,2,3\n", "header", "names columns twice: temp", None),
        ("place,,temp\n1,2,3\n", "header", "column 2 of the header has no name", None),
        (GOOD.replace(",", ";"), "header", "not separated by ','", "separated by ';'"),
        ("x" * 2_000_000 + "\n", "file", "a line of more than 1,048,576 bytes", None),
    ],
)
def test_a_file_that_is_no_table_is_reported(
    tmp_path: Path, data: str | bytes, rule: str, message: str, suggestion: str | None
) -> None:
    report = run(tmp_path, data)
    found = only(report)
    assert (found.rule, report.n_rows, report.profile) == (rule, 0, None)
    assert message in found.message
    assert suggestion is None if found.suggestion is None else (suggestion or "") in found.suggestion


def test_ragged_rows_are_shown_with_their_line(tmp_path: Path) -> None:
    sample = only(run(tmp_path, GOOD + "EWR,1\n")).samples[0]
    assert (sample.row, sample.value) == (9, "line 10: EWR,1")


def test_a_header_alone_has_too_few_rows(tmp_path: Path) -> None:
    assert only(run(tmp_path, HEADER)).message == "the batch has 0 rows, at least 1 are asked for"


def test_a_missing_file_is_reported(tmp_path: Path) -> None:
    assert "no file gone.csv" in only(check(parse_contract(CONTRACT, name="c"), tmp_path / "gone.csv")).message


@pytest.mark.parametrize(
    "data",
    [
        GOOD.replace("\n", "\r\n"),
        GOOD.rstrip("\n"),
        "\ufeff" + GOOD,
        GOOD + "\n\n",
        GOOD.replace("EWR,60", '"EWR","60"'),
        GOOD.replace("place,temp", '"place", temp '),
    ],
)
def test_ways_of_writing_the_same_table(tmp_path: Path, data: str) -> None:
    report = run(tmp_path, data)
    assert (report.violations, report.n_rows) == ([], 8)


def test_quoted_line_ends_delimiters_and_quotes_are_data(tmp_path: Path) -> None:
    contract = 'columns: {a: {type: string, one_of: ["x,\\"\\ny"]}, b: {type: integer}}'
    assert run(tmp_path, 'a,b\n"x,""\ny",1\n"x,""\ny",2\n', contract).ok


def test_a_name_with_wildcards_and_quotes_means_itself(tmp_path: Path) -> None:
    (tmp_path / "other.csv").write_text("nonsense\n")
    path = tmp_path / "*'[o].csv"
    path.write_text(GOOD)
    assert check(parse_contract(CONTRACT, name="c"), path).n_rows == 8


def test_columns_with_odd_names(tmp_path: Path) -> None:
    contract = """columns: {'a "b" c': {type: number, min: 0}, "select": {type: string}}"""
    found = only(run(tmp_path, '"a ""b"" c",select\n-1,x\n', contract))
    assert (found.rule, found.column) == ("min", 'a "b" c')


def test_parquet_is_checked_by_the_same_rules(tmp_path: Path) -> None:
    path = tmp_path / "batch.parquet"
    duckdb.execute(
        "COPY (SELECT 'EWR' AS place, 60.0 + i AS temp, i AS n, TIMESTAMP '2013-01-01' + INTERVAL (i) HOUR AS at, "
        f"true AS wet FROM range(10) r(i)) TO '{path}' (FORMAT parquet)"
    )
    assert check(parse_contract(CONTRACT, name="c"), path).ok
    hot = only(check(parse_contract(CONTRACT.replace("max: 120", "max: 65"), name="c"), path))
    assert (hot.rule, hot.count, hot.samples[0].row) == ("max", 4, 7)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.one_of(st.binary(max_size=200), st.text('a,b"\n\r; 1é\0', max_size=60).map(str.encode)))
def test_whatever_the_file_holds_the_answer_is_a_report(tmp_path: Path, data: bytes) -> None:
    contract = "columns: {a: {type: integer}, b: {type: string, max_nulls: 1}}"
    report = run(tmp_path, data, contract)
    assert report.ok == (not report.violations)
    assert all(found.message and "Traceback" not in found.message for found in report.violations)


cell = st.text(st.characters(codec="utf-8", exclude_characters="\0\r"), max_size=5)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.lists(st.tuples(cell, st.integers(-(2**63), 2**63 - 1)), min_size=1, max_size=8))
def test_every_text_and_integer_that_is_written_properly_is_read_back(
    tmp_path: Path, rows: list[tuple[str, int]]
) -> None:
    body = "".join('"{}",{}\n'.format(text.replace('"', '""'), number) for text, number in rows)
    report = run(tmp_path, "a,b\n" + body, "columns: {a: {type: string, max_nulls: 1}, b: {type: integer}}")
    assert report.violations == []
    assert report.n_rows == len(rows)
    assert report.profile is not None
    found = report.profile.columns["b"]
    assert isinstance(found, NumericProfile)
    assert found.min is not None
    assert math.isclose(found.min, float(min(number for _, number in rows)))
