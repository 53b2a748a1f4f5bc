from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from everloop.errors import FailedError, InvalidError, NotFoundError
from everloop.storage.folder import Folder
from everloop.workspace import remote_store
from everloop.workspace.parallel import Patience
from everloop.workspace.remote_store import RemoteStore, WrongBytesError
from everloop.workspace.remotes import Remote

FILES = {hashlib.md5(str(number).encode()).hexdigest(): str(number) for number in range(150)}
STRANGER = "0" * 32


class Far(Folder):
    """A folder that costs as much to ask as a cloud; counts what it is asked."""

    is_near = False

    def __init__(self, root: Path, *, can_list: bool = True) -> None:
        super().__init__(root)
        self.can_list = can_list
        self.n_asked = 0
        self.listed: list[str] = []

    def exists(self, key: str) -> bool:
        self.n_asked += 1
        return super().exists(key)

    def keys(self, prefix: str) -> Iterator[str]:
        if not self.can_list:
            raise InvalidError("cannot list")
        self.listed.append(prefix)
        return super().keys(prefix)


@pytest.fixture
def bucket(tmp_path: Path) -> Far:
    far = Far(tmp_path / "far")
    for md5, text in FILES.items():
        far.put(RemoteStore.key(md5), text.encode())
    far.put("files/md5/ab/.abc.tmp", b"left behind by someone else")
    far.flush()
    return far


def store(bucket: Far, tmp_path: Path) -> RemoteStore:
    remote = Remote(name="far", url="far")
    return RemoteStore(remote, tmp_path / "memory", bucket=bucket, patience=Patience(first_pause_s=0.0))


def test_a_few_objects_are_asked_for_one_by_one(bucket: Far, tmp_path: Path) -> None:
    few = list(FILES)[:3]
    assert store(bucket, tmp_path).present([*few, STRANGER]) == set(few)
    assert (bucket.n_asked, bucket.listed) == (4, [])


def test_many_objects_take_one_listing(bucket: Far, tmp_path: Path) -> None:
    assert store(bucket, tmp_path).present({*FILES, STRANGER}) == set(FILES)
    assert (bucket.n_asked, bucket.listed) == (0, ["files/md5/"])


def test_a_remote_with_very_many_is_listed_by_folder_or_asked(
    bucket: Far, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote_store, "_LISTED_AT_ONCE", 20)
    assert store(bucket, tmp_path).present({*FILES, STRANGER}) == set(FILES)
    assert bucket.n_asked == len(FILES) + 1
    monkeypatch.setattr(remote_store, "_FEW_NEAR", 50)
    assert store(bucket, tmp_path).present({*FILES, STRANGER}) == set(FILES)
    assert bucket.n_asked == len(FILES) + 1
    assert {md5[:2] for md5 in FILES} <= {prefix[-3:-1] for prefix in bucket.listed}


def test_a_remote_that_cannot_list_is_asked(bucket: Far, tmp_path: Path) -> None:
    bucket.can_list = False
    assert store(bucket, tmp_path).present({*FILES, STRANGER}) == set(FILES)


def test_what_is_no_object_is_not_listed(bucket: Far, tmp_path: Path) -> None:
    assert set(store(bucket, tmp_path).ids()) == set(FILES)


def test_directories_seen_whole_are_remembered_until_one_is_gone(bucket: Far, tmp_path: Path) -> None:
    one, two, *_ = FILES
    store(bucket, tmp_path).remember_whole([one, two])
    assert store(bucket, tmp_path).whole([one, two, STRANGER]) == {one, two}
    bucket.delete([RemoteStore.key(one)])
    assert store(bucket, tmp_path).whole([one, two]) == set()
    assert store(bucket, tmp_path).whole([two]) == set()


def test_deleting_objects_forgets_what_was_whole(bucket: Far, tmp_path: Path) -> None:
    one, two, *_ = FILES
    store(bucket, tmp_path).remember_whole([one, two])
    store(bucket, tmp_path).delete([one])
    assert store(bucket, tmp_path).whole([two]) == set()
    assert one not in set(store(bucket, tmp_path).ids())


def test_a_damaged_memory_only_costs_questions(bucket: Far, tmp_path: Path) -> None:
    store(bucket, tmp_path).remember_whole([STRANGER])
    (memory,) = (tmp_path / "memory").iterdir()
    memory.write_bytes(b"nonsense")
    assert store(bucket, tmp_path).whole([STRANGER]) == set()


def test_fetched_bytes_are_verified(bucket: Far, tmp_path: Path) -> None:
    bucket.put(RemoteStore.key(STRANGER), b"not these")
    bucket.flush()
    with pytest.raises(WrongBytesError, match="other bytes"):
        store(bucket, tmp_path).fetch(STRANGER, str(tmp_path / "aside"))
    assert not (tmp_path / "aside").exists()
    md5, text = next(iter(FILES.items()))
    assert store(bucket, tmp_path).fetch(md5, str(tmp_path / "aside")) == len(text)
    assert store(bucket, tmp_path).read(md5) == text.encode()
    with pytest.raises(FailedError, match="cannot be written"):
        store(bucket, tmp_path).fetch(md5, str(tmp_path / "none/aside"))


@pytest.mark.parametrize("size", [3, 9 << 20])
def test_pushed_bytes_are_verified(bucket: Far, tmp_path: Path, size: int) -> None:
    source = tmp_path / "source"
    source.write_bytes(b"x" * size)
    md5 = hashlib.md5(source.read_bytes()).hexdigest()
    store(bucket, tmp_path).put(md5, str(source))
    with pytest.raises(FailedError, match="damaged"):
        store(bucket, tmp_path).put(STRANGER, str(source))
    with pytest.raises(NotFoundError):
        store(bucket, tmp_path).put(STRANGER, str(tmp_path / "none"))
    bucket.flush()
    assert store(bucket, tmp_path).present([md5, STRANGER]) == {md5}
