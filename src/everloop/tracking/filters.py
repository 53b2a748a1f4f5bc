"""The search language of MLflow clients, parsed: `metrics.rmse < 1 AND params.model = 'tree'`, `metrics.rmse DESC`.

A filter is a list of conditions joined by AND; there is no OR and, but for the lists of IN, no parenthesis. What a
condition means for a run that lacks its key, and how a page is ordered, is the store's (`sql.py`). Source: MLflow 3.17,
"Search Runs" and "Search Experiments"; keys may hold more characters unquoted here than there, and a quote inside a
value is doubled as in SQL.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Literal

import msgspec

from everloop.errors import InvalidError
from everloop.tracking.filtertext import DIRECTION, Comparator, Reader, conditions

Kind = Literal["metric", "param", "tag", "attribute", "dataset"]


class Condition(msgspec.Struct, frozen=True):
    """One comparison. `value` is a number for metrics and times (milliseconds since 1970), a tuple for IN and NOT IN,
    None for IS NULL and IS NOT NULL, else text; `%` and `_` in the text of LIKE and ILIKE stand for any characters and
    one. The value of the attribute `status` is in lower case.
    """

    kind: Kind
    key: str
    comparator: Comparator
    value: str | float | tuple[str, ...] | None


class Order(msgspec.Struct, frozen=True):
    """One key of an order."""

    kind: Kind
    key: str
    descending: bool


class _Grammar(msgspec.Struct, frozen=True):
    """What may be asked of one kind of thing: its entities by each of their names, and its attributes."""

    entities: Mapping[str, Kind]
    texts: frozenset[str]
    numbers: frozenset[str]
    aliases: Mapping[str, str]
    nullable: frozenset[Kind]


_ATTRIBUTE: dict[str, Kind] = {"attribute": "attribute", "attributes": "attribute", "attr": "attribute"}
_TAG: dict[str, Kind] = {"tag": "tag", "tags": "tag"}
_RUNS = _Grammar(
    entities={
        "metric": "metric",
        "metrics": "metric",
        "parameter": "param",
        "parameters": "param",
        "param": "param",
        "params": "param",
        **_TAG,
        **_ATTRIBUTE,
        "run": "attribute",
        "dataset": "dataset",
        "datasets": "dataset",
    },
    texts=frozenset(["run_id", "run_name", "status", "artifact_uri", "user_id"]),
    numbers=frozenset(["start_time", "end_time"]),
    aliases={"created": "start_time", "Created": "start_time", "run name": "run_name"}
    | {"Run name": "run_name", "Run Name": "run_name"},
    nullable=frozenset(["param", "tag"]),
)
_EXPERIMENTS = _Grammar(
    entities={**_TAG, **_ATTRIBUTE},
    texts=frozenset(["name", "experiment_id"]),
    numbers=frozenset(["creation_time", "last_update_time"]),
    aliases={},
    nullable=frozenset(["tag"]),
)
_DATASET_KEYS = frozenset(["name", "digest", "context"])

_NUMERIC: tuple[Comparator, ...] = ("=", "!=", ">", ">=", "<", "<=")
_TEXTUAL: tuple[Comparator, ...] = ("=", "!=", "LIKE", "ILIKE")
_LISTS: tuple[Comparator, ...] = ("IN", "NOT IN")
_NULLS: tuple[Comparator, ...] = ("IS NULL", "IS NOT NULL")


def parse_run_filter(text: str) -> tuple[Condition, ...]:
    """Parse a filter of runs: metrics, params, tags, datasets, and the attributes run_id, run_name, status,
    artifact_uri, user_id, start_time and end_time. Empty text is no condition.

    Raises:
        InvalidError: it is no such filter; says where in the text, and what may stand there.
    """
    return _parse_filter(text, _RUNS)


def parse_run_order(texts: Iterable[str]) -> tuple[Order, ...]:
    """Parse the order of runs, each text a key and then perhaps ASC (the default) or DESC.

    Raises:
        InvalidError: a text is no key of runs, or a key comes twice.
    """
    return _parse_order(texts, _RUNS)


def parse_experiment_filter(text: str) -> tuple[Condition, ...]:
    """Parse a filter of experiments: tags, and the attributes name, experiment_id, creation_time, last_update_time.

    Raises:
        InvalidError: it is no such filter; says where in the text, and what may stand there.
    """
    return _parse_filter(text, _EXPERIMENTS)


def parse_experiment_order(texts: Iterable[str]) -> tuple[Order, ...]:
    """Parse the order of experiments, each text a key and then perhaps ASC (the default) or DESC.

    Raises:
        InvalidError: a text is no key of experiments, or a key comes twice.
    """
    return _parse_order(texts, _EXPERIMENTS)


def _parse_filter(text: str, grammar: _Grammar) -> tuple[Condition, ...]:
    return conditions(text, lambda reader: _condition(reader, grammar))


def _condition(reader: Reader, grammar: _Grammar) -> Condition:
    kind, key = _identifier(reader, grammar)
    is_number = kind == "metric" or (kind == "attribute" and key in grammar.numbers)
    allowed = _comparators(kind, grammar, is_number=is_number)
    comparator = reader.comparator(allowed, f"{kind} {key!r}")
    return Condition(kind, key, comparator, _value(reader, kind, key, comparator, is_number=is_number))


def _comparators(kind: Kind, grammar: _Grammar, *, is_number: bool) -> tuple[Comparator, ...]:
    if is_number:
        return _NUMERIC
    return (
        _TEXTUAL + (_LISTS if kind in {"attribute", "dataset"} else ()) + (_NULLS if kind in grammar.nullable else ())
    )


def _identifier(reader: Reader, grammar: _Grammar) -> tuple[Kind, str]:
    place = reader.place
    entity, key = reader.identifier("a key as metrics.rmse, params.`my key` or start_time")
    kind = grammar.entities.get(entity) if entity else "attribute"
    if kind is None:
        raise reader.error(
            f"Invalid entity type {entity!r}", f"Valid entity types: {', '.join(grammar.entities)}.", place=place
        )
    if (kind, key) == ("tag", "mlflow.runName") and grammar is _RUNS:
        return "attribute", "run_name"  # MLflow clients know a run's name also as this tag
    if kind == "attribute":
        key = grammar.aliases.get(key, key)
        _check_key(reader, place, kind, key, grammar.texts | grammar.numbers)
    if kind == "dataset":
        _check_key(reader, place, kind, key, _DATASET_KEYS)
    return kind, key


def _check_key(reader: Reader, place: int, kind: Kind, key: str, allowed: frozenset[str]) -> None:
    if key not in allowed:
        hint = f"Valid keys: {', '.join(sorted(allowed))}."
        raise reader.error(f"Invalid {kind} key {key!r} specified", hint, place=place)


def _value(
    reader: Reader, kind: Kind, key: str, comparator: Comparator, *, is_number: bool
) -> str | float | tuple[str, ...] | None:
    if comparator in _NULLS:
        return None
    if is_number:
        return reader.number(f"a numeric value for {kind} {key!r}")
    fold = str.lower if (kind, key) == ("attribute", "status") else str
    if comparator in _LISTS:
        return tuple(map(fold, reader.each("a quoted string", lambda: reader.text("a quoted string value"))))
    return fold(reader.text(f"a quoted string value for {kind} {key!r} (e.g. 'my-value')"))


def _parse_order(texts: Iterable[str], grammar: _Grammar) -> tuple[Order, ...]:
    orders: list[Order] = []
    for text in texts:
        reader = Reader(text, "order_by clause")
        kind, key = _identifier(reader, grammar)
        if kind == "dataset":
            raise reader.error("runs are not ordered by their datasets", place=0)
        direction = reader.take(DIRECTION)
        if not reader.at_end:
            raise reader.error("expected ASC, DESC or the end")
        if any((kind, key) == (each.kind, each.key) for each in orders):
            raise InvalidError(f"`order_by` contains duplicate fields: {kind} {key!r}")
        orders.append(Order(kind, key, descending=direction is not None and direction.group().upper() == "DESC"))
    return tuple(orders)
