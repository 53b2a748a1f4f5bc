"""Whatever the fast reader reads, ruamel reads the same; and it reads what DVC writes."""

from __future__ import annotations

import io
import random

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from everloop.workspace import plainyaml

WORDS = st.sampled_from(
    [
        *(
            "md5",
            "path",
            "cmd",
            "a",
            "b.c",
            "true",
            "True",
            "no",
            "on",
            "null",
            "~",
            "Null",
            "=",
            "<<",
            "-",
            "--x",
            "- ",
            "?",
        ),
        *(
            "0",
            "1",
            "-1",
            "+1",
            "010",
            "0o10",
            "0x1f",
            "1e3",
            "1.5",
            "-0.5",
            "1.",
            ".5",
            "1_000",
            "12e03",
            ".inf",
            ".nan",
        ),
        *(
            "2020-01-01",
            "2020-01-01 10:00:00",
            "12:30",
            "190:20:30",
            "1.2.3",
            "0.txt",
            "00",
            "0b1",
            "3f.dir",
            "1e5.dir",
        ),
        *(
            "'a'",
            "'it''s'",
            '"x"',
            '"a\\n"',
            "''",
            '""',
            "'",
            '"',
            "#",
            " #",
            " # c",
            "x#y",
            "a: b",
            "a:",
            ":",
            ": ",
            "::",
        ),
        *(
            "[a, b]",
            "[]",
            "[1, 2.5]",
            "[a",
            "{}",
            "{a: 1}",
            "|",
            ">",
            "|-",
            "&x",
            "*x",
            "!t",
            "!!str",
            "%",
            "@",
            "`",
            ",",
        ),
        *(
            "---",
            "...",
            "\t",
            "ü",
            "\u00a0",
            "\u3000",
            "\u2028",
            "\ufeff",
            "\x85",
            "${x}",
            "../d",
            "./e",
            ".f",
            "s3://b/k",
        ),
        *(
            "python train.py --lr 0.1",
            "a  b",
            "yes",
            "Off",
            "TRUE",
            "NULL",
            "nullx",
            "d41d8cd98f00b204e9800998ecf8427e",
        ),
        *("12345678901234567890123456789012", "1234567890123456e890123456789012", "9" * 30, "a,b", "a]", "f(x)[0]"),
    ]
)
TEXTS = st.lists(WORDS, min_size=1, max_size=3).map("".join) | st.lists(WORDS, min_size=1, max_size=3).map(" ".join)


@st.composite
def documents(draw: st.DrawFn) -> str:
    """Lines that are nearly the simple part: keys, items and values that may be anything, at any indentation."""
    lines = []
    for _ in range(draw(st.integers(0, 7))):
        indent = " " * draw(st.sampled_from([0, 0, 0, 1, 2, 2, 2, 4]))
        dash = draw(st.sampled_from(["", "", "- ", "-  ", "- - "]))
        key = draw(st.sampled_from(["", "k: ", "k1:", "p: ", "q:  ", "a.b: ", "1: ", "'k': ", "true: ", "0a: "]))
        lines.append(indent + dash + key + draw(st.sampled_from(["", ""]) | TEXTS))
    return "\n".join(lines) + draw(st.sampled_from(["", "\n", "\n\n", "\n# end\n"]))


SCALARS = (
    st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=12)
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.booleans()
    | st.none()
    | TEXTS
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text("abc.1-_ ", min_size=1, max_size=4), inner, max_size=3)
    ),
    max_leaves=12,
)


def read_whole(text: str) -> object:
    try:
        return YAML(typ="safe", pure=True).load(text)
    except (YAMLError, ValueError, TypeError, IndexError, AttributeError) as error:
        return error


def typed(value: object) -> object:
    """A value with its types: 1, 1.0 and True are equal in Python."""
    if isinstance(value, dict):
        return [(typed(key), typed(inner)) for key, inner in value.items()]
    if isinstance(value, list):
        return ["list", *map(typed, value)]
    return type(value).__name__, repr(value)


def agree(text: str) -> bool:
    fast = plainyaml.parse(text)
    if fast is plainyaml.UNDECIDED:
        return False
    assert typed(fast) == typed(read_whole(text))
    return True


@settings(max_examples=400, deadline=None)
@given(documents())
@example("a: b\n---\nc: d\n")
@example("a:\n- b\n-c\n")
@example("a: x\n  y: z\n")
@example("cmd: a b\n      c d\nx: 1\n")
@example("a:\n  b: 1\n c: 2\n")
@example("- a\n b\n")
def test_what_is_read_is_what_ruamel_reads(text: str) -> None:
    agree(text)


