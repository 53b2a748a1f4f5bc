"""What `-S` means is what Hydra, which DVC asks, says that it means; and files keep all else that is in them."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from everloop.errors import InvalidError
from everloop.pipelines.experiments import overrides, overridevalues
from everloop.pipelines.experiments.overridevalues import Sweep
from everloop.pipelines.paramedit import edited

PYTHON = Path(__file__).parents[1] / "peers/.venv/bin/python"
# Gives for each value what one experiment, or each of a grid, would set.
ASK = """
import json, sys
from dvc.utils.hydra import to_hydra_overrides, get_hydra_sweeps
found = []
for value in json.load(sys.stdin):
    try:
        (override,) = to_hydra_overrides([f"k={value}"])
        if override.is_sweep_override():
            again = [sweep["p"][0] for sweep in get_hydra_sweeps({"p": [f"k={value}"]})]
            found.append({"grid": [to_hydra_overrides([each])[0].value() for each in again]})
        else:
            found.append({"value": override.value()})
    except Exception as error:
        found.append({"error": str(error)})
print(json.dumps(found, default=str))
"""
VALUES = [
    "1", "-1", "+3", "010", "1_000", "1e3", "1E-5", "0.1", ".5", "5.", "-1.5e+3", "true", "FALSE", "null", "None",
    "yes", "on", "text", "a b", "10:30", "a/b-c.d", "", "''", "'a,b'", '"x"', "'1'", "[1,2]", "[1, [a,b], {x: 1}]",
    "{a:1,b:[2]}", "[]", "{}", "{a: {b: null}}", "1,2", "1, 2,3", "a,b,'c,d'", "[1],[2,3]", "choice(1,2)",
    "choice(a)", "range(3)", "range(1,5)", "range(1,10,3)", "range(5,1,-2)", "range(0,1,0.25)",
    "range(start=1,stop=4)", "sort(3,1,2)", "sort(choice(3,1,2))", "sort(3,1,2,reverse=true)", "\\\\,", "a\\\\,b",
    "1 2", "*", "a@b", "-", "1.2.3", "inf", "1e", "e3", "${a.b}", "choice(1,2", "[1", "'a", "1,", ",1", "{a}",
    "unknown(1)", "range()",
]  # fmt: skip


def ours(value: str) -> dict[str, Any]:
    try:
        read = overridevalues.parse(value, f"k={value}")
    except InvalidError as error:
        return {"error": error.message}
    return {"grid": list(read.values)} if isinstance(read, Sweep) else {"value": read}


@pytest.mark.peer
@pytest.mark.skipif(not PYTHON.exists(), reason="the peers are not set up: uv sync --locked --project tests/peers")
def test_values_are_what_hydra_reads() -> None:
    done = subprocess.run([PYTHON, "-c", ASK], input=json.dumps(VALUES), capture_output=True, text=True, check=True)
    for value, theirs in zip(VALUES, json.loads(done.stdout), strict=True):
        mine = ours(value)
        if "error" in theirs:
            assert "error" in mine, f"{value!r}: hydra says {theirs}, we {mine}"
        else:
            assert json.dumps(mine) == json.dumps(theirs), value


def test_what_hydra_is_stricter_about() -> None:
    assert ours("x=y") == {"value": "x=y"}
    assert ours("range(stop=2)") == {"grid": [0, 1]}
    assert "no values" in ours("range(1,1)")["error"]


def test_a_grid_has_every_combination_and_the_last_word_varies_fastest() -> None:
    read = overrides.parse(["lr=0.1,0.2", "other.json:n=range(1,3)", "+new=x"])
    assert overrides.is_grid(read)
    assert [overrides.shown(each) for each in overrides.combinations(read)] == [
        "lr=0.1 new=x other.json:n=1",
        "lr=0.1 new=x other.json:n=2",
        "lr=0.2 new=x other.json:n=1",
        "lr=0.2 new=x other.json:n=2",
    ]
    assert overrides.combinations([]) == [{}]


@pytest.mark.parametrize("word", ["lr", "=1", ":lr=1", "+=1", "~lr=1,2", "lr=glob(a*)", "lr=[1"])
def test_a_malformed_word_is_named(word: str) -> None:
    with pytest.raises(InvalidError) as told:
        overrides.parse([word])
    assert repr(word) in told.value.message


def applied(text: str, name: str, *words: str) -> str:
    (combined,) = overrides.combinations(overrides.parse(words))
    (edits,) = combined.values()
    return edited(text, name, edits).decode()


YAML = "# kept\nlr: 0.1  # rate\nmodel:\n  depth: 2\n  names: [a, b]\nseed: 7\n"


def test_yaml_keeps_comments_and_order() -> None:
    words = ("lr=1e-3", "model.depth=5", "model.names.1=c", "+model.new.deep=yes", "~seed")
    assert applied(YAML, "params.yaml", *words) == (
        "# kept\nlr: 0.001 # rate\nmodel:\n  depth: 5\n  names: [a, c]\n  new:\n    deep: yes\n"
    )


def test_mappings_are_merged() -> None:
    assert "depth: 9\n  names: [a, b]" in applied(YAML, "params.yaml", "model={depth:9}")
    assert "extra: 1" in applied(YAML, "params.yaml", "+model={extra:1}")
    with pytest.raises(InvalidError, match="extra"):
        applied(YAML, "params.yaml", "model={extra:1}")


def test_json_keeps_its_indentation() -> None:
    text = '{\n  "a": {\n    "b": 1\n  },\n  "ü": 1\n}\n'
    assert applied(text, "other.json", "other.json:a.b=2.5") == text.replace('"b": 1', '"b": 2.5')


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("model.dept=1", "do you mean 'model.depth'"),
        ("+lr=1", "has 'lr' already"),
        ("~nothing", "has no parameter 'nothing'"),
        ("~lr=0.2", "is 0.1, not 0.2"),
        ("+lr.deep=1", "is the value"),
    ],
)
def test_what_does_not_fit_is_told(word: str, message: str) -> None:
    with pytest.raises(InvalidError, match=message):
        applied(YAML, "params.yaml", word)
