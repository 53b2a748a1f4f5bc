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
from everloop.tracking.loggedmodel import ModelMetric
from everloop.tracking.modelstore import LoggedModelStore
from everloop.tracking.run import (
    Artifact,
    Edge,
    Experiment,
    ExperimentPage,
    History,
    Input,
    Metric,
    ModelOutput,
    Run,
    RunPage,
    Status,
    View,
)


class TrackingStore(LoggedModelStore, Protocol):
    """Experiments, their runs and logged models."""

    @operation("write")
    def create_experiment(self, name: str, tags: dict[str, str] | None = None) -> Experiment:
        """Make an experiment, or return the one of that name as it is.

        Args:
            name: 1 to 500 characters, none of them a control character.
        """
        ...

    @operation("write")
    def add_experiment(self, name: str, tags: dict[str, str] | None = None) -> Experiment:
        """Make an experiment of a name that none has.

        Raises:
            ConflictError: the name is taken, maybe by a deleted one.
        """
        ...

    @operation("read")
    def get_experiment(self, experiment_id: str) -> Experiment:
        """Return one experiment, also a deleted one.

        Raises:
            NotFoundError: there is none of that id.
        """
        ...

    @operation("read")
    def find_experiment(self, name: str) -> Experiment:
        """Return the experiment of a name, also a deleted one.

        Raises:
            NotFoundError: there is none of that name.
        """
        ...

    @operation("read")
    def search_experiments(
        self,
        filter: str = "",  # noqa: A002  the word of MLflow and of everyone who searches
        order_by: list[str] | None = None,
        view: View = "active",
        limit: int = 1000,
        after: str = "",
    ) -> ExperimentPage:
        """Return the experiments that a filter is true of, the newest first unless `order_by` says otherwise.

        Args:
            filter: as `name LIKE 'flights%' AND tags.team = 'ops'`; empty is all.
            order_by: as `["name ASC"]`.
            after: the `next` of the page before; empty for the first.

        Raises:
            InvalidError: the filter, the order or `after` cannot be read.
        """
        ...

    @operation("write")
    def rename_experiment(self, experiment_id: str, name: str) -> Experiment:
        """Give an experiment another name.

        Raises:
            NotFoundError: there is none of that id.
            ConflictError: another one has the name, maybe a deleted one.
            InvalidError: the experiment is deleted.
        """
        ...

    @operation("write")
    def delete_experiment(self, experiment_id: str) -> None:
        """Mark an experiment deleted, and with it those of its runs that are not deleted yet.

        Raises:
            NotFoundError: there is none of that id.
        """
        ...

    @operation("write")
    def restore_experiment(self, experiment_id: str) -> None:
        """Take an experiment's deletion back, and that of the runs that were deleted with it.

        Raises:
            NotFoundError: there is none of that id.
        """
        ...

    @operation("write")
    def tag_experiment(self, experiment_id: str, tags: dict[str, str]) -> None:
        """Set tags of an experiment, over those of the same key.

        Raises:
            NotFoundError: there is none of that id.
            InvalidError: the experiment is deleted.
        """
        ...

    @operation("write")
    def untag_experiment(self, experiment_id: str, key: str) -> None:
        """Take a tag from an experiment.

        Raises:
            NotFoundError: there is none of that id, or it has no such tag.
            InvalidError: the experiment is deleted.
        """
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
            ConflictError: the id is taken by a run of another experiment, or the experiment is deleted.
        """
        ...

    @operation("write")
    def start_run(
        self,
        run_id: str,
        experiment_id: str,
        name: str = "",
        started_at: datetime | None = None,
        tags: dict[str, str] | None = None,
    ) -> Run:
        """Start a run of an experiment that is known by its id; otherwise as `create_run`.

        Raises:
            NotFoundError: there is no such experiment.
            InvalidError: the experiment is deleted.
            ConflictError: the id is taken by a run of another experiment.
        """
        ...

    @operation("read")
    def get_run(self, run_id: str) -> Run:
        """Return one run, also a deleted one.

        Raises:
            NotFoundError: there is none of that id.
        """
        ...

    @operation("read")
    def search_runs(
        self,
        experiment_ids: list[str] | None = None,
        filter: str = "",  # noqa: A002  the word of MLflow and of everyone who searches
        order_by: list[str] | None = None,
        view: View = "active",
        limit: int = 1000,
        after: str = "",
    ) -> RunPage:
        """Return the runs that a filter is true of, the newest first unless `order_by` says otherwise.

        Args:
            experiment_ids: None is all of them; those that are not there have no runs.
            filter: as `metrics.loss < 0.3 AND params.depth = '3'`; empty is all.
            order_by: as `["metrics.loss ASC"]`; NaN and runs that lack the value come last in both directions, and
                those that are alike newest first, then by id.
            limit: 1 to 50,000.
            after: the `next` of the page before; empty for the first. It is found by what the last run of that page
                was, so a later page costs no more than the first, and runs added in between shift nothing.

        Raises:
            InvalidError: the filter, the order, `limit` or `after` cannot be read.
        """
        ...

    @operation("write")
    def update_run(
        self, run_id: str, status: Status | None = None, ended_at: datetime | None = None, name: str | None = None
    ) -> Run:
        """Change what is given; None leaves a thing as it is. A run that goes on again has no end.

        Raises:
            NotFoundError: there is no such run.
            InvalidError: the run is deleted.
        """
        ...

    @operation("write")
    def delete_run(self, run_id: str) -> None:
        """Mark a run deleted: it is found by its id and by those who ask for deleted ones, and nothing can be added.

        Raises:
            NotFoundError: there is no such run.
        """
        ...

    @operation("write")
    def restore_run(self, run_id: str) -> None:
        """Take a run's deletion back.

        Raises:
            NotFoundError: there is no such run.
        """
        ...

    @operation("write")
    def log(
        self,
        run_id: str,
        metrics: list[Metric] | None = None,
        params: dict[str, str] | None = None,
        tags: dict[str, str] | None = None,
        model_metrics: list[ModelMetric] | None = None,
    ) -> None:
        """Add metrics, params and tags to a run in one transaction; a tag overwrites its former value.

        Args:
            model_metrics: what the run measured of logged models, kept with these; deleted ones take it, too.

        Raises:
            NotFoundError: there is no such run, or no such model.
            ConflictError: a param has another value already; nothing is stored.
            InvalidError: the run is deleted.
        """
        ...

    @operation("write")
    def untag_run(self, run_id: str, key: str) -> None:
        """Take a tag from a run.

        Raises:
            NotFoundError: there is no such run, or it has no such tag.
            InvalidError: the run is deleted.
        """
        ...

    @operation("write")
    def log_inputs(self, run_id: str, inputs: list[Input], models: list[str] | None = None) -> None:
        """Note which datasets and which logged models, by their ids, a run read; what is noted already stays as it is.

        Raises:
            NotFoundError: there is no such run.
            InvalidError: the run is deleted, or an id is malformed.
        """
        ...

    @operation("write")
    def log_outputs(self, run_id: str, models: list[ModelOutput]) -> None:
        """Note which logged models a run made; one that is noted already at that step stays as it is.

        Raises:
            NotFoundError: there is no such run.
            InvalidError: the run is deleted, or an id or a step is malformed.
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
            ConflictError: a param has another value already, or the run is deleted; nothing is stored.
            InvalidError: the numbers are none, the source is no name, or an artifact's path leaves the run's folder.
        """
        ...

    @operation("read")
    def metric_history(self, run_id: str, key: str, limit: int | None = None, after: str = "") -> History:
        """Return the points of one metric, by (step, logged_at, value).

        Args:
            limit: None is all.
            after: the `next` of the page before; empty for the first.

        Raises:
            NotFoundError: there is no such run.
            InvalidError: `limit` is none, or `after` cannot be read.
        """
        ...

    @operation("read")
    def sample_metric(
        self, run_id: str, key: str, limit: int, first_step: int | None = None, last_step: int | None = None
    ) -> list[Metric]:
        """Return at most `limit` points of one metric for a chart, in the order of its history.

        The history between the two steps (both are in; None is no bound) is cut into `limit` equal parts. The first
        point of each is returned, but the very last one in the place of the last part's; of a `limit` of 1 that alone.

        Raises:
            NotFoundError: there is no such run.
            InvalidError: `limit` is not 1 to 50,000.
        """
        ...

    @operation("write")
    def finish_run(self, run_id: str, status: Status = "finished", ended_at: datetime | None = None) -> Run:
        """End a run; ending it again with the same status changes nothing.

        Raises:
            NotFoundError: there is no such run.
            ConflictError: it ended already with another status.
            InvalidError: `running` and `scheduled` are no end.
        """
        ...

    @operation("write")
    def log_artifact(self, run_id: str, path: str, digest: str, size_bytes: int) -> Artifact:
        """Attach an object, stored before under `digest`, to a run as `path`; the path may be overwritten.

        Raises:
            NotFoundError: there is no such run.
            InvalidError: `path` is absolute or leaves the run's folder, or the run is deleted.
        """
        ...

    @operation("write")
    def remove_artifacts(self, run_id: str, path: str) -> None:
        """Take an artifact, or all those below a folder, from a run; their bytes stay in the object store.

        Raises:
            NotFoundError: there is no such run.
            InvalidError: `path` is absolute or leaves the run's folder.
        """
        ...

    @operation("read")
    def list_artifacts(self, run_id: str, path: str = "") -> list[Artifact]:
        """Return a run's artifacts by path: the file of a path or those below a folder; empty is all.

        Raises:
            NotFoundError: there is no such run.
            InvalidError: `path` is absolute or leaves the run's folder.
        """
        ...

    @operation("write")
    def link(self, edges: list[Edge]) -> None:
        """Record lineage; an edge that is known already counts once."""
        ...

    @operation("read")
    def edges_of(self, address: str) -> list[Edge]:
        """Return every edge that begins or ends at an address."""
        ...
