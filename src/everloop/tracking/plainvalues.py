"""Values as training scripts have them (arrays, tensors, data frames) as the plain ones that files hold."""

from __future__ import annotations

import operator
import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any

from everloop.errors import InvalidError

_INFINITY = float("inf")


def number(name: str, value: Any) -> float | str:
    """A metric's value: text stays text, what is an integer one, everything else is what `float` makes of it.

    Raises:
        InvalidError: `float` makes nothing of it.
    """
    if isinstance(value, str):
        return value
    try:
        as_float = float(value)
        with suppress(TypeError):  # a tensor has `__index__`, and refuses when it holds no integer
            return operator.index(value)
        return as_float
    except OverflowError as error:
        raise InvalidError(f"metric {name!r} is larger than any float: {str(value)[:20]}…") from error
    except (TypeError, ValueError, RuntimeError) as error:
        raise InvalidError(
            f"metric {name!r} is a {type(value).__name__}, which is no number", hint="Give one value: tensor.mean()"
        ) from error


def whole_step(step: Any) -> int:
    """A step as the 64-bit integer that it is.

    Raises:
        InvalidError: It is none.
    """
    try:
        number = operator.index(step)
    except TypeError as error:
        raise InvalidError(f"a step is an integer, found {step!r}") from error
    if not -(1 << 63) <= number < 1 << 63:
        raise InvalidError(f"step {number} is larger than 64 bits hold")
    return number


def finite(value: float | str) -> float | str:
    """A value as JSON can hold it: NaN and the infinities become text."""
    # JSON has no word for them; DVCLive writes their text.
    return value if isinstance(value, str) or -_INFINITY < value < _INFINITY else str(value)


def plain(value: Any) -> Any:
    """A parameter's value without the types of numpy and the like."""
    if isinstance(value, Mapping):
        return {str(key): plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [plain(inner) for inner in value]
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if hasattr(value, "tolist"):
        return value.tolist()
    return str(value) if isinstance(value, os.PathLike) else value


def flat(params: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """The values of nested mappings by their dotted names."""
    for key, value in params.items():
        if isinstance(value, Mapping) and value:
            yield from flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def records(name: str, datapoints: Any) -> list[dict[str, Any]]:
    """The rows of a data frame, or of a list of mappings, as plain ones.

    Raises:
        InvalidError: It is neither.
    """
    if hasattr(datapoints, "to_dicts"):
        datapoints = datapoints.to_dicts()
    elif hasattr(datapoints, "to_dict"):
        datapoints = datapoints.to_dict(orient="records")
    if isinstance(datapoints, list) and all(isinstance(each, Mapping) for each in datapoints):
        return [{str(key): plain(value) for key, value in each.items()} for each in datapoints]
    raise InvalidError(
        f"plot {name!r}: its data are a {type(datapoints).__name__}", hint="Give a list of mappings, or a data frame."
    )
