"""Parameters written by hand are the same values for every YAML reader."""

from __future__ import annotations

import io
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ruamel.yaml import YAML

from everloop.errors import InvalidError
from everloop.tracking.yamltext import to_yaml

TEXT = st.text(max_size=12) | st.sampled_from(
    [
        "on",
        "No",
        "null",
        "~",
        "1e5",
        "0x10",
        "- a",
        "a: b",
        "#",
        "",
        " ",
        "1_000",
        ".inf",
        "2013-03-01",
        "<<",
        "=",
        "\x85",
    ]
)
SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | TEXT
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=12,
)


def read(text: str, version: tuple[int, int]) -> Any:
    yaml = YAML(typ="safe", pure=True)
    yaml.version = version
    return yaml.load(io.StringIO(text))


@given(values=st.dictionaries(TEXT.filter(lambda key: "\0" not in key), VALUES, max_size=4))
def test_what_is_written_is_read_back_by_yaml_1_2_and_1_1(values: dict[str, Any]) -> None:
    text = to_yaml(values)
    assert read(text, (1, 2)) == values
    assert read(text, (1, 1)) == values


def test_small_numbers_are_numbers_for_old_readers_too() -> None:
    assert to_yaml({"lr": 1e-05, "big": 1e22}) == "lr: 1.0e-05\nbig: 1.0e+22\n"
    found = read(to_yaml({"a": math.nan, "b": math.inf, "c": -math.inf}), (1, 1))
    assert math.isnan(found["a"])
    assert (found["b"], found["c"]) == (math.inf, -math.inf)


def test_an_empty_mapping_is_one() -> None:
    assert to_yaml({}) == "{}\n"
    assert to_yaml({"a": {}, "b": []}) == "a: {}\nb: []\n"


def test_what_yaml_cannot_hold_is_named_by_its_place() -> None:
    with pytest.raises(InvalidError, match=r"'net.layers\[1\].f' is a object"):
        to_yaml({"net": {"layers": [1, {"f": object()}]}})
