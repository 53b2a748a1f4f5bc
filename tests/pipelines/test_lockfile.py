from __future__ import annotations

import hashlib
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from everloop.errors import InvalidError
from everloop.pipelines import lockfile
from everloop.pipelines.values import LockedStage
from everloop.workspace import Content

FILES = st.builds(
    Content,
    md5=st.binary(max_size=3).map(lambda data: hashlib.md5(data).hexdigest()),
    size_bytes=st.integers(0, 2**60),
    is_executable=st.booleans(),
)
FOLDERS = st.builds(
    Content,
    md5=st.binary(max_size=3).map(lambda data: hashlib.md5(data).hexdigest() + ".dir"),
    size_bytes=st.integers(0, 2**60),
    n_files=st.integers(0, 10**6),
)
WORDS = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs", "Co", "Cn"]), min_size=1, max_size=12)
ITEMS = st.dictionaries(WORDS, FILES | FOLDERS, max_size=3)
SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | WORDS
VALUES: st.SearchStrategy[Any] = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=3), max_leaves=6
)
COMMANDS = WORDS | st.lists(WORDS, min_size=1, max_size=2).map(tuple)
STAGES = st.builds(
    LockedStage,
    command=COMMANDS,
    deps=ITEMS,
    outs=ITEMS,
    params=st.dictionaries(WORDS, st.dictionaries(WORDS, VALUES, min_size=1, max_size=3), max_size=2),
)


@settings(max_examples=30)
@given(STAGES, STAGES)
def test_what_is_written_comes_back(first: LockedStage, second: LockedStage) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "dvc.lock"
        lockfile.write_stage(path, "one", first)
        lockfile.write_stage(path, "two", second)
        lockfile.write_stage(path, "one", first)
        assert lockfile.read(path) == {"one": first, "two": second}


def test_keys_and_items_have_dvcs_order(tmp_path: Path) -> None:
    content = Content(md5="a" * 32, size_bytes=1, is_executable=True)
    folder = Content(md5="b" * 32 + ".dir", size_bytes=2, n_files=3)
    shared = [1, 2]
    stage = LockedStage(
        command=("one", "two"),
        deps={"z": content, "B": folder},
        params={"a.json": {"x": shared, "w": shared}, "params.yaml": {"lr": 0.1}},
        outs={"o": content},
    )
    lockfile.write_stage(tmp_path / "dvc.lock", "s", stage)
    assert (
        (tmp_path / "dvc.lock").read_text()
        == f"""\
schema: '2.0'
stages:
  s:
    cmd:
    - one
    - two
    deps:
    - path: B
      hash: md5
      md5: {folder.md5}
      size: 2
      nfiles: 3
    - path: z
      hash: md5
      md5: {content.md5}
      size: 1
      isexec: true
    params:
      params.yaml:
        lr: 0.1
      a.json:
        w:
        - 1
        - 2
        x:
        - 1
        - 2
    outs:
    - path: o
      hash: md5
      md5: {content.md5}
      size: 1
      isexec: true
"""
    )


def test_other_stages_and_keys_stay(tmp_path: Path) -> None:
    path = tmp_path / "dvc.lock"
    path.write_text("schema: '2.0'\nstages:\n  gone: # kept\n    cmd: x\ndatasets: [1]\n")
    lockfile.write_stage(path, "new", LockedStage(command="y"))
    text = path.read_text()
    assert "gone: # kept" in text
    assert "datasets: [1]" in text
    assert set(lockfile.read(path)) == {"gone", "new"}


def test_no_file_is_an_empty_one(tmp_path: Path) -> None:
    assert lockfile.read(tmp_path / "dvc.lock") == {}


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("stages: {}", "schema must be '2.0'"),
        ("schema: '2.0'\nstages: [a]", "stages must be a mapping"),
        ("schema: '2.0'\nstages: {a: {}}", "stage a: cmd must be"),
        ("schema: '2.0'\nstages: {a: {cmd: x, deps: [{md5: x}]}}", "mapping with a path"),
        ("schema: '2.0'\nstages: {a: {cmd: x, outs: [{path: p, md5: q, hash: md5}]}}", "stage a: p: md5 must be"),
        ("schema: '2.0'\nstages: {a: {cmd: x, params: [1]}}", "params must map"),
        ("a: [", "line 1"),
    ],
)
def test_malformed_lock_is_named(tmp_path: Path, text: str, named: str) -> None:
    (tmp_path / "dvc.lock").write_text(text)
    with pytest.raises(InvalidError, match=named):
        lockfile.read(tmp_path / "dvc.lock")
