from __future__ import annotations

import errno
import hashlib
import io
import json
import os
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from everloop.errors import InvalidError
from everloop.workspace import hashing

NAMES = st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1, max_size=8).filter(
    lambda name: name not in (".", "..")
)
PATHS = st.lists(NAMES, min_size=1, max_size=3).map("/".join)
HASHES = st.binary(max_size=4).map(lambda data: hashlib.md5(data).hexdigest())
LISTINGS = st.dictionaries(PATHS, HASHES, max_size=6)


def test_known_directory_object() -> None:
    encoded = hashing.encode_directory({"ü.txt": "a" * 32, "B": "b" * 32, "a/b": "c" * 32})
    assert encoded == (
        b'[{"md5": "' + b"b" * 32 + b'", "relpath": "B"}, {"md5": "' + b"c" * 32 + b'", "relpath": "a/b"}, '
        b'{"md5": "' + b"a" * 32 + b'", "relpath": "\\u00fc.txt"}]'
    )
    assert hashing.directory_md5(encoded) == hashlib.md5(encoded).hexdigest() + ".dir"


@given(LISTINGS)
def test_directory_object_comes_back(files: dict[str, str]) -> None:
    assert hashing.decode_directory(hashing.encode_directory(files), "it") == files


@pytest.mark.parametrize("n_files", [0, 1, 4095, 4096, 4097, 9000])
def test_listing_larger_than_a_piece_is_what_json_writes(n_files: int) -> None:
    files = {f'd/{number} "ü"': hashlib.md5(str(number).encode()).hexdigest() for number in range(n_files)}
    listed = [{"md5": files[path], "relpath": path} for path in sorted(files)]
    encoded = hashing.encode_directory(files)
    assert encoded == json.dumps(listed).encode()
    assert hashing.directory_md5_of(files) == hashing.directory_md5(encoded)


@given(LISTINGS, st.randoms())
def test_order_and_further_keys_of_a_directory_object_do_not_matter(files: dict[str, str], random: object) -> None:
    entries = [{"relpath": path, "size": 3, "md5": md5} for path, md5 in files.items()]
    random.shuffle(entries)  # type: ignore[attr-defined]
    assert hashing.decode_directory(json.dumps(entries).encode(), "it") == files
    assert hashing.encode_directory(files) == hashing.encode_directory(dict(reversed(files.items())))


@given(st.binary(max_size=40))
def test_no_bytes_break_the_reader(encoded: bytes) -> None:
    with suppress(InvalidError):
        hashing.decode_directory(encoded, "it")


@pytest.mark.parametrize("path", ["../x", "/etc/passwd", "a/../../x", "", "a//b", "./a", "a\0b"])
def test_path_out_of_the_directory_is_refused(path: str) -> None:
    encoded = json.dumps([{"md5": "a" * 32, "relpath": path}]).encode()
    with pytest.raises(InvalidError, match="leaves the directory"):
        hashing.decode_directory(encoded, "it")


@given(st.binary(max_size=100))
def test_bytes_are_hashed_on_their_way(data: bytes) -> None:
    sink = io.BytesIO()
    assert hashing.md5_of_stream(io.BytesIO(data), sink) == (hashlib.md5(data).hexdigest(), len(data))
    assert sink.getvalue() == data


@pytest.mark.parametrize("size_bytes", [0, 1, 1 << 20, (8 << 20) + 1])
def test_copy_has_the_bytes_that_were_hashed(tmp_path: Path, size_bytes: int) -> None:
    data = os.urandom(size_bytes)
    (tmp_path / "source").write_bytes(data)
    with (tmp_path / "source").open("rb", buffering=0) as source, (tmp_path / "copy").open("wb", buffering=0) as copy:
        assert hashing.md5_of_copy(source.fileno(), copy.fileno(), size_bytes) == hashlib.md5(data).hexdigest()
    assert (tmp_path / "copy").read_bytes() == data


def test_failure_of_the_writing_thread_is_raised(tmp_path: Path) -> None:
    (tmp_path / "source").write_bytes(bytes(9 << 20))
    with (
        (tmp_path / "source").open("rb", buffering=0) as source,
        (tmp_path / "source").open("rb", buffering=0) as unwritable,
        pytest.raises(OSError, match="Bad file descriptor"),
    ):
        hashing.md5_of_copy(source.fileno(), unwritable.fileno(), 9 << 20)


def test_name_that_is_no_utf8_comes_back() -> None:
    files = {"a\udcff": "a" * 32}
    assert hashing.decode_directory(hashing.encode_directory(files), "it") == files


@pytest.fixture
def huge(tmp_path: Path) -> Path:
    """So large that the disk is asked to write on the way; it takes no room."""
    path = tmp_path / "huge"
    with path.open("wb") as file:
        file.truncate((64 << 20) + 1)
    return path


def copied(huge: Path) -> str:
    source, target = os.open(huge, os.O_RDONLY), os.open(huge.with_name("copy"), os.O_WRONLY | os.O_CREAT)
    try:
        return hashing.md5_of_copy(source, target, huge.stat().st_size, is_flushed=True)
    finally:
        os.close(source)
        os.close(target)


def test_file_that_is_flushed_on_the_way_is_copied_whole(huge: Path) -> None:
    assert copied(huge) == hashlib.md5(huge.read_bytes()).hexdigest()
    assert huge.with_name("copy").read_bytes() == huge.read_bytes()


def test_disk_that_fails_on_the_way_is_told(huge: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="Input/output"):
        copied(huge)
