from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from everloop.pipelines.dag import Dag, to_dot, to_mermaid, to_text
from everloop.pipelines.drawing import draw

DIAMOND = {"raw": [], "left": ["raw"], "right": ["raw"], "end": ["left", "right"], "alone": []}


def test_parts_that_have_nothing_to_do_with_each_other() -> None:
    assert [list(part.needs) for part in Dag(DIAMOND).components()] == [["raw", "left", "right", "end"], ["alone"]]


def test_around_a_target() -> None:
    assert set(Dag(DIAMOND).around(["left"], full=False).needs) == {"raw", "left"}
    assert set(Dag(DIAMOND).around(["left"], full=True).needs) == {"raw", "left", "right", "end"}


def test_a_group_becomes_one_node() -> None:
    collapsed = Dag({"d@.dvc": [], "a@1": ["d@.dvc"], "a@2": ["a@1"], "b": ["a@1", "a@2"]}).collapsed()
    assert collapsed.needs == {"d@.dvc": [], "a": ["d@.dvc"], "b": ["a"]}


def test_texts_for_other_tools() -> None:
    chain = Dag({"b": ["a"], "a": []})
    assert to_mermaid(chain) == 'flowchart TD\n\tnode1["a"]\n\tnode2["b"]\n\tnode1-->node2'
    assert to_dot(chain) == 'strict digraph {\n"b";\n"a";\n"a" -> "b";\n}\n'


def test_a_chain_is_drawn_straight() -> None:
    assert draw({"a": [], "b": ["a"]}) == "+---+\n| a |\n+---+\n  |\n  |\n+---+\n| b |\n+---+"


def test_an_edge_over_a_layer_passes_beside_the_box() -> None:
    picture = draw({"a": [], "b": ["a"], "c": ["a", "b"]})
    assert picture is not None
    (row,) = (line for line in picture.splitlines() if "| b |" in line)
    assert row.replace("| b |", "").strip() == "|"


def test_what_is_too_wide_is_a_list() -> None:
    wide = {"raw": [], **{f"stage{n}": ["raw"] for n in range(100)}}
    assert draw(wide) is None
    assert to_text(Dag(wide)).splitlines()[:2] == ["raw", "stage0 <- raw"]


@pytest.mark.parametrize("n_stages", [5_000])
def test_a_long_chain_is_no_problem(n_stages: int) -> None:
    chain = {str(n): [str(n - 1)] if n else [] for n in range(n_stages)}
    assert len(to_text(Dag(chain)).splitlines()) == 5 * n_stages - 2


@given(st.lists(st.sets(st.integers(0, 11), max_size=3), min_size=1, max_size=12))
def test_every_box_is_whole_and_above_what_needs_it(needed: list[set[int]]) -> None:
    needs = {f"n{n:02}": [f"n{each:02}" for each in sorted(some) if each < n] for n, some in enumerate(needed)}
    for part in Dag(needs).components():
        picture = draw(part.needs)
        assert picture is not None
        lines = picture.splitlines()
        rows = {}
        for node in part.needs:
            (row,) = (n for n, line in enumerate(lines) if f"| {node} |" in line)
            left = lines[row].index(f"| {node} |")
            for edge in (lines[row - 1], lines[row + 1]):
                assert edge[left : left + 7] == "+-----+"
            rows[node] = row
        assert all(rows[needed] < rows[node] for needed, node in part.edges)
        assert not any(line != line.rstrip() for line in lines)
