"""The nouns of tracking: an experiment holds runs; a run holds metrics, params, tags and artifacts."""

from __future__ import annotations

import math
from datetime import datetime
from typing import Literal

import msgspec

from everloop.errors import InvalidError

Status = Literal["running", "scheduled", "finished", "failed", "killed"]
View = Literal["active", "deleted", "all"]
Number = float | Literal["NaN", "Infinity", "-Infinity"]


def as_number(value: float) -> Number:
    """Return a float as it travels: itself, or the text of a NaN or an infinity."""
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "Infinity" if value > 0 else "-Infinity"
    return value


def check_step(step: int, key: str) -> int:
    """Return a step of a metric or a model.

    Raises:
        InvalidError: 64 bits do not hold it.
    """
    if not -(1 << 63) <= step < 1 << 63:
        raise InvalidError(f"{key!r} has step {step}, which 64 bits do not hold")
    return step


class Experiment(msgspec.Struct, frozen=True, kw_only=True):
    """A named group of runs.

    Attributes:
        experiment_id: A decimal number; "0" is "Default", which is always there.
        name: 1 to 500 characters, unique, also among those that are deleted.
        updated_at: When it was last renamed, tagged, deleted or restored.
        is_deleted: Until it is restored, nothing can be added to it.
    """

    experiment_id: str
    name: str
    created_at: datetime
    updated_at: datetime
    is_deleted: bool
    tags: dict[str, str]


class Metric(msgspec.Struct, frozen=True, kw_only=True):
    """One value of one metric. NaN and infinities are kept, as text.

    `step` is a 64-bit integer, by habit counted from 0.

    Raises:
        InvalidError: `step` is out of range, or `logged_at` has no time zone.
    """

    key: str
    value: Number
    step: int = 0
    logged_at: datetime

    def __post_init__(self) -> None:
        check_step(self.step, self.key)
        if self.logged_at.tzinfo is None:
            raise InvalidError(f"metric {self.key!r} was logged at {self.logged_at}, a time without a time zone")
        # JSON has no word for them, so a float of theirs becomes its text here, once for every store.
        msgspec.structs.force_setattr(self, "value", as_number(float(self.value)))


class Input(msgspec.Struct, frozen=True, kw_only=True):
    """A dataset that a run read: MLflow's `DatasetInput`.

    Attributes:
        digest: Of its content, as the client computes it; in one experiment a name and a digest are one dataset.
        source_type: How `source` is to be read, as `local` or `http`.
        schema: Its columns as JSON text; None when unknown.
        profile: Its size and the like as JSON text; None when unknown.
        tags: Of this use of it, as `mlflow.data.context`: `training`.
    """

    name: str
    digest: str
    source_type: str
    source: str
    schema: str | None = None
    profile: str | None = None
    tags: dict[str, str] = {}


class ModelOutput(msgspec.Struct, frozen=True, kw_only=True):
    """A logged model that a run made: MLflow's `LoggedModelOutput`.

    Attributes:
        model_id: "m-" and 32 hex digits.
        step: The training step that it was made at, a 64-bit integer.
    """

    model_id: str
    step: int = 0


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """One execution. `metrics` holds the latest value of each key: that of the largest (step, logged_at, value).

    At the same step and time NaN counts as the largest value. `experiment` is the experiment's name. `model_inputs` are
    the ids of the logged models that it read, and `model_outputs` those that it made, both in the order of ids.
    """

    run_id: str
    experiment_id: str
    experiment: str
    name: str
    status: Status
    started_at: datetime
    ended_at: datetime | None
    is_deleted: bool
    params: dict[str, str]
    metrics: dict[str, Number]
    tags: dict[str, str]
    inputs: list[Input]
    model_inputs: list[str]
    model_outputs: list[ModelOutput]


class RunPage(msgspec.Struct, frozen=True, kw_only=True):
    """Some of the runs that were sought. `next` is what to ask for those behind them by; empty at the end."""

    runs: list[Run]
    next: str


class ExperimentPage(msgspec.Struct, frozen=True, kw_only=True):
    """Some of the experiments that were sought. `next` is what to ask for those behind them by; empty at the end."""

    experiments: list[Experiment]
    next: str


class History(msgspec.Struct, frozen=True, kw_only=True):
    """Points of a metric, in order. `next` is what to ask for those behind them by; empty at the end."""

    points: list[Metric]
    next: str


class Artifact(msgspec.Struct, frozen=True, kw_only=True):
    """A file of a run: its path inside the run, and its bytes by digest in the object store."""

    path: str
    digest: str
    size_bytes: int


class Edge(msgspec.Struct, frozen=True, kw_only=True):
    """One step of lineage between two addresses, as `runs/…` `used` `datasets/…`."""

    source: str
    relation: str
    target: str
