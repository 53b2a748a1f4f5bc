"""Which experiments to show: `metrics.auc > 0.8 AND params.lr < 0.1 AND state != 'Queued'`.

A value is compared as what it is compared with: a number with numbers only, `true` and `false` with these, a quoted
text with what the table shows. What is not there meets nothing but IS NULL, as in a search of runs on the hub.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import msgspec

from everloop.errors import InvalidError
from everloop.pipelines.experiments.columns import Key, keys, named, values_of
from everloop.pipelines.experiments.rows import Row, row_of, short
from everloop.pipelines.experiments.states import Range, Shown
from everloop.storage.filtertext import NUMBER, TEXT, Comparator, Reader, conditions

# The columns that tell what a row is, as CSV heads them, and the field that has them.
_FIXED = {"experiment": "name", "rev": "rev", "created": "created", "state": "state", "executor": "executor"}
_FOLDED = frozenset(["state", "executor"])
_SORTED: dict[str, Callable[[Any, Any], bool]] = {
    ">": operator.gt,
    ">=": operator.ge,
    "<": operator.lt,
    "<=": operator.le,
}
_ALL: tuple[Comparator, ...] = ("=", "!=", ">", ">=", "<", "<=", "LIKE", "ILIKE", "IN", "NOT IN")
_NULLS: tuple[Comparator, ...] = ("IS NULL", "IS NOT NULL")
_TRUTH = re.compile(r"(?:true|false)(?!\w)", re.IGNORECASE)

_Literal = str | float | bool


class _Condition(msgspec.Struct, frozen=True):
    """One comparison; `column` is a key, or a field of `Row`; IN and NOT IN have a tuple, IS NULL has no value."""

    column: Key | str
    comparator: Comparator
    value: _Literal | tuple[_Literal, ...] | None


def filtered(shown: Sequence[Shown], where: str) -> list[Shown]:
    """Leave out the experiments that do not meet a filter, and baselines that do not if none of theirs is left.

    Args:
        shown: All that there are.
        where: Conditions joined by AND. A column is named as `columns.named` takes it, or `Experiment`, `rev`,
            `Created`, `State` or `Executor`, in any case. Empty is no condition.

    Raises:
        InvalidError: It is no filter, or names a column that is none, or can be several.
    """
    if not where.strip():
        return list(shown)
    known = keys(shown)
    asked = conditions(where, lambda reader: _condition(reader, known))
    return list(_left(shown, asked))


def _left(shown: Sequence[Shown], asked: tuple[_Condition, ...]) -> Iterator[Shown]:
    for baseline in shown:
        left = [each for each in baseline.experiments or () if _meets(_experiment(each), asked)]
        if left or _meets(row_of(baseline, "baseline", baseline.name or short(baseline.rev), None), asked):
            yield msgspec.structs.replace(baseline, experiments=left or None)


def _experiment(experiment: Range) -> Row:
    return row_of(experiment.tip, "branch_commit", short(experiment.tip.rev), experiment)


def _condition(reader: Reader, known: Sequence[Key]) -> _Condition:
    place = reader.place
    entity, key = reader.identifier("a column as metrics.auc, params.lr, metrics.json:auc or state")
    word = f"{entity}.{key}" if entity else key
    column = _FIXED.get(word.lower()) or _column(reader, word, known, place)
    is_text = column == "created"
    comparator = reader.comparator(_ALL + _NULLS, repr(word))
    return _Condition(column, comparator, _value(reader, comparator, word, is_text=is_text))


def _column(reader: Reader, word: str, known: Sequence[Key], place: int) -> Key:
    try:
        return named(word, known, "to filter by")
    except InvalidError as error:
        raise reader.error(error.message, error.hint, place=place) from error


def _value(
    reader: Reader, comparator: Comparator, word: str, *, is_text: bool
) -> _Literal | tuple[_Literal, ...] | None:
    if comparator in _NULLS:
        return None
    text = f"a quoted text for {word!r}, as 'tree'"
    if comparator in {"LIKE", "ILIKE"}:
        return reader.text(text)
    if comparator in {"IN", "NOT IN"}:
        return tuple(reader.each("value", lambda: _literal(reader, word)))
    if comparator in _SORTED:
        # Only times are texts whose order is that of what they mean.
        return reader.text("a quoted time, as '2026-01-31'") if is_text else reader.number(f"a number for {word!r}")
    return _literal(reader, word)


def _literal(reader: Reader, word: str) -> _Literal:
    if (found := reader.take(TEXT)) is not None:
        quote = found.group()[0]
        return found.group()[1:-1].replace(quote * 2, quote)
    if (found := reader.take(_TRUTH)) is not None:
        return found.group().lower() == "true"
    return float(reader.need(NUMBER, f"a number, a quoted text, true or false for {word!r}").group())


def _meets(row: Row, asked: tuple[_Condition, ...]) -> bool:
    values, _ = values_of(row.data)
    return all(_is_met(condition, _found(condition, row, values)) for condition in asked)


def _found(condition: _Condition, row: Row, values: dict[Key, Any]) -> Any:
    if isinstance(condition.column, str):
        return getattr(row, condition.column) or None
    return values.get(condition.column)


def _is_met(condition: _Condition, found: Any) -> bool:
    comparator, value = condition.comparator, condition.value
    if comparator in _NULLS or found is None:
        return (found is None) == (comparator == "IS NULL") and comparator in _NULLS
    fold: Callable[[str], str] = str.lower if condition.column in _FOLDED else str
    if isinstance(value, tuple):
        return any(_equals(found, each, fold) for each in value) == (comparator == "IN")
    if comparator in {"LIKE", "ILIKE"}:
        return _is_like(str(found), str(value), is_folded=comparator == "ILIKE" or condition.column in _FOLDED)
    if comparator in _SORTED:
        return _are_alike(found, value) and _SORTED[comparator](found, value)
    return _equals(found, value, fold) == (comparator == "=")


def _are_alike(found: Any, value: Any) -> bool:
    """Two texts, or two numbers; `true` is no number."""
    if isinstance(value, str):
        return isinstance(found, str)
    return isinstance(found, int | float) and not isinstance(found, bool)


def _equals(found: Any, value: Any, fold: Callable[[str], str]) -> bool:
    if isinstance(value, str):
        return fold(str(found)) == fold(value)
    return isinstance(found, bool) == isinstance(value, bool) and bool(found == value)


def _is_like(text: str, pattern: str, *, is_folded: bool) -> bool:
    """`%` stands for any characters, `_` for one."""
    wild = {"%": ".*", "_": "."}
    expression = "".join(wild.get(letter) or re.escape(letter) for letter in pattern)
    return re.fullmatch(expression, text, re.DOTALL | (re.IGNORECASE if is_folded else 0)) is not None
