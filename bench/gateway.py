"""The gateway's speed: requests per second, p99 and rows captured per second, beside a floor.

    python bench/gateway.py [--database URL] [--seconds 4] [--json]

The floor is the same server answering a constant (`/v2/health/live`) to the same client at the same concurrency, so a
ratio says what decoding, scoring, capturing and the fsync cost on this machine. Client and server share its cores.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OrdinalEncoder, StandardScaler
from threadpoolctl import threadpool_limits

from everloop import web
from everloop.access.sql import SqlLedger
from everloop.registry.package import save_model
from everloop.serving.gateway import Gateway
from everloop.serving.sql import SqlServing
from everloop.storage import HttpClient
from everloop.storage.database import Database
from everloop.storage.migrations import migrate

TEXTS, NUMBERS, TREES, SHADOWS = 4, 14, 100, (2, 3)
CASES = ((1, 1), (1, 8), (1, 32), (1, 128), (100, 1), (100, 8), (100, 32))
"""(rows of a request, requests at once)"""


def table(n_rows: int) -> dict[str, list[Any]]:
    rng = np.random.default_rng(0)
    texts = {f"text{i}": [f"v{v}" for v in rng.integers(0, 20, n_rows)] for i in range(TEXTS)}
    return texts | {f"number{i}": rng.normal(size=n_rows).round(3).tolist() for i in range(NUMBERS)}


def save(folder: Path) -> Path:
    """Train and package a model of about the size of a real one: 100 trees over 18 inputs."""
    columns = table(5000)
    rows = np.empty((5000, len(columns)), dtype=object)
    for place, values in enumerate(columns.values()):
        rows[:, place] = values
    encoder = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)
    parts = [("text", encoder, list(range(TEXTS))), ("number", StandardScaler(), list(range(TEXTS, len(columns))))]
    model = Pipeline(
        [
            ("encode", ColumnTransformer(parts)),
            ("boost", HistGradientBoostingClassifier(max_iter=TREES, early_stopping=False, random_state=0)),
        ]
    )
    late = np.array(columns["number0"]) + np.random.default_rng(1).normal(size=5000) > 0.8
    with threadpool_limits(1):
        model.fit(rows, late.astype(int))
    save_model(model, folder, inputs={name: "string" if name.startswith("text") else "double" for name in columns})
    return folder


def serve(url: str, package: str, port: str) -> None:
    database = Database(url)
    migrate(database, ("access", "serving"))
    store = SqlServing(database, SqlLedger(database))
    store.deploy("plain", 0, "bench", 1)
    store.deploy("shadowed", 0, "bench", 1, SHADOWS)
    gateway = Gateway(store, store, lambda _model, _version: Path(package))
    gateway.fleet.refresh()
    web.run(gateway.app, host="127.0.0.1", port=int(port), on_stop=gateway.close)


def post(path: str, n_rows: int) -> bytes:
    columns = table(n_rows)
    kinds = {name: "BYTES" if name.startswith("text") else "FP64" for name in columns}
    inputs = [{"name": n, "shape": [n_rows], "datatype": kinds[n], "data": v} for n, v in columns.items()]
    body = json.dumps({"inputs": inputs}).encode()
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


async def load(port: int, message: bytes, at_once: int, seconds: float) -> list[float]:
    """Send the message again and again over `at_once` connections; return the seconds of each answer."""
    end = time.perf_counter() + seconds
    took: list[float] = []

    async def ask() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        while (start := time.perf_counter()) < end:
            writer.write(message)
            head = await reader.readuntil(b"\r\n\r\n")
            if not head.startswith(b"HTTP/1.1 200"):
                raise SystemExit(f"the gateway answered {head!r}")
            length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
            await reader.readexactly(length)
            took.append(time.perf_counter() - start)
        writer.close()

    await asyncio.gather(*(ask() for _ in range(at_once)))
    return took


def measure(
    port: int, pid: int, name: str, message: bytes, n_rows: int, at_once: int, seconds: float
) -> dict[str, Any]:
    before = cpu_s(pid)
    started = time.perf_counter()
    took = asyncio.run(load(port, message, at_once, seconds))
    elapsed = time.perf_counter() - started
    return {
        "case": name,
        "rows": n_rows,
        "at_once": at_once,
        "requests_per_s": round(len(took) / elapsed, 1),
        "rows_per_s": round(len(took) * n_rows / elapsed),
        "p50_ms": round(float(np.quantile(took, 0.5)) * 1e3, 2),
        "p99_ms": round(float(np.quantile(took, 0.99)) * 1e3, 2),
        "server_cpu_ms": round((cpu_s(pid) - before) / len(took) * 1e3, 3),
    }


def cpu_s(pid: int) -> float:
    """Return the seconds of CPU that a process has used (Linux)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--database", help="URL of an empty database; default: SQLite in a temporary folder")
    parser.add_argument("--seconds", type=float, default=4.0, help="of each case")
    parser.add_argument("--port", type=int, default=7391)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        package = save(Path(folder) / "model")
        url = given.database or f"sqlite:///{folder}/bench.db"
        server = subprocess.Popen([sys.executable, __file__, "serve", url, str(package), str(given.port)])
        try:
            HttpClient(f"http://127.0.0.1:{given.port}", patience_s=120.0).call("GET", "/v2/health/ready")
            results = list(cases(given.port, server.pid, given.seconds))
        finally:
            server.terminate()
            server.wait()
    if given.json:
        print(json.dumps(results))


def cases(port: int, pid: int, seconds: float) -> Any:
    floor = b"GET /v2/health/live HTTP/1.1\r\nHost: localhost\r\n\r\n"
    floors: dict[int, float] = {}
    for n_rows, at_once in CASES:
        if at_once not in floors:
            result = measure(port, pid, "floor", floor, 0, at_once, seconds / 2)
            floors[at_once] = result["requests_per_s"]
            yield show(result | {"ratio": 1.0})
        for endpoint in ("plain", "shadowed"):
            message = post(f"/v2/models/{endpoint}/infer", n_rows)
            result = measure(port, pid, endpoint, message, n_rows, at_once, seconds)
            yield show(result | {"ratio": round(result["requests_per_s"] / floors[at_once], 3)})


def show(result: dict[str, Any]) -> dict[str, Any]:
    print("  ".join(f"{name} {value}" for name, value in result.items()), file=sys.stderr)
    return result


if __name__ == "__main__":
    if sys.argv[1:2] == ["serve"]:
        serve(*sys.argv[2:])
    else:
        main()
