"""The search language of MLflow clients, parsed: `metrics.rmse < 1 AND params.model = 'tree'`, `metrics.rmse DESC`.

A filter is a list of conditions joined by AND; there is no OR and, but for the lists of IN, no parenthesis. A room says
by a `Grammar` what may be asked of its things. What a condition means for a thing that lacks its key is the room's, and
how a page is ordered is `order.py`'s. Source: MLflow 3.17, "Search Runs", "Search Experiments" and "Search Registered
Models"; keys may hold more characters unquoted here than there, and a quote inside a value is doubled as in SQL.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Literal

import msgspec

from everloop.errors import InvalidError
from everloop.storage.filtertext import DIRECTION, Comparator, Reader, conditions

Kind = Literal["metric", "param", "tag", "attribute", "dataset"]


class Condition(msgspec.Struct, frozen=True):
    """One comparison. `value` is a number for metrics and times (milliseconds since 1970), a tuple for IN and NOT IN,
    None for IS NULL and IS NOT NULL, else text; `%` and `_` in the text of LIKE and ILIKE stand for any characters and
    one.
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


class Grammar(msgspec.Struct, frozen=True):
    """What may be asked of one kind of thing: its entities by each of their names, and its attributes.

    Attributes:
        texts, numbers: The attributes that are text, and those that are numbers or times.
        aliases: Further names of attributes.
        nullable: Which kinds may be asked for with IS NULL.
        listed: Which kinds of text may be asked for with IN.
        tag_attributes: Tags that are attributes.
        folded: The attributes that are sought in lower case.
    """

    entities: Mapping[str, Kind]
    texts: frozenset[str]
    numbers: frozenset[str]
    aliases: Mapping[str, str]
    nullable: frozenset[Kind]
    tag_attributes: Mapping[str, str] = {}
    folded: frozenset[str] = frozenset()
    listed: frozenset[Kind] = frozenset(["attribute", "dataset"])


ATTRIBUTE: dict[str, Kind] = {"attribute": "attribute", "attributes": "attribute", "attr": "attribute"}
TAG: dict[str, Kind] = {"tag": "tag", "tags": "tag"}
_DATASET_KEYS = frozenset(["name", "digest", "context"])

_NUMERIC: tuple[Comparator, ...] = ("=", "!=", ">", ">=", "<", "<=")
_TEXTUAL: tuple[Comparator, ...] = ("=", "!=", "LIKE", "ILIKE")
_LISTS: tuple[Comparator, ...] = ("IN", "NOT IN")
_NULLS: tuple[Comparator, ...] = ("IS NULL", "IS NOT NULL")


def parse_filter(text: str, grammar: Grammar) -> tuple[Condition, ...]:
    """Parse a filter; empty text is no condition.

    Raises:
        InvalidError: it is no such filter; says where in the text, and what may stand there.
    """
    return conditions(text, lambda reader: _condition(reader, grammar))


def _condition(reader: Reader, grammar: Grammar) -> Condition:
    kind, key = _identifier(reader, grammar)
    is_number = kind == "metric" or (kind == "attribute" and key in grammar.numbers)
    comparator = reader.comparator(_comparators(kind, grammar, is_number=is_number), f"{kind} {key!r}")
    is_folded = kind == "attribute" and key in grammar.folded
    value = _value(reader, kind, key, comparator, is_number=is_number, is_folded=is_folded)
    return Condition(kind, key, comparator, value)


def _comparators(kind: Kind, grammar: Grammar, *, is_number: bool) -> tuple[Comparator, ...]:
    if is_number:
        return _NUMERIC
    return _TEXTUAL + (_LISTS if kind in grammar.listed else ()) + (_NULLS if kind in grammar.nullable else ())


def _identifier(reader: Reader, grammar: Grammar) -> tuple[Kind, str]:
    place = reader.place
    entity, key = reader.identifier("a key as metrics.rmse, params.`my key` or start_time")
    kind = grammar.entities.get(entity) if entity else "attribute"
    if kind is None:
        raise reader.error(
            f"Invalid entity type {entity!r}", f"Valid entity types: {', '.join(grammar.entities)}.", place=place
        )
    if kind == "tag" and key in grammar.tag_attributes:
        return "attribute", grammar.tag_attributes[key]
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
    reader: Reader, kind: Kind, key: str, comparator: Comparator, *, is_number: bool, is_folded: bool
) -> str | float | tuple[str, ...] | None:
    if comparator in _NULLS:
        return None
    if is_number:
        return reader.number(f"a numeric value for {kind} {key!r}")
    fold = str.lower if is_folded else str
    if comparator in _LISTS:
        return tuple(map(fold, reader.each("a quoted string", lambda: reader.text("a quoted string value"))))
    return fold(reader.text(f"a quoted string value for {kind} {key!r} (e.g. 'my-value')"))


def parse_order(texts: Iterable[str], grammar: Grammar) -> tuple[Order, ...]:
    """Parse an order, each text a key and then perhaps ASC (the default) or DESC.

    Raises:
        InvalidError: a text is no key, or a key comes twice.
    """
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
