"""The hub killed under load of MLflow's protocol: what it acknowledged is there, once, when it is back."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

import urllib3

from tests.tracking.hubprocess import HubProcess

WRITERS = 8
ENOUGH = 150
"""How many points are acknowledged before the hub is killed."""


class Writer(threading.Thread):
    """Logs points of a metric of its own, one a request, until the hub is gone; knows what was acknowledged."""

    def __init__(self, url: str, run_id: str, key: str, enough: threading.Semaphore) -> None:
        super().__init__()
        self.url, self.run_id, self.key, self.enough = url, run_id, key, enough
        self.acknowledged: list[int] = []

    def run(self) -> None:
        with urllib3.PoolManager() as pool:
            for step in range(10_000):
                body = {"run_id": self.run_id, "key": self.key, "value": step, "timestamp": step, "step": step}
                try:
                    answer = call(pool, "POST", f"{self.url}/api/2.0/mlflow/runs/log-metric", body)
                except urllib3.exceptions.HTTPError:
                    return
                assert answer == {}
                self.acknowledged.append(step)
                self.enough.release()


def call(pool: urllib3.PoolManager, method: str, url: str, body: Any = None) -> Any:
    data = None if body is None else json.dumps(body)
    answer = pool.request(method, url, body=data, headers={"content-type": "application/json"}, retries=False)
    assert answer.status == 200, answer.data
    return answer.json()


def test_every_acknowledged_metric_outlives_a_kill_once(tmp_path: Path) -> None:
    hub = HubProcess(tmp_path)
    hub.start()
    try:
        with urllib3.PoolManager() as pool:
            made = call(pool, "POST", f"{hub.url}/api/2.0/mlflow/runs/create", {"experiment_id": "0"})
            run_id = made["run"]["info"]["run_id"]
            enough = threading.Semaphore(0)
            writers = [Writer(hub.url, run_id, f"m{number}", enough) for number in range(WRITERS)]
            for writer in writers:
                writer.start()
            for _ in range(ENOUGH):
                assert enough.acquire(timeout=60)
            hub.kill()
            for writer in writers:
                writer.join()
            hub.start()
            for writer in writers:
                ask = f"{hub.url}/api/2.0/mlflow/metrics/get-history?run_id={run_id}&metric_key={writer.key}"
                steps = [point["step"] for point in call(pool, "GET", ask).get("metrics", [])]
                # At most the one that was under way came through without its answer.
                assert steps[: len(writer.acknowledged)] == writer.acknowledged
                assert len(steps) <= len(writer.acknowledged) + 1
    finally:
        hub.kill()
