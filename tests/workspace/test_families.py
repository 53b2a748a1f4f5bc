from __future__ import annotations

from typing import Any

import pytest

from everloop.errors import InvalidError
from everloop.workspace import yamlfile
from everloop.workspace.families import expand, variables_of


def names(text: str, files: dict[str, str] | None = None) -> dict[str, dict[Any, Any]]:
    data = yamlfile.parse_plain(text, "dvc.yaml")
    variables = variables_of(data, "dvc.yaml", (files or {}).get)
    found = expand(data, "dvc.yaml", variables, lambda _, key, stage: f"{stage}.{key}")
    return {declared.name: declared.body for declared in found}


def test_equal_items_are_one_stage() -> None:
    assert list(names("stages: {a: {foreach: [x, y, x], do: {cmd: 'echo ${item}'}}}")) == ["a@x", "a@y"]


def test_item_hides_a_variable_of_that_name() -> None:
    found = names("vars: [{item: 1}]\nstages: {a: {foreach: [x], do: {cmd: '${item}'}}, b: {cmd: 'echo ${item}'}}")
    assert found == {"a@x": {"cmd": "x"}, "b": {"cmd": "echo 1"}}


def test_variables_of_a_stage_are_its_own() -> None:
    text = "stages: {a: {vars: [{x: 1}], cmd: 'echo ${x}'}, b: {cmd: 'echo ${x}'}}"
    with pytest.raises(InvalidError, match=r"b.cmd: the variable \$\{x\} is not defined"):
        names(text)


def test_a_stage_does_not_override_variables() -> None:
    text = "vars: [{x: 0}]\nstages: {a: {vars: [{x: 1}], cmd: 'echo ${x}'}}"
    with pytest.raises(InvalidError, match=r"a.vars: a.vars\[0\] defines the variable 'x' again, which vars\[0\] has"):
        names(text)


def test_files_of_a_stage_lie_in_its_folder() -> None:
    text = "stages: {a: {wdir: '${w}', vars: [v.yaml], cmd: 'echo ${x}'}}"
    found = names(text, {"params.yaml": "w: sub\n", "sub/v.yaml": "x: 5\n"})
    assert found == {"a": {"wdir": "sub", "cmd": "echo 5"}}


def test_an_empty_axis_makes_no_stage() -> None:
    assert names("stages: {a: {matrix: {x: [], y: [1]}, cmd: c}}") == {}
