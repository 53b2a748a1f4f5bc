from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from everloop.errors import InvalidError
from everloop.workspace.templating import OptionStyle, Variables, is_template, plain

PYTHON = Path(__file__).parents[1] / "peers/.venv/bin/python"


def variables(values: dict[str, Any], options: OptionStyle | None = None) -> Variables:
    found = Variables(lambda _: None, "", options)
    found.load([values])
    return found


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("${a}", 1),
        ("${a} days", "1 days"),
        ("${b.c[1]}", "x"),
        ("${ b.c[0] }", True),
        ("is ${b.c[0]}", "is true"),
        ("${b.c.-1}", "x"),
        (r"\${a}", "${a}"),
        (r"\${a} ${a}", "${a} 1"),
        ("$a {a} $(a)", "$a {a} $(a)"),
        ("${n}", None),
        ("${n}!", "None!"),
    ],
)
def test_what_stands_for_what(text: str, value: Any) -> None:
    assert variables({"a": 1, "b": {"c": [True, "x"]}, "n": None}).resolve(text) == value


def test_keys_and_nested_values_are_replaced() -> None:
    assert variables({"a": "x"}).resolve([{"${a}.csv": {"x": "${a}"}}]) == [{"x.csv": {"x": "x"}}]


def test_a_mapping_becomes_options_of_a_command() -> None:
    values = {"m": {"n": "r f", "d": 1, "t": True, "f": False, "l": [1, "a b"], "deep": {"x": 0.5}, "e": {}, "el": []}}
    command = "run ${m}"
    assert variables(values).resolve(command, is_command=True) == "run --n 'r f' --d 1 --t --l 1 'a b' --deep.x 0.5"
    said = variables(values, OptionStyle("boolean_optional", "append")).resolve(command, is_command=True)
    assert said == "run --n 'r f' --d 1 --t --no-f --l 1 --l 'a b' --deep.x 0.5"
    with pytest.raises(InvalidError, match="is a mapping, which cannot be written into a text"):
        variables(values).resolve(command)


def test_what_is_given_hides_and_goes_again() -> None:
    found = variables({"item": 1, "a": 2})
    with found.given(item=5):
        assert found.resolve("${item}${a}") == "52"
        with pytest.raises(InvalidError, match="'item' is the name of what the stages of a family differ in"):
            found.load([{"item": 3}])
    assert found.resolve("${item}") == 1


def test_a_copy_has_variables_of_its_own() -> None:
    first = variables({"a": {"b": 1}})
    second = first.copy()
    second.load([{"a": {"c": 2}}])
    assert second.resolve("${a.b}${a.c}") == "12"
    with pytest.raises(InvalidError, match=r"\$\{a.c\} is not defined; do you mean"):
        first.resolve("${a.c}")


def test_the_default_file_is_read_only_when_it_is_wanted() -> None:
    asked: list[str] = []

    def read(path: str) -> str | None:
        asked.append(path)
        return "a: 1\n" if path == "sub/params.yaml" else None

    found = Variables(read, "sub")
    assert found.resolve("no variable") == "no variable"
    assert asked == []
    assert found.resolve("${a}") == 1


FILES = {"p.yaml": "a: 1\nb: 2\nc: {d: 3}\n", "q.json": '{"c": {"e": 4}}'}


@pytest.mark.parametrize(
    ("items", "named"),
    [
        (["p.yaml:a", "p.yaml:a"], "loaded already"),
        (["p.yaml:a", "p.yaml"], "loaded already"),
        (["p.yaml", "p.yaml:b"], "loaded already"),
        (["p.yaml:aa"], "p.yaml has no variable 'aa'; do you mean 'a'"),
        (["x.yaml"], "x.yaml does not exist"),
        (["p.yaml", {"a": 2}], "defines the variable 'a' again, which p.yaml has already"),
        ([3], "must be a mapping or the path of a file"),
        ("p.yaml", "must be a list"),
    ],
)
def test_what_cannot_be_loaded_is_named(items: Any, named: str) -> None:
    with pytest.raises(InvalidError, match=named):
        Variables(FILES.get, "").load(items)


def test_files_and_parts_of_them_are_merged() -> None:
    found = Variables(FILES.get, "")
    found.load(["p.yaml:a", "p.yaml:c", "q.json", "q.json"])
    assert found.resolve("${a}${c.d}${c.e}") == "134"


def test_words() -> None:
    assert [plain(value) for value in (True, False, None, 1.0, "x")] == ["true", "false", "None", "1.0", "x"]
    assert [is_template(value) for value in ("${a}", r"\${a}", "a", 3)] == [True, False, False, False]


SCALARS = st.none() | st.booleans() | st.integers(-99, 99) | st.text("ab '\"${}\\.", max_size=4)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=6,
)
TEXTS = st.lists(
    st.sampled_from(
        ["${a}", "${b.a}", "${c[0]}", "${a.b.c}", "${ b }", "${c[0] }", "\\${a}", "$", "{}", "x", " ", "${", "${}"]
    ),
    min_size=1,
    max_size=4,
).map("".join)

THEIRS = """
import json, sys
from dvc.parsing.context import Context
answers = []
for values, text, key in json.load(sys.stdin):
    try:
        answers.append([Context(values).resolve(text, key=key)])
    except Exception as error:
        answers.append(None)
json.dump(answers, sys.stdout)
"""


@pytest.mark.peer
def test_dvc_resolves_the_same() -> None:
    cases: list[tuple[dict[str, Any], str, str]] = []

    @settings(max_examples=400, database=None)
    @given(
        st.dictionaries(st.sampled_from("abc"), VALUES, min_size=1, max_size=3), TEXTS, st.sampled_from(["cmd", "outs"])
    )
    def collect(values: dict[str, Any], text: str, key: str) -> None:
        cases.append((values, text, key))

    collect()
    done = subprocess.run([PYTHON, "-c", THEIRS], input=json.dumps(cases), capture_output=True, text=True, check=True)
    differing = []
    for (values, text, key), theirs in zip(cases, json.loads(done.stdout), strict=True):
        try:
            ours: list[Any] | None = [variables(dict(values)).resolve(text, is_command=key == "cmd")]
        except InvalidError:
            ours = None
        # A command that is a mapping alone is an error of DVC's own; variables with templates in them we refuse.
        if ours != theirs and not isinstance((theirs or [None])[0], dict) and "${" not in json.dumps(values):
            differing.append((values, text, key, ours, theirs))
    assert differing == []
