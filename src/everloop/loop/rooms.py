"""The rooms that the loop works with, as one value that is passed down; put together in `server/platform.py`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from everloop.access.sql import SqlLedger
from everloop.datasets.sql import SqlDatasets
from everloop.loop.scoring import Scorer
from everloop.loop.sql import LoopTables
from everloop.monitoring.sql import SqlMonitoring
from everloop.registry.sql import SqlRegistry
from everloop.serving.log import SqlPredictionLog
from everloop.serving.sql import SqlServing
from everloop.storage import ObjectStore
from everloop.storage.database import Database
from everloop.tracking.sql import SqlTracking

ACTOR = "everloop/loop"
"""Who the ledger names for decisions that no person took."""


@dataclass(frozen=True)
class Rooms:
    """One process's stores. `scratch` is a folder for checkouts and jobs; what is in it may be deleted at any time."""

    database: Database
    objects: ObjectStore
    ledger: SqlLedger
    tracking: SqlTracking
    registry: SqlRegistry
    datasets: SqlDatasets
    serving: SqlServing
    predictions: SqlPredictionLog
    monitoring: SqlMonitoring
    loop: LoopTables
    scorer: Scorer
    scratch: Path
