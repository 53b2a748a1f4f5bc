from __future__ import annotations

import copy
import tomllib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from everloop.errors import InvalidError
from everloop.pipelines.paramedit import Edit, How, edited
from everloop.pipelines.params import MISSING
from everloop.pipelines.plainvalues import is_same
from everloop.pipelines.tomledit import rewritten

TEXT = '''\
# how to train
title = "A # b"   # not a comment, and one
when = 2013-01-01 07:30:00  # a date with a space
"quoted key" = 'c:\\path'
long = """
[not.a.section]
"quoted" \\""" end"""
many = [
  1,  # one
  2, # two
]

[train]  # section
lr = 0.10  # rate
opt.name = 'adam'
grid = { depth = 3, "x y" = [1, { z = "}" }] } # inline
empty = ""

  [train.deep]
  a.b = 1_000

[[layer]]
n = 1
[layer.init]
kind = "zero"
[[layer]]
n = 9
'''


def change(*edits: Edit, text: str = TEXT) -> str:
    return edited(text, "p.toml", edits).decode()


@pytest.mark.parametrize(
    ("key", "value", "old", "new"),
    [
        ("train.lr", 0.25, "lr = 0.10  # rate", "lr = 0.25  # rate"),
        ("title", 'say "\x7f\\é', '"A # b" ', '"say \\"\\u007f\\\\é" '),
        ("when", True, "2013-01-01 07:30:00", "true"),
        ("quoted key", 7, "'c:\\path'", "7"),
        ("long", "x", TEXT[TEXT.index('"""') : TEXT.index("\nmany")], '"x"'),
        ("many.1", 5, "2, # two", "5, # two"),
        ("many", [3], TEXT[TEXT.index("[\n") : TEXT.index("\n\n[train]")], "[3]"),
        ("train.opt.name", "sgd", "'adam'", '"sgd"'),
        ("train.grid.depth", 4, "depth = 3,", "depth = 4,"),
        ("train.grid.x y.1.z", "{", '"}"', '"{"'),
        ("train.empty", "no", 'empty = ""', 'empty = "no"'),
        ("train.deep.a.b", 1e16, "1_000", "1e+16"),
        ("layer.0.init.kind", "one", '"zero"', '"one"'),
        ("layer.1.n", 3, "n = 9", "n = 3"),
    ],
)
def test_only_the_value_changes(key: str, value: object, old: str, new: str) -> None:
    assert TEXT.count(old) == 1
    assert change(Edit(key=key, value=value)) == TEXT.replace(old, new)


@pytest.mark.parametrize(
    ("key", "value", "old", "new"),
    [
        ("seed", 1, "]\n\n[train]", "]\nseed = 1\n\n[train]"),
        ("train.new.deep", "x", 'empty = ""\n', 'empty = ""\nnew = { deep = "x" }\n'),
        ("train.opt.beta", [0.5], "'adam'\n", "'adam'\nopt.beta = [0.5]\n"),
        ("train.grid.width", 2, '{ depth = 3, "x y" = [1, { z = "}" }] }',
         '{ depth = 3, "x y" = [1, { z = "}" }], width = 2 }'),
        ("train.deep.c", {"d e": {}}, "  a.b = 1_000\n", '  a.b = 1_000\n  c = { "d e" = {} }\n'),
        ("train.deep.a.c", 2, "  a.b = 1_000\n", "  a.b = 1_000\n  a.c = 2\n"),
        ("layer.0.size", 2, "n = 1\n", "n = 1\nsize = 2\n"),
        ("layer.0.init.seed", 2, 'kind = "zero"\n', 'kind = "zero"\nseed = 2\n'),
    ],
)  # fmt: skip
def test_what_is_added_stands_in_its_section(key: str, value: object, old: str, new: str) -> None:
    assert TEXT.count(old) == 1
    assert change(Edit(key=key, value=value, how=How.ADD)) == TEXT.replace(old, new)


@pytest.mark.parametrize(
    ("key", "old", "new"),
    [
        ("train.lr", "lr = 0.10  # rate\n", ""),
        ("many", TEXT[TEXT.index("many") : TEXT.index("\n[train]")], ""),
        ("train.grid.depth", '{ depth = 3, "x y" =', '{ "x y" ='),
        ("train.deep", "  [train.deep]\n  a.b = 1_000\n", ""),
        ("layer", TEXT[TEXT.index("[[layer") :], ""),
    ],
)
def test_what_is_removed_takes_its_lines_along(key: str, old: str, new: str) -> None:
    assert change(Edit(key=key, value=MISSING, how=How.REMOVE)) == TEXT.replace(old, new)


@pytest.mark.parametrize(
    ("text", "key", "value", "changed"),
    [
        ("", "a", 1, "a = 1\n"),
        ("[x]\n", "a", 1, "a = 1\n[x]\n"),
        ("[x]", "x.a", 1, "[x]\na = 1\n"),
        ("[a.b]\nc = 1\n", "a.d", 2, "[a.b]\nc = 1\n\n[a]\nd = 2\n"),
        ("[a.b]\nc = 1\n", "a.b", 2, "\n\n[a]\nb = 2\n"),
        ("a = 1\nb.c = 2", "b", 3, "a = 1\nb = 3\n"),
        ("a = 1", "a", float("nan"), "a = nan"),
    ],
)
def test_small_files(text: str, key: str, value: object, changed: str) -> None:
    assert change(Edit(key=key, value=value, how=How.SET_OR_ADD), text=text) == changed


@pytest.mark.parametrize(
    ("key", "value", "named"),
    [
        ("train.lr", None, r"p\.toml: train\.lr cannot be changed: TOML cannot hold null"),
        ("train.opt", {"name": None}, r"train\.opt\.name cannot be changed"),
        ("train.lrr", 1, "do you mean 'train.lr'"),
        ("many", [{1: 2}], "a key of TOML is text, not 1"),
    ],
)
def test_what_cannot_be_said_is_named(key: str, value: object, named: str) -> None:
    with pytest.raises(InvalidError, match=named):
        change(Edit(key=key, value=value))


NAMES = st.sampled_from(["title", "train", "lr", "opt", "name", "grid", "depth", "x y", "deep", "a", "b", "layer", "n"])
SCALARS = st.one_of(st.booleans(), st.integers(-9, 9), st.floats(), st.text(max_size=4))
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(NAMES, inner, max_size=3)),
    max_leaves=6,
)


@given(st.lists(st.tuples(st.lists(NAMES, min_size=1, max_size=3), st.one_of(VALUES, st.none())), max_size=4))
def test_the_standard_library_reads_what_was_wanted(changes: list[tuple[list[str], Any]]) -> None:
    wanted: Any = copy.deepcopy(tomllib.loads(TEXT))
    for keys, value in changes:  # None removes
        place = wanted
        for key in keys[:-1]:
            place = place.setdefault(key, {})
            if not isinstance(place, dict):
                break
        else:
            place.pop(keys[-1], None)
            if value is not None:
                place[keys[-1]] = value
    assert is_same(tomllib.loads(rewritten(TEXT, wanted, "p.toml")), wanted)
