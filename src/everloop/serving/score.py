"""`python -m everloop.serving.score`: a job that scores a table with one or more model packages, for gates.

    python -m everloop.serving.score --package model/ --package champion/ --data holdout.csv --output scores.json

Runs in a process of its own, because loading a model is for gateways and jobs only. Leaves judging the scores to
`evaluation`. The output is a JSON file `{"rows": n, "scores": [[…], …]}`, one list per package in their order, or, when
it is named `.npz`, the array `scores` of shape (n_packages, n_rows).
"""

from __future__ import annotations

import argparse
import csv
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from everloop.errors import EverloopError, InvalidError, NotFoundError
from everloop.registry.package import Column
from everloop.serving.model import LoadedModel

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_BOOLEANS = {"true": True, "1": True, "false": False, "0": False}


def score_table(packages: Sequence[Path], data: Path) -> NDArray[np.float64]:
    """Score every row of a CSV file with every package; return (n_packages, n_rows) scores in [0, 1].

    Raises:
        NotFoundError: a package or the file is missing.
        InvalidError: a column is missing or a cell does not fit its type; the line is named.
        FailedError: a model could not score the rows.
    """
    import numpy as np

    models = [LoadedModel.load(package) for package in packages]
    cells = _read(data)
    return np.stack([model.score(_typed(cells, model.inputs, data)) for model in models])


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the job; return its exit code: 0 done, 1 failed (the reason is on stderr)."""
    parser = argparse.ArgumentParser(prog="python -m everloop.serving.score", description=__doc__.partition("\n")[0])
    parser.add_argument("--package", action="append", required=True, type=Path, help="model package; may be repeated")
    parser.add_argument("--data", required=True, type=Path, help="CSV file with a header line")
    parser.add_argument("--output", required=True, type=Path, help="file to write, .json or .npz")
    given = parser.parse_args(arguments)
    try:
        _write(given.output, score_table(given.package, given.data))
    except EverloopError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


def wait() -> int:
    """Import what scoring needs, then run the job whose arguments come as one JSON line on standard input.

    Starting the job early hides the seconds that the imports take. An empty line or the end of input means no work.
    """
    from everloop.registry import safe

    safe.warm()
    line = sys.stdin.readline()
    return main(msgspec.json.decode(line, type=list[str])) if line.strip() else 0


def _read(path: Path) -> dict[str, list[str]]:
    if not path.is_file():
        raise NotFoundError(f"there is no data file {path}")
    with path.open(newline="", encoding="utf-8") as file:
        reader = csv.reader(file)
        header = next(reader, [])
        rows = []
        for row in reader:
            if len(row) != len(header):
                raise InvalidError(
                    f"{path}, line {reader.line_num}: {len(row)} cells, but the header has {len(header)}"
                )
            rows.append(row)
    return dict(zip(header, map(list, zip(*rows, strict=True)), strict=True)) if rows else {name: [] for name in header}


def _typed(cells: dict[str, list[str]], inputs: Sequence[Column], path: Path) -> dict[str, list[Any]]:
    missing = [column.name for column in inputs if column.name not in cells]
    if missing:
        raise InvalidError(
            f"{path} has no column {missing[0]!r} ({len(missing)} missing in all); it has {', '.join(cells)}"
        )
    if not cells[inputs[0].name]:
        raise InvalidError(f"{path} has no rows")
    return {column.name: _parsed(cells[column.name], column, path) for column in inputs}


def _parsed(texts: Sequence[str], column: Column, path: Path) -> list[Any]:
    """Read one column; an empty cell is a missing string or double."""
    values = []
    for line, text in enumerate(texts, start=2):
        try:
            values.append(_value(text, column.type))
        except (ValueError, KeyError) as error:
            raise InvalidError(
                f"{path}, row {line - 1}, column {column.name!r}: {text!r} is no {column.type}"
            ) from error
    return values


def _value(text: str, kind: str) -> Any:
    if kind in ("string", "double") and text == "":
        return None
    if kind == "double":
        return float(text)
    if kind == "long":
        return int(text)
    return text if kind == "string" else _BOOLEANS[text.lower()]


def _write(path: Path, scores: NDArray[np.float64]) -> None:
    import numpy as np

    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    with temporary.open("wb") as file:
        if path.suffix == ".npz":
            np.savez_compressed(file, scores=scores)
        else:
            file.write(msgspec.json.encode({"rows": scores.shape[1], "scores": scores.tolist()}))
    temporary.replace(path)


if __name__ == "__main__":
    raise SystemExit(wait() if sys.argv[1:] == ["--wait"] else main())
