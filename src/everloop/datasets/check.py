"""Checking a batch against its contract: every broken rule with its rows, and a guess at what went wrong.

The answer is a value, never an exception, whatever the file holds. Quarantine and alerts are left to others.
"""

# Names and texts pass through quoted() and literal(); a contract's expressions are SQL on purpose, and the connection
# that runs them reaches no file but the one that is checked.
# ruff: noqa: S608

from __future__ import annotations

import difflib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb
import msgspec
import numpy as np

from everloop.datasets.contract import SQL_TYPES, Column, Contract, RowCheck
from everloop.datasets.profile import CategoricalProfile, ColumnProfile, NumericProfile, Profile, numeric_profile
from everloop.datasets.reading import SAMPLES, Sample, Table, UnreadableError, Violation, literal, open_table, quoted
from everloop.datasets.units import unit_change

_KEPT_VALUES = 50
_INTEGER = r"\s*[+-]?\d+\s*"
_NUMBER = r"\s*[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?\s*"
_TIME = r"\s*\d{4}-\d{2}-\d{2}([T ]\d{2}:\d{2}(:\d{2}(\.\d{1,9})?)?\s*(Z|[+-]\d{2}(:?\d{2})?)?)?\s*"


class CheckReport(msgspec.Struct, frozen=True, kw_only=True):
    """The outcome of a check.

    Attributes:
        n_rows: Rows of data; 0 when the file could not be read.
        violations: Every rule that was broken; empty when the batch keeps the contract.
        profile: The profile of the contract's columns; None when the file could not be read.
    """

    n_rows: int
    violations: list[Violation]
    profile: Profile | None

    @property
    def ok(self) -> bool:
        """Whether the batch keeps the contract."""
        return not self.violations


def check(contract: Contract, path: Path, previous: Profile | None = None, *, timeout_s: float = 300.0) -> CheckReport:
    """Check the CSV or Parquet file at `path` against `contract`.

    Args:
        contract: What the batch must be like.
        path: The file; its content decides whether it is read as Parquet or CSV.
        previous: The profile of the batch accepted before, for `max_jump`; None when there is none.
        timeout_s: The check is given up, as a violation of rule `file`, after this many seconds.

    Returns:
        The report. A file that is no table, or breaks off, is reported and not raised; a table's other rules are
        all checked, so that one report names everything to mend.
    """
    try:
        with open_table(Path(path), contract) as table, _deadline(table.connection, timeout_s):
            return _check_table(contract, table, previous)
    except UnreadableError as error:
        return CheckReport(n_rows=0, violations=list(error.violations), profile=None)
    except duckdb.InterruptException:
        message = f"the check was given up after {timeout_s:g} s"
        return CheckReport(n_rows=0, violations=[Violation(rule="file", message=message)], profile=None)
    except duckdb.Error as error:
        message = f"the check could not be carried out: {str(error).partition(chr(10))[0]}"
        return CheckReport(n_rows=0, violations=[Violation(rule="file", message=message)], profile=None)


@contextmanager
def _deadline(connection: duckdb.DuckDBPyConnection, timeout_s: float) -> Iterator[None]:
    timer = threading.Timer(timeout_s, connection.interrupt)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


class _Rule(msgspec.Struct, frozen=True):
    """A rule on rows: `bad` is the SQL condition of a broken row, `shown` the SQL text of the value to show."""

    rule: str
    column: str
    bad: str
    shown: str
    expected: str
    allowed: int = 0


