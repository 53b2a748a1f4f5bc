"""A YAML file that a person wrote becomes typed values, or an error that names file, line and the near word."""

from __future__ import annotations

from contextlib import suppress
from datetime import date
from typing import Annotated, Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from everloop.errors import InvalidError, NotFoundError
from everloop.yamlfile import LIMIT_BYTES, load_tree, parse_yaml


class Inner(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    size: int
    share: Annotated[float, msgspec.Meta(le=1.0)] = 0.5

    def __post_init__(self) -> None:
        if self.size < 0:
            raise NotFoundError(f"size {self.size} is below 0", hint="Take it up.")


class Outer(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    name: str
    inner: Inner | None = None
    parts: list[Inner] = []
    by_name: dict[str, Inner] = {}


def parse(text: str) -> Outer:
    return parse_yaml(text, Outer, name="a.yaml")


def test_values_come_out_with_their_types() -> None:
    text = "name: on\ninner: {size: 3, share: 1}\nparts:\n  - size: 0x10\nby_name: {yes: {size: 1}}\n"
    assert parse(text) == Outer(
        name="on", inner=Inner(size=3, share=1.0), parts=[Inner(size=16)], by_name={"yes": Inner(size=1)}
    )


def test_values_are_plain() -> None:
    text = 'a: 0x10\nb: 1.50\nc: "x"\nd: |\n  y\ne: true\nf: null\ng: [1]\nh: 2013-01-01\ni: &i 1\nj: *i\n'
    found = parse_yaml(text, dict[str, Any], name="a.yaml")
    assert found == {
        "a": 16,
        "b": 1.5,
        "c": "x",
        "d": "y\n",
        "e": True,
        "f": None,
        "g": [1],
        "h": date(2013, 1, 1),
        "i": 1,
        "j": 1,
    }
    assert {type(value) for value in found.values()} == {int, float, str, bool, type(None), list, date}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name: a\nnam: b\n", r"^a\.yaml:2: .*unknown field `nam`.*\nDid you mean 'name'\?$"),
        ("name: a\ninner:\n  size: 1\n  shar: 1\n", r"^a\.yaml:4: .*`shar` \(at inner\)\nDid you mean 'share'\?"),
        ("name: a\nzzzzz: 1\n", r"^a\.yaml:2: .*\nKnown here: by_name, inner, name, parts\.$"),
        (
            "name: a\nby_name:\n  x: {size: 1}\n  y: {size: 1, shar: 1}\n",
            r"^a\.yaml:4: .*`shar`.*\nDid you mean 'share'",
        ),
        ("name: a\nparts:\n- size: 1\n- {sise: 1}\n", r"^a\.yaml:4: .*`sise` \(at parts\[1\]\)\nDid you mean 'size'"),
        ("name: 3\n", r"^a\.yaml:1: Expected `str`, got `int` \(at name\)"),
        (
            "name: a\nparts:\n  - size: 1\n  - size: x\n",
            r"^a\.yaml:4: Expected `int`, got `str` \(at parts\[1\]\.size\)",
        ),
        ("name: a\ninner:\n  size: 1\n  share: 2\n", r"^a\.yaml:4: Expected `float` <= 1\.0 \(at inner\.share\)"),
        ("name: a\ninner: {}\n", r"^a\.yaml:2: .*missing required field `size` \(at inner\)"),
        ("name: a\nby_name:\n  x: {size: no}\n", r"^a\.yaml:2: Expected `int`, got `str` \(at by_name"),
        ("", r"^a\.yaml:1: Expected `object`, got `null` \(at the top level\)"),
        ("- 1\n", r"^a\.yaml:1: Expected `object`, got `array`"),
        ("1: 2\nname: a\n", r"^a\.yaml:1: "),
        ("name: a\ninner: {size: -1}\n", r"^a\.yaml: size -1 is below 0\nTake it up\.$"),
        ("name: a\nname: b\n", r"^a\.yaml:2: not YAML: found duplicate key"),
        ("name: a\n  b: c\n", r"^a\.yaml:2: not YAML: "),
        ("name: 'a\n", r"^a\.yaml:2: not YAML: "),
        ("name: *nobody\n", r"^a\.yaml:1: not YAML: found undefined alias"),
        ("name: a\n--- b\n", r"^a\.yaml:2: not YAML: "),
        ("name: 2013-02-31\n", r"^a\.yaml: a value cannot be read: day is out of range"),
        ("name: !!int x\n", r"^a\.yaml: a value cannot be read"),
        ("name: !!python/object/apply:os.system [ls]\n", r"^a\.yaml:1: Expected `str`, got `array`"),
        ("name: !mine 3\n", r"^a\.yaml.*a tag"),
        ("name: a\ninner: !mine\n  size: x\n", r"^a\.yaml:3: Expected `int`, got `str`"),
        ("[a, b]: c\n", r"^a\.yaml.* is not supported"),
        ("name: \x07\n", r"^a\.yaml.*not YAML"),
        ("&a [*a]\n", r"^a\.yaml: more than 64 levels"),
        ("name: " + "[" * 500 + "]" * 500, r"^a\.yaml: nested too deeply"),
        ("name: " + "[" * 70 + "]" * 70, r"^a\.yaml: more than 64 levels"),
        ("#" * (LIMIT_BYTES + 1), r"^a\.yaml is larger than 1,048,576 bytes"),
    ],
)
def test_a_mistake_is_named_with_file_line_and_near_word(text: str, message: str) -> None:
    with pytest.raises(InvalidError, match=message):
        parse(text)


