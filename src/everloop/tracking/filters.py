"""What may be asked of runs and of experiments, in the search language of `storage.filters`.

Source: MLflow 3.17, "Search Runs" and "Search Experiments".
"""

from __future__ import annotations

from collections.abc import Iterable

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
    "parse_run_filter",
    "parse_run_order",
]

_RUNS = Grammar(
    entities={
        "metric": "metric",
        "metrics": "metric",
        "parameter": "param",
        "parameters": "param",
        "param": "param",
        "params": "param",
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
