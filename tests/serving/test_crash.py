"""Acknowledged means durable: the gateway is killed under load and started again."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import urllib3

from everloop.access.sql import SqlLedger
from everloop.serving.sql import SqlServing
from everloop.storage import HttpClient
from everloop.storage.database import Database
from tests.serving import models
from tests.serving.gateways import in_threads, output, request
from tests.stores import free_port

REPOSITORY = Path(__file__).parents[2]
THREADS = 4
KILL_AFTER = (5, 60)
"""Answers that are given before each kill."""


@contextmanager
def gateway(home: Path, package: Path, port: int) -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-m", "tests.serving.serve", str(home), str(package), str(port)]
    with subprocess.Popen(command, cwd=REPOSITORY) as process:
        HttpClient(f"http://127.0.0.1:{port}", patience_s=60.0).call("GET", "/v2/health/ready")
        try:
            yield process
        finally:
            process.kill()


def load_until_killed(process: subprocess.Popen[bytes], url: str, prefix: str, kill_after: int) -> dict[str, Any]:
    """Send requests from several threads, kill the gateway after so many answers; return id → its answer or None."""
    answers: dict[str, Any] = {}
    acknowledged = threading.Semaphore(0)
    http = urllib3.PoolManager(maxsize=THREADS, retries=False)

    def ask(thread: int) -> None:
        for count in range(10_000):
            name = f"{prefix}-{thread}-{count}"
            answers[name] = None
            try:
                response = http.request("POST", url, body=body(name))
            except urllib3.exceptions.HTTPError:
                return
            assert response.status == 200
            answers[name] = msgspec.json.decode(response.data)
            acknowledged.release()

    threads = in_threads(THREADS, ask)
    for _ in range(kill_after):
        acknowledged.acquire()
    process.kill()
    process.wait()
    for thread in threads:
        thread.join()
    return answers


def body(name: str) -> bytes:
    return msgspec.json.encode(request(models.table(2, seed=len(name)), id=name))


def test_every_acknowledged_prediction_is_in_the_log_once_whenever_the_gateway_is_killed(
    tmp_path: Path, sqlite_home: Path
) -> None:
    database = Database(f"sqlite:///{sqlite_home / 'everloop.db'}")
    store = SqlServing(database, SqlLedger(database))
    store.deploy("delay", 0, "late", 1)
    package = models.save(tmp_path / "model")
    port = free_port()
    url = f"http://127.0.0.1:{port}/v2/models/delay/infer"
    answers: dict[str, Any] = {}
    started = datetime.now(UTC)
    for number, kill_after in enumerate(KILL_AFTER):
        with gateway(sqlite_home, package, port) as process:
            answers |= load_until_killed(process, url, f"k{number}", kill_after)
    acknowledged = {name: answer for name, answer in answers.items() if answer is not None}
    assert len(acknowledged) >= sum(KILL_AFTER)
    log = store.captured("delay", started, datetime.now(UTC) + timedelta(days=1))
    scores = dict(zip(log.ids, log.score.tolist(), strict=True))
    assert len(scores) == len(log.ids)
    for name, answer in acknowledged.items():
        assert [scores[f"{name}-{row}"] for row in range(2)] == output(answer)

    # A client that got no answer asks again with the same id: each request is in the log once in the end.
    with gateway(sqlite_home, package, port):
        http = urllib3.PoolManager()
        for name in answers:
            assert http.request("POST", url, body=body(name)).status == 200
    assert store.counts("delay").requests == len(answers)
    database.close()
