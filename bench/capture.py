"""Rows captured per second by the prediction log, beside the disk's own rate of durable commits (the floor).

    python bench/capture.py

A group commit stores several requests in one transaction; the floor is a bare SQLite table (WAL, synchronous FULL) that
gets one row of the same bytes per transaction. Three sizes of group show the growth.
"""

from __future__ import annotations

import sqlite3
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

from everloop.access.sql import SqlLedger
from everloop.serving.log import SqlPredictionLog
from everloop.serving.prediction import Capture, pack
from everloop.serving.sql import SqlServing
from everloop.storage.database import Database
from everloop.storage.migrations import migrate

ROWS = 50
GROUPS = (1, 8, 64)
SECONDS = 3.0


def floor(folder: Path, payload: bytes) -> float:
    """Return durable commits per second of a bare table."""
    connection = sqlite3.connect(folder / "floor.db", isolation_level=None)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("CREATE TABLE t (b BLOB)")
    started, commits = time.perf_counter(), 0
    while time.perf_counter() - started < SECONDS:
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("INSERT INTO t VALUES (?)", [payload])
        connection.execute("COMMIT")
        commits += 1
    connection.close()
    return commits / (time.perf_counter() - started)


def main() -> None:
    columns = {f"number{i}": [float(row * i) for row in range(ROWS)] for i in range(18)}
    payload = pack(columns)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        commits = floor(folder, payload)
        database = Database(f"sqlite:///{folder / 'bench.db'}")
        migrate(database, ("access", "serving"))
        SqlServing(database, SqlLedger(database)).deploy("bench", 0, "bench", 1)
        log = SqlPredictionLog(database)
        print(f"floor: {commits:,.0f} durable commits/s of {len(payload):,} bytes")
        print(f"{'requests/commit':>15} {'commits/s':>10} {'rows/s':>10} {'commits / floor':>16}")
        number = 0
        for group in GROUPS:
            started, done = time.perf_counter(), 0
            while time.perf_counter() - started < SECONDS:
                log.capture([capture(number + each, payload) for each in range(group)])
                number, done = number + group, done + 1
            rate = done / (time.perf_counter() - started)
            print(f"{group:15} {rate:10,.0f} {rate * group * ROWS:10,.0f} {rate / commits:16.2f}")
        database.close()


def capture(number: int, payload: bytes) -> Capture:
    now = datetime.now(UTC)
    return Capture(
        endpoint="bench",
        request_id=f"r{number}",
        digest=f"{number:064x}",
        occurred_at=now,
        received_at=now,
        n_rows=ROWS,
        seen_revision=1,
        revision=1,
        version=1,
        inputs=payload,
        scores={1: [0.5] * ROWS, 2: [0.25] * ROWS},
    )


if __name__ == "__main__":
    main()
