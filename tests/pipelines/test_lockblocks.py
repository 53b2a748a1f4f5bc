from __future__ import annotations

import pytest

from everloop.pipelines.lockblocks import Blocks

LOCK = """\
schema: '2.0'
stages:
  one: # kept
    cmd: 'echo "a: b"'
    outs:
    - path: a
      hash: md5
      md5: 60b725f10c9c85c70d97880dfe8191b3
      size: 2
  two:
    cmd: "printf 'x\\n\\n  y'"
"""


def test_entries_are_read_and_others_keep_their_text() -> None:
    blocks = Blocks.of(LOCK, "dvc.lock")
    assert blocks is not None
    assert blocks.values["one"]["outs"][0]["size"] == 2
    assert blocks.values["two"] == {"cmd": "printf 'x\n\n  y'"}
    blocks.put({"two": {"cmd": "new"}, "three": {"cmd": "echo 'it''s' > x # no comment"}})
    head, _, _ = LOCK.partition("  two:\n")
    assert blocks.text() == head + "  two:\n    cmd: new\n  three:\n    cmd: \"echo 'it''s' > x # no comment\"\n"
    again = Blocks.of(blocks.text(), "dvc.lock")
    assert again is not None
    assert again.values == blocks.values


def test_nothing_becomes_a_whole_file() -> None:
    blocks = Blocks.of("", "dvc.lock")
    assert blocks is not None
    blocks.put({"a": {"cmd": "x"}})
    assert blocks.text() == "schema: '2.0'\nstages:\n  a:\n    cmd: x\n"


@pytest.mark.parametrize(
    "text",
    [
        "stages:\n  a:\n    cmd: x\nschema: '2.0'\n",
        "schema: '2.0'\nstages:\n  a:\n    cmd: x\ndatasets: [1]\n",
        "schema: '2.0'\nstages: {a: {cmd: x}}\n",
        "schema: '2.0'\nstages:\n# a note\n  a:\n    cmd: x\n",
        "schema: '2.0'\nstages:\n  a:\n    cmd: x\n  a:\n    cmd: y\n",
        "schema: '2.0'\nstages:\n  a: &it\n    cmd: x\n  b: *it\n",
        "schema: '2.0'\nstages:\n - a\n",
        "schema: '2.0'\nstages:\n  a:\n    cmd: x",
        "schema: '2.0'\nstages:\n  a: [\n",
    ],
)
def test_other_layouts_are_left_to_the_whole_reader(text: str) -> None:
    assert Blocks.of(text, "dvc.lock") is None