def _check_table(contract: Contract, table: Table, previous: Profile | None) -> CheckReport:
    found = {name: f"c{table.names.index(name)}" for name in contract.columns if name in table.names}
    violations = _header_violations(contract, table.names)
    if table.n_rows < contract.min_rows:
        message = f"the batch has {table.n_rows} rows, at least {contract.min_rows} are asked for"
        violations.append(Violation(rule="min_rows", message=message, suggestion="Was the export cut off?"))
    if found:
        _make_tables(table.connection, contract, found)
        violations += _row_violations(table.connection, _rules(contract, found, table.n_rows))
        violations += _unique_violations(table.connection, contract, found)
        for row_check in contract.checks:
            violations += _row_check_violations(table.connection, row_check, contract, found)
    profile = Profile(
        rows=table.n_rows,
        columns={name: _profile(table.connection, name, contract.columns[name], table.n_rows) for name in found},
    )
    violations += _median_violations(contract, profile, previous)
    return CheckReport(n_rows=table.n_rows, violations=violations, profile=profile)


def _header_violations(contract: Contract, names: list[str]) -> list[Violation]:
    extra = [name for name in names if name not in contract.columns]
    missing = [name for name in contract.columns if name not in names]
    result: list[Violation] = []
    guessed: dict[str, str] = {}
    for name in missing:
        if not contract.columns[name].required:
            continue
        near = _near(name, [other for other in extra if other not in guessed.values()])
        if near is not None:
            guessed[name] = near
        result.append(
            Violation(
                rule="missing_column",
                column=name,
                message=f"column {name!r} is missing",
                suggestion=_renamed(name, near, extra, names),
            )
        )
    if contract.extra_columns == "refuse":
        for name in extra:
            new = next((old for old, other in guessed.items() if other == name), None)
            near = new or _near(name, missing)
            hint = f"Is it {near!r} under a new name?" if near else "Add it to the contract, or allow extra columns."
            message = f"column {name!r} is not in the contract"
            result.append(Violation(rule="extra_column", column=name, message=message, suggestion=hint))
    return result


def _near(name: str, others: list[str]) -> str | None:
    """Return the other name that is probably the same column: the same words, one the start of the other, or close."""
    plain = {other: "".join(c for c in other.casefold() if c.isalnum()) for other in others}
    mine = "".join(c for c in name.casefold() if c.isalnum())
    for other, text in plain.items():
        if text and mine and (text == mine or text.startswith(mine) or mine.startswith(text)):
            return other
    close = difflib.get_close_matches(name, others, n=1, cutoff=0.6)
    return close[0] if close else None


def _renamed(name: str, near: str | None, extra: list[str], names: list[str]) -> str | None:
    if near is not None:
        return f"An unexpected column {near!r} came instead: was {name!r} renamed? Check its unit too."
    if extra:
        return f"Unexpected columns came: {', '.join(extra[:10])}. Is one of them {name!r} under a new name?"
    return f"The file has: {', '.join(names[:20])}."


def _make_tables(connection: duckdb.DuckDBPyConnection, contract: Contract, found: dict[str, str]) -> None:
    """Make the table `data`: the contract's columns under their names and types, parsed once for all that follows."""
    nulls = ", ".join(literal(text) for text in contract.null_values) or "NULL"
    given = ", ".join(f"CASE WHEN {raw} NOT IN ({nulls}) THEN {raw} END AS {raw}" for raw in found.values())
    connection.execute(f"CREATE VIEW given AS SELECT rowid + 1 AS n, {given} FROM raw")
    typed = ", ".join(f"{_typed(raw, contract.columns[name].type)} AS {quoted(name)}" for name, raw in found.items())
    connection.execute(f"CREATE TABLE data AS SELECT {typed} FROM given")


def _typed(raw: str, kind: str) -> str:
    """Return the SQL of a text as a value of type `kind`, null where it is none."""
    if kind == "string":
        return raw
    if kind == "boolean":
        return f"TRY_CAST({raw} AS BOOLEAN)"
    pattern, target = {
        "integer": (_INTEGER, "BIGINT"),
        "number": (_NUMBER, "DOUBLE"),
        "timestamp": (_TIME, "TIMESTAMPTZ"),
    }[kind]
    # The patterns keep out what duckdb would take for a number too: 0x10, 1_000, 3.7 rounded to an integer, nan, inf.
    value = f"CASE WHEN regexp_full_match({raw}, {literal(pattern)}) THEN TRY_CAST({raw} AS {target}) END"
    if kind == "number":
        return f"CASE WHEN isfinite({value}) THEN {value} END"
    return f"CAST({value} AS TIMESTAMP)" if kind == "timestamp" else value


