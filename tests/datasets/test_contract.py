"""Contracts are read from YAML, and every mistake in one is named with its line."""

from __future__ import annotations

from pathlib import Path

import pytest

from everloop.datasets import Column, RowCheck, parse_contract, read_contract
from everloop.errors import InvalidError, NotFoundError

TEXT = """\
min_rows: 20
null_values: ["", NA]
unique: [origin, time_hour]
columns:
  origin: {type: string, one_of: [EWR, JFK, LGA]}
  temp: {type: number, min: -30, max: 120, max_nulls: 0.1, median: [5, 95], max_jump: 30}
  year: {type: integer, one_of: [2013]}
  time_hour: {type: timestamp, min: 2013-01-01, max: 2014-01-01T00:00:00Z}
checks:
  - {name: warm, expression: temp > -50 or origin = 'EWR'}
"""


def test_a_contract_is_read(tmp_path: Path) -> None:
    path = tmp_path / "weather.yaml"
    path.write_text(TEXT)
    contract = read_contract(path)
    assert contract == parse_contract(TEXT, name="x")
    assert contract.extra_columns == "refuse"
    assert contract.columns["temp"] == Column(
        type="number", min=-30, max=120, max_nulls=0.1, median=(5, 95), max_jump=30
    )
    assert contract.columns["year"].one_of == ("2013",)
    assert contract.columns["time_hour"].min == "2013-01-01"
    assert contract.checks == (RowCheck(name="warm", expression="temp > -50 or origin = 'EWR'"),)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("max_jump: 30", "max_jum: 30", r"c\.yaml:6: columns\.temp\.max_jum: unknown key\nDid you mean 'max_jump'\?"),
        ("min_rows", "min_row", r"c\.yaml:1: min_row: unknown key\nDid you mean 'min_rows'"),
        ("type: integer", "type: int", r"c\.yaml:7: columns\.year\.type: Invalid enum value 'int'"),
        ("max_nulls: 0.1", "max_nulls: 2", r"c\.yaml:6: columns\.temp\.max_nulls: must lie in \[0, 1\]"),
        ("min: -30", "min: 200", r"c\.yaml:6: .*min 200.* is above max 120"),
        ("min: -30", "min: cold", r"c\.yaml:6: columns\.temp\.min: must be a finite number"),
        ("min: 2013-01-01", "min: 2013-02-31x", r"c\.yaml:8: .*not a time in ISO 8601"),
        ("one_of: [EWR, JFK, LGA]", "min: 3", r"c\.yaml:5: .*is for numbers and timestamps"),
        ("one_of: [EWR, JFK, LGA]", "max_jump: 3", r"c\.yaml:5: .*is for numbers"),
        ("one_of: [EWR, JFK, LGA]", "one_of: []", r"c\.yaml:5: .*allows no value"),
        ("[5, 95]", "[95, 5]", r"c\.yaml:6: .*must be \[least, greatest\]"),
        ("unique: [origin", "unique: [orgin", r"c\.yaml:3: .*no column 'orgin'.*\nDid you mean 'origin'"),
        ("  year:", "  TEMP:", r"c\.yaml:7: .*differs from 'temp' by case only"),
        ("temp > -50", "tempp > -50", r"c\.yaml:10: checks\.0\.expression: .*tempp"),
        ("temp > -50 or origin = 'EWR'", "temp +", r"c\.yaml:10: checks\.0\.expression: Parser Error"),
        ("temp > -50 or origin = 'EWR'", "temp + 1", r"c\.yaml:10: .*true or false"),
        ("temp > -50 or origin = 'EWR'", '"true); drop table data; select (1"', r"c\.yaml:10: .*one SQL expression"),
        (
            "temp > -50 or origin = 'EWR'",
            "\"exists(select * from read_text('/etc/passwd'))\"",
            r"c\.yaml:10: Perm|10: .*Perm",
        ),
        ("min_rows: 20", "min_rows: -1", r"c\.yaml:1: min_rows: must be 0 or more"),
        ("min_rows: 20", "delimiter: ab", r"c\.yaml:1: delimiter: must be one character"),
        ("columns:", "colums:", r"needs `columns:`"),
    ],
)
def test_a_mistake_is_named_with_its_line(old: str, new: str, message: str) -> None:
    assert old in TEXT
    with pytest.raises(InvalidError, match=message):
        parse_contract(TEXT.replace(old, new), name="c.yaml")


def test_two_checks_may_not_share_a_name() -> None:
    with pytest.raises(InvalidError, match=r"c:11: .*two checks are called 'warm'"):
        parse_contract(TEXT + "  - {name: warm, expression: 'true'}\n", name="c")


def test_a_file_that_is_not_there_and_one_that_is_not_text(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="no contract at"):
        read_contract(tmp_path / "none.yaml")
    (tmp_path / "c.yaml").write_bytes(b"\xff\xfe")
    with pytest.raises(InvalidError, match="not UTF-8"):
        read_contract(tmp_path / "c.yaml")
