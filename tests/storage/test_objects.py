"""The object store: content under its digest, whole or not at all."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from everloop.errors import InvalidError, NotFoundError
from everloop.storage import ObjectStore


@pytest.fixture
def store(tmp_path: Path) -> ObjectStore:
    return ObjectStore(tmp_path / "objects")


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def files(store: ObjectStore) -> list[Path]:
    return [path for path in store.root.rglob("*") if path.is_file()]


def damage(store: ObjectStore, digest: str) -> None:
    path = store.path_of(digest)
    path.chmod(0o644)
    path.write_bytes(b"other")


@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.binary(max_size=64))
def test_what_was_put_comes_back_under_its_sha256(store: ObjectStore, data: bytes) -> None:
    digest = store.put(data)
    assert digest == sha256(data)
    assert store.get(digest) == data


def test_a_file_and_a_stream_are_stored_as_their_bytes_are(store: ObjectStore, tmp_path: Path) -> None:
    data = bytes(range(256)) * 10_000  # more than two chunks
    (tmp_path / "file").write_bytes(data)
    assert store.put_file(tmp_path / "file") == store.put_stream([data[:7], b"", data[7:]]) == sha256(data)
    assert [path.read_bytes() for path in files(store)] == [data]


def test_a_stored_object_is_read_only(store: ObjectStore) -> None:
    assert store.path_of(store.put(b"x")).stat().st_mode & 0o222 == 0


def test_bytes_of_another_digest_than_expected_are_not_stored(store: ObjectStore) -> None:
    with pytest.raises(InvalidError, match=sha256(b"other")):
        store.put_stream([b"other"], expected=sha256(b"promised"))
    assert files(store) == []


def test_a_stream_that_breaks_off_leaves_nothing(store: ObjectStore) -> None:
    with pytest.raises(ZeroDivisionError):
        store.put_stream(bytes(1 // n) for n in (1, 0))
    assert files(store) == []


def test_what_comes_piece_by_piece_is_an_object_when_it_is_stored(store: ObjectStore) -> None:
    with store.incoming() as new:
        new.write(b"one ")
        new.write(b"two")
        assert new.size_bytes == 7
        assert not any(path.is_file() for path in store.root.glob("??/*"))
        digest = new.store(hashlib.sha256(b"one two").hexdigest())
    assert store.get(digest) == b"one two"
    with store.incoming() as new:
        new.write(b"never stored")
    assert [path for path in store.root.rglob("*") if path.is_file()] == [store.path_of(digest)]


def test_a_damaged_object_is_never_handed_out(store: ObjectStore, tmp_path: Path) -> None:
    digest = store.put(b"content")
    damage(store, digest)
    with pytest.raises(InvalidError, match="damaged"):
        store.get(digest)
    with pytest.raises(InvalidError, match="damaged"):
        store.fetch(digest, tmp_path / "out" / "file")
    assert list((tmp_path / "out").iterdir()) == []


def test_putting_the_content_of_a_damaged_object_again_heals_it(store: ObjectStore) -> None:
    digest = store.put(b"content")
    damage(store, digest)
    store.put(b"content")
    assert store.get(digest) == b"content"


def test_fetch_makes_the_folders_and_replaces_the_file(store: ObjectStore, tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "file"
    for data in (b"one", b"two", b""):
        store.fetch(store.put(data), path)
        assert path.read_bytes() == data
    assert list(path.parent.iterdir()) == [path]


def test_threads_fetch_the_same_path_without_hurting_one_another(store: ObjectStore, tmp_path: Path) -> None:
    data = [bytes([n]) * 100_000 for n in range(4)]
    digests = [store.put(each) for each in data]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda n: store.fetch(digests[n % 4], tmp_path / "file"), range(16)))
    assert (tmp_path / "file").read_bytes() in data


def test_an_unknown_object_is_not_found(store: ObjectStore, tmp_path: Path) -> None:
    unknown = sha256(b"unknown")
    assert not store.has(unknown)
    with pytest.raises(NotFoundError):
        store.get(unknown)
    with pytest.raises(NotFoundError):
        store.fetch(unknown, tmp_path / "file")


@pytest.mark.parametrize("digest", ["", "ab", "../" + "a" * 61, "A" * 64, "a" * 64 + "\n", "a" * 62 + "/."])
def test_what_is_no_digest_never_becomes_a_path(store: ObjectStore, digest: str) -> None:
    with pytest.raises(InvalidError):
        store.has(digest)
    with pytest.raises(InvalidError):
        store.get(digest)


def test_threads_that_put_the_same_content_store_it_once(store: ObjectStore) -> None:
    data = b"z" * 300_000
    with ThreadPoolExecutor(8) as pool:
        digests = list(pool.map(lambda _: store.put(data), range(16)))
    assert digests == [sha256(data)] * 16
    assert files(store) == [store.path_of(sha256(data))]


KILLED_AT_EVERY_LINE = """
import os, signal, sys
from pathlib import Path
from everloop.storage import ObjectStore, objects

def killing_at(line):
    left = line
    def trace(frame, event, _):
        nonlocal left
        if frame.f_code.co_filename != objects.__file__:
            return None
        if event == "line":
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
        return trace
    return trace

line = 0
while True:
    line += 1
    root = Path(sys.argv[1]) / str(line)
    child = os.fork()
    if child == 0:
        sys.settrace(killing_at(line))
        ObjectStore(root).put_stream([b"first ", b"second"])
        os._exit(0)
    status = os.waitpid(child, 0)[1]
    if status == 0:
        break
    assert os.WTERMSIG(status) == signal.SIGKILL
print(line)
"""


def test_a_put_killed_at_any_line_leaves_the_object_whole_or_absent(tmp_path: Path) -> None:
    ran = subprocess.run(
        [sys.executable, "-c", KILLED_AT_EVERY_LINE, str(tmp_path)], check=True, capture_output=True, text=True
    )
    lines = int(ran.stdout)
    assert lines > 20
    outcomes = set()
    for line in range(1, lines + 1):
        store = ObjectStore(tmp_path / str(line))
        named = [path for path in files(store) if not path.name.startswith(".put-")] if store.root.exists() else []
        assert [path.read_bytes() for path in named] in ([], [b"first second"])
        outcomes.add(len(named))
        assert store.get(store.put(b"first second")) == b"first second"  # and it can be done again
    assert outcomes == {0, 1}
