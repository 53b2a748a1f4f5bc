from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from everloop.errors import InvalidError, NotFoundError
from everloop.pipelines.graph import Graph, load
from everloop.pipelines.values import Stage, StageOut, StagePath
from everloop.workspace import DvcFile, Out, Workspace


def stage(name: str, deps: str = "", outs: str = "", *, frozen: bool = False) -> Stage:
    return Stage(
        name=name,
        file="dvc.yaml",
        command="true",
        folder=".",
        deps=tuple(StagePath(written=path, path=path) for path in deps.split()),
        outs=tuple(StageOut(written=path, path=path) for path in outs.split()),
        is_frozen=frozen,
    )


def test_stages_come_after_what_they_need() -> None:
    data = DvcFile(path="raw.dvc", outs=(Out(path="raw"),))
    graph = Graph([stage("c", "b/inside"), stage("b", "a", "b"), stage("a", "raw/part", "a")], [data])
    assert graph.plan(None) == ["raw.dvc", "a", "b", "c"]
    assert [one.name for one in graph.stages] == ["a", "b", "c"]


def test_folder_as_dependency_needs_what_is_made_inside() -> None:
    assert Graph([stage("b", "d"), stage("a", "", "d/x")], []).needed("b") == ["a"]


def test_targets_are_stages_outputs_and_data() -> None:
    graph = Graph([stage("a", "", "x"), stage("b", "x", "y"), stage("c", "y")], [])
    assert graph.plan(["y"]) == ["a", "b"]
    assert graph.plan(["a"]) == ["a"]
    with pytest.raises(NotFoundError, match="stages here: a, b, c"):
        graph.plan(["z"])


def test_nothing_above_a_frozen_stage_is_looked_at() -> None:
    graph = Graph([stage("a", "", "x"), stage("b", "x", "y", frozen=True), stage("c", "y")], [])
    assert graph.plan(["c"]) == ["b", "c"]


def test_circle_is_spelt_out() -> None:
    with pytest.raises(InvalidError, match="a needs c needs b needs a"):
        Graph([stage("a", "z", "x"), stage("b", "x", "y"), stage("c", "y", "z")], [])


@pytest.mark.parametrize(
    ("stages", "named"),
    [
        ([stage("a", "", "x"), stage("b", "", "x")], "a and b both make it"),
        ([stage("a", "", "x x")], "a names it twice"),
        ([stage("a", "", "d"), stage("b", "", "d/x")], "d/x of b lies inside d of a"),
        ([stage("a", "x", "x")], "a needs a"),
    ],
)
def test_outputs_that_collide_are_refused(stages: list[Stage], named: str) -> None:
    with pytest.raises(InvalidError, match=named):
        Graph(stages, [])


def test_output_that_was_also_added_is_refused(workspace: Workspace) -> None:
    (workspace.root / "x").write_text("1")
    workspace.add(["x"])
    (workspace.root / "dvc.yaml").write_text("stages: {a: {cmd: b, outs: [x]}}")
    with pytest.raises(InvalidError, match="x must come from one place"):
        load(workspace)


MISFITS = """\
vars: [{out: x}]
stages:
  a:
    cmd: make
    deps: [z]
    outs: ["${out}"]
  each:
    foreach: [1, 2]
    do:
      cmd: make
      outs: ["y${item}"]
"""


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ("  b: {cmd: make, deps: [x], outs: [z]}", r"a needs b needs a \(dvc.yaml, line 3; dvc.yaml, line 12\)"),
        ("  b: {cmd: make, outs: [x]}", r"both make it \(dvc.yaml, line 3; dvc.yaml, line 12\)"),
        ("  b: {cmd: make, outs: [y2/x]}", r"inside y2 of each@2 \(dvc.yaml, line 12; dvc.yaml, line 7\)"),
    ],
)
def test_misfits_are_told_with_their_lines_and_what_to_do(workspace: Workspace, more: str, message: str) -> None:
    (workspace.root / "dvc.yaml").write_text(MISFITS + more + "\n")
    with pytest.raises(InvalidError, match=message) as caught:
        load(workspace)
    assert caught.value.hint


def test_long_chain_is_no_problem() -> None:
    chain = [stage(f"s{i}", f"o{i - 1}" if i else "", f"o{i}") for i in range(3000)]
    assert Graph(reversed(chain), []).plan(["s2999"]) == [one.name for one in chain]


@given(
    st.permutations(range(6)), st.sets(st.tuples(st.integers(0, 5), st.integers(0, 5)).filter(lambda p: p[0] < p[1]))
)
def test_any_order_of_writing_gives_a_valid_order(written: list[int], edges: set[tuple[int, int]]) -> None:
    stages = {i: stage(f"s{i}", " ".join(f"o{a}" for a, b in edges if b == i), f"o{i}") for i in range(6)}
    plan = Graph([stages[i] for i in written], []).plan(None)
    assert all(plan.index(f"s{a}") < plan.index(f"s{b}") for a, b in edges)
