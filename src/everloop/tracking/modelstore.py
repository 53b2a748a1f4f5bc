"""What the tracking room promises of logged models; the promises of `store.py` hold here, too."""

from __future__ import annotations

from typing import Protocol

from everloop.storage.operation import operation
from everloop.tracking.loggedmodel import LoggedModel, LoggedModelPage, MetricDataset, ModelOrder, ModelStatus
from everloop.tracking.run import Artifact


class LoggedModelStore(Protocol):
    """Logged models and their files. What is said of a model that is not there: NotFoundError, from every operation.

    A change of a deleted model is an InvalidError.
    """

    @operation("write")
    def create_logged_model(
        self,
        model_id: str,
        experiment_id: str,
        name: str,
        source_run_id: str | None = None,
        model_type: str | None = None,
        params: dict[str, str] | None = None,
        tags: dict[str, str] | None = None,
    ) -> LoggedModel:
        """Make a model, whose files are still to come (`pending`).

        Args:
            model_id: chosen by the caller; the same id again returns the model as it is.

        Raises:
            NotFoundError: there is no such experiment.
            InvalidError: the experiment is deleted, or the id or the name is none.
            ConflictError: the id is taken by a model of another experiment.
        """
        ...

    @operation("read")
    def get_logged_model(self, model_id: str) -> LoggedModel:
        """Return one model, also a deleted one."""
        ...

    @operation("read")
    def search_logged_models(
        self,
        experiment_ids: list[str] | None = None,
        filter: str = "",  # noqa: A002  the word of MLflow and of everyone who searches
        datasets: list[MetricDataset] | None = None,
        order_by: list[ModelOrder] | None = None,
        limit: int = 100,
        after: str = "",
    ) -> LoggedModelPage:
        """Return the models that meet a filter, a page at a time; deleted ones are not found.

        Args:
            experiment_ids: only models of these, of any without; ids that are none find nothing.
            filter: conditions joined by AND, as "metrics.auc > 0.9 AND tags.team = 'air'". Any value of a metric, from
                whichever run, may meet its condition.
            datasets: only the values of metrics on one of these count; without a condition on a metric, only models
                that were measured on one of these are found.
            order_by: a metric sorts by its latest value, that of the largest (logged_at, step, value). NaN, then models
                without a value come last. Models that are alike come newest first, then by id.
            limit: 1 to 50,000 models per page.
            after: `next` of the page before, with the same filter and order.

        Raises:
            InvalidError: the filter, a key of the order or the limit is none, or a dataset has no name.
        """
        ...

    @operation("write")
    def finalize_logged_model(
        self, model_id: str, status: ModelStatus, status_message: str | None = None
    ) -> LoggedModel:
        """Say what became of a model: `ready` when its files are all there, `failed` when they never will be."""
        ...

    @operation("write")
    def delete_logged_model(self, model_id: str) -> None:
        """Mark a model deleted: it is found by its id alone; its files stay."""
        ...

    @operation("write")
    def log_logged_model_params(self, model_id: str, params: dict[str, str]) -> None:
        """Add params to a model.

        Raises:
            ConflictError: a param has another value already; nothing is stored.
        """
        ...

    @operation("write")
    def tag_logged_model(self, model_id: str, tags: dict[str, str]) -> None:
        """Set tags of a model, over those of the same key."""
        ...

    @operation("write")
    def untag_logged_model(self, model_id: str, key: str) -> None:
        """Take a tag from a model.

        Raises:
            NotFoundError: it has no such tag.
        """
        ...

    @operation("write")
    def log_model_artifact(self, model_id: str, path: str, digest: str, size_bytes: int) -> Artifact:
        """Attach an object, stored before under `digest`, to a model as `path`; the path may be overwritten.

        Raises:
            InvalidError: `path` is absolute or leaves the model's folder.
        """
        ...

    @operation("write")
    def remove_model_artifacts(self, model_id: str, path: str) -> None:
        """Take a file, or all those below a folder, from a model; their bytes stay in the object store."""
        ...

    @operation("read")
    def list_model_artifacts(self, model_id: str, path: str = "") -> list[Artifact]:
        """Return a model's files by path: the file of a path or those below a folder; empty is all."""
        ...
