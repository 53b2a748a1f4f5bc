"""What is known of a prediction: its capture, its label, and the columns in which monitoring reads many of them.

A prediction id is `<request id>-<row>`, rows counted from 0.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from everloop.errors import InvalidError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_REQUEST_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/@+-]{0,199}")
_PREDICTION_ID = re.compile(r"(?P<request>[A-Za-z0-9][A-Za-z0-9._:/@+-]{0,199})-(?P<row>0|[1-9][0-9]{0,8})")
_WORTH_PACKING_BYTES = 512


class Capture(msgspec.Struct, frozen=True, kw_only=True):
    """One answered request, as it goes into the log. It never changes."""

    endpoint: str
    request_id: str
    digest: str
    """SHA-256 of the inputs: tells a retry from another request that uses the same id."""
    occurred_at: datetime
    received_at: datetime
    n_rows: int
    seen_revision: int
    """The endpoint's newest revision when the rows were scored."""
    revision: int
    """The revision that answered: `seen_revision`, or an older one while the newest cannot be loaded."""
    version: int
    """The champion that answered."""
    inputs: bytes
    """The columns, by `pack`."""
    scores: dict[int, list[float] | None]
    """Version → score of each row in [0, 1]; None for a shadow that failed."""
    shadow_errors: dict[int, str] = {}


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a capture.

    `stored`: it is durable. `repeated`: the same request was stored before and answered by `version`; `scores` are the
    stored ones. `conflict`: its id was stored before with other inputs. `moved`: the endpoint has a newer revision;
    score again and come back.
    """

    kind: Literal["stored", "repeated", "conflict", "moved"]
    version: int = 0
    scores: dict[int, list[float] | None] = {}


class Label(msgspec.Struct, frozen=True, kw_only=True):
    """What turned out to be true of a prediction: 0 or 1."""

    prediction_id: str
    label: float


class LabelFailure(msgspec.Struct, frozen=True, kw_only=True):
    """A label that was not taken; `family` is the error's family."""

    prediction_id: str
    family: str
    error: str


class Feedback(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a batch of labels: `done` are new, `repeated` were known with the same value."""

    done: int
    repeated: int
    failed: list[LabelFailure]


class Counts(msgspec.Struct, frozen=True, kw_only=True):
    """How much an endpoint's log holds."""

    endpoint: str
    requests: int
    rows: int
    labels: int


class Explanation(msgspec.Struct, frozen=True, kw_only=True):
    """Everything the log knows of one prediction. `label` and `labelled_at` are None until it is known."""

    prediction_id: str
    endpoint: str
    model: str
    version: int
    revision: int
    score: float
    shadows: dict[int, float | None]
    shadow_errors: dict[int, str]
    inputs: dict[str, Any]
    occurred_at: datetime
    received_at: datetime
    label: float | None
    labelled_at: datetime | None


class Predictions(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """Many predictions as columns of n rows, by event time, then request id, then row."""

    ids: list[str]
    occurred_at: NDArray[np.datetime64]
    """(n,) datetime64[us], UTC."""
    version: NDArray[np.int64]
    """(n,) the version that answered."""
    score: NDArray[np.float64]
    """(n,) what was answered."""
    scores: dict[int, NDArray[np.float64]]
    """Version → (n,) its score, NaN where it did not score the row."""
    labels: NDArray[np.float64]
    """(n,) 0 or 1, NaN where it is not known yet."""
    inputs: dict[str, list[Any]]
    """Column → n values, None for missing; empty when they were not asked for."""


def prediction_ids(request_id: str, n_rows: int) -> list[str]:
    """Return the ids of a request's predictions."""
    return [f"{request_id}-{row}" for row in range(n_rows)]


def split_prediction_id(prediction_id: str) -> tuple[str, int]:
    """Return a prediction's request id and row.

    Raises:
        InvalidError: it is not `<request id>-<row>`.
    """
    found = _PREDICTION_ID.fullmatch(prediction_id)
    if found is None:
        raise InvalidError(f"a prediction id is <request id>-<row>, found {prediction_id[:220]!r}")
    return found["request"], int(found["row"])


def check_request_id(request_id: str) -> str:
    """Return `request_id` when it may name a request.

    Raises:
        InvalidError: it is not 1 to 200 letters, digits or . _ : / @ + -, beginning with a letter or a digit.
    """
    if not _REQUEST_ID.fullmatch(request_id):
        raise InvalidError(
            f"field 'id' should be 1 to 200 letters, digits or . _ : / @ + - and begin with a letter or digit, "
            f"found {request_id[:220]!r}"
        )
    return request_id


def pack(columns: Mapping[str, Sequence[Any]]) -> bytes:
    """Write columns compactly: msgpack, deflated when that saves something."""
    return squeeze(msgspec.msgpack.encode(columns))


def squeeze(data: bytes) -> bytes:
    """Mark packed bytes as plain (0) or deflated (1), whichever is shorter."""
    if len(data) >= _WORTH_PACKING_BYTES:
        deflated = zlib.compress(data, 1)
        if len(deflated) < len(data):
            return b"\x01" + deflated
    return b"\x00" + data


def unpack(data: bytes) -> dict[str, list[Any]]:
    """Read what `pack` wrote."""
    plain = zlib.decompress(data[1:]) if data[:1] == b"\x01" else data[1:]
    columns: dict[str, list[Any]] = msgspec.msgpack.decode(plain)
    return columns