def test_a_bomb_of_aliases_is_refused_at_once() -> None:
    lines = ["a0: &a0 [x]", *(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 12))]
    with pytest.raises(InvalidError, match="more than 131,072 values"):
        parse_yaml("\n".join(lines), Any, name="a.yaml")


def test_an_anchor_may_be_set_anew() -> None:
    assert parse_yaml("a: &x 1\nb: &x 2\nc: *x\n", dict[str, int], name="a.yaml") == {"a": 1, "b": 2, "c": 2}


# Pieces that mean something to YAML, so that random texts come deeper than its scanner.
MARKS = [*"-?:,[]{}#&*!|>'\"%@` \n\t~=<.", "\n  ", "- ", ": ", "? ", "&a ", "*a", "<<: ", "---\n", "...\n"]
TAGS = [f"!!{tag} " for tag in ("int", "float", "bool", "binary", "timestamp", "set", "omap", "null", "str", "")]
NUMBERS = ["0x", "0o7", "0b1", "1_0", ".inf", ".nan", "1e9", "12:30:45", "2001-01-01", "2001-99-99"]
WORDS = ["null", "true", "name", "%YAML 1.1\n", "%YAML", "%TAG", "!x"]
PIECES = st.sampled_from([*MARKS, *TAGS, *NUMBERS, *WORDS])


@given(st.one_of(st.text(max_size=60), st.lists(st.one_of(PIECES, st.text(max_size=2)), max_size=25).map("".join)))
def test_any_text_is_a_value_or_a_clear_error(text: str) -> None:
    for kind in (Any, Outer):
        with suppress(InvalidError):
            parse_yaml(text, kind, name="a.yaml")


@given(
    st.recursive(
        st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), st.text()),
        lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(), inner, max_size=3)),
        max_leaves=10,
    )
)
def test_json_is_yaml(value: Any) -> None:
    text = msgspec.json.encode(value).decode()
    if "\x7f" in text or any(ord(letter) > 0x7E for letter in text):
        return  # what else than ASCII YAML takes raw is its own matter
    assert parse_yaml(text, Any, name="a.yaml") == value


def test_the_tree_knows_its_lines() -> None:
    tree = load_tree("a: 1\nb:\n  - c\n", name="a.yaml")
    assert (tree.lc.key("b")[0], tree["b"].lc.item(0)[0]) == (1, 2)
