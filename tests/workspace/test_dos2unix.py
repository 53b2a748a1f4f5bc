"""The hash of DVC 2 is that of the real dvc_data, byte for byte."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from everloop.workspace import hashing, objectid
from everloop.workspace.dos2unix import CHUNK_BYTES, Dos2Unix

PYTHON = Path(__file__).parents[1] / "peers/.venv/bin/python"
# Hashes what each line holds in hex.
ORACLE = """
import io, sys
from dvc_data.hashfile.hash import fobj_md5
for line in sys.stdin:
    print(fobj_md5(io.BytesIO(bytes.fromhex(line)), name="md5-dos2unix"), flush=True)
"""
PIECES = st.one_of(
    st.sampled_from([b"\r\n", b"\r", b"\n", b"\0", b"\xff\xfe", b"a,b\r\n", b"x" * 511, b"\xe9" * 200]),
    st.binary(max_size=20),
    st.integers(CHUNK_BYTES - 2, CHUNK_BYTES + 2).map(lambda size: b"y" * size),
)


class Oracle:
    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process

    def __call__(self, data: bytes) -> str:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(data.hex() + "\n")
        self.process.stdin.flush()
        return self.process.stdout.readline().strip()


@pytest.fixture(scope="module")
def oracle() -> Iterator[Oracle]:
    with subprocess.Popen([PYTHON, "-c", ORACLE], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        yield Oracle(process)


@pytest.mark.peer
@given(st.lists(PIECES, max_size=6).map(b"".join))
@example(b"x" * (CHUNK_BYTES - 1) + b"\r\n")
@example(b"\r\n" * 400 + b"\xff" * 400)
@example(b"a" * 358 + b"\xff" * 154)
@example(b"a" * 358 + b"\xff" * 153 + b"\r\n")
def test_hash_is_that_of_dvc(oracle: Oracle, data: bytes) -> None:
    digest = Dos2Unix()
    digest.update(data)
    assert objectid.digits(digest.hexdigest()) == oracle(data)


@given(st.lists(PIECES, max_size=5))
def test_hash_does_not_depend_on_the_pieces_that_bytes_come_in(pieces: list[bytes]) -> None:
    whole, parts = Dos2Unix(), Dos2Unix()
    whole.update(b"".join(pieces))
    for piece in pieces:
        parts.update(piece)
    assert whole.hexdigest() == parts.hexdigest()


def test_id_of_a_file_is_of_the_kind_that_is_asked_for(tmp_path: Path) -> None:
    file = tmp_path / "rows.csv"
    file.write_bytes(b"a\r\nb\r\n")
    (tmp_path / "unix.csv").write_bytes(b"a\nb\n")
    new, old = hashing.md5_of_file(file), hashing.md5_of_file(file, objectid.LEGACY)
    assert objectid.is_legacy(old)
    assert not objectid.is_legacy(new)
    assert objectid.digits(old) == hashing.md5_of_file(tmp_path / "unix.csv") != new


@pytest.mark.parametrize(
    "oid", ["0" * 32, "f" * 32 + ".dir", "md5-dos2unix:" + "a" * 32, "md5-dos2unix:" + "b" * 32 + ".dir"]
)
def test_place_of_an_object_tells_its_id(oid: str) -> None:
    assert objectid.of_key(objectid.key(oid)) == oid
    assert objectid.like(oid, objectid.digits(oid)) == oid
    assert objectid.of_key(objectid.key(oid) + ".tmp") is None
