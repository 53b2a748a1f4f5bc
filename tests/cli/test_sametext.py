"""Tables and JSON in the text of the libraries that DVC prints with."""

from __future__ import annotations

import datetime
import json
import subprocess
from pathlib import Path

import pytest

from everloop.cli.sametext import print_csv, print_json, print_table

PYTHON = Path(__file__).parents[1] / "peers/.venv/bin/python"
HEAD = ["Path", "Wert", ""]
ROWS = [
    ["a.json", "0.5", "-"],
    ["ü.json", "日本", " x "],
    ["b", "", "é with a combining mark: e\u0301"],
    ["two\nlines", "1", "2\n3\n4"],
]
TABULATE = """
import json, sys
from tabulate import tabulate
head, rows = json.load(sys.stdin)
for kind in ("plain", "github"):
    print(tabulate(rows, head, tablefmt=kind, disable_numparse=True, missingval="-"), end="\\0")
"""


def tabulated(rows: list[list[str]]) -> list[str]:
    done = subprocess.run(
        [str(PYTHON), "-c", TABULATE], input=json.dumps([HEAD, rows]), capture_output=True, text=True, check=True
    )
    return done.stdout.split("\0")[:2]


@pytest.mark.peer
@pytest.mark.skipif(not PYTHON.exists(), reason="the peers are not set up: uv sync --locked --project tests/peers")
@pytest.mark.parametrize("rows", [ROWS, ROWS[:3], ROWS[:1], []], ids=len)
def test_tables_are_those_of_tabulate(rows: list[list[str]], capsys: pytest.CaptureFixture[str]) -> None:
    plain, markdown = tabulated(rows)
    print_table(HEAD, rows)
    assert capsys.readouterr().out == (f"{plain}\n" if rows else "")
    if not any("\n" in cell for row in rows for cell in row):
        print_table(HEAD, rows, as_markdown=True)
        assert capsys.readouterr().out == f"{markdown}\n\n"


def test_a_value_does_not_end_its_cell_in_markdown(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(["a", "b"], [["x|y\nz", "1"]], as_markdown=True)
    assert capsys.readouterr().out.splitlines()[2] == "| x\\|y z | 1   |"


def test_json_is_one_line_and_takes_what_params_hold(capsys: pytest.CaptureFixture[str]) -> None:
    print_json({"ü": {"b", "a"}, "day": datetime.date(2026, 1, 2), "nan": float("nan"), "t": (1, 2)})
    assert capsys.readouterr().out == '{"\\u00fc": ["a", "b"], "day": "2026-01-02", "nan": NaN, "t": [1, 2]}\n'


def test_csv_is_quoted(capsys: pytest.CaptureFixture[str]) -> None:
    print_csv(["a", "b"], [["x,y", 'say "hi"']])
    assert capsys.readouterr().out == 'a,b\n"x,y","say ""hi"""\n'
