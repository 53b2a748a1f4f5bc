"""The Open Inference Protocol, version 2, as JSON: requests in, answers out.

Each input is a tensor of one column, shape [n] or [n, 1], data flat or nested; null is a missing string or double.
Beyond the protocol: `parameters.occurred_at` (RFC 3339) is the event time of a request, and its `id` makes it
idempotent. Everything comes from outside and is checked; leaves HTTP to `gateway.py`.
Source: https://github.com/kserve/open-inference-protocol, specification/protocol/inference_rest.md.
"""

from __future__ import annotations

import hashlib
import re
import uuid
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any

import msgspec

from everloop.errors import InvalidError, TooLargeError
from everloop.registry.package import Column
from everloop.serving.prediction import Label, check_request_id, prediction_ids, squeeze

MAX_ROWS = 100_000
PREDICTION_ID = "prediction_id"

_FLOATS = frozenset({"FP16", "FP32", "FP64"})
_INTEGERS = frozenset({"INT8", "INT16", "INT32", "INT64", "UINT8", "UINT16", "UINT32", "UINT64"})
_WIRE_TYPES: dict[str, frozenset[str]] = {
    "string": frozenset({"BYTES"}),
    "double": _FLOATS | _INTEGERS,
    "long": _INTEGERS,
    "boolean": frozenset({"BOOL"}),
}
_WIRE_NAMES = {"string": "BYTES", "double": "FP64", "long": "INT64", "boolean": "BOOL"}
_Long = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]
_EXPECTED = {
    "string": "a string or null",
    "double": "a number or null",
    "long": "an integer",
    "boolean": "true or false",
}
_One = msgspec.Meta(min_length=1, max_length=1)
_FLAT: dict[str, msgspec.json.Decoder[Any]] = {
    "string": msgspec.json.Decoder(list[str | None]),
    "double": msgspec.json.Decoder(list[float | None]),
    "long": msgspec.json.Decoder(list[_Long]),
    "boolean": msgspec.json.Decoder(list[bool]),
}
_NESTED: dict[str, msgspec.json.Decoder[Any]] = {
    "string": msgspec.json.Decoder(list[Annotated[list[str | None], _One]]),
    "double": msgspec.json.Decoder(list[Annotated[list[float | None], _One]]),
    "long": msgspec.json.Decoder(list[Annotated[list[_Long], _One]]),
    "boolean": msgspec.json.Decoder(list[Annotated[list[bool], _One]]),
}
_PLACE = re.compile(r" - at `\$\[(\d+)\]")
_ZonedTime = Annotated[datetime, msgspec.Meta(tz=True)]


class _Input(msgspec.Struct):
    name: str
    shape: list[int]
    datatype: str
    data: msgspec.Raw = msgspec.Raw(b"")
    parameters: dict[str, Any] = {}


class _Output(msgspec.Struct):
    name: str


class _Request(msgspec.Struct):
    inputs: list[_Input]
    id: str | None = None
    parameters: dict[str, Any] = {}
    outputs: list[_Output] = []


class _Feedback(msgspec.Struct):
    labels: list[Label]
    arrived_at: _ZonedTime | None = None


_REQUESTS = msgspec.json.Decoder(_Request)
_FEEDBACK = msgspec.json.Decoder(_Feedback)


class Inference(msgspec.Struct, frozen=True, kw_only=True):
    """A checked request: `columns` hold n_rows values each, None for missing."""

    request_id: str
    occurred_at: datetime
    n_rows: int
    columns: dict[str, list[Any]]
    digest: str
    """SHA-256 over the columns by name: equal for equal inputs, whatever their order or spelling was."""
    packed: bytes
    """The columns as the log keeps them."""
    outputs: frozenset[str]
    """The outputs that were asked for; empty for all."""


def decode_request(body: bytes, columns: Sequence[Column], *, max_rows: int = MAX_ROWS) -> Inference:
    """Read and check a request.

    Args:
        body: the JSON text.
        columns: what the model knows; those that are `required` must be there, others may.

    Raises:
        InvalidError: malformed; the message names the tensor, the row, what was expected and what was found.
        TooLargeError: more than `max_rows` rows.
    """
    try:
        request = _REQUESTS.decode(body)
    except msgspec.DecodeError as error:
        raise InvalidError(f"the request is not a v2 inference request: {error}", hint=_hint(body)) from error
    known = {column.name: column for column in columns}
    n_rows = _row_count(request, max_rows)
    values: dict[str, list[Any]] = {}
    for tensor in request.inputs:
        if tensor.name in values:
            raise InvalidError(f"input {tensor.name!r} is given twice")
        if tensor.name not in known:
            raise InvalidError(f"input {tensor.name!r} is unknown; the model's inputs are {', '.join(known)}")
        values[tensor.name] = _values(tensor, known[tensor.name].type, n_rows)
    missing = [column.name for column in columns if column.required and column.name not in values]
    if missing:
        given = ", ".join(values) or "none"
        raise InvalidError(f"input {missing[0]!r} is missing ({len(missing)} missing in all); given are: {given}")
    plain = msgspec.msgpack.encode(dict(sorted(values.items())))
    return Inference(
        request_id=uuid.uuid4().hex if request.id is None else check_request_id(request.id),
        occurred_at=_occurred_at(request.parameters),
        n_rows=n_rows,
        columns=values,
        digest=hashlib.sha256(plain).hexdigest(),
        packed=squeeze(plain),
        outputs=frozenset(output.name for output in request.outputs),
    )


