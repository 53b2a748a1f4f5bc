"""The contract of a dataset: what every batch must be like, read from YAML and checked for sense.

    min_rows: 20
    extra_columns: refuse          # or allow
    null_values: ["", NA]          # texts that mean "no value"
    unique: [origin, time_hour]    # no two rows share these
    columns:
      origin: {type: string, one_of: [EWR, JFK, LGA]}
      temp: {type: number, min: -30, max: 120, max_nulls: 0.1, median: [5, 95], max_jump: 30}
      time_hour: {type: timestamp}
    checks:
      - {name: dew point, expression: dewp <= temp + 1}

Applying it to a file is left to `check`.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, Literal, TypeVar

import duckdb
import msgspec

from everloop.errors import InvalidError, NotFoundError
from everloop.yamlfile import load_tree, parse_yaml

ColumnType = Literal["string", "integer", "number", "boolean", "timestamp"]
Kind = TypeVar("Kind")

SQL_TYPES: dict[ColumnType, str] = {
    "string": "VARCHAR",
    "integer": "BIGINT",
    "number": "DOUBLE",
    "boolean": "BOOLEAN",
    "timestamp": "TIMESTAMP",
}
"""Column type to the type that a check's expression sees."""


class Column(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a column must be like.

    Attributes:
        type: `integer` is 64 bits; `number` is a finite double; `timestamp` is ISO 8601, in UTC where no zone is given.
        required: Whether a batch without this column is refused.
        max_nulls: Greatest share of rows without a value, in [0, 1].
        min: Least value; numbers, or ISO 8601 text for timestamps.
        max: Greatest value.
        one_of: The only values there may be, as they are written in the file.
        median: Range in which the batch's median must lie; numbers only.
        max_jump: How far the median may be from that of the batch accepted before; numbers only.
    """

    type: ColumnType
    required: bool = True
    max_nulls: float = 0.0
    min: float | str | None = None
    max: float | str | None = None
    one_of: tuple[str, ...] | None = None
    median: tuple[float, float] | None = None
    max_jump: float | None = None


class RowCheck(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A condition on each row: an SQL expression over the contract's columns. Where it is null, the row passes."""

    name: str
    expression: str


class Contract(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What every batch of a dataset must be like.

    Attributes:
        columns: Column name to what it must be like; names differ by more than case.
        min_rows: Least number of rows.
        extra_columns: Whether columns that are not named here are refused.
        unique: Columns whose values together may not come twice; rows with a null among them do not count.
        checks: Conditions on each row.
        null_values: Texts that mean "no value".
        delimiter: One character between the values of a CSV row.
    """

    columns: dict[str, Column]
    min_rows: int = 1
    extra_columns: Literal["refuse", "allow"] = "refuse"
    unique: tuple[str, ...] = ()
    checks: tuple[RowCheck, ...] = ()
    null_values: tuple[str, ...] = ("",)
    delimiter: str = ","


def read_contract(path: Path) -> Contract:
    """Return the contract in the YAML file at `path`.

    Raises:
        NotFoundError: There is no such file.
        InvalidError: It is malformed; names the file, the line and, for a misspelt key, the near one.
    """
    if not path.is_file():
        raise NotFoundError(f"there is no contract at {path}")
    try:
        return parse_contract(path.read_text(encoding="utf-8"), name=str(path))
    except UnicodeDecodeError as error:
        raise InvalidError(f"{path} is not UTF-8 text: {error}") from error


def parse_contract(text: str, *, name: str) -> Contract:
    """Return the contract written in YAML `text`.

    Args:
        text: The YAML.
        name: What to call the text in errors, mostly its path.

    Raises:
        InvalidError: It is malformed; names line, key, and for a misspelt key the near one.
    """
    plain = parse_yaml(text, dict[str, Any], name=name)
    lines = _Lines(name, load_tree(text, name=name))
    columns, checks = plain.pop("columns", None), plain.pop("checks", [])
    if not isinstance(columns, dict) or not columns:
        raise lines.error((), "a contract needs `columns:`, at least one of them")
    if not isinstance(checks, list):
        raise lines.error(("checks",), "`checks` must be a list of {name, expression}")
    top = _convert(plain | {"columns": {}}, Contract, lines, ())
    contract = msgspec.structs.replace(
        top,
        columns={key: _convert(_texts(value), Column, lines, ("columns", key)) for key, value in columns.items()},
        checks=tuple(_convert(value, RowCheck, lines, ("checks", k)) for k, value in enumerate(checks)),
    )
    _check_columns(contract, lines)
    _check_names(contract, lines)
    _check_table(contract, lines)
    if contract.checks:
        _check_expressions(contract, lines)
    return contract


class _Lines:
    """Where in the text a key stands, for errors."""

    def __init__(self, name: str, tree: Any) -> None:
        self.name = name
        self.tree = tree

    def error(self, path: tuple[str | int, ...], problem: str, hint: str | None = None) -> InvalidError:
        node, line = self.tree, 1
        for step in path:
            place = getattr(node, "lc", None)
            if place is None or (isinstance(node, dict) and step not in node):
                break
            line = (place.key(step) if isinstance(node, dict) else place.item(step))[0] + 1
            node = node[step]
        where = ".".join(map(str, path))
        return InvalidError(f"{self.name}:{line}: {where}{': ' if where else ''}{problem}", hint=hint)


def _convert(value: Any, kind: type[Kind], lines: _Lines, path: tuple[str | int, ...]) -> Kind:
    names = list(kind.__struct_fields__)  # type: ignore[attr-defined]
    for key in value if isinstance(value, Mapping) else ():
        if key not in names:
            near = difflib.get_close_matches(str(key), names, n=1)
            known = f"Known keys: {', '.join(names)}. In braces, a text with commas needs quotes."
            hint = f"Did you mean {near[0]!r}?" if near else known
            raise lines.error((*path, key), "unknown key", hint)
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        message, _, place = str(error).partition(" - at `$.")
        field = place.rstrip("`").partition("[")[0]
        raise lines.error((*path, field) if field in names else path, message) from error


def _texts(value: Any) -> Any:
    """Return a column's mapping with YAML's own times, and the numbers of `one_of`, as the texts they stand for."""
    if not isinstance(value, Mapping):
        return value
    result = {key: item.isoformat() if isinstance(item, date) else item for key, item in value.items()}
    if isinstance(result.get("one_of"), list):
        result["one_of"] = [_text(item) for item in result["one_of"]]
    return result


def _text(item: Any) -> Any:
    if isinstance(item, bool):
        return str(item).lower()
    if isinstance(item, date):
        return item.isoformat()
    return str(item) if isinstance(item, int | float) else item


def _check_columns(contract: Contract, lines: _Lines) -> None:
    for name, column in contract.columns.items():
        path = ("columns", name)
        if not 0.0 <= column.max_nulls <= 1.0:
            raise lines.error((*path, "max_nulls"), f"must lie in [0, 1], but it is {column.max_nulls:g}")
        for field in ("min", "max"):
            _check_bound(column, field, lines, path)
        if column.min is not None and column.max is not None and _order(column.min) > _order(column.max):
            raise lines.error((*path, "min"), f"min {column.min} is above max {column.max}")
        for field in ("median", "max_jump"):
            if getattr(column, field) is not None and column.type not in ("integer", "number"):
                raise lines.error((*path, field), f"is for numbers, but the column's type is {column.type}")
        if column.median is not None and column.median[0] > column.median[1]:
            raise lines.error((*path, "median"), "must be [least, greatest]")
        if column.max_jump is not None and not column.max_jump > 0.0:
            raise lines.error((*path, "max_jump"), "must be above 0")
        if column.one_of is not None and not column.one_of:
            raise lines.error((*path, "one_of"), "allows no value at all")


def _check_bound(column: Column, field: str, lines: _Lines, path: tuple[str, ...]) -> None:
    bound = getattr(column, field)
    if bound is None:
        return
    if column.type in ("string", "boolean"):
        raise lines.error((*path, field), f"is for numbers and timestamps, but the column's type is {column.type}")
    if column.type == "timestamp":
        try:
            datetime.fromisoformat(str(bound))
        except ValueError as error:
            raise lines.error((*path, field), f"{bound!r} is not a time in ISO 8601") from error
    elif isinstance(bound, str) or not math.isfinite(bound):
        raise lines.error((*path, field), f"must be a finite number, but it is {bound!r}")


def _order(bound: float | str) -> float:
    if not isinstance(bound, str):
        return bound
    time = datetime.fromisoformat(bound)
    return (time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp()


def _check_names(contract: Contract, lines: _Lines) -> None:
    folded: dict[str, str] = {}
    for name in contract.columns:
        if not name or name != name.strip():
            raise lines.error(("columns", name), "a column's name may not be empty or have spaces around it")
        if name.casefold() in folded:
            raise lines.error(("columns", name), f"differs from {folded[name.casefold()]!r} by case only")
        folded[name.casefold()] = name


def _check_table(contract: Contract, lines: _Lines) -> None:
    for name in contract.unique:
        if name not in contract.columns:
            near = difflib.get_close_matches(name, contract.columns, n=1)
            hint = f"Did you mean {near[0]!r}?" if near else None
            raise lines.error(("unique",), f"there is no column {name!r} in this contract", hint)
    if contract.min_rows < 0:
        raise lines.error(("min_rows",), "must be 0 or more")
    if len(contract.delimiter) != 1 or contract.delimiter in '"\r\n':
        raise lines.error(("delimiter",), f"must be one character, not a quote, but it is {contract.delimiter!r}")
    names = [check.name for check in contract.checks]
    for k, name in enumerate(names):
        if name in names[:k]:
            raise lines.error(("checks", k, "name"), f"two checks are called {name!r}")


def _check_expressions(contract: Contract, lines: _Lines) -> None:
    """Bind each expression to an empty table of the contract's columns: mistakes show before any batch comes."""
    columns = ", ".join(
        '"' + name.replace('"', '""') + f'" {SQL_TYPES[column.type]}' for name, column in contract.columns.items()
    )
    with duckdb.connect(":memory:", config={"threads": 1}) as connection:
        connection.execute("SET enable_external_access = false")
        connection.execute(f"CREATE TABLE data ({columns})")
        for k, check in enumerate(contract.checks):
            query = f"SELECT ({check.expression}) FROM data"  # noqa: S608 - an expression is SQL by design
            path = ("checks", k, "expression")
            try:
                statements = connection.extract_statements(query)
                described = connection.execute(f"DESCRIBE {query}").fetchall() if len(statements) == 1 else []
            except duckdb.Error as error:
                raise lines.error(path, str(error).partition("\n")[0]) from error
            if [row[1] for row in described] != ["BOOLEAN"]:
                raise lines.error(path, "must be one SQL expression that is true or false for a row")