def _rules(contract: Contract, found: dict[str, str], n_rows: int) -> list[_Rule]:
    rules = []
    for name, raw in found.items():
        column = contract.columns[name]
        value = _typed(raw, column.type)
        if column.type != "string":
            wrong = f"{raw} IS NOT NULL AND {value} IS NULL"
            rules.append(_Rule("type", name, wrong, raw, f"is not of type {column.type}"))
        allowed = int(column.max_nulls * n_rows)
        share = f"at most {column.max_nulls:.1%} are allowed" if column.max_nulls else "none is allowed"
        rules.append(_Rule("nulls", name, f"{raw} IS NULL", raw, f"has no value, {share}", allowed))
        for rule, sign, word in (("min", "<", "below"), ("max", ">", "above")):
            bound = getattr(column, rule)
            if bound is not None:
                limit = f"CAST({literal(bound)} AS TIMESTAMPTZ)::TIMESTAMP" if isinstance(bound, str) else repr(bound)
                rules.append(_Rule(rule, name, f"{value} {sign} {limit}", raw, f"is {word} {bound}"))
        if column.one_of is not None:
            known = ", ".join(literal(text) for text in column.one_of)
            text = "lower(" + raw + ")" if column.type == "boolean" else raw
            few = ", ".join(column.one_of[:10]) + (", …" if len(column.one_of) > 10 else "")
            rules.append(_Rule("one_of", name, f"{text} NOT IN ({known})", raw, f"is not one of {few}"))
    return rules


def _row_violations(connection: duckdb.DuckDBPyConnection, rules: list[_Rule]) -> list[Violation]:
    counts = connection.execute(
        "SELECT " + ", ".join(f"count(*) FILTER (WHERE {rule.bad})" for rule in rules) + " FROM given"
    ).fetchone()
    result = []
    for rule, count in zip(rules, counts or (), strict=True):
        if count > rule.allowed:
            query = f"SELECT n, {rule.shown} FROM given WHERE {rule.bad} ORDER BY n LIMIT {SAMPLES}"
            noun = "1 row" if count == 1 else f"{count} rows"
            result.append(
                Violation(
                    rule=rule.rule,
                    column=rule.column,
                    count=count,
                    message=f"column {rule.column!r}: {noun} whose value {rule.expected}",
                    samples=_samples(connection, query),
                )
            )
    return result


def _unique_violations(
    connection: duckdb.DuckDBPyConnection, contract: Contract, found: dict[str, str]
) -> list[Violation]:
    if not contract.unique or any(name not in found for name in contract.unique):
        return []
    raws = [found[name] for name in contract.unique]
    keys = ", ".join(raws)
    there = " AND ".join(f"{raw} IS NOT NULL" for raw in raws)
    groups = f"SELECT {keys}, min(n) AS first, max(n) AS n, count(*) - 1 AS more FROM given WHERE {there} GROUP BY ALL"
    repeated = f"(SELECT * FROM ({groups}) WHERE more > 0)"
    total = connection.execute(f"SELECT coalesce(sum(more), 0)::BIGINT FROM {repeated}").fetchone()
    if total is None or not total[0]:
        return []
    shown = " || ', ' || ".join(raws) + " || ' (first in row ' || first || ')'"
    names = ", ".join(contract.unique)
    return [
        Violation(
            rule="unique",
            column=contract.unique[0] if len(contract.unique) == 1 else None,
            count=total[0],
            message=f"{total[0]} rows repeat the key ({names}) of another row",
            samples=_samples(connection, f"SELECT n, {shown} FROM {repeated} ORDER BY n LIMIT {SAMPLES}"),
            suggestion="Was a part of the data exported twice?",
        )
    ]