def decode_feedback(body: bytes, *, max_labels: int = MAX_ROWS) -> tuple[list[Label], datetime | None]:
    """Read `{"labels": [{"prediction_id": …, "label": 0 or 1}], "arrived_at": optional time}`.

    Raises:
        InvalidError: malformed; the message names the place.
        TooLargeError: more than `max_labels` labels.
    """
    try:
        feedback = _FEEDBACK.decode(body)
    except msgspec.DecodeError as error:
        expected = '{"labels": [{"prediction_id": "…", "label": 0 or 1}]}'
        raise InvalidError(f"the feedback is not {expected}: {error}") from error
    if len(feedback.labels) > max_labels:
        raise TooLargeError(f"{len(feedback.labels):,} labels were sent at once; the limit is {max_labels:,}")
    return feedback.labels, feedback.arrived_at


def encode_response(
    inference: Inference, *, endpoint: str, version: int, output: str, scores: Sequence[float]
) -> bytes:
    """Write the answer: `output` (FP64, [n]) and `prediction_id` (BYTES, [n]).

    Raises:
        InvalidError: the request asked for an output that does not exist.
    """
    n_rows = inference.n_rows
    outputs = {
        output: {"name": output, "shape": [n_rows], "datatype": "FP64", "data": scores},
        PREDICTION_ID: {
            "name": PREDICTION_ID,
            "shape": [n_rows],
            "datatype": "BYTES",
            "data": prediction_ids(inference.request_id, n_rows),
        },
    }
    check_outputs(inference, output)
    chosen = [each for name, each in outputs.items() if not inference.outputs or name in inference.outputs]
    return msgspec.json.encode(
        {"model_name": endpoint, "model_version": str(version), "id": inference.request_id, "outputs": chosen}
    )


def check_outputs(inference: Inference, output: str) -> None:
    """Check that the outputs which were asked for exist.

    Raises:
        InvalidError: one does not.
    """
    unknown = sorted(inference.outputs - {output, PREDICTION_ID})
    if unknown:
        raise InvalidError(f"output {unknown[0]!r} is unknown; the model's outputs are {output}, {PREDICTION_ID}")


def model_metadata(endpoint: str, versions: Sequence[int], columns: Sequence[Column], output: str) -> dict[str, Any]:
    """Return what GET /v2/models/{endpoint} says."""
    return {
        "name": endpoint,
        "versions": [str(version) for version in versions],
        "platform": "mlflow_sklearn",
        "inputs": [
            {"name": each.name, "datatype": _WIRE_NAMES[each.type], "shape": [-1]} for each in columns if each.required
        ],
        "outputs": [
            {"name": output, "datatype": "FP64", "shape": [-1]},
            {"name": PREDICTION_ID, "datatype": "BYTES", "shape": [-1]},
        ],
    }


def _row_count(request: _Request, max_rows: int) -> int:
    if not request.inputs:
        raise InvalidError("the request has no inputs")
    first = request.inputs[0]
    for tensor in request.inputs:
        if len(tensor.shape) not in (1, 2) or tensor.shape[1:] not in ([], [1]) or tensor.shape[0] < 1:
            raise InvalidError(
                f"input {tensor.name!r} should have shape [n] or [n, 1] with n >= 1, found {tensor.shape}"
            )
        if tensor.shape[0] != first.shape[0]:
            raise InvalidError(
                f"input {tensor.name!r} has {tensor.shape[0]} rows, but {first.name!r} has {first.shape[0]}"
            )
    n_rows = first.shape[0]
    if n_rows > max_rows:
        raise TooLargeError(f"the request has {n_rows:,} rows; the limit is {max_rows:,}", hint="Send it in parts.")
    return n_rows


def _values(tensor: _Input, kind: str, n_rows: int) -> list[Any]:
    if tensor.datatype not in _WIRE_TYPES[kind]:
        wanted = _WIRE_NAMES[kind]
        raise InvalidError(f"input {tensor.name!r} should have datatype {wanted}, found {tensor.datatype!r}")
    raw = bytes(tensor.data)
    if not raw:
        binary = " (tensors in binary form are not supported)" if "binary_data_size" in tensor.parameters else ""
        raise InvalidError(f"input {tensor.name!r} has no data{binary}")
    is_nested = raw.lstrip(b" \t\r\n")[1:].lstrip(b" \t\r\n")[:1] == b"["
    try:
        data = [row[0] for row in _NESTED[kind].decode(raw)] if is_nested else _FLAT[kind].decode(raw)
    except msgspec.DecodeError as error:
        raise _misfit(tensor.name, kind, raw, error) from error
    if len(data) != n_rows:
        raise InvalidError(f"input {tensor.name!r} has shape {tensor.shape}, but {len(data)} values")
    return data


def _misfit(name: str, kind: str, raw: bytes, error: msgspec.DecodeError) -> InvalidError:
    place = _PLACE.search(str(error))
    if place is None:
        return InvalidError(f"the data of input {name!r} does not fit: {error}")
    row = int(place[1])
    found = msgspec.json.encode(msgspec.json.decode(raw)[row]).decode()
    found = found if len(found) <= 60 else f"{found[:60]}…"
    return InvalidError(f"input {name!r}, row {row}: expected {_EXPECTED[kind]}, found {found}")


def _occurred_at(parameters: Mapping[str, Any]) -> datetime:
    value = parameters.get("occurred_at")
    if value is None:
        return datetime.now(UTC)
    try:
        return msgspec.convert(value, _ZonedTime).astimezone(UTC)
    except (msgspec.ValidationError, OverflowError) as error:
        raise InvalidError(
            f"parameter 'occurred_at' should be a time with its zone such as 2013-03-01T12:00:00Z, found {value!r}"
        ) from error


def _hint(body: bytes) -> str | None:
    return "JSON has no NaN: send null for a missing value." if b"NaN" in body else None
