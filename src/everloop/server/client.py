"""The hub as its clients see it: each room's operations over HTTP, bytes up and down, and the few verbs made of them.

Light at import: the rooms that compute are imported when they are asked for, as the light install has the records only.
"""

from __future__ import annotations

import getpass
import hashlib
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from everloop.access import LedgerStore
from everloop.config import Settings
from everloop.errors import NotFoundError
from everloop.registry import RegistryStore
from everloop.storage import HttpClient, remote
from everloop.tracking import TrackingStore

if TYPE_CHECKING:
    from everloop.datasets.store import Batch, DatasetStore
    from everloop.loop.store import AppliedProject, LoopStore, Retraining
    from everloop.monitoring.store import MonitoringStore
    from everloop.pipelines import Report
    from everloop.serving.store import ServingStore
    from everloop.workspace import Workspace


class Hub:
    """The hub of these settings. Thread-safe; connects at the first call.

    Args:
        patience_s: for how long a hub that does not answer is tried again.
    """

    def __init__(self, settings: Settings, *, patience_s: float = 2.0) -> None:
        self.http = HttpClient(settings.hub, patience_s=patience_s)

    @cached_property
    def ledger(self) -> LedgerStore:
        return remote(LedgerStore, "ledger", self.http)

    @cached_property
    def tracking(self) -> TrackingStore:
        return remote(TrackingStore, "tracking", self.http)

    @cached_property
    def registry(self) -> RegistryStore:
        return remote(RegistryStore, "registry", self.http)

    @cached_property
    def datasets(self) -> DatasetStore:
        from everloop.datasets.store import DatasetStore

        return remote(DatasetStore, "datasets", self.http)

    @cached_property
    def serving(self) -> ServingStore:
        from everloop.serving.store import ServingStore

        return remote(ServingStore, "serving", self.http)

    @cached_property
    def monitoring(self) -> MonitoringStore:
        from everloop.monitoring.store import MonitoringStore

        return remote(MonitoringStore, "monitoring", self.http)

    @cached_property
    def loop(self) -> LoopStore:
        from everloop.loop.store import LoopStore

        return remote(LoopStore, "loop", self.http)

    def put_bytes(self, data: bytes) -> str:
        """Store bytes on the hub; return their SHA-256. Storing the same again is harmless."""
        digest = hashlib.sha256(data).hexdigest()
        self.http.call("PUT", f"/api/objects/{digest}", body=data, content_type="application/octet-stream")
        return digest

    def put_file(self, path: Path) -> str:
        """Store a file's content on the hub; return its SHA-256."""
        return self.put_bytes(path.read_bytes())

    def get_bytes(self, digest: str) -> bytes:
        """Return an object's bytes.

        Raises:
            NotFoundError: the hub has no such object.
        """
        return self.http.call("GET", f"/api/objects/{digest}")

    def apply(self, folder: Path) -> AppliedProject:
        """Hand the project in `folder` to the hub: its everloop.yaml and the contracts that it names.

        Raises:
            NotFoundError: there is no everloop.yaml, or a contract's file is missing.
            InvalidError: a file is malformed; names file, line and key.
        """
        from everloop.loop.project import read_project

        project, text = read_project(folder)
        contracts = {}
        for name, source in project.datasets.items():
            path = folder / source.contract
            if not path.is_file():
                raise NotFoundError(
                    f"everloop.yaml: datasets.{name}.contract names {source.contract}, which is missing"
                )
            contracts[name] = path.read_text(encoding="utf-8")
        return self.loop.apply(text, contracts, str(folder.absolute()), actor())

    def record(self, workspace: Workspace, report: Report, *, experiment: str, commit: str) -> str:
        """Put what a `repro` came to on record as a run; return the run's id.

        The id is made of the commit and of what the stages made (`dvc.lock`), so recording the same again is one run.
        """
        from everloop.pipelines.record import record

        lock = workspace.root / "dvc.lock"
        made = lock.read_bytes() if lock.is_file() else b""
        run_id = hashlib.sha256(f"repro/{commit}/".encode() + made).hexdigest()[:32]
        self.tracking.create_run(run_id, experiment, name="repro")
        tags = {"trigger": "repro", "dirty": str(workspace.git.is_dirty()).lower()}
        record(self.tracking, self.put_file, workspace, report, run_id, commit=commit, tags=tags)
        self.tracking.finish_run(run_id)
        return run_id

    def hand_in(self, dataset: str, batch: str, data: bytes, happened_at: datetime | None = None) -> Batch:
        """Store a batch's bytes on the hub and have it judged by the dataset's contract."""
        return self.loop.ingest(dataset, batch, self.put_bytes(data), actor(), happened_at)

    def check_out(self, dataset: str, folder: Path) -> list[str]:
        """Write the accepted batches that `folder` lacks, as `<batch>.csv`; return their paths."""
        folder.mkdir(parents=True, exist_ok=True)
        written = []
        for batch in self.datasets.list_batches(dataset, "accepted"):
            path = folder / f"{batch.name}.csv"
            if path.exists() and hashlib.sha256(path.read_bytes()).hexdigest() == batch.digest:
                continue
            part = path.with_suffix(".part")
            part.write_bytes(self.get_bytes(batch.digest))
            part.rename(path)
            written.append(str(path))
        return written

    def await_retraining(self, retraining_id: str) -> Retraining:
        """Return a retraining when it has ended."""
        while True:
            found = self.loop.get_retraining(retraining_id, 10.0)
            if found.state != "requested":
                return found


def open_hub() -> Hub:
    """Return the hub that this process's settings name."""
    return Hub(Settings.load())


def actor() -> str:
    """Return who runs this command, for the ledger."""
    return f"person/{getpass.getuser()}"
