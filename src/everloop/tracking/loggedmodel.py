"""The nouns of logged models: a model that a run made, with the params, tags, files and latest metrics of its own,
and the search for them.
"""

from __future__ import annotations

from datetime import datetime
from typing import Literal

import msgspec

from everloop.tracking.run import Metric

ModelStatus = Literal["pending", "ready", "failed"]


class ModelMetric(Metric, frozen=True, kw_only=True):
    """A value that a run measured of a logged model, on a dataset when it names one.

    Attributes:
        run_id: The run that measured it; to be logged, it is that of the call, and may be left out.
    """

    model_id: str
    run_id: str = ""
    dataset_name: str = ""
    dataset_digest: str = ""


class LoggedModel(msgspec.Struct, frozen=True, kw_only=True):
    """A model that was logged: MLflow's `LoggedModel`.

    Attributes:
        model_id: "m-" and 32 hex digits.
        name: 1 to 500 characters; several models may have the same.
        source_run_id: The run that made it; not checked, as models come from elsewhere, too.
        metrics: The latest value of each key, run and dataset: that of the largest (logged_at, step, value).
        is_deleted: Nothing can be added to it any more.
    """

    model_id: str
    experiment_id: str
    name: str
    model_type: str | None
    source_run_id: str | None
    status: ModelStatus
    status_message: str | None
    created_at: datetime
    updated_at: datetime
    is_deleted: bool
    params: dict[str, str]
    tags: dict[str, str]
    metrics: list[ModelMetric]


class MetricDataset(msgspec.Struct, frozen=True, kw_only=True):
    """A dataset on which models were measured; without a digest, every one of that name."""

    name: str
    digest: str = ""


class ModelOrder(msgspec.Struct, frozen=True, kw_only=True):
    """One key of an order of logged models.

    Attributes:
        key: An attribute, as `name`, or a metric, as `metrics.auc`.
        dataset: The metric is the latest on this dataset; None is the latest on any, and on none.
    """

    key: str
    is_descending: bool = False
    dataset: MetricDataset | None = None


class LoggedModelPage(msgspec.Struct, frozen=True, kw_only=True):
    """Some of the models that were sought. `next` is what to ask for those behind them by; empty at the end."""

    models: list[LoggedModel]
    next: str
