"""What the tracking room promises: the Protocol that SQL and Remote both implement.

Promises:
- Every write is durable when it returns, and may be repeated: the caller names what it makes, and making the same thing
  twice is the same as once. Making it with other content is a `ConflictError`.
- Batches are atomic: all of a call is stored, or none of it.
- A param never changes. A metric's history keeps every distinct point; exact duplicates count once.
- Safe to call from several threads and processes at once.
"""

from __future__ import annotations

from datetime import datetime
from typing import Protocol

from everloop.storage.operation import operation
from everloop.tracking.run import Artifact, Edge, Experiment, Metric, Run, Status


class TrackingStore(Protocol):
    """Experiments and their runs."""

    @operation("write")
    def create_experiment(self, name: str) -> Experiment:
        """Make an experiment, or return the one of that name."""
        ...

    @operation("read")
    def list_experiments(self) -> list[Experiment]:
        """Return all experiments, oldest first."""
        ...

    @operation("write")
    def create_run(
        self,
        run_id: str,
        experiment: str,
        name: str = "",
        started_at: datetime | None = None,
        tags: dict[str, str] | None = None,
    ) -> Run:
        """Start a run; the experiment is made when it does not exist.

        Args:
            run_id: 32 hex digits, chosen by the caller; the same id again returns the run as it is.
            name: for people; empty takes the first 8 digits of the id.
            started_at: None means now.

        Raises:
            ConflictError: the id is taken by a run of another experiment.
        """
        ...

    @operation("read")
    def get_run(self, run_id: str) -> Run:
        """Return one run.

        Raises:
            NotFoundError: there is none of that id.
        """
        ...

    @operation("read")
    def search_runs(self, experiment: str | None = None, status: Status | None = None, limit: int = 100) -> list[Run]:
        """Return runs, newest first; None means any."""
        ...

    @operation("write")
    def log(
        self,
        run_id: str,
        metrics: list[Metric] | None = None,
        params: dict[str, str] | None = None,
        tags: dict[str, str] | None = None,
    ) -> None:
        """Add metrics, params and tags to a run in one transaction; a tag overwrites its former value.

        Raises:
            NotFoundError: there is no such run.
            ConflictError: a param has another value already; nothing is stored.
        """
        ...

    @operation("write")
    def append(
        self,
        run_id: str,
        source: str,
        after: int,
        upto: int,
        metrics: list[Metric] | None = None,
        params: dict[str, str] | None = None,
        tags: dict[str, str] | None = None,
        artifacts: list[Artifact] | None = None,
        edges: list[Edge] | None = None,
    ) -> int:
        """Store the entries `after + 1` to `upto` of a source, which numbers what it tells from 1, in one transaction.

        Nothing is stored when `after` is not the last that the store has: the caller goes on from the number returned.
        So each entry is stored once and in order, however often it is sent, and by whom.

        Args:
            source: who tells, as a process's spool; its numbers are its own.

        Returns:
            The number of the last entry of this source that is stored; 0 for a new one.

        Raises:
            NotFoundError: there is no such run.
            ConflictError: a param has another value already; nothing is stored.
            InvalidError: the numbers are none, the source is no name, or an artifact's path leaves the run's folder.
        """
        ...

    @operation("read")
    def metric_history(self, run_id: str, key: str) -> list[Metric]:
        """Return every point of one metric, by (step, logged_at, value)."""
        ...

    @operation("write")
    def finish_run(self, run_id: str, status: Status = "finished", ended_at: datetime | None = None) -> Run:
        """End a run; ending it again with the same status changes nothing.

        Raises:
            NotFoundError: there is no such run.
            ConflictError: it ended already with another status.
            InvalidError: `running` is no end.
        """
        ...

    @operation("write")
    def log_artifact(self, run_id: str, path: str, digest: str, size_bytes: int) -> Artifact:
        """Attach an object, stored before under `digest`, to a run as `path`; the path may be overwritten.

        Raises:
            NotFoundError: there is no such run.
            InvalidError: `path` is absolute or leaves the run's folder.
        """
        ...

    @operation("read")
    def list_artifacts(self, run_id: str) -> list[Artifact]:
        """Return a run's artifacts by path."""
        ...

    @operation("write")
    def link(self, edges: list[Edge]) -> None:
        """Record lineage; an edge that is known already counts once."""
        ...

    @operation("read")
    def edges_of(self, address: str) -> list[Edge]:
        """Return every edge that begins or ends at an address."""
        ...
