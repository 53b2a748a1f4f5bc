"""A model package in use: load it in a gateway or job process, score rows.

Leaves the package's format to `registry.package` and the batching of requests to `batching.py`. A call costs about 2 ms
for 1 row as for 100 (scikit-learn's checks), so callers score many rows at once.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from everloop.errors import FailedError, InvalidError
from everloop.registry.package import DATATYPES, Column, PackageInfo, read_package

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_thread = threading.local()


class LoadedModel:
    """A package whose estimator is in memory. Thread-safe: scoring changes nothing.

    Args:
        estimator: a fitted classifier of two classes.
        info: what the package says about it.
    """

    def __init__(self, estimator: Any, info: PackageInfo) -> None:
        self.estimator = estimator
        self.info = info
        self.inputs: tuple[Column, ...] = info.inputs
        self.output = info.outputs[0].name if info.outputs else "probability"
        self._is_numeric = all(column.type == "double" for column in info.inputs)

    @classmethod
    def load(cls, path: Path) -> LoadedModel:
        """Load a package.

        Raises:
            NotFoundError: there is no package at `path`.
            InvalidError: it is malformed, it would run code on load, its signature is missing or has types that are
                not served, or its estimator is no classifier of two classes.
            NotInstalledError: scikit-learn or skops is missing.
        """
        from everloop.registry import safe

        info = read_package(path)
        if info.format != "skops":
            raise InvalidError(
                f"the package at {path} is serialised as {info.format or 'something unknown'}; only skops is loaded, "
                "because loading anything else may run its code",
                hint="Save it with everloop.save_model.",
            )
        _check_signature(info, path)
        estimator = safe.load(path / info.model_file)
        classes = getattr(estimator, "classes_", ())
        if not hasattr(estimator, "predict_proba") or len(classes) != 2:
            raise InvalidError(f"the model at {path} is no fitted classifier of two classes")
        return cls(estimator, info)

    def score(self, columns: Mapping[str, Sequence[Any]]) -> NDArray[np.float64]:
        """Return the probability of the second class of each row, (n_rows,), in [0, 1].

        Args:
            columns: name → n_rows values for every input; further columns are ignored. A missing string or double
                is None (a double may be NaN).

        Raises:
            InvalidError: a column is missing, or columns differ in length.
            FailedError: the model could not score these rows; the cause is named.
        """
        _use_one_thread()
        rows = self._rows(columns)
        try:
            answer = self.estimator.predict_proba(rows)[:, 1]
        # What an estimator raises on data that it does not like is its own affair; the cause is kept.
        except Exception as error:
            raise FailedError(f"the model could not score these rows: {type(error).__name__}: {error}") from error
        return _checked(answer, len(rows))

    def _rows(self, columns: Mapping[str, Sequence[Any]]) -> NDArray[Any]:
        """Lay the columns side by side in the model's order: float64 when all are doubles, else objects."""
        import numpy as np

        missing = [column.name for column in self.inputs if column.name not in columns]
        if missing:
            raise InvalidError(f"the model needs the inputs {', '.join(missing)}, which were not given")
        lengths = {column.name: len(columns[column.name]) for column in self.inputs}
        n_rows = lengths[self.inputs[0].name]
        for name, length in lengths.items():
            if length != n_rows:
                raise InvalidError(f"input {name!r} has {length} rows, but {self.inputs[0].name!r} has {n_rows}")
        rows = np.empty((n_rows, len(self.inputs)), dtype=np.float64 if self._is_numeric else object)
        for place, column in enumerate(self.inputs):
            values = columns[column.name]
            # Through float64, so that a missing double is NaN, which is what models know as missing.
            rows[:, place] = np.asarray(values, dtype=np.float64) if column.type == "double" else values
        return rows


def _check_signature(info: PackageInfo, path: Path) -> None:
    if not info.inputs:
        raise InvalidError(f"the package at {path} has no signature of named columns", hint="Use everloop.save_model.")
    for column in info.inputs:
        if column.type not in DATATYPES:
            raise InvalidError(
                f"input {column.name!r} of the package at {path} has type {column.type!r}; "
                f"served are {', '.join(DATATYPES)}"
            )


def _use_one_thread() -> None:
    """Let this thread's OpenMP calls use one thread, once per thread.

    A team of OpenMP threads spins while it waits: on a machine with other work a 2 ms prediction then takes 20 ms and
    its slowest percent 3 s, and even alone it wins only from some thousand rows per call.
    """
    if getattr(_thread, "is_single", False):
        return
    from threadpoolctl import threadpool_limits

    threadpool_limits(limits=1, user_api="openmp")
    _thread.is_single = True


def _checked(answer: Any, n_rows: int) -> NDArray[np.float64]:
    import numpy as np

    scores: NDArray[np.float64] = np.asarray(answer, dtype=np.float64)
    if scores.shape != (n_rows,) or not bool(np.all((scores >= 0.0) & (scores <= 1.0))):
        raise FailedError(f"the model answered {scores.shape} values or some outside of [0, 1] for {n_rows} rows")
    return scores
