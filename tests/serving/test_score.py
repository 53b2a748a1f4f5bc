"""The job that scores a table for the gates."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from everloop.serving.score import main
from tests.serving import models


def write_csv(path: Path, columns: dict[str, list[Any]]) -> Path:
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows(
            [["" if cell is None else cell for cell in row] for row in zip(*columns.values(), strict=True)]
        )
    return path


def run(tmp_path: Path, data: Path, output: str = "scores.json", seeds: tuple[int, ...] = (0,)) -> int:
    arguments = ["--data", str(data), "--output", str(tmp_path / output)]
    for seed in seeds:
        arguments += ["--package", str(models.save(tmp_path / f"model{seed}", seed))]
    return main(arguments)


def test_every_package_scores_every_row(tmp_path: Path) -> None:
    columns = models.table(60, seed=4)
    data = write_csv(tmp_path / "holdout.csv", {"late": [0] * 60, **columns})
    assert run(tmp_path, data, seeds=(0, 1)) == 0
    found = msgspec.json.decode((tmp_path / "scores.json").read_bytes())
    assert found == {"rows": 60, "scores": [models.expected(columns, 0), models.expected(columns, 1)]}


def test_an_npz_file_holds_the_same_numbers(tmp_path: Path) -> None:
    columns = models.table(10, seed=4)
    assert run(tmp_path, write_csv(tmp_path / "holdout.csv", columns), "scores.npz") == 0
    assert np.load(tmp_path / "scores.npz")["scores"].tolist() == [models.expected(columns)]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("carrier,hour,wind\nAA,1,2\n", "has no column 'is_holiday'"),
        ("carrier,hour,wind,is_holiday\nAA,noon,2,true\n", "row 1, column 'hour': 'noon' is no long"),
        ("carrier,hour,wind,is_holiday\nAA,1,2,true\nAA,1,2,perhaps\n", "row 2, column 'is_holiday'"),
        ("carrier,hour,wind,is_holiday\nAA,1\n", "line 2: 2 cells, but the header has 4"),
        ("carrier,hour,wind,is_holiday\n", "has no rows"),
        ("", "has no column 'carrier'"),
    ],
)
def test_a_table_that_does_not_fit_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, message: str
) -> None:
    data = tmp_path / "holdout.csv"
    data.write_text(text)
    assert run(tmp_path, data) == 1
    assert message in capsys.readouterr().err
    assert not (tmp_path / "scores.json").exists()


def test_a_missing_table_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(tmp_path, tmp_path / "nothing.csv") == 1
    assert "there is no data file" in capsys.readouterr().err
