"""MLflow's calls about logged models."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from everloop import refs
from everloop import tracking as ours
from everloop.errors import InvalidError, NotFoundError
from everloop.server.mlflow.limits import check_length
from everloop.server.mlflow.names import random_run_name
from everloop.server.mlflow.wire import Message, Metric, Nothing, Pair, Text, from_pairs, to_ms, to_pairs
from everloop.tracking import MetricDataset, ModelOrder, ModelStatus, TrackingStore

NAME_CHARACTERS = 500
PAGE_MODELS = 100
_NOT_IN_NAMES = "/:.%\"'"
_FINAL: dict[str | int, ModelStatus] = {
    "LOGGED_MODEL_PENDING": "pending",
    "LOGGED_MODEL_READY": "ready",
    "LOGGED_MODEL_UPLOAD_FAILED": "failed",
    1: "pending",
    2: "ready",
    3: "failed",
}
_STATUS_NAMES = {status: name for name, status in _FINAL.items() if isinstance(name, str)}
FinalStatus = Literal["LOGGED_MODEL_PENDING", "LOGGED_MODEL_READY", "LOGGED_MODEL_UPLOAD_FAILED", 1, 2, 3]
_Type = Annotated[str, msgspec.Meta(max_length=NAME_CHARACTERS)]


class CreateLoggedModel(Message, frozen=True, kw_only=True):
    experiment_id: Text
    name: str = ""
    model_type: _Type = ""
    source_run_id: _Type = ""
    params: tuple[Pair, ...] = ()
    tags: tuple[Pair, ...] = ()


class OfModel(Message, frozen=True, kw_only=True):
    """A request about a model, whose id is in the path."""

    model_id: Text


class GetLoggedModel(OfModel, frozen=True, kw_only=True):
    allow_deleted: bool = False


class FinalizeLoggedModel(OfModel, frozen=True, kw_only=True):
    status: FinalStatus


class ModelParams(OfModel, frozen=True, kw_only=True):
    params: tuple[Pair, ...] = ()


class ModelTags(OfModel, frozen=True, kw_only=True):
    tags: tuple[Pair, ...] = ()


class ModelTag(OfModel, frozen=True, kw_only=True):
    tag_key: Text


class OnDataset(Message, frozen=True, kw_only=True):
    """What names a dataset on which a metric was measured."""

    dataset_name: str = ""
    dataset_digest: str = ""

    @property
    def dataset(self) -> MetricDataset:
        return MetricDataset(name=self.dataset_name, digest=self.dataset_digest)


class OrderBy(OnDataset, frozen=True, kw_only=True):
    field_name: Text
    ascending: bool = True


class SearchLoggedModels(Message, frozen=True, kw_only=True):
    experiment_ids: tuple[str, ...]
    filter: str = ""
    datasets: tuple[OnDataset, ...] = ()
    max_results: Annotated[int, msgspec.Meta(ge=0, le=50_000)] = 0  # to MLflow 0 is unset
    order_by: tuple[OrderBy, ...] = ()
    page_token: str = ""


class LoggedModelInfo(Message, frozen=True, kw_only=True):
    model_id: str
    experiment_id: str
    name: str
    creation_timestamp_ms: int
    last_updated_timestamp_ms: int
    artifact_uri: str
    status: str
    model_type: str = ""
    source_run_id: str = ""
    status_message: str = ""
    tags: tuple[Pair, ...] = ()


class LoggedModelData(Message, frozen=True, kw_only=True):
    params: tuple[Pair, ...] = ()
    metrics: tuple[Metric, ...] = ()


class LoggedModel(Message, frozen=True, kw_only=True):
    info: LoggedModelInfo
    data: LoggedModelData


class OneLoggedModel(Message, frozen=True, kw_only=True):
    model: LoggedModel


class LoggedModels(Message, frozen=True, kw_only=True):
    models: tuple[LoggedModel, ...] = ()
    next_page_token: str = ""


def create_logged_model(tracking: TrackingStore, asked: CreateLoggedModel) -> OneLoggedModel:
    if any(each in asked.name for each in _NOT_IN_NAMES):
        raise InvalidError(
            f"Invalid model name ({asked.name!r}) provided. Model name must be a non-empty string and cannot contain"
            f" the following characters: {tuple(_NOT_IN_NAMES)}"
        )
    made = tracking.create_logged_model(
        refs.new_model_id(),
        asked.experiment_id,
        check_length(asked.name, NAME_CHARACTERS, "name") or random_run_name(),
        asked.source_run_id or None,
        asked.model_type or None,
        from_pairs(asked.params),
        from_pairs(asked.tags),
    )
    return OneLoggedModel(model=to_logged_model(made))


def get_logged_model(tracking: TrackingStore, asked: GetLoggedModel) -> OneLoggedModel:
    found = tracking.get_logged_model(asked.model_id)
    if found.is_deleted and not asked.allow_deleted:
        raise NotFoundError(f"Logged model with ID '{asked.model_id}' not found.")
    return OneLoggedModel(model=to_logged_model(found))


def search_logged_models(tracking: TrackingStore, asked: SearchLoggedModels) -> LoggedModels:
    page = tracking.search_logged_models(
        list(asked.experiment_ids),
        asked.filter,
        [each.dataset for each in asked.datasets],
        list(map(_to_order, asked.order_by)),
        asked.max_results or PAGE_MODELS,
        asked.page_token,
    )
    return LoggedModels(models=tuple(map(to_logged_model, page.models)), next_page_token=page.next)


def finalize_logged_model(tracking: TrackingStore, asked: FinalizeLoggedModel) -> OneLoggedModel:
    return OneLoggedModel(model=to_logged_model(tracking.finalize_logged_model(asked.model_id, _FINAL[asked.status])))


def delete_logged_model(tracking: TrackingStore, asked: OfModel) -> Nothing:
    tracking.delete_logged_model(asked.model_id)
    return Nothing()


def log_params(tracking: TrackingStore, asked: ModelParams) -> Nothing:
    tracking.log_logged_model_params(asked.model_id, from_pairs(asked.params))
    return Nothing()


def set_tags(tracking: TrackingStore, asked: ModelTags) -> Nothing:
    tracking.tag_logged_model(asked.model_id, from_pairs(asked.tags))
    return Nothing()


def delete_tag(tracking: TrackingStore, asked: ModelTag) -> Nothing:
    tracking.untag_logged_model(asked.model_id, asked.tag_key)
    return Nothing()


def to_logged_model(found: ours.LoggedModel) -> LoggedModel:
    info = LoggedModelInfo(
        model_id=found.model_id,
        experiment_id=found.experiment_id,
        name=found.name,
        creation_timestamp_ms=to_ms(found.created_at),
        last_updated_timestamp_ms=to_ms(found.updated_at),
        artifact_uri=f"mlflow-artifacts:/{found.experiment_id}/models/{found.model_id}/artifacts",
        status=_STATUS_NAMES[found.status],
        model_type=found.model_type or "",
        source_run_id=found.source_run_id or "",
        status_message=found.status_message or "",
        tags=tuple(to_pairs(found.tags)),
    )
    data = LoggedModelData(params=tuple(to_pairs(found.params)), metrics=tuple(map(_to_metric, found.metrics)))
    return LoggedModel(info=info, data=data)


def _to_order(asked: OrderBy) -> ModelOrder:
    if asked.dataset_digest and not asked.dataset_name:
        raise InvalidError("`dataset_digest` can only be specified if `dataset_name` is also specified.")
    dataset = asked.dataset if asked.dataset_name else None
    return ModelOrder(key=asked.field_name, is_descending=not asked.ascending, dataset=dataset)


def _to_metric(point: ours.ModelMetric) -> Metric:
    return Metric(
        key=point.key,
        value=point.value,
        timestamp=to_ms(point.logged_at),
        step=point.step,
        run_id=point.run_id,
        model_id=point.model_id,
        dataset_name=point.dataset_name,
        dataset_digest=point.dataset_digest,
    )
