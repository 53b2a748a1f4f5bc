"""The Open Inference Protocol: what is read, what is refused, and how the refusal reads."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from everloop.errors import EverloopError, InvalidError, TooLargeError
from everloop.registry.package import Column
from everloop.serving.codec import decode_feedback, decode_request, encode_response, model_metadata
from everloop.serving.prediction import unpack
from tests.serving import models

COLUMNS = tuple(Column(name=name, type=kind) for name, kind in models.INPUTS.items())
WIRE = {"string": "BYTES", "double": "FP64", "long": "INT64", "boolean": "BOOL"}


def request(columns: dict[str, list[Any]], **changes: Any) -> dict[str, Any]:
    inputs = [
        {"name": name, "shape": [len(values)], "datatype": WIRE[models.INPUTS[name]], "data": values}
        for name, values in columns.items()
    ]
    return {"id": "r1", "inputs": inputs} | changes


def body(columns: dict[str, list[Any]], **changes: Any) -> bytes:
    return msgspec.json.encode(request(columns, **changes))


def with_input(place: int, **changes: Any) -> bytes:
    whole = request(models.table(2, seed=1))
    whole["inputs"][place] = {k: v for k, v in (whole["inputs"][place] | changes).items() if v is not ...}
    return msgspec.json.encode(whole)


def test_a_request_is_read_as_columns() -> None:
    columns = models.table(3)
    found = decode_request(body(columns, parameters={"occurred_at": "2013-03-01T14:00:00+02:00"}), COLUMNS)
    assert (found.request_id, found.n_rows, found.columns) == ("r1", 3, columns)
    assert found.occurred_at == datetime(2013, 3, 1, 12, tzinfo=UTC)
    assert unpack(found.packed) == columns


def test_without_id_and_time_both_are_made() -> None:
    before = datetime.now(UTC)
    one, two = (decode_request(body(models.table(1), id=None), COLUMNS) for _ in range(2))
    assert one.request_id != two.request_id
    assert before <= one.occurred_at <= datetime.now(UTC)


def test_nested_and_flat_data_mean_the_same() -> None:
    columns = models.table(3)
    nested = request({name: [[value] for value in values] for name, values in columns.items()})
    for tensor in nested["inputs"]:
        tensor["shape"] = [3, 1]
    found = decode_request(msgspec.json.encode(nested), COLUMNS)
    assert found.columns == columns
    assert found.digest == decode_request(body(columns), COLUMNS).digest


def test_the_digest_tells_inputs_apart_and_nothing_else() -> None:
    columns = models.table(3) | {"wind": [1.0, 2.0, None]}
    same = dict(reversed((columns | {"wind": [1, 2, None]}).items()))
    digest = decode_request(body(columns), COLUMNS).digest
    assert decode_request(body(same, id="r2"), COLUMNS).digest == digest
    assert decode_request(body(columns | {"wind": [1.0, 2.5, None]}), COLUMNS).digest != digest


@pytest.mark.parametrize(
    ("given_body", "message"),
    [
        (b"", "not a v2 inference request"),
        (b"[]", "Expected `object`, got `array`"),
        (b'{"inputs": [', "not a v2 inference request"),
        (b"{}", "missing required field `inputs`"),
        (b'{"inputs": []}', "the request has no inputs"),
        (b'{"inputs": [{"name": "wind", "shape": [1], "datatype": "FP64", "data": [NaN]}]}', "JSON has no NaN"),
        (body({name: values for name, values in models.table(1).items() if name != "wind"}), "'wind' is missing"),
        (with_input(0, name="airline"), "input 'airline' is unknown; the model's inputs are carrier, hour"),
        (with_input(1, name="carrier"), "input 'carrier' is given twice|'carrier' should have datatype"),
        (with_input(0, datatype="FP64"), "'carrier' should have datatype BYTES, found 'FP64'"),
        (with_input(0, data=["AA", 7]), "'carrier', row 1: expected a string or null, found 7"),
        (with_input(1, data=[1, 2.5]), "'hour', row 1: expected an integer, found 2.5"),
        (with_input(1, data=[None, 2]), "'hour', row 0: expected an integer, found null"),
        (with_input(2, data=[1.5, "windy"]), "'wind', row 1: expected a number or null, found \"windy\""),
        (with_input(2, data=[[1.5], ["windy"]]), "'wind', row 1: expected a number or null"),
        (with_input(3, data=[True, "no"]), "'is_holiday', row 1: expected true or false, found \"no\""),
        (with_input(2, data=[1.0]), "'wind' has shape \\[2\\], but 1 values"),
        (with_input(2, data=...), "'wind' has no data"),
        (with_input(2, data=..., parameters={"binary_data_size": 16}), "binary form are not supported"),
        (with_input(2, shape=[3]), "'wind' has 3 rows, but 'carrier' has 2"),
        (with_input(2, shape=[2, 2]), "'wind' should have shape"),
        (with_input(2, shape=[-1]), "'wind' should have shape"),
        (with_input(2, shape=[]), "'wind' should have shape"),
        (body(models.table(1), id="a b"), "field 'id' should be"),
        (body(models.table(1), id=""), "field 'id' should be"),
        (body(models.table(1), id="x" * 201), "field 'id' should be"),
        (body(models.table(1), id=7), "Expected `str . null`, got `int` - at `\\$.id`"),
        (body(models.table(1), parameters={"occurred_at": "yesterday"}), "parameter 'occurred_at'"),
        (body(models.table(1), parameters={"occurred_at": "2013-03-01T12:00:00"}), "parameter 'occurred_at'"),
        (body(models.table(1), parameters={"occurred_at": 7}), "parameter 'occurred_at'"),
    ],
)
def test_a_bad_request_names_the_place_and_what_was_found(given_body: bytes, message: str) -> None:
    with pytest.raises(InvalidError) as caught:
        decode_request(given_body, COLUMNS)
    assert caught.match(message)


def test_too_many_rows_are_refused() -> None:
    with pytest.raises(TooLargeError, match="4 rows; the limit is 3"):
        decode_request(body(models.table(4)), COLUMNS, max_rows=3)


def test_a_column_that_only_a_shadow_knows_may_come_or_not() -> None:
    columns = (*COLUMNS[:2], *(Column(name=each.name, type=each.type, required=False) for each in COLUMNS[2:]))
    table = models.table(2)
    some = {name: table[name] for name in ("carrier", "hour")}
    assert decode_request(body(some), columns).columns == some
    assert decode_request(body(table), columns).columns == table


def test_an_answer_holds_probability_and_prediction_id() -> None:
    inference = decode_request(body(models.table(2)), COLUMNS)
    found = encode_response(inference, endpoint="delay", version=3, output="late", scores=[0.25, 0.5])
    assert msgspec.json.decode(found) == {
        "model_name": "delay",
        "model_version": "3",
        "id": "r1",
        "outputs": [
            {"name": "late", "shape": [2], "datatype": "FP64", "data": [0.25, 0.5]},
            {"name": "prediction_id", "shape": [2], "datatype": "BYTES", "data": ["r1-0", "r1-1"]},
        ],
    }


def test_outputs_are_chosen_by_name() -> None:
    inference = decode_request(body(models.table(1), outputs=[{"name": "late"}]), COLUMNS)
    found = msgspec.json.decode(encode_response(inference, endpoint="delay", version=3, output="late", scores=[0.25]))
    assert [output["name"] for output in found["outputs"]] == ["late"]
    inference = decode_request(body(models.table(1), outputs=[{"name": "price"}]), COLUMNS)
    with pytest.raises(InvalidError, match="output 'price' is unknown"):
        encode_response(inference, endpoint="delay", version=3, output="late", scores=[0.25])


def test_metadata_names_inputs_and_outputs() -> None:
    found = model_metadata("delay", [3, 4], COLUMNS, "late")
    assert found["inputs"][0] == {"name": "carrier", "datatype": "BYTES", "shape": [-1]}
    assert [output["name"] for output in found["outputs"]] == ["late", "prediction_id"]
    assert (found["name"], found["versions"]) == ("delay", ["3", "4"])


@pytest.mark.parametrize(
    "given_body",
    [b"", b"{}", b'{"labels": [{"prediction_id": "a-0"}]}', b'{"labels": [{"prediction_id": "a-0", "label": true}]}'],
)
def test_bad_feedback_is_refused(given_body: bytes) -> None:
    with pytest.raises(InvalidError, match="the feedback is not"):
        decode_feedback(given_body)


def test_too_many_labels_are_refused() -> None:
    labels = [{"prediction_id": "a-0", "label": 1}] * 3
    with pytest.raises(TooLargeError, match="3 labels"):
        decode_feedback(msgspec.json.encode({"labels": labels}), max_labels=2)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@given(st.sampled_from(["name", "shape", "datatype", "data", "parameters"]), st.integers(0, 3), json_values)
def test_whatever_a_tensor_holds_it_is_read_or_the_error_is_ours(field: str, place: int, value: Any) -> None:
    try:
        found = decode_request(with_input(place, **{field: value}), COLUMNS)
    except EverloopError:
        return
    assert all(len(values) == found.n_rows for values in found.columns.values())


@given(st.binary(max_size=200))
def test_whatever_bytes_come_the_error_is_ours(given_body: bytes) -> None:
    with pytest.raises(EverloopError):
        decode_request(given_body, COLUMNS)
