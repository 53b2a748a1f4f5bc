"""Imports that are pinned to versions of a bucket: the records are the real DVC's, and each tool reads the other's."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from everloop.errors import ConflictError, InvalidError, NotFoundError
from everloop.storage.bucket import Bucket, open_bucket
from everloop.workspace import Workspace, remotes, yamlfile
from everloop.workspace.configuration import Configuration
from tests.faultyproxy import FaultyProxy
from tests.s3 import S3Server
from tests.workspace.dvcpeer import dvc, dvc_json, needs_dvc, run

pytestmark = needs_dvc

BUCKET = "pinned"


@pytest.fixture(scope="module", autouse=True)
def buckets(s3: S3Server) -> None:
    s3.make_bucket(BUCKET)
    s3.keep_versions(BUCKET)
    s3.make_bucket("forgetful")


@pytest.fixture
def bucket(s3: S3Server, tmp_path: Path) -> Bucket:
    """A folder of the bucket with a file and a folder, which `remote://far` names in both workspaces."""
    opened = open_bucket(f"s3://{BUCKET}/{tmp_path.name}", s3.options)
    for key, data in (("f.txt", b"one"), ("d/a", b"1"), ("d/sub/ü b", b"22")):
        opened.put(key, data)
    return opened


@pytest.fixture
def make(s3: S3Server, bucket: Bucket, tmp_path: Path) -> Callable[[str], Workspace]:
    def made(name: str) -> Workspace:
        folder = tmp_path / name
        folder.mkdir()
        run(folder, "git", "init", "--quiet")
        workspace = Workspace.init(folder)
        options = "".join(f"    {key} = {value}\n" for key, value in s3.options.items())
        (folder / ".dvc/config").write_text(
            f"['remote \"far\"']\n    url = s3://{BUCKET}/{tmp_path.name}\n{options}"
            f"['remote \"old\"']\n    url = s3://forgetful\n{options}"
        )
        return Workspace.open(workspace.root)

    return made


@pytest.fixture
def ours(make: Callable[[str], Workspace]) -> Workspace:
    return make("ours")


@pytest.fixture
def theirs(make: Callable[[str], Workspace]) -> Workspace:
    return make("theirs")


def records(workspace: Workspace) -> dict[str, str]:
    return {path.name: path.read_text() for path in workspace.root.glob("[!.]*.dvc")}


def texts(workspace: Workspace) -> dict[str, str]:
    found = (path for name in ("d", "f.txt") for path in (workspace.root / name, *(workspace.root / name).rglob("*")))
    return {str(path.relative_to(workspace.root)): path.read_text() for path in found if path.is_file()}


def take(workspace: Workspace, *names: str, download: bool = True, execute: bool = True) -> None:
    """Import the file or the folder."""
    for name in names:
        place = workspace.root / name
        workspace.imports.address(f"remote://far/{name}", place, version_aware=True, download=download, execute=execute)


def both(ours: Workspace, theirs: Workspace, *names: str, how: tuple[str, ...] = ()) -> None:
    """Import the same with each tool."""
    take(ours, *names, download="--no-download" not in how, execute="--no-exec" not in how)
    for name in names:
        dvc(theirs.root, "import-url", "--version-aware", f"remote://far/{name}", *how)
    assert records(ours) == records(theirs)


def values(workspace: Workspace, *without: str) -> dict[str, dict[str, Any]]:
    """The records without the order of their keys."""
    found = {name: yamlfile.parse_plain(text, name) for name, text in records(workspace).items()}
    return {name: {key: value for key, value in told.items() if key not in without} for name, told in found.items()}


def test_records_are_those_of_dvc_and_updates_follow_the_versions(
    ours: Workspace, theirs: Workspace, bucket: Bucket, tmp_path: Path
) -> None:
    both(ours, theirs, "f.txt", "d")
    assert ours.status() == {}
    assert dvc_json(ours.root, "status") == {}
    first = re.search(r"version_id: (\S+)", records(ours)["f.txt.dvc"])
    assert first
    assert ours.imports.update().updated == ()
    bucket.put("f.txt", b"two")
    bucket.put("d/new", b"n")
    assert sorted(ours.imports.update().updated) == ["d.dvc", "f.txt.dvc"]
    dvc(theirs.root, "update", "f.txt.dvc", "d.dvc")
    assert records(ours) == records(theirs)
    assert texts(ours) == {"f.txt": "two", "d/a": "1", "d/sub/ü b": "22", "d/new": "n"}
    ours.imports.update(["f.txt"], rev=first[1])
    dvc(theirs.root, "update", "--rev", first[1], "f.txt.dvc")
    assert records(ours) == records(theirs)
    assert texts(ours)["f.txt"] == "one"
    assert ours.imports.update().updated == ("f.txt.dvc",), "without --rev it follows the newest one again"


@pytest.mark.parametrize("how", ["--no-download", "--no-exec"])
def test_records_without_data_are_those_of_dvc_and_the_data_come_later(
    ours: Workspace, theirs: Workspace, bucket: Bucket, how: str
) -> None:
    both(ours, theirs, "d", how=(how,))
    bucket.put("d/a", b"later")
    ours.imports.update()
    dvc(theirs.root, "update", "d.dvc")
    assert values(ours) == values(theirs)
    assert texts(ours) == {"d/a": "later", "d/sub/ü b": "22"}


def test_update_that_only_records_is_that_of_dvc(ours: Workspace, theirs: Workspace, bucket: Bucket) -> None:
    both(ours, theirs, "d")
    bucket.put("d/a", b"later")
    ours.imports.update(download=False)
    dvc(theirs.root, "update", "--no-download", "d.dvc")
    # DVC hashes the record before it takes the old content out.
    assert values(ours, "md5") == values(theirs, "md5")


def test_pull_brings_the_recorded_versions_whatever_is_there_now(
    ours: Workspace, theirs: Workspace, bucket: Bucket, tmp_path: Path
) -> None:
    take(ours, "f.txt", "d")
    remotes.add(Configuration(ours.layout.dvc_dir), "near", str(tmp_path / "near"), default=True)
    assert Workspace.open(ours.root).transfers.push().done == {}, "they are never pushed"
    before = texts(ours)
    bucket.put("f.txt", b"two")
    bucket.delete(["d/a"])
    for record in ours.root.glob("[!.]*.dvc"):
        shutil.copyfile(record, theirs.root / record.name)
    dvc(theirs.root, "pull")
    for name in ("d", ".dvc/cache"):
        shutil.rmtree(ours.root / name)
    (ours.root / "f.txt").unlink()
    assert ours.transfers.pull().fetched.failed == ()
    assert texts(ours) == texts(theirs) == before
    assert ours.status() == {}
    shutil.rmtree(ours.root / ".dvc/cache")
    assert list(ours.transfers.fetch(["d/sub"]).done.values()) == ["d/sub/ü b"]


def test_data_that_were_only_recorded_are_pulled_in_that_version(ours: Workspace, bucket: Bucket) -> None:
    take(ours, "f.txt", "d", download=False)
    bucket.put("f.txt", b"two")
    bucket.put("d/a", b"later")
    ours.transfers.pull()
    assert texts(ours) == {"f.txt": "one", "d/a": "1", "d/sub/ü b": "22"}


def test_what_cannot_be_pinned_is_told(ours: Workspace, s3: S3Server) -> None:
    (ours.root / "here").write_text("here")
    with pytest.raises(InvalidError, match="keeps no versions"):
        ours.imports.address(str(ours.root / "here"), ours.root / "there", version_aware=True)
    open_bucket("s3://forgetful", s3.options).put("a", b"1")
    with pytest.raises(InvalidError, match="the bucket keeps no versions"):
        ours.imports.address("remote://old/a", ours.root / "a", version_aware=True)
    assert not (ours.root / "a").exists()
    assert records(ours) == {}


def test_versions_that_name_nothing_are_told(ours: Workspace, bucket: Bucket) -> None:
    take(ours, "f.txt", "d")
    before = records(ours)
    with pytest.raises(InvalidError, match="versions of its own"):
        ours.imports.update(["d"], rev="00000000-0000-0000-0000-000000000000")
    with pytest.raises(NotFoundError, match="in version 0000"):
        ours.imports.update(["f.txt"], rev="00000000-0000-0000-0000-000000000000")
    bucket.put("f.txt", b"two")
    (ours.root / "f.txt").write_text("mine")
    with pytest.raises(ConflictError, match="changed here"):
        ours.imports.update(["f.txt"])
    assert records(ours) == before


def test_a_folder_of_which_little_changed_costs_few_requests(
    ours: Workspace, bucket: Bucket, s3: S3Server, proxy: FaultyProxy
) -> None:
    remotes.modify(Configuration(ours.layout.dvc_dir), "far", "endpointurl", proxy.url)
    take(ours, "d")
    proxy.counted()
    assert ours.imports.update().updated == ()
    # Whether it is a file, and the listing.
    assert proxy.counted() == {"HEAD": 1, "GET": 1}
    bucket.put("d/a", b"later")
    proxy.counted()
    assert ours.imports.update().updated == ("d.dvc",)
    assert proxy.counted() == {"HEAD": 2, "GET": 3}


def test_paths_that_lead_out_of_the_source_are_refused(ours: Workspace) -> None:
    take(ours, "d")
    record = ours.root / "d.dvc"
    record.write_text(record.read_text().replace("relpath: a", "relpath: ../a"))
    with pytest.raises(InvalidError, match="inside of the directory"):
        ours.status()
