"""MLflow's nouns as they travel, and ours turned into them.

Times are milliseconds since 1970 UTC, lists stand for maps, and what is empty or unset is left out.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Annotated

import msgspec

from everloop import tracking
from everloop.errors import InvalidError
from everloop.tracking.run import Number

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LAST_MS = (datetime.max.replace(tzinfo=UTC) - _EPOCH) // timedelta(milliseconds=1)

Text = Annotated[str, msgspec.Meta(min_length=1)]
"""Text that a request must carry: MLflow takes an empty one for a missing one."""


class Message(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Anything that travels; fields that we do not know are passed over."""


class Nothing(Message, frozen=True, kw_only=True):
    """The answer of a call that only does something."""


class Pair(Message, frozen=True, kw_only=True):
    """A tag or a param."""

    key: Text
    value: str = ""


class Metric(Message, frozen=True, kw_only=True):
    """One value of a metric."""

    key: str
    value: Number
    timestamp: int
    step: int
    run_id: str = ""
    model_id: str = ""
    dataset_name: str = ""
    dataset_digest: str = ""


class Experiment(Message, frozen=True, kw_only=True):
    experiment_id: str
    name: str
    artifact_location: str
    lifecycle_stage: str
    last_update_time: int
    creation_time: int
    tags: list[Pair] = []


class RunInfo(Message, frozen=True, kw_only=True):
    run_id: str
    run_uuid: str
    run_name: str
    experiment_id: str
    user_id: str = ""
    status: str
    start_time: int
    end_time: int | None = None
    artifact_uri: str
    lifecycle_stage: str


class LatestMetric(Message, frozen=True, kw_only=True):
    """The latest value of a metric, which our runs hold without its step and time."""

    key: str
    value: Number


class RunData(Message, frozen=True, kw_only=True):
    metrics: list[LatestMetric] = []
    params: list[Pair] = []
    tags: list[Pair] = []


class Dataset(Message, frozen=True, kw_only=True):
    name: Annotated[str, msgspec.Meta(min_length=1, max_length=500)]
    digest: Annotated[str, msgspec.Meta(min_length=1, max_length=36)]
    source_type: Text
    source: Annotated[str, msgspec.Meta(min_length=1, max_length=65_535)]
    schema: Annotated[str, msgspec.Meta(max_length=1_048_575)] | None = None
    profile: Annotated[str, msgspec.Meta(max_length=16_777_215)] | None = None


class InputTag(Message, frozen=True, kw_only=True):
    key: Annotated[str, msgspec.Meta(min_length=1, max_length=255)]
    value: Annotated[str, msgspec.Meta(max_length=500)] = ""


class DatasetInput(Message, frozen=True, kw_only=True):
    dataset: Dataset
    tags: list[InputTag] = []


class ModelInput(Message, frozen=True, kw_only=True):
    """A logged model that a run read."""

    model_id: Text


class ModelOutput(Message, frozen=True, kw_only=True):
    """A logged model that a run made."""

    model_id: Text
    step: int = 0


class RunInputs(Message, frozen=True, kw_only=True):
    dataset_inputs: list[DatasetInput] = []
    model_inputs: list[ModelInput] = []


class RunOutputs(Message, frozen=True, kw_only=True):
    model_outputs: list[ModelOutput] = []


class Run(Message, frozen=True, kw_only=True):
    info: RunInfo
    data: RunData
    inputs: RunInputs
    outputs: RunOutputs


class FileInfo(Message, frozen=True, kw_only=True):
    """A file or a folder of artifacts."""

    path: str
    is_dir: bool
    file_size: int | None = None


def to_ms(at: datetime) -> int:
    return (at - _EPOCH) // timedelta(milliseconds=1)


def from_ms(milliseconds: int, name: str) -> datetime:
    """Return a time of the wire.

    Raises:
        InvalidError: it is before 1970 or after the year 9999; `name` says of what.
    """
    if not 0 <= milliseconds <= _LAST_MS:
        raise InvalidError(
            f"Invalid value {milliseconds} for parameter '{name}' supplied: not between 1970 and the year 9999"
            " in milliseconds since 1970"
        )
    return _EPOCH + timedelta(milliseconds=milliseconds)


def to_pairs(values: Mapping[str, str]) -> list[Pair]:
    return [Pair(key=key, value=value) for key, value in values.items()]


def from_pairs(pairs: Iterable[Pair]) -> dict[str, str]:
    return {pair.key: pair.value for pair in pairs}


def to_stage(*, is_deleted: bool) -> str:
    return "deleted" if is_deleted else "active"


def to_experiment(found: tracking.Experiment) -> Experiment:
    return Experiment(
        experiment_id=found.experiment_id,
        name=found.name,
        artifact_location=f"mlflow-artifacts:/{found.experiment_id}",
        lifecycle_stage=to_stage(is_deleted=found.is_deleted),
        last_update_time=to_ms(found.updated_at),
        creation_time=to_ms(found.created_at),
        tags=to_pairs(found.tags),
    )


def to_artifact_uri(run: tracking.Run) -> str:
    return f"mlflow-artifacts:/{run.experiment_id}/{run.run_id}/artifacts"


def to_run_info(run: tracking.Run) -> RunInfo:
    return RunInfo(
        run_id=run.run_id,
        run_uuid=run.run_id,
        run_name=run.name,
        experiment_id=run.experiment_id,
        user_id=run.tags.get("mlflow.user", ""),
        status=run.status.upper(),
        start_time=to_ms(run.started_at),
        end_time=None if run.ended_at is None else to_ms(run.ended_at),
        artifact_uri=to_artifact_uri(run),
        lifecycle_stage=to_stage(is_deleted=run.is_deleted),
    )


def to_run(run: tracking.Run) -> Run:
    data = RunData(
        metrics=[LatestMetric(key=key, value=value) for key, value in run.metrics.items()],
        params=to_pairs(run.params),
        # MLflow keeps a run's name twice; here the tag is the name.
        tags=to_pairs({**run.tags, RUN_NAME: run.name}),
    )
    inputs = RunInputs(
        dataset_inputs=list(map(_to_input, run.inputs)),
        model_inputs=[ModelInput(model_id=model_id) for model_id in run.model_inputs],
    )
    made = [ModelOutput(model_id=each.model_id, step=each.step) for each in run.model_outputs]
    return Run(info=to_run_info(run), data=data, inputs=inputs, outputs=RunOutputs(model_outputs=made))


def to_metric(point: tracking.Metric, run_id: str = "") -> Metric:
    return Metric(key=point.key, value=point.value, timestamp=to_ms(point.logged_at), step=point.step, run_id=run_id)


def _to_input(found: tracking.Input) -> DatasetInput:
    dataset = Dataset(
        name=found.name,
        digest=found.digest,
        source_type=found.source_type,
        source=found.source,
        schema=found.schema,
        profile=found.profile,
    )
    return DatasetInput(dataset=dataset, tags=[InputTag(key=key, value=value) for key, value in found.tags.items()])


RUN_NAME = "mlflow.runName"
"""The tag that is a run's name."""
