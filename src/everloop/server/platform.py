"""Putting the rooms together over one database and one object store.

Each process of the platform (hub, worker, gateway) opens a `Platform` from the same settings; the rooms stay strangers
to one another and meet only here.
"""

from __future__ import annotations

import threading
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from everloop.access.sql import SqlLedger
from everloop.config import Settings
from everloop.datasets.sql import SqlDatasets
from everloop.loop.controller import LoopController
from everloop.loop.rooms import Rooms
from everloop.loop.scoring import Scorer
from everloop.loop.sql import LoopTables
from everloop.monitoring.sql import SqlMonitoring
from everloop.registry.sql import SqlRegistry
from everloop.registry.transfer import fetch_package
from everloop.serving.log import SqlPredictionLog
from everloop.serving.sql import SqlServing
from everloop.storage import ObjectStore
from everloop.storage.database import Database
from everloop.storage.migrations import migrate
from everloop.tracking.sql import SqlTracking

if TYPE_CHECKING:
    from everloop.loop.runner import QueuedRequests

ROOMS_WITH_TABLES = ("access", "tracking", "registry", "datasets", "serving", "monitoring", "loop")


class _DeferredRequests:
    """`Requests` that loads the durable runner at the first request: its library takes as long as all else together."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._made: QueuedRequests | None = None
        self._lock = threading.Lock()

    def tick(self, endpoint: str, at: datetime) -> None:
        self._requests().tick(endpoint, at)

    def retraining(self, retraining_id: str) -> None:
        self._requests().retraining(retraining_id)

    def close(self) -> None:
        if self._made is not None:
            self._made.close()

    def _requests(self) -> QueuedRequests:
        with self._lock:
            if self._made is None:
                from everloop.loop.runner import QueuedRequests

                self._made = QueuedRequests(self._settings)
            return self._made


class Platform:
    """The rooms' stores for one process. Opening it brings the database to the newest schema."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        settings.home_path.mkdir(parents=True, exist_ok=True)
        self.database = Database(settings.database)
        self.objects = ObjectStore(settings.objects_path)
        self._requests = _DeferredRequests(settings)
        migrate(self.database, ROOMS_WITH_TABLES)

    @cached_property
    def rooms(self) -> Rooms:
        """Every room's store."""
        ledger = SqlLedger(self.database)
        serving = SqlServing(self.database, ledger)
        return Rooms(
            database=self.database,
            objects=self.objects,
            ledger=ledger,
            tracking=SqlTracking(self.database),
            registry=SqlRegistry(self.database, ledger, serving.uses_in),
            datasets=SqlDatasets(self.database, self.objects, ledger),
            serving=serving,
            predictions=SqlPredictionLog(self.database),
            monitoring=SqlMonitoring(self.database, ledger),
            loop=LoopTables(self.database),
            scorer=Scorer(),
            scratch=self.settings.home_path / "scratch",
        )

    @cached_property
    def loop(self) -> LoopController:
        """The loop, asked from outside; a worker does the work."""
        return LoopController(self.rooms, self._requests)

    def package(self, model: str, version: int) -> Path:
        """Return the folder of a model version's package, fetched from the object store when it is not there yet."""
        found = self.rooms.registry.get_version(model, version)
        folder = self.settings.home_path / "packages" / model / f"{version}-{found.digest[:16]}"
        return fetch_package(self.objects, found.files, folder)

    def close(self) -> None:
        self._requests.close()
        self.database.close()
