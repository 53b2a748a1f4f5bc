from __future__ import annotations

import pytest

from everloop.workspace.yamlcomments import editable, kept_behind
from everloop.workspace.yamledit import dump, load_editable

TEXT = """\
stages:
  a:
    # before cmd
    cmd: x  # of cmd
    deps:
    - one
    # before two
    - two   # of two
    # before outs

    outs:
    - w:
        desc: ww  # of desc
    # before frozen
    frozen: true
  # before b
  b:
    cmd: y

# at the end
"""


def lines_of_comments(text: str) -> list[str]:
    return [line.strip() for line in text.splitlines() if line.strip().startswith("#")]


@pytest.mark.parametrize("key", ["deps", "outs", "frozen"])
def test_removing_a_value_keeps_the_lines_behind_it(key: str) -> None:
    data = load_editable(TEXT, "x")
    stage = data["stages"]["a"]
    with kept_behind(stage, key):
        del stage[key]
    left = dump(data).decode()
    assert f"{key}:" not in left
    inside = {"# before two"} if key == "deps" else set()
    assert lines_of_comments(left) == [line for line in lines_of_comments(TEXT) if line not in inside]


def test_what_is_added_at_the_end_comes_before_the_lines_behind() -> None:
    data = load_editable(TEXT, "x")
    with kept_behind(data["stages"], "a"):
        data["stages"]["a"]["meta"] = editable({"k": [1, {"l": 2}]})
    assert "    frozen: true\n    meta:\n      k:\n      - 1\n      - l: 2\n  # before b\n  b:\n" in dump(data).decode()


def test_a_replaced_value_loses_its_own_comment_only_when_it_goes() -> None:
    data = load_editable(TEXT, "x")
    stage = data["stages"]["a"]
    with kept_behind(stage, "cmd"):
        stage["cmd"] = "z"
    with kept_behind(stage, "deps"):
        stage["deps"] = editable(["three"])
    text = dump(data).decode()
    assert "cmd: z  # of cmd\n    deps:\n    - three\n    # before outs\n\n    outs:" in text


def test_nothing_changes_where_nothing_is_done() -> None:
    data = load_editable(TEXT, "x")
    for key in ("cmd", "deps", "outs", "frozen"):
        with kept_behind(data["stages"], "a"), kept_behind(data["stages"]["a"], key):
            pass
    assert dump(data).decode() == TEXT


def test_values_in_one_line_are_as_scalars() -> None:
    data = load_editable("a: {x: 1}\nb: [1, 2] # two\n# behind\nc: 1\n", "x")
    with kept_behind(data, "b"):
        data["b"] = editable([3])
    assert dump(data).decode().endswith("- 3\n# behind\nc: 1\n")
