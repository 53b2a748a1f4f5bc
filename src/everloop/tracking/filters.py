"""What may be asked of runs, experiments and logged models, in the search language of `storage.filters`.

Source: MLflow 3.17, "Search Runs", "Search Experiments" and "Search Logged Models".
"""

from __future__ import annotations

from collections.abc import Iterable

from everloop.errors import InvalidError
from everloop.storage.filters import (
    ATTRIBUTE,
    TAG,
    Condition,
    Grammar,
    Kind,
    Order,
    parse_filter,
    parse_order,
)

__all__ = [
    "Condition",
    "Kind",
    "Order",
    "parse_experiment_filter",
    "parse_experiment_order",
    "parse_model_filter",
    "parse_model_key",
    "parse_run_filter",
    "parse_run_order",
]

_METRIC: dict[str, Kind] = {"metric": "metric", "metrics": "metric"}
_PARAM: dict[str, Kind] = {"parameter": "param", "parameters": "param", "param": "param", "params": "param"}
_RUNS = Grammar(
    entities={
        **_METRIC,
        **_PARAM,
        **TAG,
        **ATTRIBUTE,
        "run": "attribute",
        "dataset": "dataset",
        "datasets": "dataset",
    },
    texts=frozenset(["run_id", "run_name", "status", "artifact_uri", "user_id"]),
    numbers=frozenset(["start_time", "end_time"]),
    aliases={"created": "start_time", "Created": "start_time", "run name": "run_name"}
    | {"Run name": "run_name", "Run Name": "run_name"},
    nullable=frozenset(["param", "tag"]),
    tag_attributes={"mlflow.runName": "run_name"},  # MLflow clients know a run's name also as this tag
    folded=frozenset(["status"]),
)
_EXPERIMENTS = Grammar(
    entities={**TAG, **ATTRIBUTE},
    texts=frozenset(["name", "experiment_id"]),
    numbers=frozenset(["creation_time", "last_update_time"]),
    aliases={},
    nullable=frozenset(["tag"]),
)
_MODELS = Grammar(
    entities={**_METRIC, **_PARAM, **TAG, **ATTRIBUTE},
    texts=frozenset(["name", "model_id", "model_type", "status", "source_run_id"]),
    numbers=frozenset(["creation_timestamp", "last_updated_timestamp"]),
    aliases={"creation_time": "creation_timestamp", "creation_timestamp_ms": "creation_timestamp"}
    | {"last_updated_time": "last_updated_timestamp", "last_updated_timestamp_ms": "last_updated_timestamp"},
    nullable=frozenset(["param", "tag"]),
    folded=frozenset(["status"]),
    listed=frozenset(["attribute", "param", "tag"]),
)


def parse_run_filter(text: str) -> tuple[Condition, ...]:
    """Parse a filter of runs: metrics, params, tags, datasets, and the attributes run_id, run_name, status,
    artifact_uri, user_id, start_time and end_time. Empty text is no condition.

    Raises:
        InvalidError: it is no such filter; says where in the text, and what may stand there.
    """
    return parse_filter(text, _RUNS)


def parse_run_order(texts: Iterable[str]) -> tuple[Order, ...]:
    """Parse the order of runs, each text a key and then perhaps ASC (the default) or DESC.

    Raises:
        InvalidError: a text is no key of runs, or a key comes twice.
    """
    return parse_order(texts, _RUNS)


def parse_experiment_filter(text: str) -> tuple[Condition, ...]:
    """Parse a filter of experiments: tags, and the attributes name, experiment_id, creation_time, last_update_time.

    Raises:
        InvalidError: it is no such filter; says where in the text, and what may stand there.
    """
    return parse_filter(text, _EXPERIMENTS)


def parse_experiment_order(texts: Iterable[str]) -> tuple[Order, ...]:
    """Parse the order of experiments, each text a key and then perhaps ASC (the default) or DESC.

    Raises:
        InvalidError: a text is no key of experiments, or a key comes twice.
    """
    return parse_order(texts, _EXPERIMENTS)


def parse_model_filter(text: str) -> tuple[Condition, ...]:
    """Parse a filter of logged models: metrics, params, tags, and the attributes name, model_id, model_type, status,
    source_run_id, creation_timestamp and last_updated_timestamp.

    Raises:
        InvalidError: it is no such filter; says where in the text, and what may stand there.
    """
    return parse_filter(text, _MODELS)


def parse_model_key(text: str) -> tuple[Kind, str]:
    """Parse what logged models are ordered by: an attribute, or `metrics.` and a key, which needs no quotes.

    Raises:
        InvalidError: it is neither.
    """
    entity, dot, key = text.partition(".")
    if dot and _MODELS.entities.get(entity) == "metric" and key:
        return "metric", key
    attribute = key if dot and _MODELS.entities.get(entity) == "attribute" else text.strip()
    attribute = _MODELS.aliases.get(attribute, attribute)
    if attribute not in _MODELS.texts | _MODELS.numbers:
        known = ", ".join(sorted(_MODELS.texts | _MODELS.numbers))
        raise InvalidError(
            f"Invalid order by field name: {text[:100]!r}", hint=f"Use metrics.<key>, or one of {known}."
        )
    return "attribute", attribute
