"""A real gateway behind real HTTP for the tests, and a client that speaks to it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import urllib3

from everloop.access.sql import SqlLedger
from everloop.errors import NotFoundError
from everloop.serving import Capture, Outcome
from everloop.serving.gateway import Gateway
from everloop.serving.sql import SqlServing
from everloop.storage.database import Database
from tests.serving import models
from tests.stores import LoopbackServer

WIRE = {"string": "BYTES", "double": "FP64", "long": "INT64", "boolean": "BOOL"}


class HeldServing(SqlServing):
    """A store whose captures a test can hold back."""

    def __init__(self, database: Database) -> None:
        super().__init__(database, SqlLedger(database))
        self.may_capture = threading.Event()
        self.may_capture.set()

    def capture(self, captures: Sequence[Capture]) -> list[Outcome]:
        self.may_capture.wait()
        return super().capture(captures)


class Service:
    """One gateway and a client of it. Endpoint `delay` serves version 1; `packages` says where versions lie.

    The gateway looks for new deployments only once: that answers are up to date must not hang on its watching.
    """

    def __init__(self, folder: Path, url: str, database: Database, **options: Any) -> None:
        self.url = url
        self.store = HeldServing(database)
        self.folder = folder
        self.packages: dict[int, Path] = {}
        self.add_version(1)
        self.store.deploy("delay", 0, "late", 1)
        self.gateway = Gateway(self.store, self.store, self._fetch, watch_s=3600.0, **options)
        self.gateway.fleet.refresh()
        self.http = urllib3.PoolManager(maxsize=16, retries=False)

    def _fetch(self, model: str, version: int) -> Path:
        if version not in self.packages:
            raise NotFoundError(f"there is no version {version} of {model}")
        return self.packages[version]

    def add_version(self, version: int, **options: Any) -> None:
        """Package the model whose seed is the version's number."""
        self.packages[version] = models.save(self.folder / f"v{version}", seed=version, **options)

    def deploy(self, champion: int, *shadows: int, refresh: bool = True) -> None:
        revision = self.store.deployment("delay").revision
        self.store.deploy("delay", revision, "late", champion, shadows)
        if refresh:
            self.gateway.fleet.refresh()

    def get(self, path: str) -> tuple[int, Any]:
        return _answer(self.http.request("GET", self.url + path))

    def post(self, path: str, body: Any, **headers: str) -> tuple[int, Any]:
        data = body if isinstance(body, bytes) else msgspec.json.encode(body)
        return _answer(self.http.request("POST", self.url + path, body=data, headers=headers))

    def infer(
        self, columns: dict[str, list[Any]], path: str = "/v2/models/delay/infer", **fields: Any
    ) -> tuple[int, Any]:
        return self.post(path, request(columns, **fields))

    def label(self, *labels: tuple[str, float]) -> tuple[int, Any]:
        body = {"labels": [{"prediction_id": name, "label": label} for name, label in labels]}
        return self.post("/v2/models/delay/feedback", body)

    def close(self) -> None:
        self.store.may_capture.set()
        self.http.clear()
        self.gateway.close()


@contextmanager
def service(folder: Path, home: Path, server: LoopbackServer, **options: Any) -> Iterator[Service]:
    """Serve a gateway over the database of `home` for as long as the context lasts."""
    database = Database(f"sqlite:///{home / 'everloop.db'}")
    made = Service(folder, server.url, database, **options)
    with server.serving(made.gateway.app):
        yield made
    made.close()
    database.close()


def request(columns: dict[str, list[Any]], **fields: Any) -> dict[str, Any]:
    """Return a v2 inference request."""
    inputs = [
        {"name": name, "shape": [len(values)], "datatype": WIRE[models.INPUTS.get(name, "double")], "data": values}
        for name, values in columns.items()
    ]
    return {"inputs": inputs} | fields


def output(answer: Any, name: str = "probability") -> list[Any]:
    """Return the data of one output of an answer."""
    (data,) = [each["data"] for each in answer["outputs"] if each["name"] == name]
    found: list[Any] = data
    return found


def in_threads(count: int, work: Callable[[int], None]) -> list[threading.Thread]:
    """Run `work(number)` in that many threads."""
    threads = [threading.Thread(target=work, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    return threads


def _answer(response: urllib3.BaseHTTPResponse) -> tuple[int, Any]:
    is_json = response.headers.get("content-type", "").startswith("application/json")
    return response.status, msgspec.json.decode(response.data) if is_json else response.data.decode()
