"""A package travels between a folder and the object store whole, or not at all."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec
import pytest

from everloop.errors import InvalidError, NotFoundError
from everloop.registry import PackageFile
from everloop.registry.package import package_digest
from everloop.registry.transfer import fetch_package, listing_digest, put_package
from everloop.storage import ObjectStore
from tests.serving import models


@pytest.fixture
def package(tmp_path: Path) -> Path:
    return models.save(tmp_path / "model")


@pytest.fixture
def objects(tmp_path: Path) -> ObjectStore:
    return ObjectStore(tmp_path / "objects")


def content(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_package_comes_back_as_it_was(package: Path, objects: ObjectStore, tmp_path: Path) -> None:
    (package / "data").mkdir()
    (package / "data" / "more.bin").write_bytes(b"\x00\xff")
    files = put_package(package, objects.put_file)
    assert [file.path for file in files] == sorted(content(package))
    assert [file.size_bytes for file in files] == [len(content(package)[file.path]) for file in files]
    fetched = fetch_package(objects, files, tmp_path / "deep" / "copy")
    assert content(fetched) == content(package)
    assert [path.name for path in fetched.parent.iterdir()] == ["copy"]


def test_the_digest_of_a_listing_is_that_of_its_folder(package: Path, objects: ObjectStore) -> None:
    files = put_package(package, objects.put_file)
    assert listing_digest(files) == listing_digest(files[::-1]) == package_digest(package)


def test_a_folder_that_is_no_package_is_not_put(tmp_path: Path, objects: ObjectStore) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(NotFoundError, match="no model package"):
        put_package(tmp_path / "empty", objects.put_file)
    assert not objects.root.exists()


def test_a_missing_or_damaged_file_leaves_nothing(package: Path, objects: ObjectStore, tmp_path: Path) -> None:
    files = put_package(package, objects.put_file)
    stored = objects.path_of(files[-1].digest)
    stored.chmod(0o644)
    stored.write_bytes(b"damaged")
    with pytest.raises(InvalidError, match="damaged"):
        fetch_package(objects, files, tmp_path / "packages" / "copy")
    stored.unlink()
    with pytest.raises(NotFoundError, match="no object"):
        fetch_package(objects, files, tmp_path / "packages" / "copy")
    assert list((tmp_path / "packages").iterdir()) == []


@pytest.mark.parametrize("path", ["../evil", "/etc/evil", "a/../../evil", ".", ""])
def test_a_path_that_leaves_the_package_is_refused(objects: ObjectStore, tmp_path: Path, path: str) -> None:
    file = PackageFile(path=path, digest=objects.put(b"x"), size_bytes=1)
    with pytest.raises(InvalidError, match="leaves the package"):
        fetch_package(objects, [file], tmp_path / "packages" / "copy")
    assert list((tmp_path / "packages").iterdir()) == []
    assert not (tmp_path / "evil").exists()


def test_a_folder_that_is_there_is_left_as_it_is(package: Path, objects: ObjectStore) -> None:
    before = content(package)
    missing = PackageFile(path="x", digest="0" * 64, size_bytes=1)
    assert fetch_package(objects, [missing], package) == package
    assert content(package) == before


def test_many_fetch_the_same_package_at_once(package: Path, objects: ObjectStore, tmp_path: Path) -> None:
    files = put_package(package, objects.put_file)
    with ThreadPoolExecutor(6) as pool:
        folders = set(pool.map(lambda _: fetch_package(objects, files, tmp_path / "packages" / "copy"), range(6)))
    assert folders == {tmp_path / "packages" / "copy"}
    assert content(tmp_path / "packages" / "copy") == content(package)
    assert [path.name for path in (tmp_path / "packages").iterdir()] == ["copy"]


def test_a_listing_reads_back_from_json(package: Path, objects: ObjectStore) -> None:
    files = put_package(package, objects.put_file)
    assert msgspec.json.decode(msgspec.json.encode(files), type=list[PackageFile]) == files


def test_a_version_whose_files_are_elsewhere_is_refused(objects: ObjectStore, tmp_path: Path) -> None:
    with pytest.raises(InvalidError, match="no files here"):
        fetch_package(objects, [], tmp_path / "packages" / "copy")
    assert not (tmp_path / "packages").exists()
