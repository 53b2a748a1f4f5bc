from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from everloop.errors import InvalidError
from everloop.pipelines import params
from everloop.workspace import pythonvalues, valuefiles

PYTHON = Path(__file__).parents[1] / "peers/.venv/bin/python"
TEXT = '''\
"""A module."""
import os
LR = 0.1
DEEP = {"a": {"b": [1, (2, 3)]}, 1: None}
EMPTY = set()
SET = {1, 2}
NEG = -1 + 2j
TYPED: int = 3
BARE: int
A = B = 4
x, y = 1, 2
CALL = os.getcwd()
SUM = 1 + 1
MIXED = [1, CALL]
self.odd = 5
obj.attr = 6
LR = 0.2
class Train:
    epochs = 10
    class Inner:
        z = "s"
    def __init__(self):
        self.layers = 3
        self.deep.no = 4
        local = 5
        self.typed: int = 6
    def other(self):
        self.hidden = 7
class Empty:
    pass
def __init__():
    self.top = 8
if True:
    SKIPPED = 9
'''


@pytest.mark.peer
@pytest.mark.skipif(not PYTHON.exists(), reason="the peers are not set up: uv sync --locked --project tests/peers")
def test_what_dvc_reads_is_read() -> None:
    code = "import sys; from dvc.utils.serialize import parse_py; print(repr(parse_py(sys.stdin.read(), 'p.py')))"
    done = subprocess.run([str(PYTHON), "-c", code], input=TEXT, capture_output=True, text=True, check=True)
    assert repr(pythonvalues.parse(TEXT, "p.py")) == done.stdout.strip()


@pytest.mark.parametrize("text", ["a = (", "a = 1\n  b = 2\n", "a = '\0'"])
def test_what_is_not_python_is_told_with_its_place(text: str) -> None:
    with pytest.raises(InvalidError, match=r"conf\.py.*: not Python"):
        pythonvalues.parse(text, "conf.py")


def test_nothing_is_run(tmp_path: Path) -> None:
    mark = tmp_path / "ran"
    assert pythonvalues.parse(f"X = open({str(mark)!r}, 'w')\nY = 1\n", "p.py") == {"Y": 1}
    assert not mark.exists()


def test_what_a_stage_uses_is_kept_as_the_lock_keeps_it() -> None:
    values = valuefiles.parse("T = (1, (2, 3))\nS = {2, 1}\nclass A:\n    b = (1,)\n", "conf.py")
    assert json.loads(json.dumps(params.select(values, ["T", "S", "A.b", "T.0"]))) == {
        "T": [1, [2, 3]],
        "S": [1, 2],
        "A.b": [1],
        "T.0": 1,
    }
