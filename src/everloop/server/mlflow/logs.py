"""MLflow's calls that add to a run: metrics, params, tags, inputs and outputs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import msgspec

from everloop import tracking as ours
from everloop.errors import InvalidError
from everloop.server.mlflow.limits import (
    BATCH_ALL,
    BATCH_METRICS,
    BATCH_PARAMS,
    BATCH_TAGS,
    PARAM_CHARACTERS,
    TAG_CHARACTERS,
    check_count,
    check_key,
    cut,
)
from everloop.server.mlflow.runs import OfRun
from everloop.server.mlflow.wire import (
    RUN_NAME,
    DatasetInput,
    Message,
    ModelInput,
    ModelOutput,
    Nothing,
    Pair,
    Text,
    from_ms,
)
from everloop.tracking import TrackingStore


class LoggedMetric(Message, frozen=True, kw_only=True):
    """A metric as it is sent; with a `model_id` it is also one of that logged model."""

    key: Text
    value: float
    timestamp: int
    step: int = 0
    model_id: str = ""
    dataset_name: Annotated[str, msgspec.Meta(max_length=500)] = ""
    dataset_digest: Annotated[str, msgspec.Meta(max_length=36)] = ""


class LogMetric(OfRun, frozen=True, kw_only=True):
    key: Text
    value: float
    timestamp: int
    step: int = 0
    model_id: str = ""
    dataset_name: Annotated[str, msgspec.Meta(max_length=500)] = ""
    dataset_digest: Annotated[str, msgspec.Meta(max_length=36)] = ""


class LogPair(OfRun, frozen=True, kw_only=True):
    """A param or a tag to log, or a tag to delete."""

    key: Text
    value: str = ""


class LogBatch(OfRun, frozen=True, kw_only=True):
    metrics: tuple[LoggedMetric, ...] = ()
    params: tuple[Pair, ...] = ()
    tags: tuple[Pair, ...] = ()


class LogInputs(OfRun, frozen=True, kw_only=True):
    datasets: tuple[DatasetInput, ...] = ()
    models: tuple[ModelInput, ...] = ()


class LogOutputs(OfRun, frozen=True, kw_only=True):
    models: tuple[ModelOutput, ...] = ()


def log_metric(tracking: TrackingStore, asked: LogMetric) -> Nothing:
    metrics = [_to_metric(asked, "")]
    tracking.log(asked.run, metrics=metrics, model_metrics=_of_models([asked], metrics))
    return Nothing()


def log_param(tracking: TrackingStore, asked: LogPair) -> Nothing:
    tracking.log(asked.run, params=_to_params([Pair(key=asked.key, value=asked.value)]))
    return Nothing()


def set_tag(tracking: TrackingStore, asked: LogPair) -> Nothing:
    _log(tracking, asked.run, [], {}, [Pair(key=asked.key, value=asked.value)])
    return Nothing()


def delete_tag(tracking: TrackingStore, asked: LogPair) -> Nothing:
    if asked.key == RUN_NAME:
        raise InvalidError(f"The tag {RUN_NAME} is the name of run {asked.run}, and every run has one")
    tracking.untag_run(asked.run, asked.key)
    return Nothing()


def log_batch(tracking: TrackingStore, asked: LogBatch) -> Nothing:
    check_count(asked.metrics, BATCH_METRICS, "metrics")
    check_count(asked.params, BATCH_PARAMS, "params")
    check_count(asked.tags, BATCH_TAGS, "tags")
    check_count([*asked.metrics, *asked.params, *asked.tags], BATCH_ALL, "metrics, params, and tags")
    metrics = [_to_metric(each, f"metrics[{i}].") for i, each in enumerate(asked.metrics)]
    _log(tracking, asked.run, metrics, _to_params(asked.params), asked.tags, _of_models(asked.metrics, metrics))
    return Nothing()


def log_inputs(tracking: TrackingStore, asked: LogInputs) -> Nothing:
    check_count(asked.datasets, 1000, "datasets")
    check_count(asked.models, 1000, "models")
    tracking.log_inputs(asked.run, list(map(_to_input, asked.datasets)), [each.model_id for each in asked.models])
    return Nothing()


def log_outputs(tracking: TrackingStore, asked: LogOutputs) -> Nothing:
    check_count(asked.models, 1000, "models")
    made = [ours.ModelOutput(model_id=each.model_id, step=each.step) for each in asked.models]
    tracking.log_outputs(asked.run, made)
    return Nothing()


def _log(
    tracking: TrackingStore,
    run_id: str,
    metrics: list[ours.Metric],
    params: dict[str, str],
    tags: Sequence[Pair],
    of_models: list[ours.ModelMetric] | None = None,
) -> None:
    texts = {
        check_key(tag.key, f"tags[{i}].key"): cut(tag.value, TAG_CHARACTERS, f"tag {tag.key!r}")
        for i, tag in enumerate(tags)
    }
    name = texts.pop(RUN_NAME, "")
    if metrics or params or texts or not name:
        tracking.log(run_id, metrics, params, texts, of_models)
    if name:
        tracking.update_run(run_id, name=name)


def _to_metric(asked: LogMetric | LoggedMetric, place: str) -> ours.Metric:
    key = check_key(asked.key, f"{place}name")
    return ours.Metric(
        key=key, value=asked.value, step=asked.step, logged_at=from_ms(asked.timestamp, f"{place}timestamp")
    )


def _of_models(asked: Sequence[LogMetric | LoggedMetric], metrics: Sequence[ours.Metric]) -> list[ours.ModelMetric]:
    return [
        ours.ModelMetric(
            key=metric.key,
            value=metric.value,
            step=metric.step,
            logged_at=metric.logged_at,
            model_id=each.model_id,
            dataset_name=each.dataset_name,
            dataset_digest=each.dataset_digest,
        )
        for each, metric in zip(asked, metrics, strict=True)
        if each.model_id
    ]


def _to_params(pairs: Sequence[Pair]) -> dict[str, str]:
    found: dict[str, str] = {}
    for i, pair in enumerate(pairs):
        if pair.key in found:
            raise InvalidError(
                f"Duplicate parameter keys have been submitted: {[pair.key]}. Please ensure the request contains only"
                " one param value per param key."
            )
        found[check_key(pair.key, f"params[{i}].key")] = cut(pair.value, PARAM_CHARACTERS, f"param {pair.key!r}")
    return found


def _to_input(asked: DatasetInput) -> ours.Input:
    dataset = asked.dataset
    return ours.Input(
        name=dataset.name,
        digest=dataset.digest,
        source_type=dataset.source_type,
        source=dataset.source,
        schema=dataset.schema,
        profile=dataset.profile,
        tags={tag.key: tag.value for tag in asked.tags},
    )