def _row_check_violations(
    connection: duckdb.DuckDBPyConnection, row_check: RowCheck, contract: Contract, found: dict[str, str]
) -> list[Violation]:
    # Columns that did not come are null here, so that the checks on the others still run.
    absent = "".join(
        f", NULL::{SQL_TYPES[column.type]} AS {quoted(name)}"
        for name, column in contract.columns.items()
        if name not in found
    )
    numbered = (
        f"(SELECT row_number() OVER () AS n, ({row_check.expression}) AS passes FROM (SELECT *{absent} FROM data))"
    )
    where = f"{numbered} WHERE NOT passes"
    try:
        total = connection.execute(f"SELECT count(*) FROM {where}").fetchone()
        if total is None or not total[0]:
            return []
        samples = _samples(connection, f"SELECT n, NULL FROM {where} ORDER BY n LIMIT {SAMPLES}")
    except duckdb.InterruptException:
        raise
    except duckdb.Error as error:
        problem = str(error).partition("\n")[0]
        message = f"check {row_check.name!r} could not be evaluated: {problem}"
        hint = f"Its expression in the contract is: {row_check.expression}"
        return [Violation(rule="check", message=message, suggestion=hint)]
    message = f"check {row_check.name!r}: {total[0]} rows do not satisfy {row_check.expression}"
    return [Violation(rule="check", count=total[0], message=message, samples=samples)]


def _samples(connection: duckdb.DuckDBPyConnection, query: str) -> tuple[Sample, ...]:
    rows: list[tuple[Any, ...]] = connection.execute(query).fetchall()
    return tuple(Sample(row=row, value=None if value is None else str(value)[:200]) for row, value in rows)


def _profile(connection: duckdb.DuckDBPyConnection, name: str, column: Column, n_rows: int) -> ColumnProfile:
    """Return the profile of one column; numbers are fetched one column at a time, texts are counted by duckdb."""
    if column.type in ("integer", "number", "timestamp"):
        value = f"epoch({quoted(name)})" if column.type == "timestamp" else f"{quoted(name)}::DOUBLE"
        there = f"SELECT {value} AS v FROM data WHERE {quoted(name)} IS NOT NULL"
        values = np.asarray(connection.execute(there).fetchnumpy()["v"], dtype=np.float64)
        return numeric_profile(values, n_rows - values.size)
    there = f"SELECT {quoted(name)}::VARCHAR AS v, count(*) AS n FROM data WHERE v IS NOT NULL GROUP BY v"
    total = connection.execute(f"SELECT coalesce(sum(n), 0)::BIGINT FROM ({there})").fetchone()
    count = total[0] if total else 0
    top = connection.execute(f"SELECT v, n FROM ({there}) ORDER BY n DESC, v LIMIT {_KEPT_VALUES}").fetchall()
    counts = dict(top)
    return CategoricalProfile(count=count, nulls=n_rows - count, counts=counts, other=count - sum(counts.values()))


def _median_violations(contract: Contract, profile: Profile, previous: Profile | None) -> list[Violation]:
    result = []
    for name, found in profile.columns.items():
        column = contract.columns[name]
        if not isinstance(found, NumericProfile) or found.median is None:
            continue
        before = previous.columns.get(name) if previous else None
        last = before.median if isinstance(before, NumericProfile) else None
        hint = unit_change(last, found.median)
        if column.median is not None and not column.median[0] <= found.median <= column.median[1]:
            low, high = column.median
            message = f"column {name!r}: the median is {found.median:g}, it must lie in [{low:g}, {high:g}]"
            result.append(Violation(rule="median", column=name, message=message, suggestion=hint))
        if column.max_jump is not None and last is not None and abs(found.median - last) > column.max_jump:
            message = (
                f"column {name!r}: the median went from {last:g} to {found.median:g}, by more than {column.max_jump:g}"
            )
            result.append(Violation(rule="max_jump", column=name, message=message, suggestion=hint))
    return result