@settings(max_examples=200, deadline=None)
@given(VALUES)
def test_what_ruamel_writes_is_read_as_ruamel_reads_it(value: object) -> None:
    stream = io.StringIO()
    yaml = YAML()
    yaml.default_flow_style = False
    yaml.dump(value, stream)
    agree(stream.getvalue())


@settings(max_examples=200, deadline=None)
@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=30))
def test_any_text_is_read_alike(text: str) -> None:
    agree(text)
    agree(f"key: {text}")


def write_whole(value: object) -> bytes:
    stream = io.BytesIO()
    yaml = YAML()
    yaml.default_flow_style = False
    yaml.dump(value, stream)
    return stream.getvalue()


SIMPLE_TEXTS = (
    st.text("abz019._-/@ e'#:", max_size=90)
    | st.text("ab.-/ '\"#:>&|$*%!\\{}[]()=;,?~`", max_size=60)
    | st.sampled_from(
        ["echo 'a: b' > x", "cat a > b && echo c", "a # b", "a #", "if: x", "x :", "true", "Null", "a  b"]
    )
    | st.from_regex(r"[0-9a-e]{32}(\.dir)?", fullmatch=True)
    | st.sampled_from(
        ["2.0", "1", "010", "true", "null", "on", "1e3", "a b " * 30, "x" * 300, "x" * 100 + " y", "é", "0x1"]
    )
    | TEXTS
)
SIMPLE_VALUES = st.recursive(
    SIMPLE_TEXTS | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.booleans() | st.none(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(SIMPLE_TEXTS.filter(bool), inner, max_size=3),
    max_leaves=10,
)


@settings(max_examples=400, deadline=None)
@given(st.dictionaries(st.text("abc.", min_size=1, max_size=3) | SIMPLE_TEXTS.filter(bool), SIMPLE_VALUES, max_size=4))
@example({"a": [{"b": [1, {"c": {}}], "d": []}], "e": {"f": {"g": [2]}}})
@example({"k" * 120: 1})
@example({"a": "12345678901234567890123456789012"})
def test_what_is_written_is_what_ruamel_writes(value: dict[str, object]) -> None:
    written = plainyaml.dump(value)
    assert written is None or written == write_whole(value)


LOCK = """\
schema: '2.0'
stages:
  train@0:
    cmd: python train.py --depth 3 --data data/features/very/long/folder --model
      model/output --metrics metrics.json
    deps:
    - path: data/features
      hash: md5
      md5: 0b3d5a3d6c3f8b1a2f4f0b5f1d7d9c11.dir
      size: 409600000
      nfiles: 100000
    params:
      params.yaml:
        train.lr: 0.1
        train.on: true
        train.names:
        - a
        - b
    outs:
    - path: model.bin
      hash: md5
      md5: d41d8cd98f00b204e9800998ecf8427e
      size: 0
      isexec: true
"""


@pytest.mark.parametrize(
    "text",
    [
        LOCK,
        "outs:\n- md5: c865bb6061ef1942ebeb35da0175e5a3.dir\n  size: 31\n  nfiles: 6\n  hash: md5\n  path: data\n",
        "# data\nouts:\n  - path: a b.csv # ours\n    md5: d41d8cd98f00b204e9800998ecf8427e\n    hash: md5\n",
        "stages:\n  a:\n    cmd: cp a b\n    params: [lr, train.x]\n    deps:\n      - a\n    outs: ['b', \"c\"]\n",
        "train:\n  lr: 0.1\n\n  # depth\n  depth: 3\nname: 'x: y'\nempty:\n",
        "",
        "# nothing\n",
    ],
)
def test_common_files_are_decided(text: str) -> None:
    assert agree(text) or "['b'" in text


def test_lock_file_is_read_and_written_without_the_slow_way() -> None:
    text = LOCK.replace("/very/long/folder --model\n      model/output --metrics metrics.json", "")
    assert plainyaml.dump(plainyaml.parse(text)) == text.encode()


def test_random_changes_of_a_lock_file_are_read_alike() -> None:
    generator = random.Random(0)
    decided = 0
    for _ in range(300):
        letters = list(LOCK)
        for _ in range(generator.randint(1, 3)):
            letters[generator.randrange(len(letters))] = generator.choice(" \n:-#'\"[]{}ab0.e,&*|>\t")
        decided += agree("".join(letters))
    assert decided > 50
